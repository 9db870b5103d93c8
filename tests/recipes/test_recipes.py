"""Every recipe of a domain of the paper, on a tiny model and a few rows: one step, nothing saved."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import yaml
from transformers import LlamaConfig, LlamaForCausalLM

from tests.vpo.tasks.task_rows import TOOL_TURNS, deepcoder_rows, eureqa_row, musique_row, toolrl_row, write_rows
from trainers.vpo import main, make_parser
from vpo.sandbox import NotEnforced, Sandbox
from vpo.tasks import list_tasks
from vpo.tasks.word_tokenizer import word_tokenizer

RECIPES = Path(__file__).parents[2] / "recipes"
DOMAINS = ("maze", "musique", "eureqa", "toolrl", "code")
# What a machine without GPUs cannot do, and what would take it too long.
SMALL = {
    "use_cpu": True,
    "bf16": False,
    "gradient_checkpointing": False,
    "use_vllm": False,
    "per_device_train_batch_size": 4,
    "generation_batch_size": 8,
    "gradient_accumulation_steps": 1,
    "num_generations": 4,
    "max_completion_length": 8,
    "disable_tqdm": True,
}


def settings(name: str) -> dict:
    return yaml.safe_load((RECIPES / f"{name}.yaml").read_text())


@pytest.fixture(scope="module")
def policy(tmp_path_factory):
    """A random Llama of a few thousand parameters, with a chat template, that writes words and tags."""
    tags = [
        f"<{slash}{tag}_{i}>" for tag in ("response", "route", "solution") for i in (1, 2, 3) for slash in ("", "/")
    ]
    tokenizer = word_tokenizer(["red", "fox", "UP", "RIGHT", *tags])
    tokenizer.chat_template = "{% for message in messages %}{{ message.role }} {{ message.content }} {% endfor %}"
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=1024,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    folder = tmp_path_factory.mktemp("policy")
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def data(tmp_path):
    write_rows(tmp_path / "musique" / "train.jsonl", [musique_row(2 + i % 3, i) for i in range(4)])
    write_rows(tmp_path / "eureqa" / "questions_normal_5.jsonl", [eureqa_row(i) for i in range(3)])
    write_rows(tmp_path / "eureqa" / "questions_hard_5.jsonl", [eureqa_row(i) for i in range(4)])
    write_rows(tmp_path / "toolrl" / "train.jsonl", [toolrl_row(turn) for turn in TOOL_TURNS])
    # As many tests in each row as components: whether a component may be missing is the trainer's matter.
    write_rows(tmp_path / "code" / "train.jsonl", deepcoder_rows()[:1] * 4)
    return tmp_path


def dry_run(name: str, policy: Path, data: Path, **changes) -> None:
    options = dict(settings(name)["task_options"])
    if name not in ("maze", "reasoning_gym"):  # they make their rows
        options["path"] = str(data / name)
    if name == "code":
        options |= {"runner": "tests.vpo.tasks.inline_runner.run", "max_tests": 3}
    changes = {
        **SMALL,
        "model_name_or_path": str(policy),
        "output_dir": str(data / "out"),
        "task_options": json.dumps(options),
        **changes,
    }
    flags = [word for key, value in changes.items() for word in (f"--{key}", str(value))]
    main(*make_parser().parse_args_and_config(["--config", str(RECIPES / f"{name}.yaml"), *flags, "--dry_run"]))


@pytest.mark.parametrize(
    ("name", "components"),
    [
        ("maze", "completion, gold, diamonds, no_lava"),
        ("musique", "hop_1, hop_2, hop_3, hop_4, answer_f1"),
        ("eureqa", "entity_A, entity_B, entity_C, entity_D, entity_E"),
        ("toolrl", "format, tool_name, arg_key, arg_value"),
        ("reasoning_gym", "score, part_1, part_2, part_3, form, brief"),
        ("code", "test_1, test_2, test_3"),  # with a runner of the tests' own in place of a sandbox
    ],
)
def test_a_recipe_takes_one_step_and_saves_nothing(name, components, policy, data, capsys):
    dry_run(name, policy, data)
    said = capsys.readouterr().out
    assert "2 prompts x 4 completions x 3 answers a step" in said
    assert f"objective vpo, components {components}" in said
    assert not (data / "out").exists() or not list((data / "out").glob("**/*.safetensors"))


def test_the_recipe_for_code_runs_programs_in_the_sandbox(policy, data, capsys):
    try:
        Sandbox(1).close()
    except NotEnforced as error:
        pytest.skip(str(error))
    options = {**settings("code")["task_options"], "path": str(data / "code")}
    dry_run("code", policy, data, task_options=json.dumps(options))
    assert "components test_1, test_2" in capsys.readouterr().out


def test_without_a_runner_the_recipe_for_code_stops_before_anything_is_sampled(policy, data):
    options = {**settings("code")["task_options"], "path": str(data / "code"), "runner": None}
    with pytest.raises(ValueError, match="the code task has no runner"):
        dry_run("code", policy, data, task_options=json.dumps(options))


def test_prompts_that_are_too_long_are_left_out_and_counted(policy, data, capsys):
    # The paragraphs of a question are some 150 words with the request; entities' narratives are shorter.
    with pytest.raises(ValueError, match="no prompt has 20 tokens or fewer"):
        dry_run("musique", policy, data, max_prompt_tokens=20)
    row = musique_row(2, 9)
    row["question"] = "word " * 200
    write_rows(data / "musique" / "train.jsonl", [musique_row(2, i) for i in range(2)] + [row])
    dry_run("musique", policy, data, max_prompt_tokens=300)
    assert "left out 1 of 3 prompts: more than 300 tokens" in capsys.readouterr().out


def test_a_task_of_ones_own_is_trained_on_by_its_files_name(policy, data, capsys):
    (data / "mine.py").write_text(
        "from vpo.tasks import task\n"
        "@task(components=['red', 'short'], data='mine.jsonl')\n"
        "def mine(answer, row):\n"
        "    return row['word'] in answer, 1 / (1 + len(answer))\n"
    )
    write_rows(data / "mine.jsonl", [{"prompt": f"say red {i}", "word": "red"} for i in range(4)])
    dry_run("musique", policy, data, task=str(data / "mine.py"), task_options="{}")
    assert "components red, short" in capsys.readouterr().out


def test_the_weights_of_the_task_are_those_of_training(policy, data, monkeypatch):
    import trainers

    seen = {}

    class StopHereError(Exception):
        pass

    def trainer(**options):
        seen.update(options)
        raise StopHereError

    monkeypatch.setattr(trainers, "VPOTrainer", trainer)
    with pytest.raises(StopHereError):
        dry_run("musique", policy, data)
    assert seen["args"].component_weights == pytest.approx([1 / 7] * 4 + [3 / 7])
    assert seen["args"].answer_tag == "response"
    with pytest.raises(StopHereError):
        dry_run("maze", policy, data)
    assert seen["args"].component_weights is None  # equal shares, which is what none means


def test_there_is_a_recipe_for_each_task_of_language_models():
    names = [*DOMAINS, "reasoning_gym"]
    tiny = {"knapsack", "format_mixture"}  # ours, for tiny policies
    assert {settings(name)["task"].partition(":")[0] for name in names} == set(list_tasks()) - tiny


@pytest.mark.parametrize("name", DOMAINS)
def test_a_recipe_holds_the_papers_figures(name):
    recipe = settings(name)
    figures = {
        "objective": "vpo",
        "num_answers": 3,
        "num_generations": 8,
        "num_weightings": 100,
        "alpha": 1.0,
        "learning_rate": 1e-6,
        "lr_scheduler_type": "constant",
        "beta": 1e-3,
        "epsilon": 0.2,
        "delta": 3.0,
        "temperature": 1.0,
        "top_p": 1.0,
        "weight_decay": 0.01,
        "max_grad_norm": 1.0,
        "bf16": True,
        "gradient_checkpointing": True,
    }
    assert {key: recipe[key] for key in figures} == figures
    model, prompts, prompt, completion = {
        "maze": ("Qwen/Qwen3-4B", 128, 768, 1024),
        "musique": ("Qwen/Qwen3-1.7B", 128, 5120, 1024),
        "eureqa": ("Qwen/Qwen3-8B", 64, 1024, 2048),
        "toolrl": ("Qwen/Qwen3-1.7B", 128, 4352, 2048),
        "code": ("Qwen/Qwen2.5-Coder-7B-Instruct", 64, 1536, 3072),
    }[name]
    assert (recipe["model_name_or_path"], recipe["max_prompt_tokens"], recipe["max_completion_length"]) == (
        model,
        prompt,
        completion,
    )
    assert recipe["generation_batch_size"] == prompts * 8
    # Two updates of half the prompts each, on four processes.
    assert recipe["gradient_accumulation_steps"] * recipe["per_device_train_batch_size"] * 4 == prompts // 2 * 8
    assert recipe["vllm_max_model_length"] == prompt + completion
