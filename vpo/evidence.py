"""Evidence that a mean lies above a bound, look after look, which may be judged at any time: an e-process.

A test at every look of a run errs often: a fixed threshold is crossed by chance sooner or later, and the samples of one
prompt are no independent witnesses. Here the unit is the *prompt*: each gives one number in [0, 1] per look, such as
the share of its samples that have a format. A bet multiplies its stake by ``prod_x (1 + b (X_x - c))`` at each look. If
the mean over prompts of what these numbers are expected to be is at most ``c``, no bet gains on average: prompts are
sampled independently given the policy, so the expected factor is ``prod_x (1 + b (mu_x - c))``, which by the inequality
of the means is at most ``(1 + b (mu - c))^P <= 1``. Prompts may differ as they like, but a bet must not change within a
look. On a fixed panel of prompts the same holds of single *samples*: given the policy they are decoded independently,
and the mean is the panel's; a sample is then a unit of its own, and evidence grows faster by far. With fresh prompts at
each look, luck in which prompts are drawn is shared by a prompt's samples, and the unit must be the prompt.
Capital ``1 / alpha`` is therefore reached with probability ``alpha`` at most, however long one looks (Ville).

Three processes are kept for every bet, and averaged over bets, which keeps their guarantees and needs no tuning:

* the *product*: one stake, placed at the first look. It is spent by a long quiet beginning.
* *Shiryaev-Roberts*: a new stake at every look, ``S_t = (S_{t-1} + 1) E_t``, so that a late change is not missed. If
  nothing changes, the mean time to ``S >= A`` is ``A`` looks at least, and ``S >= T / alpha`` occurs within ``T`` looks
  with probability ``alpha`` at most (``S_t - t`` is a supermartingale).
* *spread*: one stake, of which the share ``1 / (t (t + 1))`` is placed at look ``t``. It sees late changes too, and
  reaches ``1 / alpha`` with probability ``alpha`` at most for however many looks; their number need not be known.

Waudby-Smith and Ramdas, arXiv 2010.09686 (bets); Shin, Ramdas and Rinaldo, arXiv 2203.03532 (detectors).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

BETS: tuple[float, ...] = (0.2, 0.35, 0.5, 0.7)
"""Stakes as fractions of the largest bet that cannot lose everything, ``1 / c``."""


def log_gains(values: ArrayLike, bound: float, bets: Sequence[float] = BETS) -> Array:
    """Logarithm of what each bet multiplies its stake by at one look.

    Args:
        values: (P,) one number in [0, 1] for each independent unit: a prompt, or a sample of a fixed panel.
        bound: c in (0, 1): the hypothesis is that the mean is at most c.
        bets: L fractions in (0, 1) of the largest bet.

    Returns:
        (L,) natural logarithms. ``exp`` of any of them, or the mean over them, is an e-value.

    Raises:
        ValueError: No values, a value outside [0, 1], or a bound or bet outside (0, 1).
    """
    given = np.asarray(values, dtype=np.float64)
    if given.ndim != 1 or given.size == 0:
        raise ValueError(f"values have shape {given.shape}: expected (P,), one number a prompt. Average its samples.")
    if not (np.isfinite(given).all() and given.min() >= 0 and given.max() <= 1):
        raise ValueError(
            f"values reach from {given.min()} to {given.max()}: expected [0, 1], on which the guarantee rests. Give a "
            "share, or map a difference d in [-1, 1] to (1 + d) / 2."
        )
    if not 0 < bound < 1:
        raise ValueError(f"bound is {bound}: expected a number in (0, 1).")
    fractions = np.asarray(bets, dtype=np.float64)
    if fractions.ndim != 1 or fractions.size == 0 or not ((fractions > 0) & (fractions < 1)).all():
        raise ValueError(f"bets are {bets}: expected fractions in (0, 1), at least one.")
    return np.log1p((fractions / bound)[:, None] * (given - bound)).sum(axis=1)


@dataclass(eq=False)
class Evidence:
    """Evidence against "the mean is at most ``bound``", gathered over looks.

    The state is what :meth:`look` was given, in order: replaying the looks restores it.

    Attributes:
        bound: c.
        bets: Fractions of the largest bet.
        looks: Looks so far.
    """

    bound: float
    bets: Sequence[float] = BETS
    looks: int = 0
    _product: Array = field(init=False, repr=False)  # (L,) logarithms
    _restarted: Array = field(init=False, repr=False)
    _spread: Array = field(init=False, repr=False)

    def __post_init__(self) -> None:
        log_gains([self.bound], self.bound, self.bets)  # the same checks
        self._product = np.zeros(len(self.bets))
        self._restarted = np.full(len(self.bets), -np.inf)
        self._spread = np.full(len(self.bets), -np.inf)  # of what is placed; the rest is kept aside

    def look(self, values: ArrayLike) -> float:
        """Take in one look.

        Args:
            values: (P,) numbers in [0, 1]; P may change from look to look.

        Returns:
            Natural logarithm of this look's own e-value.

        Raises:
            ValueError: As :func:`log_gains`.
        """
        gains = log_gains(values, self.bound, self.bets)
        self.take(gains)
        return _log_mean(gains)

    def take(self, gains: ArrayLike) -> None:
        """Take in one look by its (L,) gains, as :func:`log_gains` gave them: how a resumed run restores its looks."""
        gains = np.asarray(gains, dtype=np.float64)
        self._product = self._product + gains
        self._restarted = np.logaddexp(self._restarted, 0.0) + gains
        self.looks += 1
        self._spread = np.logaddexp(self._spread, -np.log(self.looks * (self.looks + 1))) + gains

    @property
    def log_product(self) -> float:
        """Log of the product process; 0 before the first look. Reaching ``log(1 / alpha)`` has probability alpha."""
        return _log_mean(self._product)

    @property
    def log_restarted(self) -> float:
        """Log of the Shiryaev-Roberts process; minus infinity before the first look."""
        return _log_mean(self._restarted)

    @property
    def log_spread(self) -> float:
        """Log of the spread process with what is not yet placed; 0 before the first look. Judged as the product."""
        return float(np.logaddexp(_log_mean(self._spread), -np.log(self.looks + 1)))


def band(values: ArrayLike, alpha: float, resolution: int = 400) -> tuple[float, float]:
    """Interval for the mean over prompts of what one look's values are expected to be, from the same bets.

    It holds with probability ``1 - alpha`` at every number of prompts, under the assumptions of the e-values. For a
    curve over T looks that holds everywhere at once, give ``alpha / T``; over any number of looks
    ``alpha / (t * (t + 1))`` at look t.

    Args:
        values: (P,) numbers in [0, 1].
        alpha: Probability of missing the mean, half of it on either side.
        resolution: Bounds tried between 0 and 1; the interval is rounded outwards to them.

    Returns:
        Lower and upper end.

    Raises:
        ValueError: As :func:`log_gains`, or alpha is outside (0, 1).
    """
    log_gains(values, 0.5)  # the same checks
    low, high = bands(np.asarray(values, dtype=np.float64)[None], alpha, resolution)[0]
    return float(low), float(high)


def bands(values: Array, alpha: float, resolution: int = 400) -> Array:
    """:func:`band` of several quantities at once, each with its own probability: (K, P) values give (K, 2) ends."""
    if not 0 < alpha < 1:
        raise ValueError(f"alpha is {alpha}: expected a probability in (0, 1), such as 0.05.")
    threshold = float(np.log(2 / alpha))
    lower, upper = _lower_ends(values, threshold, resolution), 1 - _lower_ends(1 - values, threshold, resolution)
    return np.stack([lower, upper], axis=1)


def _lower_ends(values: Array, threshold: float, resolution: int) -> Array:
    """(K,) largest bounds of the grid below which all bounds are refuted: evidence falls as the bound rises."""
    low = np.zeros(len(values), dtype=np.int64)
    high = np.full(len(values), resolution)
    fractions = np.asarray(BETS)[:, None, None]
    for _ in range(int(np.ceil(np.log2(resolution)))):
        middle = (low + high) // 2
        bound = (np.maximum(middle, 1) / resolution)[:, None]  # (K, 1); bound 0 is refuted by nothing and never asked
        gains = np.log1p(fractions / bound * (values - bound)).sum(axis=2)  # (L, K)
        refuted = (np.logaddexp.reduce(gains, axis=0) - np.log(len(gains)) >= threshold) & (middle > 0)
        open_ = high - low > 1
        low = np.where(open_ & refuted, middle, low)
        high = np.where(open_ & ~refuted, middle, high)
    return np.asarray(low / resolution)


def _log_mean(logs: Array) -> float:
    return float(np.logaddexp.reduce(logs) - np.log(len(logs)))
