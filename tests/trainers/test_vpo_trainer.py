"""VPOTrainer against TRL's GRPOTrainer, against an oracle, and at its borders."""

from __future__ import annotations

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from trl import GRPOConfig, GRPOTrainer

from trainers import VPOConfig, VPOTrainer
from trainers.scored_batch import ScoredBatch
from vpo.looped import FixedDepth, RandomDepth, looped_policy
from vpo.weightings import Dirichlet, prompt_key, weighting_seed


def length_reward(completions, **kwargs):
    return [len(c.split()) / 10 for c in completions]


def hits_reward(completions, target, **kwargs):
    return [float(t in c) for c, t in zip(completions, target, strict=True)]


class Scripted:
    """A rollout function that writes given completions, in order, so that rewards are known."""

    def __init__(self, tokenizer, texts):
        self.tokenizer, self.texts, self.calls = tokenizer, texts, 0

    def __call__(self, prompts, trainer):
        texts = [self.texts[(self.calls * len(prompts) + i) % len(self.texts)] for i in range(len(prompts))]
        self.calls += 1
        ids = [[*self.tokenizer(text)["input_ids"], self.tokenizer.eos_token_id] for text in texts]
        return {
            "prompt_ids": [self.tokenizer(p)["input_ids"] for p in prompts],
            "completion_ids": ids,
            "logprobs": [[0.0] * len(row) for row in ids],
        }


@pytest.fixture(autouse=True)
def _silence_experimental(monkeypatch):
    monkeypatch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")


def test_one_answer_under_fixed_weights_is_grpo_to_the_last_bit(make_policy, tokenizer, prompts, arguments):
    weights = [0.7, 1.5]
    results = []
    for trainer_class, config_class, options in [
        (GRPOTrainer, GRPOConfig, {}),
        (VPOTrainer, VPOConfig, {"objective": "grpo", "num_answers": 1}),
    ]:
        args = config_class(**{**arguments, "max_steps": 3}, reward_weights=weights, **options)
        trainer = trainer_class(
            model=make_policy(),
            reward_funcs=[length_reward, hits_reward],
            args=args,
            train_dataset=prompts,
            processing_class=tokenizer,
        )
        trainer.train()
        results.append((trainer, torch.cat([p.detach().flatten() for p in trainer.model.parameters()])))
    (grpo, grpo_weights), (vpo, vpo_weights) = results
    assert list(grpo._logs["advantages"]) == list(vpo._logs["advantages"])
    assert any(a != 0 for a in vpo._logs["advantages"])
    assert torch.equal(grpo_weights, vpo_weights)
    assert [h.get("reward") for h in grpo.state.log_history] == [h.get("reward") for h in vpo.state.log_history]


TEXTS = [
    "<answer_1> red </answer_1> <answer_2> blue blue blue </answer_2>",
    "<answer_1> red red red red </answer_1> <answer_2> one </answer_2>",
    "red",
    "<answer_1> two two </answer_1> <answer_2> red",
]


def scripted_trainer(
    make_policy, tokenizer, prompts, arguments, texts=TEXTS, reward_funcs=(length_reward, hits_reward), **o
):
    args = VPOConfig(**{**arguments, "max_steps": 1, "per_device_train_batch_size": 4, **o})
    return VPOTrainer(
        model=make_policy(),
        reward_funcs=list(reward_funcs),
        args=args,
        train_dataset=prompts,
        processing_class=tokenizer,
        rollout_func=Scripted(tokenizer, texts),
    )


