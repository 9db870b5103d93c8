"""A made-up report of realistic size and shape for the tests of the page: curves that bend as measured ones do."""

from __future__ import annotations

import math

import numpy as np

from eval.report import (
    METRICS,
    Curve,
    DemoReport,
    Figure,
    GalleryItem,
    LookPoint,
    SearchCurve,
    TableRow,
    Verdict,
)

# Arm -> (first value, last value, how fast it climbs) of best@k under w* and of E_w[best@k].
ARMS = {
    "base": ((0.511, 0.701, 0.45), (0.500, 0.785, 0.40), True),
    "GRPO": ((0.659, 0.697, 0.90), (0.655, 0.725, 0.50), True),
    "VPO": ((0.599, 0.709, 0.80), (0.580, 0.799, 0.75), True),
    "blind": ((0.367, 0.688, 0.70), (0.380, 0.751, 0.70), False),
    "oracle": ((0.747, 0.747, 1.0), (0.827, 0.827, 1.0), False),
    "VPO, shuffled prompts": ((0.210, 0.520, 0.35), (0.205, 0.560, 0.35), True),
    "GRPO, shuffled prompts": ((0.190, 0.330, 0.35), (0.188, 0.340, 0.35), True),
}
KINDS = ("direct", "by gold", "by diamonds", "detour without a find", "stops short of the exit", "unreadable")
TABLE = {
    "base": (0.511, 0.628, 0.701, 0.652, 0.785, 1.093, 16.41, 0.944, 0.0, 0.0),
    "GRPO": (0.659, 0.686, 0.697, 0.693, 0.725, 0.340, 3.7, 0.974, 405_000, 81.0),
    "VPO": (0.599, 0.691, 0.709, 0.761, 0.799, 1.280, 8.6, 0.912, 418_000, 93.0),
    "blind": (0.367, 0.596, 0.688, 0.616, 0.751, None, None, None, None, None),
    "oracle": (0.747, 0.747, 0.747, 0.827, 0.827, None, None, math.nan, None, None),
}
# What a careless template would run, close an element with, or take as one of its own signs.
HOSTILE_NAMES = (
    "<script>window.broken = 1</script>",
    "<img src=x onerror='window.broken=1'>\"'",
    "{{ 7 * 7 }} %{x} c:blue",
    "</script><b>bold</b>&amp;",
)


