"""Does a collapsed policy lose what its loops had bought? On a task that needs its loops.

The task is `arrows/task.py`: name one of six starts and the end of its walk, 1 to 4 arrows on, with one look into the
table of arrows for each loop. Three policies a seed: a warm start, right in .6 to .7 of its answers at four loops;
GRPO from there (one answer a completion, right or wrong); and VPO (sets of three, whose tastes are the kinds of
starts); both at equal generated tokens, at the depths that the policy chooses (fixed point, tolerance calibrated on
the warm start), which are replayed exactly. Each answers held-out tables at 1, 2, 3 and 4 loops and at chosen depth.
With --at-the-cap both are trained once more, at the cap of four loops.

Expected beforehand, and held to as targets: loops 2 to 4 buy at least .10 of right answers. GRPO collapses to half as
many different right answers and loses at least a third of what loops had bought, for starts that are few arrows from
their ends are right more often, and it goes to them. VPO keeps .8 of its different answers and .9 of what loops had
bought. Chosen depth takes at most .6 of the loops of the best fixed depth and loses half a point at most. (A pilot of
one seed set the sizes; the lines on mixed tables, where a choice of start is a choice of depth, were added after it.)
Controls: a policy taught at one loop, an untrained one, answers read for another table, an oracle.

Runs are kept in runs/benchmarks/loops_and_collapse; Ctrl-C and start again to go on. About 10 minutes on 2 free cores.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from arrows.measuring import ANSWERS, held_out, means, measure
from arrows.report import FIXED, POLICIES, show, targets
from arrows.task import STARTS, ArrowsTask
from arrows.training import CAP, DEPTHS, OBJECTIVES, Sizes, chosen, new_policy, train_arm, warm_start
from targets import finish, parser
from workers import workers

FOLDER = Path("runs/benchmarks/loops_and_collapse")


def measured(policy: str, seed: int, sizes: Sizes, prompts: int, folder: Path) -> dict[str, Any]:
    """What one policy does at every depth."""
    path = folder / f"measured-{policy.replace(', ', '-').replace(' ', '_')}.json"
    if path.exists():
        return json.loads(path.read_text())
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    from vpo.looped import FixedDepth

    logging.disable_progress_bar()
    start, tol = warm_start(seed, sizes, folder)
    objective, _, where = policy.partition(" at the ")
    trained = folder / f"{objective}-{'fixed' if where else 'chosen'}"
    num_answers = OBJECTIVES[objective][1] if objective in OBJECTIVES else 3 if "three" in policy else 1
    model = AutoModelForCausalLM.from_pretrained(trained if objective in OBJECTIVES else start)
    tokenizer, tables = AutoTokenizer.from_pretrained(start), held_out(prompts)
    found: dict[str, Any] = {"policy": policy, "seed": seed, "tol": tol, "depths": {}}
    for depth in (*FIXED, "chosen"):
        rule = chosen(tol) if depth == "chosen" else FixedDepth(int(depth))
        found["depths"][depth], shuffled = measure(model, tokenizer, rule, tables, num_answers, seed)
        if depth == FIXED[-1]:
            found["shuffled"] = shuffled
    path.write_text(json.dumps(found))
    print(f"  measured {policy}, seed {seed}", flush=True)
    return found


def controls(seed: int, prompts: int, folder: Path) -> dict[str, float]:
    """What an untrained policy, one taught at one loop, and an oracle get."""
    from vpo.looped import FixedDepth

    tables, task = held_out(prompts), ArrowsTask()
    model, tokenizer = new_policy(seed)
    untrained, _ = measure(model, tokenizer, FixedDepth(CAP), tables, 1, seed)
    every = [[(task.answer(arrows, c % len(STARTS)),) for c in range(ANSWERS)] for arrows in tables]
    done = json.loads((folder / "start" / "done.json").read_text())
    return {
        "seed": seed,
        "untrained": untrained["all"]["right"],
        "one loop": done["taught at one loop"],
        "start": done["right"],
        "oracle, E_w[best]": means(tables, every, 1)["all"]["best"],
    }


def main() -> int:
    arguments = parser(__doc__ or "")
    arguments.add_argument("--at-the-cap", action="store_true", help="train both objectives at the cap too")
    arguments.add_argument("--seeds", type=int, default=3, help="how many seeds (3)")
    options = arguments.parse_args()
    trained_at = DEPTHS if options.at_the_cap else DEPTHS[:1]
    policies = [name for name in POLICIES if options.at_the_cap or " at the " not in name]
    quick = Sizes(30, 1.0, 16, 300, 2, 6, 1e-3, 8)
    sizes, seeds, prompts = (quick, [0], 8) if options.quick else (Sizes(), list(range(options.seeds)), 80)
    folder = FOLDER / ("quick" if options.quick else "full")
    with workers(2) as pool:
        own = {seed: folder / f"seed{seed}" for seed in seeds}
        for start in [pool.submit(warm_start, seed, sizes, own[seed]) for seed in seeds]:
            start.result()
        arms = [
            pool.submit(train_arm, objective, depth, seed, sizes, own[seed])
            for depth in trained_at
            for seed in seeds
            for objective in OBJECTIVES
        ]
        for arm in arms:
            arm.result()
        jobs = [pool.submit(measured, policy, seed, sizes, prompts, own[seed]) for seed in seeds for policy in policies]
        bare = [pool.submit(controls, seed, prompts, own[seed]) for seed in seeds]
        results, controlled = [job.result() for job in jobs], [job.result() for job in bare]
    curves = [arm.result() for arm in arms]
    print(f"\n{prompts} held-out tables, {ANSWERS} answers each; mean (standard error) over seeds {seeds}")
    show(results)
    print("\ncontrols:", {name: round(float(np.mean([c[name] for c in controlled])), 3) for name in controlled[0]})
    gaps = {
        arm: max(g for c in curves if c["depth"] == arm for g in c["curve"]["gap"] if g is not None)
        for arm in trained_at
    }
    print("largest gap between sampled and replayed log-probabilities, nats:", gaps)
    facts = {"sizes": asdict(sizes), "seeds": seeds, "prompts": prompts, "answers": ANSWERS, "runs": curves}
    facts |= {"controls": controlled, "results": results}
    return finish("loops_and_collapse", options.quick, facts, targets(results, controlled))


if __name__ == "__main__":
    sys.exit(main())