def test_advantages_are_those_of_the_set_reward_by_hand(make_policy, tokenizer, prompts, arguments):
    trainer = scripted_trainer(
        make_policy, tokenizer, prompts, arguments, ask_for_answers=False, num_answers=2, num_weightings=50
    )
    seen = []
    inner = trainer._generate_and_score_completions
    trainer._generate_and_score_completions = lambda inputs: seen.append((inputs, inner(inputs))) or seen[-1][1]
    trainer.train()
    inputs, output = seen[0]
    target = inputs[0]["target"]
    weights = Dirichlet(1.0).draw(50, 2, weighting_seed(3, 0, prompt_key(inputs[0]["prompt"]))).numpy().astype(float)
    sets = [["red", "blue blue blue"], ["red red red red", "one"], [], ["two two"]]
    scores = []
    for answers in sets:
        vectors = [(len(a.split()) / 10, float(target in a)) for a in answers]
        scores.append(np.mean([max(w @ np.array(v) for v in vectors) for w in weights]) if vectors else 0.0)
    expected = (np.array(scores) - np.mean(scores)) / (np.std(scores, ddof=1) + 1e-4)
    assert output["advantages"].numpy() == pytest.approx(expected, abs=1e-5)
    logged = trainer.state.log_history[0]
    assert logged["reward"] == logged["set/reward"] == pytest.approx(np.mean(scores), abs=1e-6)
    assert logged["set/answers"] == 5 / 4
    assert logged["set/parse_failure_rate"] == 0.25
    assert list(trainer._logs["advantages"])[-4:] == pytest.approx(list(expected), abs=1e-5)


def test_reward_functions_see_answers_with_the_columns_of_their_row(make_policy, tokenizer, prompts, arguments):
    calls = []

    def spy(prompts, completions, completion_ids, target, **kwargs):
        calls.append((prompts, completions, target, sorted(kwargs)))
        return [[1.0, 0.0] for _ in completions]

    trainer = scripted_trainer(make_policy, tokenizer, prompts, arguments, reward_funcs=[spy], num_answers=2)
    trainer.train()
    prompt_texts, answers, targets, others = calls[0]
    assert answers == ["red", "blue blue blue", "red red red red", "one", "two two"]
    assert len(set(targets)) == 1 and len(targets) == 5
    assert others == ["log_extra", "log_metric", "trainer_state"]
    assert all("<answer_1>" in text for text in prompt_texts)  # the prompt asks for the answers
    assert trainer.vector_reward.components == ("spy[0]", "spy[1]")


def test_negative_rewards_are_pointed_out_once(make_policy, tokenizer, prompts, arguments, caplog):
    def cost(completions, **kwargs):
        return [-float(len(c)) for c in completions]

    trainer = scripted_trainer(make_policy, tokenizer, prompts, arguments, reward_funcs=[cost], max_steps=2)
    with caplog.at_level("WARNING", logger="trainers.vpo_trainer"):
        trainer.train()
    said = [record.message for record in caplog.records if "negative reward" in record.message]
    assert len(said) == 1
    assert "an answer set without an answer scores 0" in said[0]


def test_prompts_that_ask_themselves_are_left_alone(make_policy, tokenizer, prompts, arguments):
    trainer = scripted_trainer(make_policy, tokenizer, prompts, arguments, ask_for_answers=False)
    assert trainer.train_dataset["prompt"] == prompts["prompt"]


def test_every_rollout_is_in_the_log(make_policy, tokenizer, prompts, arguments):
    trainer = scripted_trainer(make_policy, tokenizer, prompts, {**arguments}, num_answers=2, max_steps=2)
    trainer.train()
    files = sorted((trainer.rollout_folder).glob("*.parquet"))
    assert [f.name for f in files] == ["rank0000-step00000000.parquet", "rank0000-step00000001.parquet"]
    rows = pq.read_table(files[0]).to_pylist()
    assert [row["answers"] for row in rows] == [["red", "blue blue blue"], ["red red red red", "one"], [], ["two two"]]
    assert [len(row["rewards"]) for row in rows] == [2, 2, 0, 1]
    assert rows[0]["rewards"][1][0] == pytest.approx(0.3)
    assert rows[0]["components"] == ["length_reward", "hits_reward"]
    assert rows[3]["num_unclosed"] == 1
    assert {row["finish_reason"] for row in rows} == {"stop"}
    assert json.loads(rows[0]["metadata"])["target"] in prompts["target"]
    assert sum(row["advantage"] for row in rows) == pytest.approx(0, abs=1e-4)
    assert len({row["prompt_id"] for row in rows}) == 1


def test_a_resumed_log_drops_what_will_be_made_again(tmp_path):
    from trainers.rollout_log import RolloutLog

    log = RolloutLog(tmp_path, rank=0)
    for step in range(4):
        log.write(step, 0, [])
    log.write(1, 1, [])
    (tmp_path / "rank0000-step00000009.tmp").write_bytes(b"torn")
    for rank in (1, 2):  # the run is resumed with two processes, of which rank 1 cleans up for itself
        RolloutLog(tmp_path, rank).write(3, 0, [])
    RolloutLog(tmp_path, rank=0).drop_after(1, num_processes=2)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "rank0000-step00000000.parquet",
        "rank0000-step00000001-1.parquet",
        "rank0000-step00000001.parquet",
        "rank0001-step00000003.parquet",
    ]


