"""Does what holds on mazes hold on another task? The multi-objective knapsack, nothing tuned on it.

Each seed warm-starts a fresh looped policy on choices of 8 items with values in 3 currencies and trains it on under
several objectives, all with the same number of generated tokens; then 30 answers a policy are drawn for each of 100
held-out instances, beside the controls of `maze.py`. About 8 minutes a seed on 2 cores; it goes on where it stopped.
"""

from __future__ import annotations

import sys
from typing import Any

from objectives.run import run
from objectives.tables import Tables
from targets import Target


def checks(tables: Tables) -> tuple[dict[str, Any], list[Target]]:
    """Does the policy read its prompt at all?"""
    rows = tables.rows()
    losses = [sum(rows[name]["best@1"]) - sum(rows[f"{name}, shuffled prompts"]["best@1"]) for name in tables.curves]
    loss = min(losses) / len(tables.studies)
    return {}, [Target("validity: least loss of best@1 when prompts are shuffled", loss, 0.1)]


if __name__ == "__main__":
    sys.exit(run(__doc__ or "", "knapsack", 0, checks))
