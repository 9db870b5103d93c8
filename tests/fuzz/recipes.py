"""YAML: recipes of `vpo train` and `vpo compare`, arms, files of `vpo search run` and `vpo search compare`."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import yaml
from hypothesis import strategies as st

from tests.fuzz.mutations import garbled, mutated
from tests.fuzz.target import Target
from tests.fuzz.watching import CANARY, command, empty_folder
from tests.vpo.cli import toy_searches

_BOMB = "&a0 [x, x, x, x, x, x, x, x]"
for _level in range(1, 12):
    _BOMB = f"&a{_level} [{_BOMB}, " + ", ".join([f"*a{_level - 1}"] * 9) + "]"

_TEXTS_OF_VALUES = [
    f"!!python/object/apply:os.system ['touch {CANARY}']",
    f"!!python/object/new:subprocess.Popen [['touch', '{CANARY}']]",
    f"!!python/module:{CANARY}",
    f"!!python/name:{CANARY}.run",
    "!!python/object:vpo.answers.AnswerFormat {}",
    "!!binary aGVsbG8=",
    "!!binary '***'",
    "!!set {a, b}",
    "!!omap [a: 1, b: 2]",
    "!!pairs [a: 1]",
    "!!int ''",
    "!!int _",
    "!!int x",
    "!!float x",
    "!!float ''",
    "!!bool x",
    "!!null x",
    "!!timestamp x",
    "!!timestamp 2001-99-99",
    "!unknown x",
    "2001-02-30",
    "2001-12-14t21:59:43.10-05:00",
    "0b",
    "0x",
    "0o8",
    "1:99:99",
    "-.inf",
    ".nan",
    "1e999",
    "9" * 5000,
    "9" * 4000,
    "=",
    "<<",
    "&a [*a]",
    "&b {k: *b}",
    "*missing",
    "{a: 1, a: 2}",
    "{[a]: 1}",
    "{{a: 1}: 1}",
    "[" * 300 + "]" * 300,
    "[" * 20000,
    "{a: " * 300 + "}" * 300,
    _BOMB,
    "{<<: [1]}",
    "{<<: 1}",
    "{<<: &c {x: *c}}",
    "|\n  text",
    "'unclosed",
    "\t",
    "# nothing",
    "%YAML 9.9",
    "---\n---",
    '"\\uD800"',
    '"\\x"',
]
# Put in place of a value: what a document cannot hold, or the dumper would not write
_RAW = {f"@@{number}@@": text for number, text in enumerate(_TEXTS_OF_VALUES)}

_TRAIN = {
    "model_name_or_path": "models/none",
    "task": "maze",
    "task_options": {"wording": "tiny", "maze": {"size": 5, "num_items": 1}},
    "task_rows": 4,
    "objective": "vpo",
    "objective_options": {"anchor": 0.3},
    "num_answers": 3,
    "alpha": 1.0,
    "num_weightings": 8,
    "num_generations": 4,
    "max_completion_length": 16,
    "learning_rate": 1.0e-6,
    "lr_scheduler_type": "constant",
    "per_device_train_batch_size": 4,
    "chat_template_kwargs": {"enable_thinking": False},
    "component_weights": [0.5, 0.5],
    "bf16": False,
    "use_cpu": True,
    "seed": 0,
    "report_to": "none",
    "monitor": "watch",
    "output_dir": "OUT/policy",
    "env": {"VPO_FUZZ": "1"},
}
_ARMS = {"anchored": {"objective": "vpo", "objective_options": {"anchor": 0.3}}, "one": {"num_answers": 1}}
_SEARCH = {
    "problem": {"name": "OUT/count.py", "num_answers": 1},
    "sampler": {"name": "tests.search.cli_parts:digits", "batches": True},
    "procedure": {"name": "evolution", "iid_share": 0.5},
    "budget": {"max_answers": 4, "max_completion_tokens": 500},
    "sampling": {"max_new_tokens": 9, "temperature": 1.0, "top_p": 0.9},
    "cascade": {"share": 0.5, "bar": 0.2},
    "screen": {"predictor": {"name": "text"}, "rule": "drop"},
    "retry": {"max_retries": 1},
    "dedupe": "text",
    "seed": 0,
    "batch": 2,
    "mode": "rounds",
    "ordered": True,
    "evaluators": 1,
    "target": 2.0,
    "out": "OUT/search",
}
_COUNT = """
from vpo.tasks import task

