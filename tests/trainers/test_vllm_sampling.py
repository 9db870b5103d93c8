"""What VPOTrainer hands over to vLLM, seen by stand-ins for its engine and its server: nothing here needs vLLM."""

from __future__ import annotations

import os
from unittest.mock import patch

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM
from trl.generation import vllm_generation

from trainers import VPOConfig, VPOTrainer


@pytest.fixture(autouse=True)
def _as_if_vllm_were_installed(monkeypatch):
    monkeypatch.setattr(vllm_generation, "is_vllm_available", lambda: True)


def small_policy(tokenizer):
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    special = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    return LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), **sizes, **special))


@pytest.fixture
def saved_policy(tokenizer, tmp_path):
    small_policy(tokenizer).save_pretrained(tmp_path / "policy")
    return str(tmp_path / "policy")


def words(completions, **kwargs):
    return [len(c.split()) / 10 for c in completions]


def trainer_of(policy, tokenizer, prompts, arguments, **options):
    with patch.dict(os.environ):  # TRL writes RANK and WORLD_SIZE for the engine, which later tests would heed
        return VPOTrainer(
            model=policy,
            reward_funcs=words,
            args=VPOConfig(**{**arguments, "use_vllm": True, **options}),
            train_dataset=prompts,
            processing_class=tokenizer,
        )


# --- an engine in this process -------------------------------------------------------------------------------------


class Engine:
    """Takes what TRL gives to ``vllm.LLM``, and seeds the process as that does."""

    def __init__(self, **options):
        self.options = options
        torch.manual_seed(options["seed"])


@pytest.fixture
def engine(monkeypatch):
    monkeypatch.setattr(vllm_generation, "LLM", Engine, raising=False)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "float32"),  # TRL loads in float32 unless told otherwise
        ({"bf16": True}, "bfloat16"),
        ({"model_init_kwargs": {"dtype": "bfloat16"}}, "bfloat16"),
    ],
    ids=["float32", "autocast", "weights in bfloat16"],
)
def test_the_engine_computes_in_the_type_of_training(
    options, expected, engine, saved_policy, tokenizer, prompts, arguments
):
    trainer = trainer_of(saved_policy, tokenizer, prompts, arguments, **options)
    assert trainer.vllm_generation.llm.options["dtype"] == expected
    assert trainer.vllm_generation.llm.options["model"] == saved_policy
    assert vllm_generation.LLM is Engine  # other trainers get vLLM as it is


def test_the_engine_draws_by_the_seed_of_the_run(engine, saved_policy, tokenizer, prompts, arguments):
    draws = []
    for seed in (3, 4, 3):
        trainer_of(saved_policy, tokenizer, prompts, arguments, seed=seed)
        draws.append(torch.rand(3).tolist())
    assert draws[0] == draws[2] != draws[1]


def test_the_engine_stops_where_the_last_answer_ends_and_where_one_asked_it_to(
    engine, saved_policy, tokenizer, prompts, arguments
):
    closing = tokenizer.convert_tokens_to_ids("</answer_2>")
    asked = {"stop_token_ids": [7], "min_tokens": 2}
    trainer = trainer_of(saved_policy, tokenizer, prompts, arguments, num_answers=2, generation_kwargs=asked)
    assert trainer.vllm_generation.generation_kwargs == {"stop_token_ids": [7, closing], "min_tokens": 2}
    assert trainer.args.generation_kwargs == {"stop_token_ids": [7], "min_tokens": 2}  # saved as it was given
    assert trainer.eos_token_ids == [2, closing]  # so that TRL counts and masks it as an end


@pytest.mark.parametrize(
    "options", [{"num_answers": 1}, {"num_answers": 2, "answer_tag": "idea"}], ids=["one answer", "no token of its own"]
)
def test_nothing_is_stopped_where_no_token_closes_the_last_answer(
    options, engine, saved_policy, tokenizer, prompts, arguments
):
    trainer = trainer_of(saved_policy, tokenizer, prompts, arguments, **options)
    assert trainer.vllm_generation.generation_kwargs == {}
    assert trainer.eos_token_ids == [2]


def test_a_policy_that_is_on_no_disk_is_refused(engine, saved_policy, tokenizer, prompts, arguments):
    with pytest.raises(ValueError, match=r"lies in memory alone.*save_pretrained"):
        trainer_of(small_policy(tokenizer), tokenizer, prompts, arguments)
    trainer_of(LlamaForCausalLM.from_pretrained(saved_policy), tokenizer, prompts, arguments)


def test_a_model_that_brings_its_own_code_is_looked_at_without_running_it(
    engine, saved_policy, tokenizer, prompts, arguments, monkeypatch
):
    monkeypatch.setattr("transformers.AutoConfig.from_pretrained", lambda *a, **k: pytest.fail("built a configuration"))
    from trainers.start_checks import check_sampling

    check_sampling(saved_policy, VPOConfig(**arguments, use_vllm=True))