def example_report(num_looks: int = 16, seed: int = 0) -> DemoReport:
    """Build a report with every section filled."""
    rng = np.random.default_rng(seed)
    return DemoReport(
        title="Diversity-preserving RL on mazes: GRPO and VPO from the same start",
        command="vpo demo --task maze --seed 0 --steps 150 --looks 16 --mazes 100 --out runs/demo/report.html",
        created="2026-03-02T09:41:07+00:00",
        seed=seed,
        hardware="2 CPU cores (x86-64), 8 GiB memory, no accelerator",
        versions={"vpo": "0.1.0", "python": "3.11.9", "torch": "2.9.0", "transformers": "5.1.0", "trl": "1.16.0"},
        summary=[
            Figure("Pool L1, VPO against GRPO", "3.8 ×", "1.28 and 0.34; base 1.09"),
            Figure("E_w[best@3], VPO − GRPO", "+0.068", "95 % interval +0.051 to +0.085"),
            Figure("best@1, VPO − GRPO", "−0.060", "the price: one answer, fixed taste"),
            Figure("Distinct of 30 answers", "8.6 / 3.7", "VPO / GRPO; base 16.4"),
        ],
        best_at_k={arm: _climb(*fixed, has_band=band) for arm, (fixed, _, band) in ARMS.items()},
        expected_best_at_k={arm: _climb(*drawn, has_band=band) for arm, (_, drawn, band) in ARMS.items()},
        table=[TableRow(arm, dict(zip(METRICS, values, strict=True))) for arm, values in TABLE.items()],
        looks={
            "GRPO": _looks(num_looks, rng, (1.09, 0.34), (16.4, 3.7), (0.511, 0.659), gold_end=0.08),
            "VPO": _looks(num_looks, rng, (1.09, 1.28), (16.4, 8.6), (0.511, 0.599), gold_end=0.36),
        },
        search={
            f"{policy} / {procedure}": _search(start, end, speed)
            for policy, start, end in (("base", 0.51, 0.715), ("GRPO", 0.66, 0.700), ("VPO", 0.60, 0.728))
            for procedure, speed in (("independent sampling", 1.0), ("evolution from the archive", 1.6))
        },
        gallery=[
            GalleryItem(
                f"Maze {number}: gold lies {side}, diamonds on the other side",
                {arm: maze_svg(number, routes) for arm, routes in (("base", "gsx"), ("GRPO", "sss"), ("VPO", "gds"))},
                "S start, E exit, ● gold, ◆ diamond, hatched lava. Lines are the three routes of one completion.",
            )
            for number, side in ((17, "north-east"), (42, "south-west"))
        ],
        verdicts=[
            Verdict("GRPO reads its prompt: best@1 above blind", "+0.292", "at least +0.15", ok=True),
            Verdict("VPO reads its prompt: best@3 above blind", "+0.095", "at least +0.04", ok=True),
            Verdict("Shuffled prompts lower every arm", "−0.39 at least", "clearly below", ok=True),
            Verdict("E_w[best@3], VPO − GRPO", "+0.068", "at least +0.04, beyond two standard errors", ok=True),
            Verdict("Pool L1, VPO / GRPO", "3.8", "at least 3", ok=True),
            Verdict("Completion, VPO / GRPO", "0.89", "at least 0.9", ok=False),
            Verdict("best@30, VPO − GRPO", "+0.012", "at least −0.01", ok=True),
        ],
        notes=[
            "One seed. Two seeds of the same arm differ by about 0.01 in best@k.",
            "At k = 30 the base policy is as good as any trained one: training buys small k.",
        ],
    )


def _climb(first: float, last: float, speed: float, *, has_band: bool) -> Curve:
    ks = list(range(1, 31))
    mean = [first + (last - first) * (1 - k**-speed) / (1 - 30**-speed) for k in ks]
    if not has_band:
        return Curve([float(k) for k in ks], mean)
    width = [0.028 / math.sqrt(k) + 0.012 for k in ks]
    lo = [value - half for value, half in zip(mean, width, strict=True)]
    hi = [value + half for value, half in zip(mean, width, strict=True)]
    return Curve([float(k) for k in ks], mean, lo, hi)


def _looks(
    num: int,
    rng: np.random.Generator,
    pool: tuple[float, float],
    distinct: tuple[float, float],
    best: tuple[float, float],
    gold_end: float,
) -> list[LookPoint]:
    looks = []
    for index in range(num):
        done = 1 - math.exp(-3.2 * index / max(num - 1, 1))
        noise = rng.normal(scale=0.02, size=4)
        raw = np.array([0.4, 0.2, 0.2, 0.08, 0.08, 0.04]) * (1 - done)
        raw += np.array([0.95 - 2 * gold_end, gold_end, gold_end, 0.02, 0.02, 0.01]) * done
        shares = raw / raw.sum()
        looks.append(
            LookPoint(
                step=10 * index,
                pool_l1=pool[0] + (pool[1] - pool[0]) * done + noise[0],
                distinct=distinct[0] + (distinct[1] - distinct[0]) * done + 8 * noise[1],
                best_at_1=best[0] + (best[1] - best[0]) * done + 0.4 * noise[2],
                set_reward=0.62 + 0.1 * done * (1 + gold_end) + 0.3 * noise[3],
                shares=dict(zip(KINDS, shares.tolist(), strict=True)),
                format_shares={
                    "three tags": 0.93 + 0.06 * done,
                    "two tags": 0.05 * (1 - done),
                    "other": 0.02 - 0.01 * done,
                },
            )
        )
    return looks


