"""What a run pays for, through the real trainer: objectives, weightings, diversity terms, credit of answers."""

from __future__ import annotations

import copy
import logging
from functools import partial

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM
from trl import GRPOConfig, GRPOTrainer, TrlParser

from trainers import VPOConfig, VPOTrainer
from trainers.diversity_inputs import mean_logps
from trainers.scored_batch import ScoredBatch
from vpo.objective import OBJECTIVES, AnswerGroups, answer_credit, credit_advantages
from vpo.weightings import Corners, Lexicase

TEXTS = [
    "<answer_1> red </answer_1> <answer_2> blue blue blue </answer_2>",
    "<answer_1> red red red red </answer_1> now <answer_2> one </answer_2>",
    "red",
    "go <answer_1> two two </answer_1> <answer_2> green </answer_2>",
]


def length_reward(completions, **kwargs):
    return [len(c.split()) / 10 for c in completions]


def hits_reward(completions, target, **kwargs):
    return [float(t in c) for c, t in zip(completions, target, strict=True)]


@pytest.fixture(autouse=True)
def _silence_experimental(monkeypatch):
    monkeypatch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")


@pytest.fixture
def make_trainer(make_policy, tokenizer, prompts, arguments):
    def scripted(prompts, trainer, texts=TEXTS):
        ids = [[*tokenizer(text)["input_ids"], tokenizer.eos_token_id] for text in texts[: len(prompts)]]
        return {
            "prompt_ids": [tokenizer(p)["input_ids"] for p in prompts],
            "completion_ids": ids,
            "logprobs": [[0.0] * len(row) for row in ids],
        }

    def make(reward_funcs=(length_reward, hits_reward), is_scripted=True, texts=TEXTS, **options) -> VPOTrainer:
        settings = {
            **arguments,
            "max_steps": 1,
            "per_device_train_batch_size": 4,
            "num_answers": 2,
            "ask_for_answers": False,
            **options,
        }
        return VPOTrainer(
            model=make_policy(),
            reward_funcs=list(reward_funcs),
            args=VPOConfig(**settings),
            train_dataset=prompts,
            processing_class=tokenizer,
            rollout_func=partial(scripted, texts=texts) if is_scripted else None,
        )

    return make


def outputs_of(trainer: VPOTrainer) -> tuple[list[dict], list[AnswerGroups]]:
    """Train, and keep what went to the loss and what the objective was fed."""
    outputs, fed = [], []
    generate, pay = trainer._generate_and_score_completions, trainer.payment.pay
    trainer._generate_and_score_completions = lambda inputs: outputs.append(generate(inputs)) or outputs[-1]
    object.__setattr__(trainer.payment, "pay", lambda groups, *more: fed.append(groups) or pay(groups, *more))
    trainer.train()
    return outputs, fed


@pytest.mark.parametrize("name", sorted(OBJECTIVES))
def test_every_objective_trains_and_pays_what_its_formula_says(name, make_trainer):
    m = 1 if OBJECTIVES[name]().pays_one_answer else 2
    trainer = make_trainer(objective=name, num_answers=m)
    outputs, (groups,) = outputs_of(trainer)
    objective = OBJECTIVES[name]()
    expected = objective.advantages(groups, objective.scores(groups), "group").flatten()
    torch.testing.assert_close(outputs[0]["advantages"], expected)
    assert expected.count_nonzero() > 0 or name == "pass_at_k"
    assert torch.isfinite(torch.tensor(trainer.state.log_history[0]["loss"]))


def test_gdpo_trains_as_trls_normalize_then_sum(make_policy, tokenizer, prompts, arguments):
    results = []
    for trainer_class, config_class, options in [
        (GRPOTrainer, GRPOConfig, {"multi_objective_aggregation": "normalize_then_sum"}),
        (VPOTrainer, VPOConfig, {"objective": "gdpo", "num_answers": 1}),
    ]:
        trainer = trainer_class(
            model=make_policy(),
            reward_funcs=[length_reward, hits_reward],
            args=config_class(**{**arguments, "max_steps": 3}, reward_weights=[0.7, 1.5], **options),
            train_dataset=prompts,
            processing_class=tokenizer,
        )
        trainer.train()
        results.append((list(trainer._logs["advantages"]), [p.detach().clone() for p in trainer.model.parameters()]))
    (theirs, their_weights), (ours, our_weights) = results
    assert ours == pytest.approx(theirs, abs=1e-6)
    assert any(a != 0 for a in ours)
    torch.testing.assert_close(our_weights, their_weights, atol=1e-6, rtol=0)


