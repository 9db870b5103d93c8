"""Is a loop worth having in a world model: fewer parameters, more loops on harder steps, rollouts that stay bounded?

Two worlds (`world/`): the project's mazes in straight runs, and gymnasium's Acrobot-v1. All models of a world and seed
see the same windows of 4 steps for as many updates. Three questions:

1. **Parameters.** Plain models, the same layers run once a step, are made wider to 1, 2, 4, 8 times the parameters; in
   the maze also deeper, 3 and 4 layers. The
   ratio reached is where their error curve (the best so far, log-linear in the parameters) crosses the looped model's
   error in rollouts of whole test sequences; 8 if even the largest is worse, 0 if the smallest is better already.
2. **Depth.** Loops against a difficulty that is defined without a model, on test steps: by a fixed-point tolerance and
   by a learned gate, both fitted on other sequences. Controls: difficulty shuffled among steps, and the untrained model
   with the tolerance that gives it as many loops.
3. **Stability.** Rollouts of ten times the training horizon, beside the same model with a loop that only adds.

Trained models and results are kept in runs/benchmarks/world; Ctrl-C and start again to go on.
"""

from __future__ import annotations

import json
import math
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from targets import Target, finish, parser
from world.arms import ARMS, QUICK, WORLDS, Plan, World, new_model, num_parameters, trained
from world.measuring import allotment, error, far_rollout, gain_by_third, predicted

from eval.bootstrap import mean_and_error
from vpo.looped.depth import FixedPoint, LearnedGate
from vpo.looped.world import LoopedWorldModel, TrainingPlan, choose_tolerance, fit_gate, state_bound

FOLDER = Path("runs/benchmarks/world")
SEVERAL = 4.0  # times the parameters
ABOVE_NOTHING = 0.001  # of a correlation: a depth that never differs has exactly 0, and must not pass


def study(name: str, seed: int, plan: Plan, folder: Path) -> dict[str, Any]:
    """Everything of one world and seed; read from disk if it was done before."""
    path = folder / f"{name}-seed{seed}.json"
    if path.exists() and (saved := json.loads(path.read_text()))["plan"] == asdict(plan):
        return saved["result"]

    def say(text: str) -> None:
        print(f"  {name} seed {seed}: {text}", flush=True)

    say("recording sequences")
    world = WORLDS[name](seed, plan)
    models = {arm: trained(world, arm, seed, plan, folder / f"{name}-seed{seed}", say) for arm in ARMS[name]}
    looped = models["looped"]
    result: dict[str, Any] = {
        "world": name,
        "seed": seed,
        "parameters": {arm: num_parameters(model) for arm, model in models.items()},
        "error": {arm: error(model, world) for arm, model in models.items()},
        "depth": depths(looped, world, seed, plan, folder / f"{name}-seed{seed}"),
        "gain": gain_by_third(looped, world, looped.config.max_loops),
        "far": {arm: far_rollout(models[arm], world, plan.window) for arm in ("looped", "unconstrained")},
        "bound": {arm: state_bound(models[arm]).limit for arm in ("looped", "unconstrained")},
    }
    path.write_text(json.dumps({"plan": asdict(plan), "result": result}))
    return result


def depths(looped: LoopedWorldModel, world: World, seed: int, plan: Plan, folder: Path) -> dict[str, Any]:
    """Loops against difficulty: two rules, and the first on the untrained model."""
    rule = choose_tolerance(looped, world.valid)
    how = TrainingPlan(updates=plan.gate_updates, batch_size=world.batch_size, lr=2e-2, warmup=10, see=1.0, seed=seed)
    fit_gate(looped, world.valid, how, folder=folder)
    gate = LearnedGate(0.5, cap=looped.config.max_loops)
    found = {
        "fixed point": allotment(looped, world, rule, seed) | error(looped, world, rule) | {"tol": rule.tol},
        "gate": allotment(looped, world, gate, seed) | error(looped, world, gate),
    }
    untrained = new_model(world, "looped", seed).eval()
    untrained.standardise(world.train)
    found["untrained"] = allotment(untrained, world, same_mean(untrained, world, found["fixed point"]["loops"]), seed)
    return found


def same_mean(model: LoopedWorldModel, world: World, loops: float) -> FixedPoint:
    """The tolerance with which ``model`` runs as many loops in the mean: else the two rank different steps as equal."""
    rules = [FixedPoint(tol=0.5 * 0.75**i, cap=model.config.max_loops, patience=0) for i in range(20)]

    def miss(rule: FixedPoint) -> float:
        out = predicted(model, world.valid, sees=True, policy=rule)
        return abs(out.depths[world.valid.mask].double().mean().item() - loops)

    return min(rules, key=miss)


def ratio_reached(result: dict[str, Any]) -> float:
    """How many times the looped model's parameters a plain one needs for its error, from 0 to the largest ratio."""
    own, size = result["error"]["looped"]["loss"], result["parameters"]["looped"]
    plain = [arm for arm in result["error"] if arm.startswith(("plain", "deep"))]
    best, previous = math.inf, 0.0
    for ratio, loss in sorted((result["parameters"][arm] / size, result["error"][arm]["loss"]) for arm in plain):
        loss = min(best, loss)
        if loss <= own:
            if previous == 0.0:
                return 1.0 if loss == own else 0.0
            share = (best - own) / (best - loss)
            return math.exp(math.log(previous) + share * (math.log(ratio) - math.log(previous)))
        best, previous = loss, ratio
    return previous