def test_weightings_depend_on_seed_step_and_prompt_alone(make_policy, tokenizer, prompts, arguments):
    trainer = scripted_trainer(make_policy, tokenizer, prompts, arguments)
    generator = torch.Generator().manual_seed(0)
    rewards, mask = torch.rand(8, 3, 2, generator=generator), torch.ones(8, 3, dtype=torch.bool)
    keys = torch.tensor([5] * 4 + [9] * 4)

    def scores(rewards, keys, index=0):
        batch = ScoredBatch(rewards, mask, keys, None, [], [], [], [], None)
        return trainer.pay(batch, group_size=4, index=index).scores

    first = scores(rewards, keys)
    torch.manual_seed(123)  # the global generator plays no part
    assert torch.equal(first, scores(rewards, keys))
    swapped = scores(rewards.roll(4, 0), keys.roll(4, 0))
    assert torch.equal(swapped.roll(4, 0), first)  # nor does the place in the batch
    assert not torch.equal(first, scores(rewards, keys, index=1))
    trainer.state.global_step = 1
    assert not torch.equal(first, scores(rewards, keys))


def test_w_star_comes_from_the_weights_of_functions_or_of_components(make_policy, tokenizer, prompts, arguments):
    def pair(completions, **kwargs):
        return [(1.0, 2.0) for _ in completions]

    trainer = scripted_trainer(
        make_policy, tokenizer, prompts, arguments, reward_funcs=[pair, length_reward], reward_weights=[1.0, 3.0]
    )
    trainer.train()
    assert trainer.w_star(3).tolist() == [0.5, 0.5, 3.0]
    trainer.args.component_weights = [0.2, 0.3, 0.5]
    assert trainer.w_star(3).tolist() == pytest.approx([0.2, 0.3, 0.5])
    trainer.args.component_weights = [1.0]
    with pytest.raises(ValueError, match="component_weights has 1 entries, the reward vectors have 3"):
        trainer.w_star(3)


def test_training_stops_at_the_token_budget_and_counts_on_after_a_resume(make_policy, tokenizer, prompts, arguments):
    def make(limit):
        args = VPOConfig(
            **{**arguments, "max_steps": 8, "save_strategy": "steps", "save_steps": 1}, max_generated_tokens=limit
        )
        return VPOTrainer(
            model=make_policy(),
            reward_funcs=length_reward,
            args=args,
            train_dataset=prompts,
            processing_class=tokenizer,
        )

    first = make(limit=150)
    first.train()
    assert 150 <= first.token_budget.generated < 150 + 8 * 12
    steps = first.state.global_step
    assert 0 < steps < 8
    counted = sum(
        sum(pq.read_table(path, columns=["completion_tokens"])["completion_tokens"].to_pylist())
        for path in first.rollout_folder.glob("*.parquet")
    )
    assert counted == first.token_budget.generated == first.state.log_history[steps - 1]["generated_tokens"]
    again = make(limit=150)  # killed between the last checkpoint and the end
    again.train(resume_from_checkpoint=True)
    assert (again.state.global_step, again.token_budget.generated) == (steps, first.token_budget.generated)
    for name, weight in first.model.named_parameters():
        assert torch.equal(weight, again.model.get_parameter(name))
    assert again.args.max_steps == 8
    second = make(limit=300)
    second.train(resume_from_checkpoint=True)
    assert second.state.global_step > steps
    assert 300 <= second.token_budget.generated < 300 + 8 * 12


def test_a_policy_whose_forward_changes_the_logits_is_refused(make_policy, tokenizer, prompts, arguments):
    policy = make_policy()
    kind = type(policy)

    class Scaled(kind):
        def forward(self, *args, **kwargs):
            out = super().forward(*args, **kwargs)
            out.logits = out.logits * 5
            return out

    policy.__class__ = Scaled
    torch.nn.init.normal_(policy.lm_head.weight)
    with pytest.raises(ValueError, match="training log-probabilities differ from the model's own by"):
        VPOTrainer(
            model=policy,
            reward_funcs=length_reward,
            args=VPOConfig(**arguments),
            train_dataset=prompts,
            processing_class=tokenizer,
        )