@pytest.mark.parametrize("credit", ["marginal", "to_go", "gain", "shapley"])
def test_an_answers_tokens_get_its_credit_and_all_others_the_sets_advantage(credit, make_trainer, tokenizer):
    trainer = make_trainer(answer_credit=credit, answer_credit_share=0.75)
    outputs, (groups,) = outputs_of(trainer)
    got, ids = outputs[0]["advantages"], outputs[0]["completion_ids"]
    assert got.shape == ids.shape
    objective = trainer.payment.objective
    scores = objective.scores(groups)
    whole = objective.advantages(groups, scores)[0]
    single = credit_advantages(answer_credit(objective, groups, credit), groups.mask, scores)[0]
    for row in range(4):
        owner = 0
        for token, advantage in zip(tokenizer.convert_ids_to_tokens(ids[row]), got[row].tolist(), strict=True):
            if token.startswith("<answer_"):
                owner = int(token[-2])
            expected = whole[row] if not owner else 0.75 * single[row, owner - 1] + 0.25 * whole[row]
            assert advantage == pytest.approx(expected.item(), abs=1e-6), (row, token)
            if token.startswith("</answer_"):
                owner = 0
    assert trainer.state.log_history[0]["set/answers_not_in_tokens"] == 0.0
    assert not torch.allclose(got, whole.unsqueeze(1).expand_as(got))


@pytest.mark.parametrize("credit", ["marginal", "to_go", "gain", "shapley"])
def test_an_answer_that_was_cut_off_is_paid_as_one_that_adds_nothing(credit, make_trainer, tokenizer):
    cut = "<answer_1> red red </answer_1> <answer_2> blue blue blue"
    trainer = make_trainer(answer_credit=credit, texts=[*TEXTS[:2], cut, TEXTS[3]])
    outputs, (groups,) = outputs_of(trainer)
    objective = trainer.payment.objective
    scores = objective.scores(groups)
    paid = answer_credit(objective, groups, credit)[0, :, 1]
    assert not groups.mask[0, 2, 1]
    assert paid[2] == 0 and (paid[[0, 1, 3]] >= 0).all() and paid.max() > 0
    whole = objective.advantages(groups, scores)[0]
    given = torch.ones_like(groups.mask)
    credits = answer_credit(objective, groups, credit)
    squares = (credits - credits.mean(1, keepdim=True)).square().sum()
    divisor = max(scores[0].std().item(), (squares / 6).sqrt().item()) + 1e-4  # 8 answers, 2 baselines
    expected = ((0 - paid.mean()) / divisor).item()
    assert expected < 0
    assert credit_advantages(credits, given, scores)[0, 2, 1].item() == pytest.approx(expected, abs=1e-6)
    ids, got = outputs[0]["completion_ids"][2].tolist(), outputs[0]["advantages"][2].tolist()
    start, end = ids.index(tokenizer.convert_tokens_to_ids("<answer_2>")), ids.index(tokenizer.eos_token_id) + 1
    assert got[start:end] == pytest.approx([expected] * (end - start), abs=1e-6)
    assert all(abs(advantage - whole[2].item()) > 1e-3 for advantage in got[start:end])


def test_exact_integration_is_what_many_draws_give(make_trainer):
    exact, _ = outputs_of(make_trainer(weighting_method="exact", alpha="1/d"))
    drawn, _ = outputs_of(make_trainer(weighting_method="sobol", alpha="0.5", num_weightings=8192))
    torch.testing.assert_close(exact[0]["advantages"], drawn[0]["advantages"], atol=5e-3, rtol=0)
    with pytest.raises(ValueError, match="weighting_method='exact' with 3 reward components"):
        make_trainer([length_reward, hits_reward, length_reward], weighting_method="exact").train()


def test_weightings_may_stand_around_the_weights_of_deployment(make_trainer):
    trainer = make_trainer(weighting_center="w_star", reward_weights=[3.0, 1.0], num_weightings=5000)
    _, (groups,) = outputs_of(trainer)
    assert groups.weights.mean((0, 1)).tolist() == pytest.approx([0.75, 0.25], abs=0.01)
    assert isinstance(make_trainer(weighting="corners").payment.weighting, Corners)
    assert isinstance(make_trainer(weighting="lexicase").payment.weighting, Lexicase)


@pytest.mark.parametrize("name", ["darling", "batch_exploration"])
def test_a_diversity_term_reads_which_answers_of_a_group_are_the_same(name, make_trainer):
    trainer = make_trainer(diversity=name)
    outputs, (groups,) = outputs_of(trainer)
    labels = groups.labels[0]
    assert labels[~groups.mask[0]].tolist() == [0, 0]
    assert len(set(labels[groups.mask[0]].tolist())) == 6  # six different answers
    scores = trainer.payment.diversity.shape(trainer.payment.objective.scores(groups), groups)
    torch.testing.assert_close(outputs[0]["advantages"], trainer.payment.objective.advantages(groups, scores).flatten())


def test_unlikeliness_ranks_by_the_log_probabilities_of_sampling(make_trainer):
    trainer = make_trainer(is_scripted=False, diversity="unlikeliness", max_completion_length=6, num_answers=1)
    outputs, (groups,) = outputs_of(trainer)
    mask = outputs[0]["completion_mask"]
    expected = (outputs[0]["sampled_logps"] * mask).sum(1) / mask.sum(1)
    torch.testing.assert_close(groups.logps.flatten(), expected.float())
    assert groups.logps.unique().numel() > 1


