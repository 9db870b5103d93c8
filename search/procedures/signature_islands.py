"""FunSearch (Romera-Paredes et al., Nature 2024): islands of clusters; the answers of a cluster earn the same vector.

A prompt shows a few answers of different clusters, the best one as the parent. Clusters are drawn by a softmax of their
scalar whose temperature falls linearly to 0 and starts over after each period; within a cluster short answers are
preferred. Now and then the worse half of the islands is emptied, and each gets the best answer of an island that
survived. Departures: resets come by answers, not by hours, as a procedure has no clock; the islands start from i.i.d.
draws, not from one given program; a share of each batch stays i.i.d.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from search.archives.clusters import Clusters
from search.procedures.islands import Islands
from search.procedures.options import check_count, check_non_negative, check_share
from search.procedures.proposing import IID_HINT, iid_draw, num_iid, varied
from search.procedures.protocol import Vary
from search.records import Proposal, Result
from search.seeds import stable_hash


class SignatureIslands:
    """Islands of clusters by reward vector.

    Args:
        vary: ``Problem.vary``, or any function like it.
        num_islands: Separate populations.
        num_inspirations: Answers of other clusters that are shown beside the parent, at most.
        temperature: Of the softmax over the scalars of clusters, at the beginning of each period.
        temperature_period: Valid answers of an island until its temperature has come down to 0 and starts over.
        reset_every: Answers of the whole search between two resets.
        cluster_size: Most answers that a cluster keeps, the shortest.
        iid_share: Share of each batch drawn from the bare prompt, in [0, 1].

    Attributes:
        islands: The populations.

    Raises:
        ValueError: An option lies outside its range.
    """

    def __init__(
        self,
        vary: Vary,
        *,
        num_islands: int = 10,
        num_inspirations: int = 1,
        temperature: float = 0.1,
        temperature_period: int = 30_000,
        reset_every: int = 2_000,
        cluster_size: int = 16,
        iid_share: float = 0.25,
    ) -> None:
        check_count("num_islands", num_islands, 1, "10 is the default.")
        check_count("num_inspirations", num_inspirations, 0, "1 is the default.")
        check_non_negative("temperature", temperature, "0.1 is the default, 0 takes the best cluster.")
        check_count("temperature_period", temperature_period, 1, "30000 is the default.")
        check_count("reset_every", reset_every, 1, "2000 is the default.")
        check_count("cluster_size", cluster_size, 1, "16 is the default.")
        check_share("iid_share", iid_share, IID_HINT)
        self.num_inspirations, self.iid_share, self.cluster_size = num_inspirations, iid_share, cluster_size
        self.temperature, self.temperature_period, self.reset_every = temperature, temperature_period, reset_every
        self.islands = Islands((Clusters(cluster_size) for _ in range(num_islands)), reset_every)
        self._vary = vary

    def ask(self, num: int, rng: random.Random, pending: Sequence[Proposal] = ()) -> list[Proposal]:
        """Propose ``num`` requests: i.i.d. ones first, then varied members of the islands."""
        settled = self.islands.settled()
        free = num_iid(self.iid_share, num, rng) if settled else num
        proposals = [iid_draw(len(self.islands), rng) for _ in range(free)]
        for _ in range(num - free):
            island = rng.choice(settled)
            clusters = self.islands[island]
            *shown, parent = clusters.pick(1 + self.num_inspirations, self.temperature_of(clusters), rng)
            proposals.append(varied(self._vary, parent, shown, rng, island))
        return proposals

    def temperature_of(self, clusters: Clusters) -> float:
        """Temperature of an island's softmax by now."""
        return self.temperature * (1 - (clusters.num_added % self.temperature_period) / self.temperature_period)

    def tell(self, results: Sequence[Result]) -> None:
        """Add every valid answer to its cluster on the island of its proposal; reset islands when it is time."""
        for result in results:
            if self.islands.admit(result):
                self._reset()

    def _reset(self) -> None:
        """Empty the worse half of the islands, by their best scalar; which survivor founds which is a hash."""
        best = [-float("inf") if island.best is None else island.best.scalar for island in self.islands]
        order = sorted(range(len(best)), key=best.__getitem__)
        worse, better = order[: len(order) // 2], order[len(order) // 2 :]
        for island in worse:
            founder = self.islands[better[stable_hash("founder", self.islands.num_answers, island) % len(better)]].best
            self.islands[island] = Clusters(self.cluster_size)
            if founder is not None:
                self.islands[island].add(founder)

    def describe(self) -> dict[str, Any]:
        """Name and settings."""
        return {
            "name": "signature_islands",
            "num_islands": len(self.islands),
            "num_inspirations": self.num_inspirations,
            "temperature": self.temperature,
            "temperature_period": self.temperature_period,
            "reset_every": self.reset_every,
            "cluster_size": self.cluster_size,
            "iid_share": self.iid_share,
        }
