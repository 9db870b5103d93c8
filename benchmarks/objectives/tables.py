"""Figures of the arms over seeds, with the controls that every table must carry, and paired differences."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from targets import Target

from eval.bootstrap import Estimate, mean_and_error
from eval.comparison import paired
from objectives.arms import SEARCH
from vpo.cli.study.settings import GRPO, Arm, Settings
from vpo.cli.study.tables import PolicyCurves, blind_curves, oracle_values, pool_curves, stage_facts

Study = tuple[Path, Settings]


class Tables:
    """All figures of some studies that differ in their seed alone."""

    def __init__(self, studies: Sequence[Study], arms: Sequence[Arm]) -> None:
        self.studies, self.arms = studies, arms
        base = studies[0][1]
        self.ks = sorted({k for k in (1, 3, 6, base.pool_answers) if k <= base.pool_answers})
        self.last = base.pool_answers
        policies = {"base": base.num_answers, **{arm.name: arm.num_answers for arm in arms}}
        self.curves = {n: [pool_curves(run, s, n, m) for run, s in studies] for n, m in policies.items()}
        self.shuffled = {
            n: [pool_curves(run, s, n, m, shuffled=True) for run, s in studies] for n, m in policies.items()
        }
        self.single_base = [pool_curves(run, s, "base", 1) for run, s in studies]
        self.blind = blind_curves(base)
        self.oracle, self.oracle_expected = oracle_values(base)

    def rows(self) -> dict[str, dict[str, list[float]]]:
        """Policy or control -> metric -> a value a seed."""
        shown = {
            **self.curves,
            "base, single answers": self.single_base,
            **{f"{name}, shuffled prompts": found for name, found in self.shuffled.items()},
        }
        table = {name: self._row(found) for name, found in shown.items()}
        for arm in self.arms:
            facts = [stage_facts(run, f"arms/{arm.name}") for run, _ in self.studies]
            table[arm.name]["tokens"] = [fact["generated_tokens"] for fact in facts]
            table[arm.name]["seconds"] = [fact["seconds"] for fact in facts]
        return table

    def _row(self, found: Sequence[PolicyCurves]) -> dict[str, list[float]]:
        row = {f"best@{k}": [each.at(k)[0] for each in found] for k in self.ks}
        row |= {f"E_w[{k}]": [each.at(k)[1] for each in found] for k in self.ks}
        row["L1"] = [each.pool_l1 for each in found]
        row["distinct"] = [each.distinct for each in found]
        row["valid"] = [each.valid for each in found]
        return row

    def print(self) -> None:
        """The table: mean and standard error over seeds."""
        rows = self.rows()
        columns = [*(f"best@{k}" for k in self.ks), *(f"E_w[{k}]" for k in self.ks)]
        columns += ["L1", "distinct", "valid", "tokens", "seconds"]
        print(f"\n{len(self.studies)} seed(s), mean (standard error), held-out examples")
        print(f"{'':36}" + "".join(f"{name:>14}" for name in columns))
        for name, row in rows.items():
            cells = [_show(mean_and_error(row[column])) if column in row else "" for column in columns]
            print(f"{name:36}" + "".join(f"{cell:>14}" for cell in cells))
        blind = [f"{self.blind.at(k)[i]:.3f}" for i in (0, 1) for k in self.ks] + [f"{self.blind.pool_l1:.3f}"]
        print(f"{'blind (fixed answers)':36}" + "".join(f"{cell:>14}" for cell in blind))
        best = [f"{self.oracle.mean():.3f}"] * len(self.ks) + [f"{self.oracle_expected.mean():.3f}"] * len(self.ks)
        print(f"{'oracle (all answers)':36}" + "".join(f"{cell:>14}" for cell in best))

    def differences(self) -> dict[str, dict[str, list[float]]]:
        """The setting for search against every other policy: mean, and 95% interval over seeds and examples."""
        if SEARCH.name not in self.curves:
            return {}
        found: dict[str, dict[str, list[float]]] = {}
        print(f"\n{SEARCH.name} less each other policy, paired, 95% interval over seeds and examples")
        for name, theirs in self.curves.items():
            if name == SEARCH.name:
                continue
            row = {}
            for label, of in self._paired_metrics().items():
                mine = [of(each) for each in self.curves[SEARCH.name]]
                gap = paired(mine, [of(each) for each in theirs])
                row[label] = [gap.mean, gap.lo, gap.hi]
            found[name] = row
            cells = [f"{label} {mean:+.3f} [{lo:+.3f}, {hi:+.3f}]" for label, (mean, lo, hi) in row.items()]
            print(f"{name:24}" + "   ".join(cells))
        return found

    def _paired_metrics(self):
        last = self.last
        return {
            "best@1": lambda each: each.best[:, 0],
            f"best@{last}": lambda each: each.best[:, last - 1],
            f"E_w[{last}]": lambda each: each.expected[:, last - 1],
        }

    def domination(self) -> list[Target]:
        """Is one setting at or above every arm and the base at once?"""
        if SEARCH.name not in self.curves or GRPO.name not in self.curves:
            return []
        rows = self.rows()

        def mean(name: str, metric: str) -> float:
            return float(np.mean(rows[name][metric]))

        others = [name for name in self.curves if name != SEARCH.name]
        targets = [
            Target(
                f"best@1: {SEARCH.name} / GRPO",
                mean(SEARCH.name, "best@1") / max(mean(GRPO.name, "best@1"), 1e-9),
                0.98,
            )
        ]
        for metric in (f"best@{self.last}", f"E_w[{self.last}]"):
            rival = max(others, key=lambda name: mean(name, metric))
            gap = mean(SEARCH.name, metric) - mean(rival, metric)
            targets.append(Target(f"{metric}: {SEARCH.name} - best of all others and the base ({rival})", gap, 0.0))
        share = mean(SEARCH.name, "distinct") / mean("base", "distinct")
        return [*targets, Target(f"distinct answers: {SEARCH.name} / base", share, 0.5)]

    def results(self) -> dict[str, object]:
        """Everything, for the JSON file."""
        ks = self.ks
        return {
            "seeds": [settings.seed for _, settings in self.studies],
            "metrics": {
                name: {key: {"mean": float(np.mean(v)), "by_seed": v} for key, v in row.items()}
                for name, row in self.rows().items()
            },
            "blind": {f"best@{k}": self.blind.at(k)[0] for k in ks}
            | {f"E_w[{k}]": self.blind.at(k)[1] for k in ks}
            | {"L1": self.blind.pool_l1, "distinct": self.blind.distinct, "valid": self.blind.valid},
            "oracle": {"best": float(self.oracle.mean()), "E_w": float(self.oracle_expected.mean())},
        }


def _show(estimate: Estimate) -> str:
    if estimate.mean >= 1000:
        return f"{estimate.mean:.0f}"
    error = "" if np.isnan(estimate.se) else f" ({estimate.se:.3f})"
    return f"{estimate.mean:.3f}{error}"