def averaged(results: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean losses over seeds: the ratio of a seed jumps from 2 to the ladder's end with a little luck."""
    means = {arm: sum(r["error"][arm]["loss"] for r in results) / len(results) for arm in results[0]["error"]}
    return {"error": {arm: {"loss": loss} for arm, loss in means.items()}, "parameters": results[0]["parameters"]}


def tables(name: str, results: list[dict[str, Any]]) -> None:
    def cell(*keys: str) -> str:
        values = []
        for result in results:
            for key in keys:
                result = result[key]
            values.append(result)
        return str(mean_and_error(values))

    print(f"\n{name}, seeds {[r['seed'] for r in results]}: rollouts of whole test sequences")
    kind = "wrong grids" if name == "maze" else "unexplained"
    print(f"{'model':16}{'parameters':>12}{'loss, nats a step':>22}{kind:>20}{'error of return':>20}")
    for arm in ARMS[name]:
        head = f"{arm:16}{results[0]['parameters'][arm]:12,}"
        columns = {"loss": 22, "observation": 20, "reward": 20}
        print(head + "".join(f"{cell('error', arm, key):>{width}}" for key, width in columns.items()))
    print(f"ratio reached, by mean losses: {ratio_reached(averaged(results)):.2f}")
    print(f"\n{name}: loops against difficulty, test steps (Spearman)")
    print(
        f"{'rule':14}{'loops':>18}{'rho':>18}{'95% by seed':>44}{'shuffled':>18}   loops of easy / middle / hard third"
    )
    for rule in ("fixed point", "gate", "untrained"):
        ranges = " ".join(f"[{r['depth'][rule]['low']:.2f} {r['depth'][rule]['high']:.2f}]" for r in results)
        thirds = " / ".join(
            f"{sum(r['depth'][rule]['thirds'][i] for r in results) / len(results):.2f}" for i in range(3)
        )
        cells = [cell("depth", rule, key) for key in ("loops", "rho")]
        print(f"{rule:14}{cells[0]:>18}{cells[1]:>18}{ranges:>44}{cell('depth', rule, 'shuffled'):>18}   {thirds}")
    for third, label in enumerate(("easy", "middle", "hard")):
        means = [sum(r["gain"][third][i] for r in results) / len(results) for i in range(len(results[0]["gain"][0]))]
        print(f"  loss of the {label:6} third after each loop: " + " ".join(f"{value:.3f}" for value in means))
    print(f"\n{name}: rollouts of ten times the training horizon")
    print(
        f"{'loop':16}{'norm, first window':>22}{'last window':>24}{'growth':>22}{'error, first':>20}{'error, last':>24}"
    )
    for arm in ("looped", "unconstrained"):
        keys = ("norm_first", "norm_far", "growth", "error_first", "error_far")
        row = [cell("far", arm, key) for key in keys]
        print(f"{arm:16}{row[0]:>22}{row[1]:>24}{row[2]:>22}{row[3]:>20}{row[4]:>24}")
    print(f"proven bound of the looped state: {mean_and_error([r['bound']['looped'] for r in results])}")


def targets_of(name: str, results: list[dict[str, Any]]) -> list[Target]:
    def mean(values: list[float]) -> float:
        return sum(values) / len(values)

    def far(arm: str, key: str) -> list[float]:
        return [r["far"][arm][key] for r in results]

    found = [Target(f"{name}: parameters of a plain model of equal error", ratio_reached(averaged(results)), SEVERAL)]
    for rule in ("fixed point", "gate"):
        lows = min(r["depth"][rule]["low"] for r in results)
        found.append(
            Target(f"{name}: loops against difficulty, {rule}: lowest 95% bound of any seed", lows, ABOVE_NOTHING)
        )
    trained_rho, blind = (mean([r["depth"][rule]["rho"] for r in results]) for rule in ("fixed point", "untrained"))
    found.append(Target(f"{name}: the same, less that of the untrained model", trained_rho - blind, 0.0))
    shuffled = max(abs(r["depth"][rule]["shuffled"]) for r in results for rule in ("fixed point", "gate"))
    found.append(Target(f"{name}: the same, difficulty shuffled, largest of any seed", shuffled, 0.05, at_least=False))
    growth = max(far("looped", "growth"))
    found.append(Target(f"{name}: growth of the state at 10x the horizon, worst seed", growth, 2.0, at_least=False))
    pairs = zip(far("unconstrained", "growth"), far("looped", "growth"), strict=True)
    found.append(Target(f"{name}: growth without the constraint / with it", mean([a / b for a, b in pairs]), 5.0))
    pairs = zip(far("unconstrained", "error_far"), far("looped", "error_far"), strict=True)
    ratio = mean([a / max(b, 1e-9) for a, b in pairs])
    found.append(Target(f"{name}: error at 10x the horizon without the constraint / with it", ratio, 2.0))
    return found


def main() -> int:
    options = parser(__doc__ or "").parse_args()
    plan, seeds = (QUICK, [0]) if options.quick else (Plan(), [0, 1, 2])
    folder = FOLDER / ("quick" if options.quick else "full")
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    results = {name: [] for name in WORLDS}
    for seed in seeds:  # all worlds of a seed before the next seed
        for name in WORLDS:
            results[name].append(study(name, seed, plan, folder))
    targets: list[Target] = []
    for name, of_world in results.items():
        tables(name, of_world)
        targets += targets_of(name, of_world)
    return finish("world_model", options.quick, {"plan": asdict(plan), "seeds": seeds, "results": results}, targets)


if __name__ == "__main__":
    sys.exit(main())
