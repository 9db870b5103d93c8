"""An invented vocabulary a prompt, so that nothing but layout tells formats apart and nothing but words tells prompts.

Every prompt has content words, names and numbers of its own. All formats of one prompt share them; all texts of one
format share none but its structure.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

_ONSETS = (*"bdfgklmnprstvz", "br", "dr", "fl", "gr", "kl", "pr", "st", "tr")
_VOWELS = (*"aeiou", "ai", "ou", "ea")
_CODAS = ("", "", "n", "r", "l", "s", "m", "sk", "nt")


@dataclass(frozen=True)
class Subject:
    """What one prompt is about.

    Attributes:
        nouns: Content words that no other prompt has, but by chance.
        verbs: More of them.
        names: Capitalised.
        numbers: Numbers that its texts compute with.
    """

    nouns: tuple[str, ...]
    verbs: tuple[str, ...]
    names: tuple[str, ...]
    numbers: tuple[int, ...]


def invented(rng: random.Random) -> str:
    """A word of two or three syllables."""
    return "".join(rng.choice(_ONSETS) + rng.choice(_VOWELS) + rng.choice(_CODAS) for _ in range(rng.randint(2, 3)))


def subject(rng: random.Random) -> Subject:
    """Words and numbers of one prompt."""
    return Subject(
        nouns=tuple(invented(rng) for _ in range(8)),
        verbs=tuple(invented(rng) for _ in range(6)),
        names=tuple(invented(rng).capitalize() for _ in range(3)),
        numbers=tuple(rng.randint(2, 900) for _ in range(8)),
    )


def sentence(about: Subject, rng: random.Random) -> str:
    """Six to fourteen words, some with a number: what a step says."""
    glue = ["the", "of", "and", "to", "with", "in", "for", "a"]
    words = [rng.choice(about.names) if rng.random() < 0.3 else rng.choice(about.nouns).capitalize()]
    for _ in range(rng.randint(5, 13)):
        draw = rng.random()
        if draw < 0.35:
            words.append(rng.choice(glue))
        elif draw < 0.85:
            words.append(rng.choice(about.nouns + about.verbs))
        else:
            words.append(str(rng.choice(about.numbers)))
    if rng.random() < 0.3:
        words[len(words) // 2] += ","
    return " ".join(words)


def equation(about: Subject, rng: random.Random, times: str = "*") -> str:
    """Two or three numbers and what they come to."""
    parts = [str(rng.choice(about.numbers)) for _ in range(rng.randint(2, 3))]
    joined = parts[0]
    for part in parts[1:]:
        joined += f" {rng.choice(['+', '-', times, '/'])} {part}"
    return f"{joined} = {rng.randint(1, 9000)}"