# --- a server ------------------------------------------------------------------------------------------------------


class Client:
    """Stands in for TRL's ``VLLMClient``: writes two answers, the first one long or short, and keeps what it got."""

    dtype = "torch.float32"
    tokenizer = None

    def __init__(self, base_url, **options):
        self.base_url, self.requests, self.updates, self.resets = base_url, [], [], 0

    def init_communicator(self, device):
        self.device = device

    def get_server_info(self):
        return {"model_config": {"dtype": self.dtype, "logprobs_mode": "processed_logprobs"}}

    def update_named_params(self, metadata, named_params):
        weights = {name: tensor.clone() for name, tensor in named_params}
        assert [(name, list(tensor.shape)) for name, tensor in weights.items()] == [(n, s) for n, _, s in metadata]
        self.updates.append(weights)

    def reset_prefix_cache(self):
        self.resets += 1

    def generate(self, prompts, n, **options):
        self.requests.append({"prompts": prompts, "n": n, **options})
        reds = ["red " * (1 + i % 4) for i in range(len(prompts) * n)]
        texts = [f"<answer_1> {red}</answer_1> <answer_2> blue </answer_2>" for red in reds]
        ids = self.tokenizer(texts)["input_ids"]
        return {
            "prompt_ids": prompts,
            "completion_ids": ids,
            "logprobs": [[[-2.0]] * len(row) for row in ids],
            "logprob_token_ids": [[[i] for i in row] for row in ids],
        }


@pytest.fixture
def client(monkeypatch, tokenizer):
    monkeypatch.setattr(Client, "tokenizer", tokenizer)
    monkeypatch.setattr(vllm_generation, "VLLMClient", Client)


def test_a_server_gets_the_prompts_the_stop_token_and_the_weights_of_every_step(
    client, saved_policy, tokenizer, prompts, arguments
):
    trainer = trainer_of(
        saved_policy,
        tokenizer,
        prompts,
        {**arguments, "max_steps": 3},
        vllm_mode="server",
        vllm_server_base_url="http://localhost:1",
        num_answers=2,
        mask_truncated_completions=True,
        answer_credit="to_go",
        ask_for_answers=False,
    )
    before = {name: tensor.detach().clone() for name, tensor in trainer.model.named_parameters()}
    trainer.train()
    server = trainer.vllm_generation.vllm_client
    assert server.base_url == "http://localhost:1"
    closing = tokenizer.convert_tokens_to_ids("</answer_2>")
    for request in server.requests:
        assert request["generation_kwargs"] == {"stop_token_ids": [closing]}
        assert (request["n"], request["max_tokens"], request["temperature"]) == (4, 12, 1.0)
        assert len(request["prompts"]) == 2  # 8 completions in groups of 4: a prompt is sent once
        assert {tuple(ids) for ids in request["prompts"]} <= {
            tuple(tokenizer(p)["input_ids"]) for p in prompts["prompt"]
        }
    assert len(server.requests) == len(server.updates) == server.resets == 3
    assert server.updates[0].keys() == before.keys()
    assert all(torch.equal(server.updates[0][name], before[name]) for name in before)
    for one, next_one in zip(server.updates, server.updates[1:], strict=False):
        assert any(not torch.equal(one[name], next_one[name]) for name in before)
    steps = [entry for entry in trainer.state.log_history if "loss" in entry]
    assert all(entry["completions/clipped_ratio"] == 0 for entry in steps)  # the closing tag is an end
    assert all(entry["sampling/sampling_logp_difference/max"] > 0 for entry in steps)


@pytest.mark.parametrize(
    ("theirs", "options", "is_wrong"),
    [
        ("torch.float32", {}, False),
        ("torch.bfloat16", {}, True),
        ("torch.bfloat16", {"bf16": True}, False),
        ("torch.float16", {"bf16": True}, True),
    ],
)
def test_a_server_in_another_numeric_type_is_pointed_out(
    theirs, options, is_wrong, client, saved_policy, tokenizer, prompts, arguments, monkeypatch, caplog
):
    monkeypatch.setattr(Client, "dtype", theirs)
    with caplog.at_level("WARNING", logger="trainers.vllm_sampling"):
        trainer_of(saved_policy, tokenizer, prompts, arguments, vllm_mode="server", **options)
    said = [record.message for record in caplog.records if record.name == "trainers.vllm_sampling"]
    assert len(said) == is_wrong
    if is_wrong:
        ours = "bfloat16" if options else "float32"
        assert f"samples in {theirs[6:]}, and the policy is trained in {ours}" in said[0]
        assert f"--dtype {ours}" in said[0]