def _search(start: float, end: float, speed: float) -> SearchCurve:
    evaluated = [float(3 * number) for number in range(1, 31)]
    mean = [start + (end - start) * (1 - math.exp(-speed * x / 18)) for x in evaluated]
    lo, hi = [value - 0.015 for value in mean], [value + 0.015 for value in mean]
    return SearchCurve(Curve([x * 38 for x in evaluated], mean, lo, hi), Curve(evaluated, mean, lo, hi))


def maze_svg(number: int, routes: str) -> str:
    """Draw a maze of 5 x 5 cells with routes ("g" by gold, "d" by diamonds, "s" straight, "x" short of the exit)."""
    rng = np.random.default_rng(number)
    walls = "".join(
        f'<rect x="{60 * x}" y="{60 * y}" width="60" height="60" fill="#5b6472"/>'
        for x, y in {(int(a), int(b)) for a, b in rng.integers(1, 4, size=(3, 2))}
    )
    paths = {
        "g": "30,30 270,30 270,270",
        "d": "30,30 30,270 270,270",
        "s": "30,30 90,30 90,210 270,210 270,270",
        "x": "30,30 150,30",
    }
    colours = ("#0072B2", "#D55E00", "#009E73")
    lines = "".join(
        f'<polyline points="{paths[route]}" fill="none" stroke="{colours[index]}" stroke-width="6" '
        f'stroke-linejoin="round" transform="translate({6 * index - 6} {6 * index - 6})"/>'
        for index, route in enumerate(routes)
    )
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" width="300" height="300">'
        '<rect width="300" height="300" fill="#fbfaf6" stroke="#c8ccd2"/>'
        f'{walls}{lines}<text x="12" y="22" font-size="16">S</text><text x="276" y="292" font-size="16">E</text></svg>'
    )


def hostile_report() -> DemoReport:
    """Everything that could break the page: markup in names, long words, gaps, many arms, many kinds, many looks."""
    names = ["base", "GRPO", "VPO", *HOSTILE_NAMES, "VPO, shuffled prompts", "VPO, cold", "x" * 70]
    curve = Curve([1, 2, 4, 8], [0.2, None, math.nan, 0.4], [0.1, None, 0.2, 0.3], [0.3, None, math.inf, 0.5])
    kinds = [f"kind {number}" for number in range(9)] + list(HOSTILE_NAMES[:2]) + ["y" * 50]
    shares = {kind: 1 / len(kinds) for kind in kinds}
    looks = [LookPoint(step, 1.0, None, math.nan, 0.5, shares) for step in range(200)]
    return DemoReport(
        title=HOSTILE_NAMES[0],
        command=HOSTILE_NAMES[0] + " --flag=" + "z" * 200,
        created="yesterday",
        seed=3,
        hardware=HOSTILE_NAMES[1],
        versions={HOSTILE_NAMES[0]: HOSTILE_NAMES[1]},
        summary=[Figure(HOSTILE_NAMES[0], "1" * 40, HOSTILE_NAMES[1])],
        best_at_k={name: curve for name in names},
        expected_best_at_k={"all unknown": Curve([1, 2], [None, None])},
        table=[
            TableRow(name, {metric: math.nan for metric in METRICS} | {"seconds": 1e9, HOSTILE_NAMES[0]: -2.0})
            for name in names
        ],
        looks={name: looks if index else looks[:1] for index, name in enumerate(names)},
        search={f"{name} / {name}": SearchCurve(curve, curve) for name in names},
        gallery=[GalleryItem(HOSTILE_NAMES[0], {name: maze_svg(1, "g") for name in names}, HOSTILE_NAMES[1])],
        verdicts=[Verdict(name, name, name, ok=False) for name in names],
        notes=list(HOSTILE_NAMES),
    )
