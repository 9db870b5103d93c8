"""A run that never was: its looks, alarms and examples, for pages to draw."""

from __future__ import annotations

import math

import numpy as np

from eval.collapse.records import Action, AlarmRecord, Effective, LookRecord, PassAtK, Quantity, Range, Verdict
from eval.collapse.run_report import Forecast, RunReport
from tests.eval.collapse_page.made_examples import made_examples

FORMATS = (
    "python function",
    "LaTeX display",
    "numbered steps",
    "plain prose",
    "boxed answer",
    "bullets",
    "headings",
    "table",
    "JSON",
    "XML tags",
    "repetition",
    "other",
)
KS = (1, 2, 4, 8, 16, 32)
NUM_PROMPTS, GROUP = 64, 64
THRESHOLD = math.log(20)
GUARANTEE = (
    "At most 5% of runs in which no watched quantity rises above its bound raise any alarm, "
    "however many looks are taken."
)
ASSUMPTION = "The prompts of a look are a random draw from one pool, and the sampling settings do not change."
NO_BASE = "There are no samples of the base model: what was lost before the first look is not seen."


def _noisy(rng: np.random.Generator, shares: np.ndarray) -> np.ndarray:
    drawn = rng.multinomial(NUM_PROMPTS * 12, shares / shares.sum())
    return drawn / drawn.sum()


def _range(value: float, width: float, low: float = 0.0, high: float = 1.0) -> Range:
    return Range(value, max(low, value - width), min(high, value + width))


def _look(
    rng: np.random.Generator,
    number: int,
    step: int,
    last: int,
    shares: np.ndarray,
    accuracy: np.ndarray,
    formats: tuple[str, ...],
    base: LookRecord | None,
    log_evidence: float,
    correct: bool,
) -> LookRecord:
    seen = _noisy(rng, shares)
    collision = float((seen**2).sum())
    gamma = 1 / collision
    alpha = 1 + (gamma - 1) * 0.82
    mean_accuracy = float(seen @ accuracy)
    spread = 0.55 + 0.45 * (gamma - 1) / (len(formats) - 1)
    passes = {}
    for k in KS:
        now = min(0.98, 1 - (1 - mean_accuracy) * k ** (-0.75 * spread**2))
        before = base.pass_at_k[str(k)].now.est if base and base.pass_at_k else None
        difference = _range(now - before, 0.035, -1, 1) if before is not None else None
        passes[str(k)] = PassAtK(_range(now, 0.04), before, difference)
    facets = {
        "format": Effective(alpha, gamma, gamma / alpha, max(1.0, alpha - 0.35), alpha + 0.35),
        "opening": Effective(1 + 4 * spread, 2 + 9 * spread, None, 4 * spread, 2 + 4 * spread),
        "answer": Effective(1 + spread, 1.1 + 1.2 * spread, 1.05),
        "length": Effective(2 + spread, 2.6 + spread, 1.2),
        "cluster": Effective(1 + (gamma - 1) * 0.7, gamma * 0.93, 1.2),
    }
    training = step / max(last, 1)
    return LookRecord(
        number=number,
        step=step,
        epoch=round(3 * training, 3) if number else None,
        num_prompts=NUM_PROMPTS,
        num_samples=NUM_PROMPTS * GROUP,
        shares={
            "format": {label: _range(float(share), 0.05) for label, share in zip(formats, seen, strict=True)},
            "length": {
                "short": Range(0.2 + 0.5 * training),
                "middle": Range(0.5 - 0.3 * training),
                "long": Range(0.3 - 0.2 * training),
            },
        },
        accuracy={
            "format": {
                label: _range(float(a), 0.03 + 0.08 * (1 - float(share)))
                for label, a, share in zip(formats, accuracy, seen, strict=True)
                if share > 0
            }
        }
        if correct
        else {},
        effective=facets,
        pass_at_k=passes if correct else {},
        reward={"correct": mean_accuracy, "short": 0.4 + 0.2 * training},
        best_at_k={str(k): 1 - 0.5 * k**-0.4 for k in KS},
        expected_best_at_k={str(k): 1 - (0.6 - 0.1 * spread) * k**-0.4 for k in KS},
        pool_l1=0.9 * spread + float(rng.normal(0, 0.02)),
        hypervolume=0.3 + 0.2 * spread,
        distinct=GROUP * spread,
        vendi=1 + 14 * spread,
        samples_a_prompt=float(GROUP),
        truncated=0.02 + 0.02 * float(rng.random()),
        tokens=310 - 120 * training,
        entropy=0.42 - 0.2 * spread + float(rng.normal(0, 0.01)),
        depth={formats[0]: 3.2 - 0.8 * training, formats[1]: 4.1},
        settings={"learning_rate": 1e-6 * (1 - 0.9 * training), "beta": 0.001, "temperature": 1.0} if number else {},
        evidence={
            f"share of {formats[0]}": log_evidence,
            "one format (1 / effective number)": 0.8 * log_evidence + float(rng.normal(0, 0.3)),
            "loss of pass@16": 0.6 * log_evidence - 1,
            f"share of {formats[-1]}": -0.05 * number + float(rng.normal(0, 0.1)),
        }
        if number
        else {},
        log_evidence=log_evidence - math.log(4) + 0.4 if number else None,
        log_threshold=THRESHOLD if number else None,
        alarm=bool(number) and log_evidence - math.log(4) + 0.4 >= THRESHOLD,
    )


