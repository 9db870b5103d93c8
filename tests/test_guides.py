"""Code and command lines of the guides: they compile, run where they say what they print, and name what there is."""

from __future__ import annotations

import contextlib
import functools
import importlib
import io
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.checkout import ROOT

DOCS = ROOT / "docs"
NEW = ("from_grpo", "launch", "looped", "method", "quickstart", "rewards_and_tasks")
TEXTS = {
    path.relative_to(ROOT).as_posix(): path.read_text() for path in [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]
}


def blocks(name: str, language: str = "python") -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXTS[f"docs/{name}.md"], re.DOTALL)


def printed(source: str, names: dict) -> str:
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(compile(source, "guide", "exec"), names)
    return output.getvalue().strip()


@pytest.mark.parametrize("name", NEW)
def test_every_block_compiles_and_what_it_imports_from_us_is_there(name: str) -> None:
    found = blocks(name)
    assert found
    for source in found:
        compile(source, f"docs/{name}.md", "exec")
        for module, imported in re.findall(
            r"^\s*from ((?:vpo|trainers|search|eval)[\w.]*) import (.+)$", source, re.MULTILINE
        ):
            for each in imported.split(", "):
                assert hasattr(importlib.import_module(module), each), f"{module}.{each}"


@pytest.mark.parametrize(
    ("name", "index"), [("method", 0), ("looped", 2), ("rewards_and_tasks", 2), ("rewards_and_tasks", 4)]
)
def test_a_block_prints_what_the_guide_says(
    name: str, index: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    source = blocks(name)[index]
    (tmp_path / "shout.py").write_text(blocks("rewards_and_tasks")[1])
    after = TEXTS[f"docs/{name}.md"].partition(source)[2]
    said = re.match(r"```\s+(?:It )?prints `([^`]+)`", after)
    assert said is not None and printed(source, {}) == said[1]


def test_the_reward_functions_of_the_guide_give_vectors() -> None:
    from vpo.answers import AnswerFormat
    from vpo.rewards import VectorReward

    found: dict = {"__name__": "my_rewards"}
    exec(blocks("rewards_and_tasks")[0], found)
    answers = AnswerFormat(num_answers=2)
    reward = VectorReward([found["correct"], found["short"], found["style"]], answers)
    for adapter in reward.adapters:
        adapter(["?"], [answers.render(["7", "Please take the number seven"])], solution=["7"])
    values, mask = reward.collect()
    assert reward.components == ("correct", "short", "style[polite]", "style[formal]") or len(reward.components) == 4
    assert values.shape == (1, 2, 4) and mask.all() and values[0, 0, 0] == 1 and values[0, 1, 2] == 1


def test_programs_are_scored_as_the_guide_does_it() -> None:
    from vpo.sandbox import NotEnforced

    found: dict = {}
    exec(blocks("rewards_and_tasks")[3], found)
    try:
        assert found["runs_right"](["def f(x): return x * x", "def f(x): return 1 / 0"]) == [1.0, 0.0]
    except NotEnforced as error:
        pytest.skip(str(error))


def test_the_settings_of_the_way_from_grpo_are_ones() -> None:
    found: dict = {}
    exec(blocks("from_grpo")[0], found)
    assert [found[name].objective for name in ("grpo", "sets", "vpo", "for_search")] == [
        "grpo",
        "multi_rlvr",
        "vpo",
        "vpo",
    ]
    assert found["for_search"].answer_credit == "gain"


def test_every_metric_that_a_new_guide_names_is_logged_somewhere() -> None:
    texts = "".join(path.read_text() for package in ("trainers", "vpo") for path in (ROOT / package).rglob("*.py"))
    from trl.trainer import grpo_trainer

    texts += Path(grpo_trainer.__file__).read_text()
    for name in ("from_grpo", "looped", "troubleshooting"):
        for metric in re.findall(r"`((?:set|loops|sampling|completions)/[\w/]+)`", TEXTS[f"docs/{name}.md"]):
            assert metric in texts, metric


def test_the_formulas_of_the_method_are_what_is_computed() -> None:
    import torch

    from vpo.objective import group_advantages, set_reward

    draw = torch.Generator().manual_seed(0)
    answers, tastes = (torch.rand(4, 3, 2, generator=draw).double(), torch.rand(7, 2, generator=draw).double())
    scores = [sum(max(float(w @ r) for r in rows) for w in tastes) / len(tastes) for rows in answers]
    assert set_reward(answers, tastes).tolist() == pytest.approx(scores)
    mean = sum(scores) / 4
    std = (sum((score - mean) ** 2 for score in scores) / 3) ** 0.5
    expected = [(score - mean) / (std + 0.0001) for score in scores]
    assert group_advantages(torch.tensor(scores).double(), 4).tolist() == pytest.approx(expected)
    assert "A_i = (R_i - mean R) / (std R + 0.0001)" in TEXTS["docs/method.md"]


# --- sizes ------------------------------------------------------------------------------------------------------------


def test_the_table_of_sizes_is_what_the_formula_gives() -> None:
    shown = printed(blocks("launch")[0], {})
    table = re.findall(r"^\| (Qwen3\S+) \| (.*) \|$", TEXTS["docs/launch.md"], re.MULTILINE)
    assert shown.splitlines() == [" ".join([name, *row.split(" | ")]) for name, row in table]
    assert len(table) == 4


def test_sixteen_bytes_a_parameter_is_what_adam_keeps() -> None:
    import torch

    found: dict = {}
    printed(blocks("launch")[0], found)
    model = torch.nn.Linear(64, 32, bias=False)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(1, 64)).sum().backward()
    optimizer.step()
    (state,) = optimizer.state.values()
    kept = [model.weight, model.weight.grad, *(each for each in state.values() if each.ndim)]
    size = sum(each.numel() * each.element_size() for each in kept)
    assert size == 2**30 * found["gib_per_gpu"](64 * 32, 0, 0, reference=False)


