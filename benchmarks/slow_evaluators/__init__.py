"""Four problems with text answers for `screening.py`, and a writer that varies answers at random.

Answers are lists of words. The writer draws a new list from the bare prompt, or changes a few words of the one that a
prompt shows. Rewards are vectors; instances are drawn by a seed.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.spatial.distance import pdist, squareform

from search.records import Candidate, Prompt, Variation
from search.seeds import stable_hash

SHOWN = "vary: "


class Words:
    """What the problems have in common; each says how a word is drawn, how one is changed, and what a list earns."""

    num_answers, length = 1, 0

    def __init__(self, seed: int) -> None:
        self.id = f"{type(self).__name__.lower()}-{seed}"
        self.prompt = f"{self.id}: write {self.length} words"
        self.rng = np.random.default_rng(seed)
        self.known: dict[str, tuple[float, ...]] = {}  # shared by the arms of a comparison: evaluation is slow

    def parse(self, text: str) -> list[str]:
        return [text]

    def evaluate(self, answers: Sequence[str]) -> list[tuple[float, ...]]:
        return [self.score(answer) for answer in answers]

    def score(self, answer: str) -> tuple[float, ...]:
        if answer not in self.known:
            self.known[answer] = tuple(float(each) for each in self.rewards(answer.split()))
        return self.known[answer]

    def scalar(self, vector: Sequence[float]) -> float:
        return sum(vector) / len(vector)

    def vary(self, parent: Candidate, inspirations: Sequence[Candidate], rng: random.Random) -> Variation:
        return Variation(prompt=SHOWN + parent.answer)

    def write(self, prompt: Prompt, prefix: str, seed: int) -> str:
        rng = random.Random(stable_hash(str(prompt), seed))
        if not str(prompt).startswith(SHOWN):
            return " ".join(self.word(place, rng) for place in range(self.length))
        words = str(prompt).removeprefix(SHOWN).split()
        for _ in range(rng.randint(1, 3)):
            place = rng.randrange(self.length)
            words[place] = self.changed(words[place], place, rng)
        return " ".join(words)

    def word(self, place: int, rng: random.Random) -> str:
        raise NotImplementedError(f"{type(self).__name__} writes its words in another way")

    def changed(self, word: str, place: int, rng: random.Random) -> str:
        return self.word(place, rng)

    def rewards(self, words: list[str]) -> Any:
        raise NotImplementedError


class Landscape(Words):
    """NK landscape (Kauffman): 20 letters out of 4, each paid by a table of itself and its neighbour; 4 components."""

    length = 20

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.table = self.rng.random((self.length, 4, 4))

    def word(self, place: int, rng: random.Random) -> str:
        return rng.choice("abcd")

    def rewards(self, words: list[str]) -> Any:
        letters = ["abcd".index(word) for word in words]
        paid = [self.table[i, a, b] for i, (a, b) in enumerate(zip(letters, letters[1:] + letters[:1], strict=True))]
        return [np.mean(paid[component::4]) for component in range(4)]


class Knapsack(Words):
    """30 items in or out, values in 3 currencies; a choice that is too heavy is paid for what fits of it, in order."""

    length = 30

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.weights = self.rng.integers(1, 10, self.length)
        self.values = self.rng.integers(0, 10, (self.length, 3)) * (self.rng.random((self.length, 3)) < 0.5)

    def word(self, place: int, rng: random.Random) -> str:
        return f"take{place}" if rng.random() < 0.5 else "skip"

    def rewards(self, words: list[str]) -> Any:
        left, earned = 0.35 * self.weights.sum(), np.zeros(3)
        for place, word in enumerate(words):
            if word != "skip" and self.weights[place] <= left:
                left -= self.weights[place]
                earned += self.values[place]
        return earned / self.values.sum(axis=0)


class Circles(Words):
    """Centres of 8 circles in the unit square, each as large as its nearest neighbour allows half-way.

    Components: the sum of radii, and the smallest of them.
    """

    length = 16

    def word(self, place: int, rng: random.Random) -> str:
        return f"{rng.random():.3f}"

    def changed(self, word: str, place: int, rng: random.Random) -> str:
        return f"{min(1.0, max(0.0, float(word) + rng.gauss(0, 0.1))):.3f}"

    def rewards(self, words: list[str]) -> Any:
        centres = np.array([float(word) for word in words]).reshape(-1, 2)
        walls = np.minimum(centres, 1 - centres).min(axis=1)
        distances = squareform(pdist(centres)) + 2 * np.eye(len(centres))
        radii = np.minimum(walls, distances.min(axis=1) / 2)
        return radii.sum(), radii.min()


class FlowShop(Words):
    """Order of 15 jobs on 5 machines (permutation flow shop). Components: makespan, and mean time of completion."""

    length = 15

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.seconds = self.rng.integers(1, 100, (self.length, 5))

    def write(self, prompt: Prompt, prefix: str, seed: int) -> str:
        rng = random.Random(stable_hash(str(prompt), seed))
        if not str(prompt).startswith(SHOWN):
            return " ".join(rng.sample([f"job{job}" for job in range(self.length)], self.length))
        words = str(prompt).removeprefix(SHOWN).split()
        for _ in range(rng.randint(1, 3)):
            words.insert(rng.randrange(self.length), words.pop(rng.randrange(self.length)))
        return " ".join(words)

    def rewards(self, words: list[str]) -> Any:
        free, ends = np.zeros(5), []
        for word in words:
            end = 0.0
            for machine, seconds in enumerate(self.seconds[int(word.removeprefix("job"))]):
                end = free[machine] = max(end, free[machine]) + seconds
            ends.append(end)
        return self.seconds.sum(axis=0).max() / max(ends), self.seconds.sum(axis=1).mean() / np.mean(ends)


PROBLEMS: dict[str, type[Words]] = {
    "landscape": Landscape,
    "knapsack": Knapsack,
    "circles": Circles,
    "flow shop": FlowShop,
}
