"""What the stages of a pipeline found, in one ``summary.json`` and one ``summary.md``; of what is done so far."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.markdown import Markdown

from eval.comparison import PolicyResult, paired, read_policy
from eval.report.data import finite
from eval.rollouts import read_rollouts
from vpo.cli.console import Console
from vpo.cli.hardware import hardware
from vpo.cli.pipeline.config import Pipeline
from vpo.cli.pipeline.jobs import jobs_of
from vpo.record.surroundings import versions

Array = NDArray[np.float64]
_AT_EITHER_END = 5  # training steps that its first and last figures are means of
_SEARCH_METRICS = ("best", "E_w[best]", "signatures", "answers")


def summarise(pipeline: Pipeline, command: str) -> dict[str, Any]:
    """The figures of all stages that are done.

    Args:
        pipeline: Which one.
        command: The command line.

    Returns:
        JSON values: ``policies`` (means over the test prompts and their standard errors), ``differences`` (paired by
        prompt, 95% bootstrap intervals), ``training``, ``monitor``, ``search``, ``seconds`` and the surroundings. No
        path of this machine is in it.
    """
    jobs = jobs_of(pipeline)
    done = {job.name for job in jobs if job.is_done}
    found: dict[str, Any] = {
        "command": command,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "hardware": hardware(),
        "versions": versions("vpo", "torch", "transformers", "trl"),
        "seed": pipeline.seed,
        "settings": {stage: dict(settings) for stage, settings in pipeline.stages.items()},
        "seconds": {job.name: round(job.seconds, 1) for job in jobs if job.is_done},
    }
    if "heal" in done:
        found["healing"] = _healing(pipeline.out / "heal")
    if "train" in done:
        found["training"] = _training(pipeline.out / "train")
    if evaluated := [policy for policy in pipeline.policies("evaluate") if f"evaluate {policy}" in done]:
        found |= _evaluated(pipeline, evaluated)
    if "monitor" in done:
        found["monitor"] = _monitored(pipeline.out / "monitor")
    if "search" in done:
        found["search"] = _searched(pipeline.out / "search")
    plain: dict[str, Any] = json.loads(json.dumps(found, default=str))
    return plain


def _evaluated(pipeline: Pipeline, policies: Sequence[str]) -> dict[str, Any]:
    folders = {policy: pipeline.out / "evaluate" / policy for policy in policies}
    facts = [json.loads((folder / "evaluation.json").read_text()) for folder in folders.values()]
    told = next((each for each in facts if each["components"]), None)
    if told is None:
        return {"policies": {}, "notes": ["No policy gave an answer that could be read."]}
    components, w_star = told["components"], told["w_star"]
    answers = int(pipeline.stages["train"].get("num_answers", 3))
    results: dict[str, PolicyResult] = {}
    table: dict[str, dict[str, Any]] = {}
    for policy, folder in folders.items():
        rollouts = folder / "rollouts-eval"
        result = results[policy] = read_policy(rollouts, answers, w_star, len(components))
        table[policy] = {
            "answers read": {"mean": result.answers, "se": None},
            "tokens an answer": {"mean": result.tokens_per_answer, "se": None},
            **{name: _over_prompts(values) for name, values in _measures(result).items()},
            **{name: _over_prompts(values) for name, values in _components(rollouts, components, answers).items()},
        }
    differences = []
    for policy, against in dict.fromkeys([("trained", "source"), ("trained", pipeline.start)]):
        if policy in results and against in results and policy != against:
            theirs = _measures(results[against])
            for name, mine in _measures(results[policy]).items():
                whole = ~np.isnan(mine) & ~np.isnan(theirs[name])
                if whole.any():
                    each = paired([mine[whole]], [theirs[name][whole]])
                    bounds = {"mean": each.mean, "lo": finite(each.lo), "hi": finite(each.hi)}
                    differences.append({"policy": policy, "against": against, "metric": name, **bounds})
    return {
        "components": components,
        "w_star": w_star,
        "prompts": len(next(iter(results.values())).best),
        "policies": table,
        "differences": differences,
    }


def _measures(result: PolicyResult) -> dict[str, Array]:
    """Name -> (P,) one value a prompt."""
    last = result.best.shape[1]
    found = {f"best@{k}": result.best[:, k - 1] for k in sorted({1, last})}
    found |= {f"E_w[best@{k}]": result.expected[:, k - 1] for k in sorted({1, last})}
    found |= {f"pass@{k}": result.passed[:, k - 1] for k in sorted({1, last})}
    return found | {"distinct": result.distinct, "pool L1": result.pool_l1}


def _components(rollouts: Path, components: Sequence[str], answers: int) -> dict[str, Array]:
    """Component -> (P,) its mean over all answers that were asked for; one that was not given is worth 0."""
    sums: dict[int, list[Array]] = {}
    for _, rows in read_rollouts(rollouts):
        for row in rows:
            number = int(json.loads(row["metadata"])["prompt_number"])
            given = [[value or 0.0 for value in vector] for vector in row["rewards"]]
            total = np.sum(given, axis=0) if given else np.zeros(len(components))
            sums.setdefault(number, []).append(total / answers)
    means = np.array([np.mean(sums[number], axis=0) for number in sorted(sums)])
    return {f"mean {name}": means[:, index] for index, name in enumerate(components)}


def _over_prompts(values: Array) -> dict[str, float | None]:
    kept = values[~np.isnan(values)]
    if not len(kept):
        return {"mean": None, "se": None}
    se = float(kept.std(ddof=1) / math.sqrt(len(kept))) if len(kept) > 1 else None
    return {"mean": float(kept.mean()), "se": se}


def _healing(folder: Path) -> dict[str, Any]:
    done = json.loads((folder / "done.json").read_text())
    log = [entry for entry in done["log"] if "kl" in entry]
    names = ("loss", "kl", "early_kl", "cross_entropy", "mean_token_accuracy", "depth")
    ends = zip(("first", "last"), log[:1] + log[-1:], strict=False)
    return {"steps": done["steps"], **{when: {n: each[n] for n in names if n in each} for when, each in ends}}


def _training(folder: Path) -> dict[str, Any]:
    """Means over the first and the last steps, of what the answers of each step earned."""
    steps: list[tuple[float, float]] = []
    components: list[list[float]] = []
    tokens = 0
    for _, rows in read_rollouts(folder / "rollouts"):
        vectors = [[value or 0.0 for value in vector] for row in rows for vector in row["rewards"]]
        steps.append((len(vectors) / len(rows), float(np.mean(np.sum(vectors, axis=1))) if vectors else 0.0))
        components.append(list(np.sum(vectors, axis=0) / len(vectors)) if vectors else [])
        tokens += sum(int(row["completion_tokens"]) for row in rows)
    found: dict[str, Any] = {"steps": len(steps), "generated_tokens": tokens}
    for when, part in (("first", slice(0, _AT_EITHER_END)), ("last", slice(-_AT_EITHER_END, None))):
        read = [vector for vector in components[part] if vector]
        found[when] = {
            "steps": len(steps[part]),
            "answers_in_a_completion": float(np.mean([each[0] for each in steps[part]])),
            "components": np.mean(read, axis=0).tolist() if read else [],
        }
    return found


def _monitored(folder: Path) -> dict[str, Any]:
    (run,) = json.loads((folder / "report.json").read_text())["runs"]
    alarms = [{key: alarm[key] for key in ("level", "step", "sentence")} for alarm in run["alarms"]]
    return {"verdict": run["verdict"], "why": run["why"], "looks": len(run["looks"]), "alarms": alarms}


def _searched(folder: Path) -> dict[str, Any]:
    report = json.loads((folder / "comparison.json").read_text())
    table = {
        arm: {name: {"mean": row[name]["mean"], "se": row[name]["se"]} for name in _SEARCH_METRICS if name in row}
        for arm, row in report["table"].items()
    }
    kept = [each for each in report["differences"] if each["metric"] in _SEARCH_METRICS]
    return {"lead": report["lead"], "table": table, "differences": kept}


def markdown(summary: Mapping[str, Any]) -> str:
    """The summary as a page of Markdown."""
    lines = ["# Pipeline", "", f"`{summary['command']}`, seed {summary['seed']}, {summary['hardware']}.", ""]
    seconds = summary["seconds"]
    lines += ["| stage | seconds |", "|---|---|", *[f"| {name} | {value:.0f} |" for name, value in seconds.items()]]
    lines += [f"| all | {sum(seconds.values()):.0f} |", ""]
    if policies := summary.get("policies"):
        names = list(next(iter(policies.values())))
        lines += [f"## {summary['prompts']} test prompts (mean ± standard error over prompts)", ""]
        lines += ["| | " + " | ".join(policies) + " |", "|---" * (len(policies) + 1) + "|"]
        lines += [f"| {name} | " + " | ".join(_cell(row[name]) for row in policies.values()) + " |" for name in names]
        lines += ["", "| difference | metric | mean | 95% interval over prompts |", "|---|---|---|---|"]
        lines += [_difference(each, each["policy"]) for each in summary["differences"]]
    if search := summary.get("search"):
        names = list(next(iter(search["table"].values())))
        lines += ["", "## Search", "", search["lead"], ""]
        lines += ["| | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
        lines += [f"| {arm} | " + " | ".join(map(_cell, row.values())) + " |" for arm, row in search["table"].items()]
        lines += ["", "| difference | metric | mean | 95% interval over problems and seeds |", "|---|---|---|---|"]
        lines += [_difference(each, each["arm"]) for each in search["differences"]]
    if monitored := summary.get("monitor"):
        lines += ["", "## Monitor", "", f"{monitored['verdict']}. {monitored['why']}", ""]
        lines += [f"- {alarm['level']} at step {alarm['step']}: {alarm['sentence']}" for alarm in monitored["alarms"]]
    return "\n".join([*lines, ""])


def write_summary(summary: Mapping[str, Any], out: Path) -> list[Path]:
    """Write ``summary.json`` and ``summary.md``, each whole or not at all."""
    made = {out / "summary.json": json.dumps(summary, indent=1), out / "summary.md": markdown(summary)}
    for path, text in made.items():
        temporary = path.with_suffix(path.suffix + ".tmp")
        temporary.write_text(text + "\n", encoding="utf-8")
        os.replace(temporary, path)
    return list(made)


def print_summary(summary: Mapping[str, Any]) -> None:
    """The page, on standard output."""
    Console().print(Markdown(markdown(summary), hyperlinks=False))


def _cell(value: Mapping[str, float | None]) -> str:
    if value["mean"] is None:
        return ""
    return f"{value['mean']:.3f}" + ("" if value["se"] is None else f" ± {value['se']:.3f}")


def _difference(each: Mapping[str, Any], policy: str) -> str:
    known = each["lo"] is not None and each["hi"] is not None  # of one problem there is none
    interval = f"[{each['lo']:+.3f}, {each['hi']:+.3f}]" if known else ""
    return f"| {policy} − {each['against']} | {each['metric']} | {each['mean']:+.3f} | {interval} |"
