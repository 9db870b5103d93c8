"""A converted model learns to make use of its loops, taught by its source."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from trainers import HealingConfig, HealingTrainer, WarmStartTrainer
from vpo.looped import FixedDepth, LoopedForCausalLM, RandomDepth, Replay
from vpo.looped.consistency import Lookahead
from vpo.looped.convert import convert

ROWS = Dataset.from_dict(
    {
        "prompt": ["go red", "go blue", "now one two", "now"] * 4,
        "completion": [" red blue", " blue green red", " two one", " green"] * 4,
    }
)
KEPT = ("output_dir", "use_cpu", "bf16", "gradient_checkpointing", "report_to", "disable_tqdm", "save_strategy", "seed")


@pytest.fixture
def source(tokenizer) -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=4,
        num_attention_heads=2,
        num_key_value_heads=2,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    model = LlamaForCausalLM(config).eval()
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.3)
    return model


@pytest.fixture
def student(source) -> LoopedForCausalLM:
    return convert(source, 1, 2, 1, retention_init=0.5)


@pytest.fixture
def settings(arguments):
    def make(**options) -> HealingConfig:
        kept = {key: arguments[key] for key in KEPT}
        defaults = {"max_length": None, "logging_steps": 1, "learning_rate": 1e-2, "max_steps": 4, "cap": 3}
        return HealingConfig(**(kept | defaults | options))

    return make


@pytest.fixture
def heal(source, student, settings, tokenizer):
    def make(model=None, teacher=None, **options) -> HealingTrainer:
        return HealingTrainer(
            model=student if model is None else model,
            teacher=source if teacher is None else teacher,
            args=settings(**options),
            train_dataset=ROWS,
            processing_class=tokenizer,
        )

    return make


def batch() -> dict[str, torch.Tensor]:
    ids = torch.randint(3, 16, (5, 8), generator=torch.Generator().manual_seed(2))
    mask, labels = torch.ones_like(ids), ids.clone()
    mask[1, 5:] = mask[4, 6:] = 0
    labels[:, :3] = -100
    return {"input_ids": ids, "attention_mask": mask, "labels": labels.masked_fill(mask == 0, -100)}


# --- the loss ------------------------------------------------------------------------------------------------------


def test_the_loss_is_what_plain_formulas_give(heal, student, source):
    weights = {"alpha": 0.3, "early_weight": 0.7, "consistency_weight": 0.2, "distill_temperature": 3.0}
    with torch.no_grad():
        for parameter in student.parameters():  # away from the source, which one loop still is
            parameter += 0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(5))
    trainer = heal(**weights, ramp_share=0.0)
    trainer.model.train()
    inputs, seed = batch(), 11
    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    trained = inputs["labels"][:, 1:] != -100
    torch.manual_seed(seed)
    loss = trainer.compute_loss(trainer.model, dict(inputs))
    found = torch.autograd.grad(loss, list(student.parameters()))

    torch.manual_seed(seed)
    depths = trainer.args.depth_at(0.0).draw(len(ids), ids.device)
    early_loop = trainer._depth()[2].loop
    assert (depths > early_loop).any() and len(depths.unique()) > 1

    def logits(per_row: torch.Tensor) -> torch.Tensor:
        policy = Replay(per_row[:, None].expand_as(ids))
        return student(ids, attention_mask=mask, depth_policy=policy, use_cache=False).logits[:, :-1]

    target = source(ids, attention_mask=mask).logits[:, :-1].detach()

    def divergence(at: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
        p, q = (target / 3.0).log_softmax(-1), (at / 3.0).log_softmax(-1)
        return (p.exp() * (p - q)).sum(-1)[where].sum()

    last = logits(depths)
    cross_entropy = -last.log_softmax(-1).gather(-1, ids[:, 1:, None]).squeeze(-1)[trained].sum()
    deeper = trained & (depths > early_loop)[:, None]
    early = divergence(logits(depths.clamp(max=early_loop)), deeper)
    changes = []
    for row, depth in enumerate(depths.tolist()):
        ahead = Lookahead(FixedDepth(depth))
        student(ids[row : row + 1], attention_mask=mask[row : row + 1], depth_policy=ahead, use_cache=False)
        changes.append(ahead.loss(torch.nn.functional.pad(trained[row : row + 1], (0, 1))) * trained[row].sum())
    expected = 9 * (divergence(last, trained) + 0.7 * early) + 0.3 * cross_entropy + 0.2 * sum(changes)
    expected = expected / trained.sum()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-4)
    assert early > 0 and sum(changes) > 0, "terms that are 0 prove nothing"
    for one, other in zip(found, torch.autograd.grad(expected, list(student.parameters())), strict=True):
        assert torch.allclose(one, other, atol=1e-5, rtol=1e-3)


def test_a_perfect_student_has_no_divergence(heal, source):
    trainer = heal(model=convert(source, 1, 2, 1, retention_init=1e-8), alpha=0.0)
    trainer.model.train()
    for _ in range(3):
        assert trainer.compute_loss(trainer.model, batch()).item() == pytest.approx(0, abs=1e-5)


def test_micro_batches_add_up_to_the_batch(heal, student):
    trainer = heal(cap=1, alpha=0.5)  # one loop, so nothing is drawn
    inputs = batch()
    tokens = (inputs["labels"][:, 1:] != -100).sum()
    whole = trainer.compute_loss(trainer.model, dict(inputs), num_items_in_batch=tokens)
    parts = [{key: value[rows] for key, value in inputs.items()} for rows in (slice(0, 2), slice(2, 5))]
    split = sum(trainer.compute_loss(trainer.model, part, num_items_in_batch=tokens) for part in parts)
    assert split.item() == pytest.approx(whole.item(), rel=1e-5)


def test_a_batch_with_nothing_to_learn_gives_a_loss_of_zero(heal):
    trainer = heal(consistency_weight=0.1)
    trainer.model.train()
    inputs = batch()
    inputs["labels"] = torch.full_like(inputs["labels"], -100)
    loss = trainer.compute_loss(trainer.model, inputs)
    loss.backward()
    assert loss.item() == 0


# --- the depth -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ramp", "middle"), [("linear", 2.5), ("1-sqrt", 1 + 3 * (1 - 0.5**0.5))])
def test_the_mean_depth_rises_from_one_to_the_cap_and_stays(settings, ramp, middle):
    args = settings(cap=4, ramp=ramp, ramp_share=0.6)
    assert args.mean_depth(0.0) == 1
    assert args.mean_depth(0.3) == pytest.approx(middle)
    assert args.mean_depth(0.6) == args.mean_depth(1.0) == 4
    means = [args.mean_depth(i / 50) for i in range(51)]
    assert means == sorted(means)
    assert settings(cap=4, ramp_share=0.0).mean_depth(0.0) == 4


@pytest.mark.parametrize("sampler", ["poisson", "lognormal_poisson", "uniform"])
def test_drawn_depths_have_the_mean_of_the_ramp_and_a_limit(settings, sampler):
    args = settings(cap=4, depth_sampler=sampler, ramp="linear", ramp_share=1.0, max_loops=12, grad_loops=2)
    torch.manual_seed(0)
    for progress, mean in ((0.0, 1), (2 / 3, 3), (1.0, 4)):
        policy = args.depth_at(progress)
        drawn = policy.draw(4000, torch.device("cpu")).float()
        assert drawn.mean().item() == pytest.approx(mean, abs=0.2)
        assert (policy.cap <= 12, policy.grad_loops, int(drawn.min())) == (True, 2, 1)


def test_training_follows_the_ramp_and_logs_it(heal):
    trainer = heal(max_steps=8, cap=4, ramp="linear", ramp_share=0.5, consistency_weight=0.1, max_loops=4)
    trainer.train()
    history = [entry for entry in trainer.state.log_history if "loss" in entry]
    assert history[0]["depth"] == pytest.approx(1, abs=0.05)
    assert sum(entry["depth"] for entry in history[4:]) / 4 > 2.3
    assert {"kl", "cross_entropy", "early_kl", "consistency", "entropy", "mean_token_accuracy"} <= history[-1].keys()


def test_the_models_own_depth_is_kept_and_saved(heal, student, tmp_path):
    student.depth_policy = FixedDepth(2)
    trainer = heal(save_strategy="steps", save_steps=2)
    trainer.train()
    assert student.depth_policy == FixedDepth(2)
    saved = AutoModelForCausalLM.from_pretrained(Path(trainer.args.output_dir) / "checkpoint-2")
    assert saved.depth_policy == FixedDepth(2)


@pytest.mark.parametrize("gradient_checkpointing", [False, True])
def test_a_resumed_run_is_the_run_that_was_not_interrupted(source, heal, tmp_path, gradient_checkpointing):
    def run(folder: str, resume: bool | str = False, stop: int | None = None) -> tuple[dict, list[float]]:
        trainer = heal(
            model=convert(source, 1, 2, 1, retention_init=0.5),
            output_dir=str(tmp_path / folder),
            max_steps=6,
            ramp="linear",
            consistency_weight=0.1,
            save_strategy="steps",
            save_steps=3,
            gradient_checkpointing=gradient_checkpointing,
        )
        if stop:
            step = trainer.training_step

            def training_step(*args, **kwargs):
                if trainer.state.global_step == stop:
                    raise KeyboardInterrupt
                return step(*args, **kwargs)

            trainer.training_step = training_step
            with pytest.raises(KeyboardInterrupt):
                trainer.train()
            return {}, []
        trainer.train(resume_from_checkpoint=resume)
        depths = [entry["depth"] for entry in trainer.state.log_history if "depth" in entry]
        return {k: v.detach().clone() for k, v in trainer.model.named_parameters()}, depths

    weights, depths = run("whole")
    run("broken", stop=4)  # lost: the step after the checkpoint
    resumed, resumed_depths = run("broken", resume=True)
    assert resumed_depths == depths
    assert len(set(depths)) > 2
    assert all(torch.allclose(value, resumed[name], atol=1e-6) for name, value in weights.items())


# --- what it achieves ----------------------------------------------------------------------------------------------


def test_healing_brings_deep_loops_back_to_the_source(heal, student, source):
    inputs = batch()
    ids = inputs["input_ids"]

    @torch.no_grad()
    def divergence(num_loops: int) -> float:
        p = source(ids).logits.log_softmax(-1)
        q = student.eval()(ids, num_loops=num_loops).logits.log_softmax(-1)
        return (p.exp() * (p - q)).sum(-1).mean().item()

    before = {n: divergence(n) for n in (1, 2, 3)}
    assert before[1] == pytest.approx(0, abs=1e-5) and before[3] > 0.05
    rows = Dataset.from_dict({"input_ids": [row.tolist() for row in torch.randint(3, 16, (64, 8))]})
    trainer = heal(max_steps=60, alpha=0.0, ramp_share=0.3, per_device_train_batch_size=16, learning_rate=5e-3)
    trainer.train_dataset = rows.add_column("labels", rows["input_ids"])
    trainer.train()
    after = {n: divergence(n) for n in (1, 2, 3)}
    print(f"KL to the source by loops, before {before}, after {after}")
    assert after[3] < 0.5 * before[3]
    assert after[2] < before[2]


def test_evaluation_runs_at_the_cap(heal, student, source):
    trainer = heal(alpha=0.0)
    trainer.eval_dataset = trainer.train_dataset
    measured = trainer.evaluate()
    assert measured["eval_depth"] == 3
    assert measured["eval_loss"] == pytest.approx(4 * measured["eval_kl"], rel=1e-3)  # temperature 2, squared
    assert "eval_early_kl" not in measured


def test_the_teacher_stays_as_it_was(heal, source):
    before = copy.deepcopy(source.state_dict())
    source.train()
    trainer = heal()
    trainer.train()
    assert not source.training
    assert all(p.grad is None and not p.requires_grad for p in source.parameters())
    assert all(torch.equal(value, before[name]) for name, value in source.state_dict().items())
    taught = {id(p) for group in trainer.optimizer.param_groups for p in group["params"]}
    assert not taught & {id(p) for p in source.parameters()}


def test_a_teacher_may_be_given_by_name(heal, source, tmp_path):
    source.save_pretrained(tmp_path / "source")
    trainer = heal(teacher=str(tmp_path / "source"), teacher_model_init_kwargs={"attn_implementation": "eager"})
    trainer.train()
    assert trainer.teacher.config._attn_implementation == "eager"


def test_adapters_heal_too(student, source, settings, tokenizer):
    from peft import LoraConfig

    trainer = HealingTrainer(
        model=student,
        teacher=source,
        args=settings(consistency_weight=0.1, ramp_share=0.0),
        train_dataset=ROWS,
        processing_class=tokenizer,
        peft_config=LoraConfig(r=2, target_modules=["q_proj", "down_proj"], task_type="CAUSAL_LM"),
    )
    before = {name: p.detach().clone() for name, p in trainer.model.named_parameters()}
    trainer.train()
    changed = {name for name, p in trainer.model.named_parameters() if not torch.equal(p, before[name])}
    assert changed and all("lora_" in name for name in changed)
    depths = [entry["depth"] for entry in trainer.state.log_history if "depth" in entry]
    assert max(depths) > 1


# --- weight decay --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("injection", ["gate", "diagonal", "concat"])
@pytest.mark.parametrize("kind", [HealingTrainer, WarmStartTrainer])
def test_nothing_that_holds_the_loop_stable_decays(source, settings, tokenizer, injection, kind):
    model = convert(source, 1, 2, 1, injection=injection)
    options = {"teacher": source} if kind is HealingTrainer else {}
    trainer = kind(
        model=model, args=settings(weight_decay=0.1), train_dataset=ROWS, processing_class=tokenizer, **options
    )
    trainer.create_optimizer()
    decayed, kept = ({id(p) for p in group["params"]} for group in trainer.optimizer.param_groups)
    loop = {id(p) for p in model.model.injection.parameters()}
    assert loop <= kept
    assert id(model.model.layers[0].mlp.up_proj.weight) in decayed


# --- what is refused -----------------------------------------------------------------------------------------------


def test_a_teacher_that_cannot_teach_is_refused(heal, student, source, settings, tokenizer):
    with pytest.raises(ValueError, match="the teacher is missing"):
        HealingTrainer(model=student, args=settings(), train_dataset=ROWS, processing_class=tokenizer)
    with pytest.raises(ValueError, match="the teacher is the student itself"):
        heal(teacher=student)
    other = LlamaForCausalLM(LlamaConfig(**{**source.config.to_dict(), "vocab_size": 99}))
    with pytest.raises(ValueError, match="the teacher predicts 99 tokens and the student"):
        heal(teacher=other)
    with pytest.raises(ValueError, match="are for a teacher given by name"):
        heal(teacher_model_init_kwargs={"dtype": "float32"})


def test_a_model_without_a_loop_is_refused(heal, source):
    with pytest.raises(ValueError, match="LlamaForCausalLM has no loop"):
        heal(model=copy.deepcopy(source))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cap": 0}, "cap is 0"),
        ({"cap": 4, "max_loops": 3}, "expected 1 <= cap <= max_loops"),
        ({"ramp": "cosine"}, "ramp is 'cosine'"),
        ({"ramp_share": 1.5}, "ramp_share is 1.5"),
        ({"distill_temperature": 0.0}, "distill_temperature is 0.0"),
        ({"alpha": -1.0}, "alpha is -1.0"),
        ({"consistency_weight": float("nan")}, "consistency_weight is nan"),
        ({"depth_sampler": "normal"}, "sampler is 'normal'"),
        ({"grad_loops": 0}, "grad_loops is 0"),
        ({"loss_type": "dft"}, "healing has a loss of its own"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, options, message):
    with pytest.raises(ValueError, match=message):
        settings(**options)


def test_what_the_loss_would_leave_out_is_refused(student, source, settings, tokenizer):
    from peft import PromptTuningConfig

    common = {"teacher": source, "args": settings(), "train_dataset": ROWS, "processing_class": tokenizer}
    with pytest.raises(ValueError, match="virtual tokens"):
        sizes = {"token_dim": 16, "num_layers": 4, "num_attention_heads": 2, "num_transformer_submodules": 1}
        prompt = PromptTuningConfig(num_virtual_tokens=2, task_type="CAUSAL_LM", **sizes)
        HealingTrainer(model=student, peft_config=prompt, **common)
    with pytest.raises(ValueError, match="healing has a loss of its own"):
        HealingTrainer(model=student, compute_loss_func=lambda *args, **kwargs: 0, **common)


def test_depth_is_random_by_sequence(settings):
    assert isinstance(settings(cap=4).depth_at(1.0), RandomDepth)
    assert len(settings(cap=4).depth_at(1.0).draw(64, torch.device("cpu")).unique()) > 2


# --- several processes ---------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.distributed
def test_two_processes_heal_as_one(tmp_path):
    """The same global batch, at a fixed depth so that nothing is drawn: the same weights in the end."""
    found = {}
    for processes in (1, 2):
        script = str(Path(__file__).with_name("healing_run.py"))
        out = tmp_path / f"{processes}.json"
        launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
        root = str(Path(__file__).parents[2])
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": root}
        command = [*launcher, script, str(out), str(8 // processes)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=250)
        assert done.returncode == 0, done.stderr[-3000:]
        found[processes] = json.loads(out.read_text())
    assert found[2]["loss"] == pytest.approx(found[1]["loss"], rel=1e-4)
    assert found[2]["depth"] == found[1]["depth"]
    assert found[2]["weights"] == pytest.approx(found[1]["weights"], rel=1e-4, abs=1e-5)
    assert found[2]["mixed_depths"] > 1  # and at random depths, different on both, it runs to the end


# --- stability -----------------------------------------------------------------------------------------------------


def test_a_jacobian_weight_makes_one_pass_stretch_less(source, settings, tokenizer):
    from vpo.looped.stability import jacobian_penalty, loop_map

    stretches = {}
    for weight in (0.0, 30.0):
        student = convert(source, 1, 2, 1, retention_init=0.6)
        trainer = HealingTrainer(
            model=student,
            teacher=source,
            args=settings(jacobian_weight=weight, max_steps=12),
            train_dataset=ROWS,
            processing_class=tokenizer,
        )
        trainer.train()
        loop = loop_map(student.eval(), batch()["input_ids"], batch()["attention_mask"])
        torch.manual_seed(0)
        stretches[weight] = jacobian_penalty(loop, loop.trajectory(3)[-1].detach(), mask=loop.mask, probes=8).item()
        shown = [entry["jacobian"] for entry in trainer.state.log_history if "jacobian" in entry]
        assert bool(shown) == bool(weight)
    assert stretches[30.0] < 0.8 * stretches[0.0]
