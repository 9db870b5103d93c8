"""Fixed or chosen depth, and does a collapsed policy lose what loops had bought?

The policies of `depth_rl.py`, trained at the depths that they choose: the warm start, GRPO (one answer, and it
collapses) and VPO (sets of three). Each answers the same held-out mazes at 1, 2, 3 and 4 loops for every token, and at
chosen depth under the tolerance that was calibrated on the warm start. Shown by depth: the mean reward of an answer,
E_w[best] and the distinct among 24 answers.

Runs are kept in runs/benchmarks/fixed_or_chosen; Ctrl-C and start again to go on. About 20 minutes on 2 cores at first.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from depth_rl import CAP, OBJECTIVES, Sizes, train_arm, warm_start
from targets import Target, finish, parser
from workers import workers

from eval.bootstrap import mean_and_error

FOLDER = Path("runs/benchmarks/fixed_or_chosen")
POLICIES = ("base", *OBJECTIVES)
DEPTHS = (*(f"{loops} loop{'s' * (loops > 1)}" for loops in range(1, CAP + 1)), "chosen")
ARM = "chosen, replayed"
ANSWERS = 24  # of a maze, in completions of one or three
CLOSE = 0.005  # of reward: half a point, within which two depths count as equally good
MEASURES = ("reward", "expected", "distinct", "loops")


def measure(policy: str, seed: int, sizes: Sizes, mazes: int, folder: Path) -> dict[str, Any]:
    """What one policy earns at every depth."""
    path = folder / f"measured-{policy}.json"
    if path.exists():
        return json.loads(path.read_text())
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    from search.model_sampler import ModelSampler
    from vpo.looped import FixedDepth, FixedPoint
    from vpo.tasks import get_task

    logging.disable_progress_bar()
    start, tol = warm_start(seed, sizes, folder)
    source = start if policy == "base" else folder / f"{policy}-{ARM.replace(', ', '-').replace(' ', '_')}"
    model = AutoModelForCausalLM.from_pretrained(source)
    sampler = ModelSampler(model, AutoTokenizer.from_pretrained(start), batch_size=512)
    task, num_answers = get_task("maze"), 3 if policy == "base" else OBJECTIVES[policy][1]
    examples = list(islice(task.examples("test"), mazes))
    found: dict[str, Any] = {"policy": policy, "seed": seed, "tol": tol}
    for place, depth in enumerate(DEPTHS):
        model.depth_policy = FixedDepth(place + 1) if place < CAP else FixedPoint(tol=tol, cap=CAP)
        counted = count_loops(model)
        found[depth] = score(task, examples, num_answers, sampler, seed)
        found[depth]["loops"] = counted()
    path.write_text(json.dumps(found))
    print(f"  measured {policy}, seed {seed}", flush=True)
    return found


def count_loops(model: Any) -> Any:
    """Count from now on; what it returns ends that and gives the mean loops of the tokens fed in."""
    seen = [0, 0]

    def see(module: Any, args: Any, inputs: dict[str, Any], output: Any) -> None:
        depths, mask = output.loop_depths, inputs.get("attention_mask")
        real = depths > 0 if mask is None else mask[:, -depths.shape[1] :].bool()
        seen[0] += int(depths[real].sum())
        seen[1] += int(real.sum())

    hook = model.register_forward_hook(see, with_kwargs=True)

    def end() -> float:
        hook.remove()
        return seen[0] / seen[1]

    return end


def score(task: Any, examples: list[Any], num_answers: int, sampler: Any, seed: int) -> dict[str, float]:
    """Means over the mazes."""
    from eval.metrics import expected_best_at_k_curve, simplex_weightings
    from search.records import Request
    from search.seeds import request_seed

    completions, form = ANSWERS // num_answers, task.answer_format(num_answers)
    requests = [
        Request(
            id=i * completions + c,
            prompt=task.prompt(example, num_answers),
            seed=request_seed(seed, f"maze-{i}", c),
            max_new_tokens=task.completion_tokens(num_answers),
        )
        for i, example in enumerate(examples)
        for c in range(completions)
    ]
    tastes = simplex_weightings(100, len(task.components))
    rows = [task.row(example, num_answers) for example in examples]
    rewards = np.zeros((len(examples), completions, num_answers, len(task.components)))
    texts: list[set[str]] = [set() for _ in examples]
    for generation in sampler.sample(requests):
        i, c = divmod(generation.request_id, completions)
        for j, answer in enumerate(form.parse(generation.text).answers):
            rewards[i, c, j] = task.score(answer, rows[i])
            texts[i].add(answer)
    return {
        "reward": float((rewards @ np.asarray(task.w_star)).mean()),
        "expected": float(expected_best_at_k_curve(rewards, tastes, [ANSWERS]).mean()),
        "distinct": float(np.mean([len(each) for each in texts])),
    }


def smallest_good(found: dict[str, Any]) -> int:
    """The smallest fixed depth that earns as much as the best one, within CLOSE."""
    rewards = [found[depth]["reward"] for depth in DEPTHS[:CAP]]
    return next(loops for loops, reward in enumerate(rewards, start=1) if reward >= max(rewards) - CLOSE)


def main() -> int:
    options = parser(__doc__ or "").parse_args()
    sizes = Sizes(8, 600, 2, 6, 4, 10.0) if options.quick else Sizes()
    seeds, mazes = ([0], 3) if options.quick else ([0, 1, 2], 100)
    folder = FOLDER / ("quick" if options.quick else "full")
    with workers(2) as pool:
        for start in [pool.submit(warm_start, seed, sizes, folder / f"seed{seed}") for seed in seeds]:
            start.result()
        for arm in [
            pool.submit(train_arm, objective, ARM, seed, sizes, folder / f"seed{seed}")
            for seed in seeds
            for objective in OBJECTIVES
        ]:
            arm.result()
        jobs = [
            pool.submit(measure, policy, seed, sizes, mazes, folder / f"seed{seed}")
            for seed in seeds
            for policy in POLICIES
        ]
        results = [job.result() for job in jobs]
    print(f"\n{mazes} held-out mazes, {ANSWERS} answers each; mean (standard error) over seeds {seeds}")
    print(f"{'':6}{'depth':10}{'loops':>18}{'reward':>18}{'E_w[best]':>18}{'distinct':>18}")
    targets = []
    for policy in POLICIES:
        own = [found for found in results if found["policy"] == policy]
        for depth in DEPTHS:
            cells = {name: str(mean_and_error([found[depth][name] for found in own])) for name in MEASURES}
            print(
                f"{policy:6}{depth:10}{cells['loops']:>18}{cells['reward']:>18}{cells['expected']:>18}"
                f"{cells['distinct']:>18}"
            )
        share = [found["chosen"]["loops"] / smallest_good(found) for found in own]
        lost = [max(found[d]["reward"] for d in DEPTHS[:CAP]) - found["chosen"]["reward"] for found in own]
        targets += [
            Target(
                f"{policy}: loops at chosen depth over the best fixed depth's",
                float(np.mean(share)),
                0.6,
                False,
            ),
            Target(f"{policy}: reward lost to the best fixed depth", float(np.mean(lost)), CLOSE, False),
        ]
    print("\nwhat loops 2 to 4 buy beyond the first, in reward / in E_w[best] / in distinct answers")
    for policy in POLICIES:
        own = [found for found in results if found["policy"] == policy]
        bought = [
            str(mean_and_error([found[DEPTHS[CAP - 1]][name] - found[DEPTHS[0]][name] for found in own]))
            for name in MEASURES[:3]
        ]
        print(f"{policy:6}" + "".join(f"{each:>16}" for each in bought))
    facts = {"sizes": asdict(sizes), "seeds": seeds, "mazes": mazes, "answers": ANSWERS, "results": results}
    return finish("fixed_or_chosen", options.quick, facts, targets)


if __name__ == "__main__":
    sys.exit(main())