def test_sharding_divides_only_what_it_shards() -> None:
    found: dict = {}
    printed(blocks("launch")[0], found)
    gib = found["gib_per_gpu"]
    model = {"params": 2**30, "layers": 1, "width": 0}
    assert gib(**model) == 20 and gib(**model, shard="full", gpus=4) == 5
    assert gib(**model, shard="zero2", gpus=7, reference=False) == 2 + 2
    assert gib(**model, gpus=8) == gib(**model)


# --- command lines ----------------------------------------------------------------------------------------------------


def commands(text: str) -> list[list[str]]:
    """Words of each indented line that begins with a program, without its comment."""
    lines = re.findall(
        r"^    ((?:vpo|make|accelerate launch|torchrun|\.venv/bin/python|python) .*)$", text, re.MULTILINE
    )
    return [shlex.split(line, comments=True) for line in lines]


LINES = [(page, words) for page, text in TEXTS.items() for words in commands(text)]


def lines_of(program: str) -> list:
    found = [(page, words) for page, words in LINES if Path(words[0]).name == program]
    return [pytest.param(page, words, id=f"{Path(page).stem}: {' '.join(words)[:60]}") for page, words in found]


def unknown(words: list[str], known: set[str]) -> set[str]:
    return {word.partition("=")[0] for word in words if word.startswith("--")} - known


@functools.cache
def recipe_options() -> set[str]:
    from trainers.vpo import make_parser

    return {*make_parser()._option_string_actions, "--config"}


@pytest.mark.parametrize(("page", "words"), lines_of("make"))
def test_a_target_of_make_is_there(page: str, words: list[str]) -> None:
    makefile = (ROOT / "Makefile").read_text()
    assert re.search(rf"^{words[1]}:", makefile, re.MULTILINE), page
    for variable in words[2:]:
        assert f"$({variable.partition('=')[0]})" in makefile, page


