"""What lies in a run's folder: its records, what its monitor keeps, the report of a demo."""

from __future__ import annotations

import functools
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st

from eval.collapse.store import MonitorStore
from tests.eval.collapse.stream import BySign
from tests.eval.collapse.test_store import RULES
from tests.eval.collapse.test_store import run as watch_run
from tests.eval.report_example import example_report
from tests.fuzz.ledgers import ROWS, parquet, records
from tests.fuzz.mutations import AS_TEXT, garbled, json_text, mutated
from tests.fuzz.target import Target
from tests.fuzz.watching import command, empty_folder, watched

_STATE = {
    "global_step": 4, "max_steps": 8, "epoch": 0.5, "log_history": [{"step": 4, "reward": 0.5, "loss": 0.1}],
    "stateful_callbacks": {}, "num_train_epochs": 1,
}  # fmt: skip
_SETTINGS = {"fingerprint": "x", "arms": [{"name": "grpo"}], "seed": 0}
_ALARM = {"step": 3, "level": "critical", "verdict": "collapse"}
_REPORT = {"runs": [{"verdict": "healthy"}]}
_RUN = {
    "format": 1, "kind": "train", "started": "2026-01-02T03:04:05+00:00", "seeds": {"seed": 0},
    "settings": {"training": {"max_steps": 8, "beta": 0.1}}, "versions": {"torch": "2"}, "hardware": {"gpus": []},
    "environment": {}, "command": ["python", "-m", "trainers.vpo", "--config", "x.yaml"], "working_directory": "/tmp",
    "processes": 1, "process": {"host": "there", "id": 7, "started": 1},
    "resumed": [{"at": "2026-01-02", "step": 2, "command": ["vpo", "train", "x.yaml"],
                 "changes": [{"name": "settings.training.beta", "before": 0.1, "now": 0.2}]}],
    "ended": {"at": "2026-01-02", "step": 8, "of": 8, "why": "all steps done"},
}  # fmt: skip


def _run_files() -> st.SearchStrategy[tuple[dict[str, bytes], str]]:
    def file(document: Any) -> st.SearchStrategy[bytes]:
        return (
            mutated(document, hostile=[*AS_TEXT])
            .map(lambda d: json_text(d).encode("utf-8", "surrogatepass"))
            .flatmap(garbled)
        )

    kinds = ("train", "search", "compare", "demo")
    return st.tuples(
        st.fixed_dictionaries(
            {},
            optional={
                "run.json": st.sampled_from(kinds).flatmap(lambda kind: file({**_RUN, "kind": kind})),
                "settings.json": file(_SETTINGS),
                "checkpoint-4/trainer_state.json": file(_STATE),
                "monitor/looks.jsonl": st.just(b"{}\n"),
                "monitor/alarms.jsonl": records(_ALARM, _ALARM),
                "monitor/report.json": file(_REPORT),
                "rollouts/rank0000-step00000003.parquet": st.sampled_from(ROWS["vpo"]).flatmap(
                    lambda row: mutated([row]).map(lambda rows: parquet(rows, "vpo"))
                ),
            },
        ),
        st.sampled_from(["list", "list --json", "show", "compare"]),
    )


def _run(given: tuple[dict[str, bytes], str]) -> None:
    files, what = given
    with empty_folder() as folder:
        for name, content in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        first, *rest = what.split()
        words = ["runs", first, str(folder), *rest, *([str(folder)] if first == "compare" else [])]
        status, said = command(words, folder)
        if "--json" in words:
            assert status == 0 and isinstance(json.loads(said), list), said[-500:]


@functools.cache
def _watched() -> dict[str, bytes]:
    """The files of a monitor's folder."""
    with tempfile.TemporaryDirectory() as name:
        watch_run(MonitorStore(name), range(1, 9), np.random.default_rng(0))
        return {path.name: path.read_bytes() for path in Path(name).iterdir()}


@st.composite
def _monitor_folders(draw: st.DrawFn) -> dict[str, bytes]:
    files = dict(_watched())
    name = draw(st.sampled_from(sorted(files)))
    if name.endswith(".jsonl"):
        files[name] = draw(records(*map(json.loads, files[name].splitlines())))
    elif name.endswith(".json"):
        changed = draw(mutated(json.loads(files[name]), hostile=[*AS_TEXT]))
        files[name] = draw(garbled(json_text(changed).encode("utf-8", "surrogatepass")))
    else:
        files[name] = draw(garbled(files[name], chance=1))
    return files


def _monitor_folder(files: dict[str, bytes]) -> None:
    with empty_folder() as folder, watched(folder):
        for name, content in files.items():
            (folder / name).write_bytes(content)
        store = MonitorStore(folder)
        for read in (store.looks, store.alarms, store.examples, lambda: store.reference([BySign()], RULES)):
            try:
                read()
            except ValueError as error:
                assert str(folder) in str(error), repr(error)


def _reports() -> st.SearchStrategy[bytes]:
    whole = json.loads(example_report(num_looks=2).to_json())
    changed = mutated(whole, hostile=[*AS_TEXT])
    return changed.map(lambda each: json_text(each).encode("utf-8", "surrogatepass")).flatmap(garbled)


def _report(content: bytes) -> None:
    with empty_folder() as folder:
        (folder / "report.json").write_bytes(content)
        command(["report", str(folder)], folder)


TARGETS = [
    Target("ledgers", "a run's records", _run_files, _run),
    Target("ledgers", "a monitor's folder", _monitor_folders, _monitor_folder, quick=30),
    Target("ledgers", "a demo's report", _reports, _report, quick=20),
]
