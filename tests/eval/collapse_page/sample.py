"""Reports as the monitor would write them of simulated runs: a collapse, a healthy run, a wrong winner, a long one.

Shares follow the replicator equation (a format grows by its accuracy's advantage) with sampling noise; what is derived
from them (effective numbers, pass@k, evidence) has the right shape, and is no test of the monitor.
"""

from __future__ import annotations

import dataclasses

from eval.collapse.records import Action, LookRecord
from eval.collapse.run_report import CollapseReport, Example, Forecast
from tests.eval.collapse_page.made_run import run_report


def collapse() -> CollapseReport:
    return CollapseReport("GSM8K, Qwen3-0.6B", [run_report()])


def healthy() -> CollapseReport:
    return CollapseReport("GSM8K with VPO", [run_report("VPO, seed 0", speed=0.0, verdict="no change")])


def wrong_winner() -> CollapseReport:
    return CollapseReport("A worse format wins", [run_report("GRPO", winner=2, verdict="wrong winner", speed=1.3)])


def many() -> CollapseReport:
    return CollapseReport("200 looks of 12 formats", [run_report("long", num_looks=200, num_formats=12, every=5)])


def very_long() -> CollapseReport:
    return CollapseReport("2,000 looks", [run_report("very long", num_looks=2000, num_formats=12, every=1)])


def no_base() -> CollapseReport:
    return CollapseReport("No base", [run_report("no base", with_base=False, verdict="sharpening")])


def no_correctness() -> CollapseReport:
    run = run_report("nothing is correct", correct=False, verdict="insufficient data")
    return CollapseReport("No correctness", [dataclasses.replace(run, examples=[])])


def one_look() -> CollapseReport:
    return CollapseReport("One look", [run_report("one look", num_looks=1, verdict="insufficient data", speed=0.0)])


def several() -> CollapseReport:
    runs = [
        run_report("GRPO", seed=1),
        run_report("GRPO, beta 0.01", seed=1, speed=0.4, verdict="benign selection"),
        run_report("VPO", seed=1, speed=0.0, verdict="no change"),
    ]
    return CollapseReport("Three ways to train on GSM8K", runs)


HOSTILE = "</script><script>window.broken = 1</script><b>x</b> & %{y} {{ 7 * 7 }} | `a` c:blue \"'"


def hostile() -> CollapseReport:
    """Every name and text is hostile."""
    run = run_report(HOSTILE, num_looks=8, num_formats=4)
    names = {label: f"{label} {HOSTILE}" for label in run.looks[0].shares["format"]}

    def renamed(look: LookRecord) -> LookRecord:
        shares = {**look.shares, "format": {names[label]: share for label, share in look.shares["format"].items()}}
        accuracy = {"format": {names[label]: each for label, each in look.accuracy["format"].items()}}
        settings = {**look.settings, HOSTILE: HOSTILE}
        evidence = {f"{name} {HOSTILE}": value for name, value in look.evidence.items()}
        return dataclasses.replace(
            look, shares=shares, accuracy=accuracy, settings=settings, evidence=evidence, depth={HOSTILE: 2.0}
        )

    actions = [Action(HOSTILE, {HOSTILE: [HOSTILE, HOSTILE]}, HOSTILE, "weak", HOSTILE, HOSTILE)]
    alarm = dataclasses.replace(
        run.alarms[0],
        quantities=[HOSTILE],
        sentence=HOSTILE,
        guarantee=HOSTILE,
        assumption=HOSTILE,
        why=HOSTILE,
        actions=actions,
    )
    examples = [
        Example("medoid", "format", HOSTILE, "base", 0, HOSTILE, HOSTILE * 20, True),
        Example("suppressed", "format", HOSTILE, "last", 9, HOSTILE, HOSTILE, None),
    ]
    quantities = [dataclasses.replace(q, name=f"{q.name} {HOSTILE}", meaning=HOSTILE) for q in run.quantities]
    forecast = Forecast(names["python function"], HOSTILE, 0.1, None, HOSTILE)
    told = dataclasses.replace(
        run,
        base=renamed(run.base) if run.base else None,
        looks=[renamed(look) for look in run.looks],
        alarms=[alarm],
        why=HOSTILE,
        examples=examples,
        quantities=quantities,
        forecast=forecast,
        guarantee=HOSTILE,
        assumptions=[HOSTILE],
        warnings=[HOSTILE],
        facets={"format": HOSTILE},
        settings={HOSTILE: HOSTILE},
        source=HOSTILE,
        correctness=HOSTILE,
        prompts=HOSTILE,
    )
    return CollapseReport(HOSTILE, [told])


SCENARIOS = {
    "collapse": collapse,
    "healthy": healthy,
    "wrong-winner": wrong_winner,
    "many": many,
    "very-long": very_long,
    "no-base": no_base,
    "no-correctness": no_correctness,
    "one-look": one_look,
    "several": several,
    "hostile": hostile,
}