@pytest.mark.parametrize(("page", "words"), [*lines_of("accelerate"), *lines_of("torchrun")])
def test_a_launcher_starts_what_there_is(page: str, words: list[str]) -> None:
    from accelerate.commands.launch import launch_command_parser
    from torch.distributed.run import get_args_parser

    known = {*launch_command_parser()._option_string_actions} if words[0] == "accelerate" else set()
    known |= {*get_args_parser()._option_string_actions}
    split = words.index("-m") if "-m" in words else len(words)
    assert (
        unknown([word.replace("_", "-") if words[0] == "torchrun" else word for word in words[:split]], known) == set()
    )
    assert words[split + 1 : split + 2] in ([], ["trainers.vpo"]) and unknown(words[split:], recipe_options()) == set()
    for word in words:
        assert not word.startswith("recipes/") or (ROOT / word).is_file(), f"{page}: {word}"


@pytest.mark.slow
@pytest.mark.parametrize(("options", "started"), [([], 1), (["--config_file", "accelerate_config.yaml"], 2)])
def test_what_accelerate_starts_on_a_cpu_is_what_launching_says(
    options: list[str], started: int, tmp_path: Path
) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    (tmp_path / "rank.py").write_text("import os\nprint('process', os.environ.get('RANK'))\n")
    launcher = [sys.executable, "-m", "accelerate.commands.launch", *options, "--num_processes", "2"]
    done = subprocess.run([*launcher, str(tmp_path / "rank.py")], cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert done.stdout.count("process ") == started, done.stderr
    assert "With a configuration for FSDP" in TEXTS["docs/launch.md"]


@pytest.mark.parametrize("page", TEXTS)
def test_every_file_of_the_checkout_that_a_page_names_is_there(page: str) -> None:
    named = re.findall(
        r"(?<![\w/.])((?:benchmarks|docs|recipes|vpo|trainers|search|eval)/[\w/]+\.(?:py|md|yaml|json))\b", TEXTS[page]
    )
    assert [name for name in named if not (ROOT / name).exists()] == []


# --- the quickstart ---------------------------------------------------------------------------------------------------


def test_the_recipe_of_the_quickstart_is_one(tmp_path: Path) -> None:
    from trainers.vpo import make_parser

    (source,) = blocks("quickstart", "yaml")
    (tmp_path / "tiny.yaml").write_text(source)
    script, args, model, _ = make_parser().parse_args_and_config(["--config", str(tmp_path / "tiny.yaml")])
    assert (script.task, args.num_answers, model.model_name_or_path) == ("maze", 3, "tiny")
    assert yaml.safe_load(source).keys() <= {name.removeprefix("--") for name in recipe_options()}


@pytest.mark.slow
def test_the_quickstart_runs_from_top_to_bottom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    make, look = blocks("quickstart")
    (tmp_path / "make.py").write_text(make)
    (tmp_path / "tiny.yaml").write_text(blocks("quickstart", "yaml")[0])
    vpo = [sys.executable, "-c", "import sys; from vpo.cli.app import main; sys.exit(main())"]
    lines = [
        words[1:]
        for words in commands(TEXTS["docs/quickstart.md"])
        if words[0] == "vpo" and words[1] in ("train", "runs")
    ]
    assert len(lines) == 4
    for command in [[sys.executable, "make.py"], *([*vpo, *words] for words in lines)]:
        done = subprocess.run(command, capture_output=True, text=True, timeout=280)
        assert done.returncode == 0, f"{command}: {done.stderr[-2000:]}"
    found: dict = {}
    exec(look, found)
    assert len(found["best_answers"]("runs/tiny")) == 5
    assert (tmp_path / "runs" / "tiny" / "run.json").is_file() and (
        tmp_path / "runs/tiny/monitor/report.html"
    ).is_file()