def test_gradient_checkpointing_and_the_reference_model_work_with_a_looped_policy(
    make_policy, tokenizer, prompts, arguments, tmp_path
):
    make_policy().save_pretrained(tmp_path / "start")
    tokenizer.save_pretrained(tmp_path / "start")
    args = VPOConfig(**{**arguments, "gradient_checkpointing": True}, beta=0.01, num_answers=1)
    trainer = VPOTrainer(
        model=str(tmp_path / "start"), reward_funcs=[length_reward, hits_reward], args=args, train_dataset=prompts
    )
    before = {name: p.clone() for name, p in trainer.model.named_parameters()}
    trainer.train()
    assert trainer.state.log_history[0]["kl"] >= 0
    unchanged = [name for name, p in trainer.model.named_parameters() if torch.equal(p, before[name])]
    assert unchanged == []


def test_evaluation_uses_its_own_group_size(make_policy, tokenizer, prompts, arguments):
    args = VPOConfig(**arguments, num_generations_eval=1, per_device_eval_batch_size=4)
    trainer = VPOTrainer(
        model=make_policy(),
        reward_funcs=length_reward,
        args=args,
        train_dataset=prompts,
        eval_dataset=prompts,
        processing_class=tokenizer,
    )
    metrics = trainer.evaluate()
    assert 0 <= metrics["eval_set/reward"] <= 1.2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"objective": "ppo"}, "expected one of"),
        ({"objective": "grpo"}, "set num_answers=1"),
        ({"num_weightings": 0}, "num_weightings is 0"),
        ({"alpha": 0.0}, "alpha is 0.0"),
        ({"num_answers": 0}, "num_answers"),
        ({"expected_processes": 2}, "torchrun --nproc_per_node 2"),
        ({"objective": "multi_rlvr", "objective_options": {"aggregation": "mean"}}, "aggregation is 'mean'"),
        ({"objective_options": "max"}, "expected a JSON object"),
        ({"objective_options": {"k": 3}}, "does not take the options"),
        ({"multi_objective_aggregation": "normalize_then_sum"}, "the objective decides here"),
        ({"alpha": "2*d"}, r"alpha is '2\*d'"),
        ({"weighting": "gaussian"}, "weighting is 'gaussian'"),
        ({"weighting_method": "grid"}, "method is 'grid'"),
        ({"weighting_center": "corner"}, "weighting_center is 'corner'"),
        ({"weighting_method": "exact", "objective": "multi_rlvr"}, "integrates linear utilities over a Dirichlet"),
        ({"weighting_method": "exact", "weighting": "corners"}, "integrates linear utilities over a Dirichlet"),
        ({"diversity": "entropy"}, "diversity is 'entropy'"),
        ({"diversity_options": {"beta": 0.1}}, "without a diversity"),
        ({"diversity": "darling", "objective": "gdpo", "num_answers": 1}, "not taken from them"),
        ({"answer_credit": "own"}, "answer_credit is 'own'"),
        ({"answer_credit": "to_go", "diversity": "darling"}, "would not reach the tokens of answers"),
        ({"answer_credit": "shapley", "num_answers": 11}, "expected at most 10"),
        ({"objective_options": {"utility": "hypervolume"}, "num_answers": 13}, "expected at most 12"),
        ({"objective": "max_at_k", "objective_options": {"k": 5}}, "num_generations is 4"),
        ({"answer_credit": "marginal", "objective": "max_at_k"}, "divides a set's pay"),
        ({"answer_credit": "marginal", "num_answers": 1}, "divides a set's pay"),
        ({"answer_credit": "marginal", "answer_credit_share": 1.5}, "answer_credit_share is 1.5"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(options, message, arguments):
    with pytest.raises((ValueError, TypeError), match=message):
        VPOConfig(**arguments, **options)


def test_what_is_no_reward_and_tools_are_refused_with_a_way_out(make_policy, tokenizer, prompts, arguments):
    with pytest.raises(TypeError, match="expected a sequence classifier, or a function"):
        VPOTrainer(model=make_policy(), reward_funcs=torch.nn.Linear(2, 2), args=VPOConfig(**arguments))
    with pytest.raises(TypeError, match="tools and environments are not supported"):
        VPOTrainer(model=make_policy(), reward_funcs=length_reward, args=VPOConfig(**arguments), tools=[print])


def test_a_completion_ends_at_the_closing_tag_of_the_last_answer(make_policy, tokenizer, prompts, arguments, tmp_path):
    trainer = VPOTrainer(
        model=make_policy(),
        reward_funcs=length_reward,
        args=VPOConfig(**{**arguments, "max_completion_length": 40, "num_answers": 2}),
        train_dataset=prompts,
        processing_class=tokenizer,
    )
    trainer.train()
    closing = tokenizer.convert_tokens_to_ids("</answer_2>")
    rows = [row for path in trainer.rollout_folder.glob("*.parquet") for row in pq.read_table(path).to_pylist()]
    ended = [row["completion"].split() for row in rows if "</answer_2>" in row["completion"]]
    assert len(ended) > 3  # an untrained policy writes that word now and then
    assert all(words.index("</answer_2>") == len(words) - 1 for words in ended)
    assert all(row["finish_reason"] == "stop" for row in rows if row["completion"].endswith("</answer_2>"))
    trainer.save_model(str(tmp_path / "saved"))
    config = json.loads((tmp_path / "saved" / "generation_config.json").read_text())
    assert config["eos_token_id"] == [2, closing]


def test_evaluation_does_not_move_the_weightings_of_training(make_policy, tokenizer, prompts, arguments):
    seen = {}
    for eval_batch in (None, 2, 4):
        options = {} if eval_batch is None else {"eval_strategy": "steps", "eval_steps": 1}
        args = VPOConfig(
            **{**arguments, "max_steps": 3},
            num_generations_eval=2,
            per_device_eval_batch_size=eval_batch or 4,
            **options,
        )
        trainer = VPOTrainer(
            model=make_policy(),
            reward_funcs=length_reward,
            args=args,
            train_dataset=prompts,
            eval_dataset=prompts,
            processing_class=tokenizer,
        )
        indices = []
        inner = trainer._next_generation_index
        trainer._next_generation_index = lambda mode, i=inner, to=indices: to.append((mode, i(mode))) or to[-1][1]
        trainer.train()
        seen[eval_batch] = [index for mode, index in indices if mode == "train"]
        evaluated = [index for mode, index in indices if mode == "eval"]
        assert all(index >= 1 << 15 for index in evaluated)
        assert (len(evaluated) > 0) == (eval_batch is not None)
    assert seen[None] == seen[2] == seen[4] == [0, 0, 0]


def lora():
    from peft import LoraConfig

    return LoraConfig(r=2, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")


def test_a_looped_policy_is_found_under_adapters(make_policy, tokenizer, prompts, arguments):
    policy = make_policy()
    policy.depth_policy = RandomDepth(1, 3)
    trainer = VPOTrainer(
        model=policy,
        reward_funcs=length_reward,
        args=VPOConfig(**arguments, num_answers=1),
        train_dataset=prompts,
        processing_class=tokenizer,
        peft_config=lora(),
    )
    trainer.train()
    assert looped_policy(trainer.model) is policy
    assert 1 < trainer.state.log_history[0]["loops/mean_depth"] < 3  # drawn, recorded, and trained at
    assert trainer.state.log_history[0]["sampling/replay_logp_diff/max"] < 1e-4


def test_the_reference_model_runs_at_the_policys_depth(make_policy, tokenizer, prompts, arguments, tmp_path):
    make_policy().save_pretrained(tmp_path / "start")
    policy = type(make_policy()).from_pretrained(tmp_path / "start")
    policy.depth_policy = FixedDepth(4)
    trainer = VPOTrainer(
        model=policy,
        reward_funcs=length_reward,
        args=VPOConfig(**arguments, num_answers=1, beta=0.1),
        train_dataset=prompts,
        processing_class=tokenizer,
    )
    assert trainer.ref_model.depth_policy == FixedDepth(4)
    trainer.train()
    assert abs(trainer.state.log_history[0]["kl"]) < 1e-6  # the first step compares equal weights at equal depths