def test_unlikeliness_asks_the_model_where_sampling_left_no_log_probabilities(tokenizer, prompts, arguments):
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    plain = LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), pad_token_id=0, eos_token_id=2, **sizes))
    start = copy.deepcopy(plain).eval()
    settings = {**arguments, "max_steps": 1, "per_device_train_batch_size": 4, "num_answers": 1}
    trainer = VPOTrainer(
        model=plain,
        reward_funcs=[length_reward, hits_reward],
        args=VPOConfig(**settings, diversity="unlikeliness"),
        train_dataset=prompts,
        processing_class=tokenizer,
    )
    (out,), (groups,) = outputs_of(trainer)
    assert not {"sampled_logps", "old_per_token_logps"} & {key for key, value in out.items() if value is not None}
    ids, mask = torch.cat([out["prompt_ids"], out["completion_ids"]], 1), out["completion_mask"]
    with torch.no_grad():
        logits = start(ids, attention_mask=torch.cat([out["prompt_mask"], mask], 1)).logits[:, -mask.shape[1] - 1 : -1]
    logps = logits.log_softmax(-1).gather(-1, out["completion_ids"].unsqueeze(-1)).squeeze(-1)
    torch.testing.assert_close(groups.logps.flatten(), (logps * mask).sum(1) / mask.sum(1), atol=1e-5, rtol=0)


def test_a_completion_that_is_left_out_of_the_loss_has_its_likelihood_still():
    lengths, ids = [2, 3], torch.tensor([[5, 2, 0], [5, 6, 7]])
    output = {
        "completion_ids": ids,
        "completion_mask": torch.tensor([[1, 1, 0], [0, 0, 0]]),  # the second was cut off, and is masked
        "sampling_per_token_logps": torch.tensor([[-1.0, -3.0, 0.0], [-2.0, float("nan"), -6.0]]),
    }
    assert mean_logps(None, output, lengths).tolist() == [-2.0, -4.0]


def test_a_vector_that_is_a_scalar_is_pointed_out_once(make_trainer, caplog):
    def also_length(completions, **kwargs):
        return [2 * len(c.split()) for c in completions]

    trainer = make_trainer([length_reward, also_length])
    generator = torch.Generator().manual_seed(0)
    rewards = torch.rand(4 * 70, 2, 1, generator=generator) * torch.tensor([1.0, 3.0])
    mask = torch.ones(4 * 70, 2, dtype=torch.bool)
    with caplog.at_level(logging.WARNING, logger="trainers.collinearity_watch"):
        assert trainer._watch.see(rewards, mask, 4) < 1e-6
        trainer._watch.see(rewards, mask, 4)
    assert caplog.text.count("the vector reward is a scalar in fact") == 1
    real = make_trainer()
    with caplog.at_level(logging.WARNING, logger="trainers.collinearity_watch"):
        assert real._watch.see(torch.rand(4 * 70, 2, 2, generator=generator), mask, 4) > 0.05
    assert caplog.text.count("is a scalar in fact") == 1
    real.train()
    assert 0 <= real.state.log_history[0]["set/specialist_gain"] <= 1


def test_the_command_line_takes_every_setting(tmp_path):
    (tmp_path / "run.yaml").write_text("alpha: 0.5\nobjective: vpo\nobjective_options: {coverage: 1.0}\n")
    (config,) = TrlParser(VPOConfig).parse_args_and_config(
        ["--config", str(tmp_path / "run.yaml"), "--output_dir", str(tmp_path), "--bf16", "false", "--use_cpu"]
    )
    assert config.alpha == 0.5
    assert config.build_objective().coverage == 1.0
    flags = ["--alpha", "1/d", "--objective_options", '{"anchor": 0.3}', "--answer_credit", "marginal"]
    (config,) = TrlParser(VPOConfig).parse_args_and_config(
        [*flags, "--output_dir", str(tmp_path), "--bf16", "false", "--use_cpu"]
    )
    assert config.build_weighting().alpha == "1/d"
    assert config.build_objective().anchor == 0.3
    assert config.answer_credit == "marginal"


def test_a_batch_without_any_answer_is_paid_nothing(make_trainer):
    trainer = make_trainer(answer_credit="shapley", weighting_method="exact")
    batch = ScoredBatch(
        torch.zeros(4, 2, 1),  # one column a function: how many components it has is not known yet
        torch.zeros(4, 2, dtype=torch.bool),
        torch.tensor([1] * 4),
        torch.zeros(4, 2, dtype=torch.int64),
        [],
        [],
        [],
        [],
        None,
    )
    paid = trainer.pay(batch, 4)
    assert paid.scores.count_nonzero() == paid.advantages.count_nonzero() == 0
    assert paid.answer_advantages.count_nonzero() == 0
