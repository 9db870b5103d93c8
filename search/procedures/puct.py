"""Tree search by PUCT as in TTT-Discover (arXiv 2601.16175): which answer is worth varying next?

    score(i) = Q_i + c * scale * P_i * sqrt(1 + T) / (1 + n_i)

* Q_i: the best scalar among the children of i, its own while it has none. The maximum, not the mean: a search wants one
  good answer.
* P_i: prior (N - rank_i) / sum, rank 0 for the highest scalar of N nodes. * scale: largest minus smallest scalar.
* n_i: expansions of i and of all below it. * T: expansions in all. * c: exploration.

A batch takes the best scores, but never two of one line of descent, so it is diverse by construction. Departures: the
root is the bare prompt and stays available (P of the last rank), where the paper starts from given programs; lines are
also blocked by what is on its way; when every line is blocked, the batch goes on with the visits it has made so far. An
expansion is one completion, its best ``children_kept`` new answers become nodes. It climbs one scalar by definition.
"""

from __future__ import annotations

import math
import random
from bisect import insort
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search.archives.columns import Columns
from search.procedures.options import check_count, check_non_negative
from search.procedures.proposing import valid, varied
from search.procedures.protocol import Vary
from search.records import Candidate, Proposal, Result

_ROOT = 0
_VALUE, _BEST_CHILD, _VISITS = range(3)


class PUCT:
    """Tree of answers; every ask expands those of highest PUCT score.

    Args:
        vary: ``Problem.vary``, or any function like it.
        exploration: c of the formula; 0 is greedy.
        capacity: Most answers that can be expanded: the highest scalars, the earlier ones of equals.
        children_kept: Most answers of one completion that become nodes.

    Attributes:
        num_expansions: T of the formula.
        nodes: Every answer that was ever a node, in order; node i of the tree is ``nodes[i - 1]``, and 0 the root.

    Raises:
        ValueError: An option lies outside its range.
    """

    def __init__(self, vary: Vary, *, exploration: float = 1.0, capacity: int = 1000, children_kept: int = 2) -> None:
        check_non_negative("exploration", exploration, "1.0 is the default, 0 never explores.")
        check_count("capacity", capacity, 1, "1000 is the default.")
        check_count("children_kept", children_kept, 1, "2 is the default.")
        self.exploration, self.capacity, self.children_kept = exploration, capacity, children_kept
        self.num_expansions = 0
        self.nodes: list[Candidate] = []
        self._parents: list[int] = [_ROOT]
        self._node_of: dict[int, int] = {}  # candidate id -> node
        self._answers: set[str] = set()
        self._ranked: list[tuple[float, int]] = []  # (-scalar, node) of those that can be expanded
        self._members: NDArray[np.intp] = np.array([_ROOT])  # the same, best first, and the root at the end
        self._stats = Columns()  # rows: value, best child, visits
        self._stats.append((-math.inf, -math.inf, 0))
        self._vary = vary

    def ask(self, num: int, rng: random.Random, pending: Sequence[Proposal] = ()) -> list[Proposal]:
        """Expand the best scores, one per line of descent."""
        if not self.nodes:
            return [Proposal() for _ in range(num)]
        visits = self._stats.values[_VISITS].copy()
        lines = _Lines(self)
        for proposal in pending:
            visits[lines.take(self._expanded_by(proposal))] += 1
        proposals: list[Proposal] = []
        while len(proposals) < num:
            total = self.num_expansions + len(pending) + len(proposals)
            scores = self._scores(visits, total)
            order = np.lexsort((np.arange(len(scores)), -scores))  # of equal scores, the higher scalar
            for node in map(int, self._members[order]):
                if not lines.are_blocked(node):
                    visits[lines.take(node)] += 1
                    proposals.append(Proposal() if node == _ROOT else varied(self._vary, self.nodes[node - 1], (), rng))
                    if len(proposals) == num:
                        break
            lines = _Lines(self)
        return proposals

    def tell(self, results: Sequence[Result]) -> None:
        """Count each expansion up to the root, and hang new answers below what was expanded."""
        for result in results:
            parent = self._expanded_by(result.proposal)
            self.num_expansions += 1
            stats = self._stats.values
            stats[_VISITS, list(self._line(parent))] += 1
            found = sorted(valid(result), key=lambda candidate: -candidate.scalar)
            if found:
                stats[_BEST_CHILD, parent] = max(stats[_BEST_CHILD, parent], found[0].scalar)
            num_before = len(self.nodes)
            for candidate in found:
                if candidate.answer not in self._answers and len(self.nodes) < num_before + self.children_kept:
                    self._hang(candidate, parent)
        self._members = np.array([*(node for _, node in self._ranked), _ROOT])

    def _hang(self, candidate: Candidate, parent: int) -> None:
        node = len(self._parents)
        self.nodes.append(candidate)
        self._parents.append(parent)
        self._node_of[candidate.id] = node
        self._answers.add(candidate.answer)
        self._stats.append((candidate.scalar, -math.inf, 0))
        insort(self._ranked, (-candidate.scalar, node))
        del self._ranked[self.capacity :]

    def _scores(self, visits: NDArray[np.float64], total: int) -> NDArray[np.float64]:
        """PUCT score of each member, given the visits so far."""
        value, best_child = self._stats.values[:_VISITS, self._members]
        quality = np.where(np.isfinite(best_child), best_child, value)
        if not np.isfinite(quality[-1]):  # the root, if no free draw ever gave a valid answer
            quality[-1] = value[:-1].min()
        num = len(self._members)
        prior = np.arange(num, 0, -1) / (num * (num + 1) / 2)
        scale = max(value[0] - value[-2], 1e-6)  # best and worst answer; the root has no value
        bonus: NDArray[np.float64] = scale * prior * math.sqrt(1 + total) / (1 + visits[self._members])
        return quality + self.exploration * bonus

    def _expanded_by(self, proposal: Proposal) -> int:
        return self._node_of.get(proposal.parents[0], _ROOT) if proposal.parents else _ROOT

    def _line(self, node: int) -> Iterator[int]:
        """Iterate from a node up to the root, both included."""
        while node != _ROOT:
            yield node
            node = self._parents[node]
        yield _ROOT

    def describe(self) -> dict[str, Any]:
        """Name and settings."""
        return {
            "name": "puct",
            "exploration": self.exploration,
            "capacity": self.capacity,
            "children_kept": self.children_kept,
        }


class _Lines:
    """Lines of descent that are taken already. The root blocks itself alone: everything descends from it."""

    def __init__(self, tree: PUCT) -> None:
        self._tree = tree
        self._taken: set[int] = set()
        self._above: set[int] = set()

    def take(self, node: int) -> list[int]:
        """Block the line of a node.

        Returns:
            The node and all above it.
        """
        line = list(self._tree._line(node))
        self._taken.add(node)
        self._above.update(line[:-1])
        return line

    def are_blocked(self, node: int) -> bool:
        """Whether the node, one above it or one below it is taken."""
        if node == _ROOT:
            return _ROOT in self._taken
        return node in self._above or any(above in self._taken for above in self._tree._line(node) if above != _ROOT)