def rows(split):
    return [{"question": "say one"}]

@task(components=("zeros", "ones"), data=rows, prompt="question")
def count(answer, row):
    return answer.count("0") / 4, answer.count("1") / 4
"""


@st.composite
def _files(draw: st.DrawFn, document: dict[str, Any]) -> bytes:
    changed = draw(mutated(document, hostile=[*_RAW, *_RAW]))
    text = yaml.safe_dump(changed, sort_keys=False)
    for name, raw in _RAW.items():
        text = text.replace(f"'{name}'", raw)
    content = text.encode("utf-8", "surrogatepass")
    if draw(st.integers(0, 9)) == 0:
        content = draw(
            st.sampled_from([text.encode("utf-16"), text.encode("latin-1", "replace") + b"\xe9", b"", b"\0"])
        )
    return draw(garbled(content))


@contextlib.contextmanager
def _placed(content: bytes, name: str = "recipe.yaml") -> Iterator[tuple[Path, Path]]:
    """The file in a folder, which it calls OUT, and its environment put back afterwards."""
    with empty_folder() as folder, mock.patch.dict(os.environ):
        path = folder / name
        path.write_bytes(content.replace(b"OUT", str(folder).encode()))
        yield folder, path


def _train(content: bytes) -> None:
    """Up to the data, which come before the model."""
    from trainers import vpo
    from trainers.recipe_data import recipe_data

    def stop_at_data(script: Any, args: Any, model: Any, mixture: Any) -> None:
        if isinstance(script.task_rows, int) and script.task_rows < 100 and script.task == "maze":
            recipe_data(script, args, mixture)

    with _placed(content) as (folder, path), mock.patch.object(vpo, "main", stop_at_data):
        command(["train", str(path)], folder)


class _Ended:
    returncode = 1

    def poll(self) -> int:
        return 1


def _no_run(run: Any, *options: Any) -> _Ended:
    """In place of its processes: the recipe is written, and the run ends at once, badly."""
    run.prepare()
    (run.folder / "log.txt").write_text("fuzzing starts no process")
    return _Ended()


def _compare(content: bytes) -> None:
    from vpo.cli.compare import runs

    with _placed(content) as (folder, path), mock.patch.object(runs.Run, "start", _no_run):
        words = ["compare", str(path), "--out", str(folder / "out"), "--seeds", "1", "--prompts", "2"]
        command([*words, "--objectives", "grpo,recipe", "--answers", "6"], folder)


def _arms(content: bytes) -> None:
    from vpo.cli.compare import runs

    with _placed(content, "arms.yaml") as (folder, path), mock.patch.object(runs.Run, "start", _no_run):
        recipe = folder / "recipe.yaml"
        recipe.write_text(yaml.safe_dump(_TRAIN))
        words = ["compare", str(recipe), "--arms", str(path), "--out", str(folder / "out"), "--seeds", "1"]
        command([*words, "--answers", "6", "--objectives", "vpo"], folder)


def _search(content: bytes) -> None:
    with _placed(content) as (folder, path):
        (folder / "count.py").write_text(_COUNT)
        command(["search", "run", str(path)], folder)


def _search_compare(content: bytes) -> None:
    with _placed(content) as (folder, path), contextlib.ExitStack() as patches:

        def replace(module: Any, name: str, value: Any) -> None:
            patches.enter_context(mock.patch.object(module, name, value))

        toy_searches.use_toys(None, replace)
        command(["search", "compare", str(path), "--out", str(folder / "out")], folder)


_SEARCHES = {**toy_searches.RAW, "problems": {"name": "toy", "count": 1}, "seeds": [3], "budget": 40}

TARGETS = [
    Target("yaml", "vpo train", lambda: _files(_TRAIN), _train),
    Target("yaml", "vpo compare", lambda: _files(_TRAIN), _compare, quick=20),
    Target("yaml", "vpo compare --arms", lambda: _files(_ARMS), _arms, quick=20),
    Target("yaml", "vpo search run", lambda: _files(_SEARCH), _search),
    Target("yaml", "vpo search compare", lambda: _files(_SEARCHES), _search_compare, quick=20),
]
