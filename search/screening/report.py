"""What became of a screen, read from the ledger of a run: its evidence folded again, and told in words."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

from search.fold import fold
from search.ledger import LedgerError, read_search
from search.rows import Row, answers_of, decisions_of
from search.screening.rules import Screening
from search.screening.screen import new_trial
from search.screening.trial import Trial


def read_trials(path: str | os.PathLike[str]) -> dict[str, Trial]:
    """The evidence on each problem of a ledger, by problem id; nothing if the run has no screen.

    Raises:
        FileNotFoundError: There is no such file.
        LedgerError: The file is damaged, or holds no header.
    """
    return fold_trials(*read_search(path))


def fold_trials(config: Mapping[str, Any], rows: Sequence[Row]) -> dict[str, Trial]:
    """The same of a ledger that was read."""
    if "screen" not in config:
        return {}
    try:
        rules = Screening(**config["screen"])
    except (ValueError, TypeError) as error:
        raise LedgerError(f"the ledger's screen makes no sense ({error}): restore the file from a copy.") from error
    evaluated = {(row["problem"], row["number"]): row for row in rows if row["kind"] == "evaluation"}
    trials: dict[str, Trial] = {}
    for told in fold(config, rows):
        trial = trials[told.problem_id] = new_trial(rules, told.problem_id, config["seed"])
        for result in told.results:
            row = evaluated[told.problem_id, result.number]
            trial.take(decisions_of(row), answers_of(row))
    return trials


def verdict(trial: Trial) -> str:
    """One sentence on what the audit found."""
    tally, tolerance = trial.tally, trial.rules.tolerance
    stands = "on" if trial.on else "off"
    if not tally.audited:
        return f"{stands}; nothing was audited"
    rate, low, high = tally.miss_rate()
    said = (
        f"{stands}; {sum(tally.audited)} of {len(tally.audited)} audited would have beaten the best so far: {rate:.1%}"
    )
    skill = sum(tally.skills) / len(tally.skills) if tally.skills else math.nan
    return (
        f"{said} ({low:.1%} to {high:.1%} with 95%; tolerance {tolerance:.0%}), about {tally.share_lost():.0%} of all "
        f"such answers lost; skill {skill:.2f}"
    )
