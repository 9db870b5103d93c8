"""Is the screen right? Evidence that is gathered answer by answer, and what follows from it: on, or off.

Two things are tested, look after look, by e-processes (`vpo.evidence`), which may be judged at any time.

*Misses.* An answer below the bar is a miss if, evaluated, it beats the best so far under some weighting. While the
screen is on, those below the bar are evaluated with the audit's probability, drawn independently of everything, so what
was drawn stands for what was not. Hypothesis: given the past, the probability of a miss is at most the tolerance.

*Skill.* Told answers are taken in blocks of six. Blocks do not end when it suits, so a population that improves favours
nobody. While the screen is off all six are evaluated. Hypothesis: merits say nothing, so given them and the past any
order of the six is as likely as any other. The screen is switched on when that is refuted, and what it would have
missed lately is within the tolerance. While it is on, a block's skill is the share of its pairs, one above the bar and
one below, both evaluated, in which the one above is better (ties count half). Hypothesis: given the past, its mean is
at least the least skill. The screen is switched off when that, or the one on misses, is refuted, each at half the
error. See `search.screening.skill` for both measures.

Each switch begins a period with evidence of its own. The j-th period on, and the j-th period off, has the share
``1 / (j (j + 1))`` of the error, so the whole run errs with the stated probability however often it is switched.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, field

import numpy as np

from search.outcomes import Judged
from search.screening.decisions import Decision, Switch
from search.screening.front import Array, Front
from search.screening.rules import Screening
from search.screening.skill import BETAS, order_evidence, pair_skill
from vpo.evidence import BETS, Evidence, band

_BETS = (*BETS, 0.9)
_BLOCK = 6
_ERRORS = 64
_FEWEST_ERRORS = 6


@dataclass
class Tally:
    """Counts of a whole run.

    Attributes:
        num_judged: Answers that the screen had an opinion of.
        num_dropped: Answers that were not evaluated.
        audited: For each audited answer, whether it was a miss.
        shadow: The same of those that were below the bar while the screen was off.
        num_kept, num_kept_better: Answers that were kept while it was on, and those that beat the best so far.
        skills: Of each block while it was on.
    """

    num_judged: int = 0
    num_dropped: int = 0
    audited: list[bool] = field(default_factory=list)
    shadow: list[bool] = field(default_factory=list)
    num_kept: int = 0
    num_kept_better: int = 0
    skills: list[float] = field(default_factory=list)

    def miss_rate(self, error: float = 0.05) -> tuple[float, float, float]:
        """Audited miss rate with the ends of an interval that holds, at all times together, but for ``error``."""
        if not self.audited:
            return math.nan, 0.0, 1.0
        low, high = band([float(each) for each in self.audited], error)
        return sum(self.audited) / len(self.audited), low, high

    def share_lost(self) -> float:
        """Estimated share of the answers that would have beaten the best so far and were not evaluated."""
        if not self.audited:
            return math.nan
        caught = sum(self.audited)
        lost = self.num_dropped * caught / len(self.audited)
        every = lost + caught + self.num_kept_better
        return lost / every if every else 0.0


class Trial:
    """The evidence on one problem; a fold over what was told.

    Args:
        rules: Tolerance, skill, error, and whether it begins switched on.
        seed: Of the weightings.

    Attributes:
        front: The best so far under each weighting.
        on: Whether the screen is on.
        period: Switches so far.
        num_told: Results so far.
        tally: Counts so far.
        switches: All switches, in order.
    """

    def __init__(self, rules: Screening, seed: int) -> None:
        self.rules, self.front = rules, Front(seed)
        self.on, self.period, self.num_told = rules.trusted, 0, 0
        self.tally, self.switches = Tally(), list[Switch]()
        self._num_lately = math.ceil(2 / rules.tolerance)
        self._errors: deque[float] = deque(maxlen=_ERRORS)  # of merits against leads
        self._begin()

    def take(self, decisions: Sequence[Decision], judged: Sequence[Judged]) -> Switch | None:
        """Take in the next result.

        Args:
            decisions: On its new answers.
            judged: Its evaluated answers.

        Returns:
            The switch that follows, if one does.
        """
        self.num_told += 1
        found = {each.key: each for each in judged}
        for decision in decisions:
            self.tally.num_judged += 1
            real = found.get(decision.key) if decision.evaluated else None
            if real is None:
                self.tally.num_dropped += 1
            current = (decision.on, decision.period) == (self.on, self.period)
            if real is not None:
                self._count(decision, bool(self.front.beaten_by(_leads(self.front, [real]))[0]), current)
            if current:  # what was decided before the last switch is evidence of nothing now
                if not self._block:
                    self._before = copy(self.front)
                self._block.append((decision, real))
                if len(self._block) == _BLOCK:
                    self._close_block()
        valid = [each for each in judged if each.evaluation.status == "ok"]
        if valid:
            self.front.add(*_arrays(valid))
        return self._judge()

    @property
    def log_evidence(self) -> dict[str, float]:
        """Natural logarithm of this period's evidence for "misses", and for "no skill", or for "skill" while off."""
        return {"misses": _log_evidence(self._misses), "no skill" if self.on else "skill": _log_evidence(self._skill)}

    def _begin(self) -> None:
        self._misses = Evidence(self.rules.tolerance, _BETS)
        # While on, of one minus the skill: evidence is against "at most", and there "at least" is tested. While off it
        # takes logarithms of e-values as they are, one for each beta in the place of one for each bet
        self._skill = Evidence(1 - self.rules.least_skill, _BETS) if self.on else Evidence(0.5, BETS[: len(BETAS)])
        self._block: list[tuple[Decision, Judged | None]] = []
        self._lately: deque[bool] = deque(maxlen=self._num_lately)

    def _count(self, decision: Decision, better: bool, current: bool) -> None:
        if decision.verdict == "keep":
            self.tally.num_kept += decision.on
            self.tally.num_kept_better += decision.on and better
            return
        (self.tally.audited if decision.on else self.tally.shadow).append(better)
        if current:
            self._lately.append(better)
            self._misses.look([float(better)])

    def _close_block(self) -> None:
        pairs = [(decision, each) for decision, each in self._block if each is not None]
        self._block = []
        if not pairs:
            return
        # Against what was known when the block began: none of the six is measured by what another one has found
        leads = _leads(self._before, [each for _, each in pairs])
        leads = np.maximum(leads, leads[np.isfinite(leads)].min(initial=0.0) - 1)
        merits = np.array([decision.merit for decision, _ in pairs])
        keeps = np.array([decision.verdict == "keep" for decision, _ in pairs])
        if self.on:
            skill = pair_skill(leads[keeps], leads[~keeps])
            if not math.isnan(skill):
                self.tally.skills.append(skill)
                self._skill.look([1 - skill])
        elif len(self._errors) >= _FEWEST_ERRORS:
            self._skill.take(order_evidence(merits, leads, max(float(np.std(self._errors)), 1e-9)))
        self._errors += (leads - merits).tolist()

    def _judge(self) -> Switch | None:
        nth = self.period // 2 + 1  # of those with the screen as it is now
        error = self.rules.error / (nth * (nth + 1))
        evidence = self.log_evidence
        if not self.on:
            enough = len(self._lately) >= self._num_lately / 2
            within = enough and sum(self._lately) <= self.rules.tolerance * len(self._lately)
            if within and evidence["skill"] >= math.log(1 / error):
                return self._switch(
                    "what it would keep is better than what it would drop (evidence "
                    f"{_grown(evidence['skill'])}, needed {1 / error:.3g}), and {sum(self._lately)} of the last "
                    f"{len(self._lately)} that it would drop would have beaten the best so far"
                )
            return None
        if evidence["misses"] >= math.log(2 / error):
            return self._switch(
                f"more than {self.rules.tolerance:g} of what it drops would have beaten the best so far (evidence "
                f"{_grown(evidence['misses'])}, needed {2 / error:.3g}; {sum(self._lately)} of the last "
                f"{len(self._lately)} that were audited)"
            )
        if evidence["no skill"] >= math.log(2 / error):
            return self._switch(
                f"what it keeps is better than what it drops in less than {self.rules.least_skill:g} of all pairs "
                f"(evidence {_grown(evidence['no skill'])}, needed {2 / error:.3g})"
            )
        return None

    def _switch(self, reason: str) -> Switch:
        self.on, self.period = not self.on, self.period + 1
        self._begin()
        self.switches.append(Switch(self.on, self.period, self.num_told, reason))
        return self.switches[-1]


def _log_evidence(evidence: Evidence) -> float:
    """Of the mean of two processes: one stake at once, and one spread over time, which sees late changes."""
    return float(np.logaddexp(evidence.log_product, evidence.log_spread) - math.log(2))


def _grown(log_evidence: float) -> str:
    return f"{math.exp(min(log_evidence, 700.0)):.3g}"


def _leads(front: Front, judged: Sequence[Judged]) -> Array:
    """(N,) real leads of evaluated answers; one that is no solution is behind everything."""
    leads = front.leads(*_arrays(judged))
    return np.where([each.evaluation.status == "ok" for each in judged], leads, -np.inf)


def _arrays(judged: Sequence[Judged]) -> tuple[Array, Array]:
    return np.array([each.evaluation.vector for each in judged]), np.array([each.scalar for each in judged])
