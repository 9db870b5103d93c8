"""How many evaluations does a trained world model save as the predictor of a screen, and when are those it cost back?

Mazes of 7 x 7 cells, each with an evaluator that is slow: the clock counts evaluations, and one of a route that was
evaluated before comes from the cache. A scripted policy (`maze_screen/mazes.py`) writes routes, by best-of-n, whose
draws are independent, and by lexicase evolution, which lets the policy go on from a part of a parent. The world models
(`vpo.looped.world`) were trained before on routes in other mazes, and never see an evaluation of the search.

Saved is what `screening.py` calls so: 1 - what the plain search's mean best is worth / what the arm's is, in
evaluations of the plain search that reach it, at 75% to 100% of the budget; the plain search is in the pairs, and four
more of it, three times as long, are the yardstick. The mean is over mazes and seeds, each best a share of the highest
scalar in its maze. A seed has its own world models, trained on its own routes. Standard errors: bootstrap over mazes
and seeds together, in pairs. "Needed" is the direct figure: evaluations until the mean best is the yardstick's at the
end of the budget.

Arms: *looped*, a world model that stops at a fixed point, off until it has proven its skill; the same *trusted*, on
from the start, and told 2 answers before it foresees, not 16; *one loop*, trusted, as many parameters and updates.
Controls: *arrival alone*, which knows the truth about arriving and nothing else; an *oracle*, the real rewards. With
the first seed and in six mazes alone: *text*, which learns in the search; an *ensemble* of the looped models of all
seeds; a looped model that was never trained; foreseen rewards with the sign reversed; those of *another answer* of the
search; those in *another maze*.

Trained models and results are kept in runs/benchmarks/screening_world; Ctrl-C and start again to go on. About 20
minutes of one core.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from maze_screen.foresight import Remembered, Views
from maze_screen.mazes import CountedMaze, draw, quality
from maze_screen.models import KINDS, Plan, world_model
from maze_screen.searching import ARMS, BEYOND, CONTROLLED, ON_EVERY_SEED, PROCEDURES, REPEATS, figures, search
from targets import Target, finish, parser

FOLDER = Path("runs/benchmarks/screening_world")
BOTH = "both"
COLUMNS = ("rho", "rho_arrived", "knows_arrival")


@dataclass(frozen=True)
class Study:
    """Sizes; the mazes are those of a stream that no setting was chosen on."""

    models: Plan = field(default_factory=Plan)
    evaluations: int = 120
    mazes: int = 8
    seeds: int = 3
    stream: int = 5


QUICK = Study(Plan(updates=20, routes=60, held_out=18, tests=3, tested=10), evaluations=24, mazes=2, seeds=2)


def cell(procedure: str, number: int, seed: int, study: Study, models: Any, folder: Path) -> dict[str, Any]:
    """All arms on one maze with the world models of one seed; read from disk if it was done before."""
    path = folder / f"{procedure.replace(' ', '-')}-maze{number}-seed{seed}.json"
    of = {"study": asdict(study), "arms": json.loads(json.dumps(ARMS))}
    if path.exists() and (kept := json.loads(path.read_text()))["of"] == of:
        return kept["found"]
    mazes = draw("test", study.stream, study.mazes + 1)
    row = CountedMaze(mazes[number]).row
    views = Views(
        {kind: Remembered(models[kind][seed], row) for kind in KINDS},
        tuple(Remembered(model, row) for other, model in enumerate(models["looped"]) if other != seed),
        Remembered(models["looped"][seed], CountedMaze(mazes[number + 1]).row),
    )
    at, drawn = study.evaluations, 1000 * seed + number
    arms = ARMS if seed == 0 and number < CONTROLLED else ON_EVERY_SEED
    found: dict[str, Any] = {arm: search(mazes[number], procedure, arm, views, drawn, at) for arm in arms}
    again = [
        search(mazes[number], procedure, "plain", views, 10**6 * i + drawn, BEYOND * at)["best"]
        for i in range(1, REPEATS + 1)
    ]
    found["repeats"] = {"best": np.mean(again, axis=0).round(6).tolist()}
    path.write_text(json.dumps({"of": of, "found": found}))
    print(f"  {procedure}, maze {number}, seed {seed}", flush=True)
    return found


def summarise(found: dict[str, list[list[dict[str, Any]]]], study: Study) -> dict[str, dict[str, dict[str, Any]]]:
    """Procedure, or both -> arm -> figures; ``found`` holds the cells by procedure, maze and seed."""

    def bests(arm: str) -> np.ndarray:
        every = arm in (*ON_EVERY_SEED, "repeats")
        mazes, seeds = (study.mazes, study.seeds) if every else (CONTROLLED, 1)
        return np.array(
            [[[one[arm]["best"] for one in row[:seeds]] for row in rows[:mazes]] for rows in found.values()]
        )

    every = {arm: bests(arm) for arm in (*ARMS, "repeats")}
    summary = {
        name: figures({arm: values[[i]] for arm, values in every.items()}, study.evaluations)
        for i, name in enumerate(found)
    }
    summary[BOTH] = figures(every, study.evaluations)
    for name, arms in summary.items():
        cells = [one for each in (found if name == BOTH else [name]) for row in found[each] for one in row]
        for arm, figure in arms.items():
            ones = [one[arm] for one in cells if arm in one]
            at = [one["on_at"] for one in ones if one["on_at"] is not None]
            figure |= {"searches": len(ones), "on_at": float(np.median(at)) if at else None}
            for key in ("completions", "on", "off"):
                figure[key] = float(np.mean([one[key] for one in ones]))
    return summary


def seconds_of_a_prediction(model: Any, study: Study, batch: int = 8) -> float:
    """Of one route, rolled out in a batch as in a search, on one core."""
    problem = CountedMaze(draw("test", study.stream, 1)[0])
    routes = [problem.write(problem.prompt, "", seed) for seed in range(10 * batch)]
    view, began = Remembered(model, problem.row), time.perf_counter()
    for i in range(0, len(routes), batch):
        view.foresee(routes[i : i + batch])
    return (time.perf_counter() - began) / len(routes)


def break_even(saved: float, study: Study) -> float | None:
    """Searches after which the evaluations that a world model cost are back, if they ever are."""
    return study.models.spent / (study.evaluations * saved) if saved > 0 else None


def tables(facts: dict[str, Any]) -> None:
    print("\nworld models: test before use, on the policy's routes in mazes of no search")
    print(f"{'':12}{'rho':>22}{'rho if it arrives':>22}{'knows arrival':>22}{'ms a prediction':>18}")
    for kind, each in facts["models"].items():
        known = [[value for value in each[key] if value is not None] or [np.nan] for key in COLUMNS]
        cells = [f"{np.mean(values):.2f} ({min(values):.2f} to {max(values):.2f})" for values in known]
        print(f"{kind:12}{cells[0]:>22}{cells[1]:>22}{cells[2]:>22}{1000 * each['seconds']:18.1f}")
    for name, arms in facts["summary"].items():
        heads = {"saved": 18, "by seed of the models": 26, "needed": 8, "best": 7, "sent": 7, "on": 6, "off": 6}
        print(f"\n{name:26}" + "".join(f"{head:>{width}}" for head, width in heads.items()))
        for arm, f in arms.items():
            saved, seeds = f"{f['saved']:.1%} +- {f['se']:.1%}", " ".join(f"{each:.0%}" for each in f["by_seed"])
            print(
                f"{arm:26}{saved:>18}{seeds:>26}{f['needed'] or '-':>8}{f['best']:7.3f}{f['completions']:7.0f}"
                f"{f['on']:6.0%}{f['off']:6.0%}"
            )
    for name, number in facts["break_even"].items():
        after = "never" if number is None else f"after {number:.1f} searches"
        print(f"{name}: the {facts['spent']} evaluations that a world model costs are back {after}")


def targets_of(summary: dict[str, Any]) -> list[Target]:
    saved = {name: {arm: figure["saved"] for arm, figure in arms.items()} for name, arms in summary.items()}
    both, found = summary[BOTH], []
    for name in (*PROCEDURES, BOTH):
        found.append(Target(f"{name}: saved by a world model that was tested", saved[name]["looped, trusted"], 0.4))
    found.append(Target("both: saved by a world model that must prove its skill", saved[BOTH]["looped"], 0.4))
    more = saved[BOTH]["looped, trusted"] - saved[BOTH]["one loop, trusted"]
    found.append(Target("both: saved by the looped model, less by one loop", more, 0.0))
    for arm in ("untrained", "another answer"):
        found.append(Target(f"both: searches in which {arm} was switched on", both[arm]["on"], 0.05, at_least=False))
    for arm in ("untrained, trusted", "reverse, trusted", "another answer, trusted"):
        found.append(Target(f"both: evaluations lost by {arm}", -saved[BOTH][arm], 0.1, at_least=False))
    return found


def main() -> int:
    options = parser(__doc__ or "").parse_args()
    study = QUICK if options.quick else Study()
    folder = FOLDER / ("quick" if options.quick else "full")
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    seeds = range(study.seeds)
    made = {kind: [world_model(kind, seed, study.models, folder) for seed in seeds] for kind in KINDS}
    models = {kind: [model for model, _ in each] for kind, each in made.items()}
    found: dict[str, list[Any]] = {procedure: [] for procedure in PROCEDURES}
    for number in range(study.mazes):
        for procedure, rows in found.items():
            rows.append([cell(procedure, number, seed, study, models, folder) for seed in seeds])
    summary = summarise(found, study)
    facts: dict[str, Any] = {
        "study": asdict(study),
        "policy": quality(draw("test", study.stream, study.mazes)),
        "models": {
            kind: {key: [facts[key] for _, facts in each] for key in each[0][1] if key != "plan"}
            | {"seconds": seconds_of_a_prediction(each[0][0], study)}
            for kind, each in made.items()
        },
        "spent": study.models.spent,
        "break_even": {name: break_even(arms["looped, trusted"]["saved"], study) for name, arms in summary.items()},
        "summary": summary,
    }
    tables(facts)
    return finish("screening_world", options.quick, facts, targets_of(summary))


if __name__ == "__main__":
    sys.exit(main())