def run_report(
    name: str = "GRPO, seed 0",
    *,
    num_looks: int = 20,
    every: int = 10,
    num_formats: int = 6,
    speed: float = 1.0,
    winner: int = 0,
    verdict: Verdict = "costly collapse",
    with_base: bool = True,
    correct: bool = True,
    seed: int = 0,
) -> RunReport:
    """A simulated run; ``speed`` 0 changes nothing."""
    rng = np.random.default_rng(seed)
    formats = (*FORMATS[: num_formats - 1], "other")
    shares = np.sort(rng.dirichlet(np.full(num_formats, 2.0)))[::-1]
    shares = 0.9 * shares + 0.1 / num_formats
    accuracy = np.linspace(0.62, 0.3, num_formats)
    if winner:
        accuracy[[0, winner]] = accuracy[[winner, 0]]
    accuracy[-1] = 0.05
    last = num_looks * every
    base = _look(rng, 0, 0, last, shares, accuracy, formats, None, 0.0, correct)
    reference = base if with_base else None
    looks = []
    for number in range(1, num_looks + 1):
        gain = np.zeros(num_formats)
        gain[0] = 4.5 * speed * (1 - math.exp(-3 * number / num_looks))
        now = shares * np.exp(gain)
        log_evidence = (9 * speed * (number / num_looks) ** 0.6 - 0.08 * number * (speed == 0)) + float(
            rng.normal(0, 0.1)
        )
        better = np.clip(accuracy + 0.12 * number / num_looks, 0, 1)
        looks.append(
            _look(rng, number, number * every, last, now / now.sum(), better, formats, reference, log_evidence, correct)
        )
    alarms = [_alarm(look, base, formats[0], verdict, correct) for look in looks if look.alarm]
    before, after = base.shares["format"][formats[0]].est, looks[-1].shares["format"][formats[0]].est
    why = f"“{formats[0]}” went from {before:.0%} to {after:.0%} of samples" + (
        f", and pass@16 from {base.pass_at_k['16'].now.est:.1%} to {looks[-1].pass_at_k['16'].now.est:.1%}."
        if correct
        else "."
    )
    leader_slope = 4.5 * speed / last if num_looks >= 5 else None
    forecast = (
        Forecast(
            formats[0],
            formats[0] if correct else None,
            leader_slope,
            60.0 if speed else None,
            f"“{formats[0]}” gained most; at its present pace it has 95% of samples in about 60 steps. "
            "A pace seldom stays.",
        )
        if num_looks >= 5
        else None
    )
    return RunReport(
        name=name,
        source="TRL completions",
        num_samples=sum(look.num_samples for look in looks),
        reference="base model" if with_base else "first look",
        correctness="reward `accuracy_reward` at least 1" if correct else "",
        prompts="fresh",
        base=reference,
        looks=looks,
        quantities=[
            Quantity(
                f"share of {formats[0]}",
                "format",
                min(0.95, before + 0.2),
                before,
                "Share of samples in the largest format.",
            ),
            Quantity(
                "one format (1 / effective number)",
                "format",
                0.5,
                0.28,
                "How likely two samples of a prompt share a format.",
            ),
            Quantity(
                "loss of pass@16", "", 0.02, 0.0, "How much pass@16 lies below the base model's on the same prompts."
            ),
            Quantity(f"share of {formats[-1]}", "format", 0.25, 0.05, "Samples in no known format."),
        ],
        alarms=alarms,
        verdict=verdict,
        why=why,
        forecast=forecast,
        examples=made_examples(formats, looks[-1].step, alarms),
        agreement=0.81,
        prompt_information=0.04,
        facets={
            "format": "The first layout rule that a sample meets: code, display mathematics, lists, prose.",
            "length": "Thirds of the base model's lengths.",
        },
        guarantee=GUARANTEE,
        assumptions=[ASSUMPTION, "A label depends on the layout of a sample, never on whether it is correct."],
        warnings=[] if with_base else [NO_BASE],
        settings={
            "trainer": "trl",
            "num_generations": GROUP,
            "temperature": 1.0,
            "model": "Qwen/Qwen3-0.6B",
            "beta": 0.001,
        },
    )


def _alarm(look: LookRecord, base: LookRecord, label: str, verdict: Verdict, correct: bool) -> AlarmRecord:
    before, after = base.shares["format"][label].est, look.shares["format"][label].est
    return AlarmRecord(
        look=look.number,
        step=look.step,
        epoch=look.epoch,
        level="critical" if after > 0.9 else "warning",
        quantities=[f"share of {label}", "one format (1 / effective number)"],
        sentence=f"The share of “{label}” is {after:.0%} (base {before:.0%}): "
        f"above its bound of {min(0.95, before + 0.2):.0%}.",
        log_evidence=look.log_evidence or 0.0,
        log_threshold=THRESHOLD,
        guarantee=GUARANTEE,
        assumption=ASSUMPTION,
        verdict=verdict,
        why="pass@16 fell by 4.1 points (95%: 1.2 to 7.0) while pass@1 rose."
        if correct
        else "Nothing says what is correct.",
        actions=[
            Action(
                "trl",
                {"beta": [0.001, 0.01]},
                "Pull the policy towards the base model, which keeps the second format.",
                "moderate",
                "Echo Chamber (2504.07912), figure 3",
                "A KL term can cost reward: look again after five looks.",
            ),
            Action(
                "trl",
                {"epsilon_high": [0.2, 0.28], "learning_rate": [None, 5e-7]},
                "Let rare tokens grow, and slower.",
                "weak",
                "DAPO",
                "Can overshoot: watch the entropy.",
            ),
        ],
    )
