"""The live policy on the CPU, with transformers; with vLLM's engine in test_vllm_sampler.py."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from datasets import Dataset

from search.budget import Budget
from search.driver import run_search
from search.model_sampler import ModelSampler
from search.procedures import BestOfN
from search.records import Request, Sampling
from search.trainer_sampler import SearchDuringTraining, TrainerSampler
from tests.search.tiny_policy import tiny_policy, tiny_tokenizer
from tests.search.toy_problem import ToyProblem
from trainers import VPOConfig, VPOTrainer

REQUESTS = [Request(id=i, prompt="a b c"[: 1 + 2 * (i % 3)], seed=i, max_new_tokens=6) for i in range(8)]


def count_of_c(completions, **kwargs):
    return [float(completion.split().count("c")) for completion in completions]


def count_of_d(completions, **kwargs):
    return [float(completion.split().count("d")) for completion in completions]


def make_trainer(folder, steps=3, num_answers=1, **options):
    args = VPOConfig(
        output_dir=str(folder),
        use_cpu=True,
        bf16=False,
        report_to="none",
        disable_tqdm=True,
        save_strategy="no",
        logging_steps=1,
        learning_rate=1e-2,
        per_device_train_batch_size=8,
        num_generations=4,
        num_answers=num_answers,
        ask_for_answers=False,
        max_completion_length=8,
        max_steps=steps,
        seed=3,
        **options,
    )
    return VPOTrainer(
        model=tiny_policy(),
        reward_funcs=[count_of_c, count_of_d],
        args=args,
        train_dataset=Dataset.from_dict({"prompt": ["a b", "c d", "e f", "g"]}),
        processing_class=tiny_tokenizer(),
    )


class Letters(ToyProblem):
    """Components: whether the answer has an a, and a b."""

    def __init__(self):
        super().__init__("letters", num_answers=1, num_slots=2)
        self.prompt = "a b c"

    def score(self, answer):
        return (float("a" in answer.split()), float("b" in answer.split()))


def small_search(sampler):
    return run_search(
        [Letters()],
        lambda problem: BestOfN(),
        sampler,
        Budget(max_completion_tokens=60),
        sampling=Sampling(max_new_tokens=6),
    )


def weights(trainer):
    return torch.cat([parameter.detach().flatten() for parameter in trainer.model.parameters()])


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    plain = make_trainer(tmp_path_factory.mktemp("plain"))
    plain.train()
    searched = make_trainer(tmp_path_factory.mktemp("searched"))
    seen = []

    def search(sampler):
        was_training = searched.model.training
        found = sampler.sample(REQUESTS)
        expected = ModelSampler(searched.model, searched.processing_class, batch_size=3).sample(REQUESTS)
        seen.append((sampler.describe()["step"], found, expected, was_training, searched.model.training))
        return small_search(sampler)

    callback = SearchDuringTraining(searched, search, every=2, batch_size=4)
    searched.add_callback(callback)
    searched.train()
    return SimpleNamespace(plain=plain, searched=searched, callback=callback, seen=seen)


def test_completions_are_those_of_the_weights_of_the_moment(runs):
    ((step, found, expected, *_),) = runs.seen
    assert step == 2 and found == expected
    assert found != ModelSampler(tiny_policy(), tiny_tokenizer()).sample(REQUESTS), "it has learned since"


def test_a_run_that_is_searched_on_its_way_is_the_same_run(runs):
    assert torch.equal(weights(runs.plain), weights(runs.searched))
    assert not torch.equal(weights(runs.plain), weights(SimpleNamespace(model=tiny_policy()))), "it did learn"
    losses = [
        [entry["loss"] for entry in run.state.log_history if "loss" in entry] for run in (runs.plain, runs.searched)
    ]
    assert losses[0] == losses[1] and len(losses[0]) == 3


def test_completions_end_at_the_last_answer_as_in_training(tmp_path):
    trainer = make_trainer(tmp_path, num_answers=2)
    assert trainer.processing_class.convert_tokens_to_ids("</answer_2>") in trainer.eos_token_ids
    requests = [Request(id=i, prompt="a", seed=i, max_new_tokens=20) for i in range(40)]
    ended = [g for g in TrainerSampler(trainer).sample(requests) if "</answer_2>" in g.text]
    assert ended and all(g.text.endswith("</answer_2>") and g.finish_reason == "stop" for g in ended)


def test_the_model_trains_on_as_it_did(runs):
    ((*_, before, after),) = runs.seen
    assert before and after


def test_what_was_found_is_logged_at_its_step(runs):
    ((step, (result,)),) = runs.callback.history
    logged = [entry for entry in runs.searched.state.log_history if "search/best" in entry]
    assert step == 2 and [entry["step"] for entry in logged] == [2]
    assert logged[0]["search/best"] == result.best[-1]
    assert logged[0]["search/answers"] == result.answers[-1]
    assert 55 <= logged[0]["search/completion_tokens"] == result.completion_tokens[-1] <= 60


def test_chats_go_through_the_trainers_template(tmp_path):
    trainer = make_trainer(tmp_path)
    trainer.chat_template = "{% for m in messages %}b {{ m['content'] }} {% endfor %}"
    chat = Request(id=0, prompt=[{"role": "user", "content": "c"}], seed=1, max_new_tokens=4, temperature=0.0)
    text = Request(id=0, prompt="b c", seed=1, max_new_tokens=4, temperature=0.0)
    sampler = TrainerSampler(trainer)
    assert sampler.sample([chat]) == sampler.sample([text])
    assert sampler.count_tokens(chat.prompt) == 2


def test_a_policy_with_an_adapter_is_sampled_with_it(tmp_path):
    peft = pytest.importorskip("peft")
    trainer = make_trainer(tmp_path)
    config = peft.LoraConfig(r=4, lora_alpha=64, init_lora_weights=False, task_type="CAUSAL_LM")
    args = trainer.args
    adapted = VPOTrainer(
        model=tiny_policy(),
        reward_funcs=[count_of_c, count_of_d],
        args=args,
        train_dataset=trainer.train_dataset,
        processing_class=tiny_tokenizer(),
        peft_config=config,
    )
    with_adapter = TrainerSampler(adapted).sample(REQUESTS)
    with adapted.model.disable_adapter():
        without = TrainerSampler(adapted).sample(REQUESTS)
    bare = tiny_policy()
    bare.generation_config.eos_token_id = adapted.eos_token_ids
    assert with_adapter != without == ModelSampler(bare, tiny_tokenizer()).sample(REQUESTS)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"is_fsdp_enabled": True}, "spread over processes by FSDP"),
        ({"is_deepspeed_enabled": True}, "spread over processes by DeepSpeed ZeRO-3"),
        ({"use_vllm": True, "tensor_parallel": 2}, "spread over processes by vLLM's tensor parallelism"),
        ({"use_vllm": True, "mode": "server"}, "search with OpenAISampler on that server's address"),
    ],
    ids=str,
)
def test_what_one_process_cannot_sample_is_refused(options, words):
    trainer = SimpleNamespace(
        is_fsdp_enabled=options.get("is_fsdp_enabled", False),
        is_deepspeed_enabled=options.get("is_deepspeed_enabled", False),
        accelerator=SimpleNamespace(state=SimpleNamespace(deepspeed_plugin=SimpleNamespace(zero_stage=3))),
        use_vllm=options.get("use_vllm", False),
        args=SimpleNamespace(
            vllm_tensor_parallel_size=options.get("tensor_parallel", 1), vllm_mode=options.get("mode", "colocate")
        ),
    )
    with pytest.raises(ValueError, match=words):
        TrainerSampler(trainer)


def test_a_search_every_zero_steps_is_refused(runs):
    with pytest.raises(ValueError, match="every is 0, expected at least 1"):
        SearchDuringTraining(runs.plain, small_search, every=0)
