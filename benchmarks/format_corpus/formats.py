"""Writers of formats, each with the freedom that a policy takes: how many steps, which words, what is left out.

The first seven are those of the discovery target; the others come later and must be seen to be new. Lengths overlap, so
that no format is known by its length.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from itertools import pairwise

from .words import Subject, equation, sentence

Writer = Callable[[Subject, random.Random], str]


def python_function(about: Subject, rng: random.Random) -> str:
    """TinyGSM's: a function whose docstring repeats the question."""
    lines = [f"def {rng.choice(['simple_math_problem', 'solution', 'solve'])}() -> int:"]
    if rng.random() < 0.7:
        lines += ['    """', f"    {sentence(about, rng)}?", '    """']
    names = rng.sample(about.nouns, rng.randint(3, 6))
    lines.append(f"    {names[0]} = {rng.choice(about.numbers)}")
    for before, name in pairwise(names):
        comment = f"  # {sentence(about, rng)}" if rng.random() < 0.3 else ""
        lines.append(f"    {name} = {before} {rng.choice('+-*/')} {rng.choice(about.numbers)}{comment}")
    lines += [f"    result = {names[-1]}", "    return result"]
    return "\n".join(lines)


def tagged_code(about: Subject, rng: random.Random) -> str:
    """OpenMathInstruct-1's: a sentence, code in tags, its output in tags, a boxed answer."""
    names = rng.sample(about.nouns, rng.randint(2, 5))
    body = [f"{name}_{rng.choice(about.verbs)} = {equation(about, rng).split(' =')[0]}" for name in names]
    value = rng.randint(1, 9000)
    opening = [f"Let's {rng.choice(['solve', 'compute'])} this {sentence(about, rng).lower()} in Python."]
    lines = [*opening, "<llm-code>", *body, f"{names[-1]}", "</llm-code>"]
    lines += ["<llm-code-output>", str(value), "</llm-code-output>"]
    return "\n".join([*lines, f"{sentence(about, rng)} \\boxed{{{value}}}."])


def latex(about: Subject, rng: random.Random) -> str:
    """OpenMathInstruct-2's: sentences with displayed formulas, and a boxed answer."""
    lines = []
    for _ in range(rng.randint(2, 5)):
        inline = f" with ${rng.choice('xyzn')} = {rng.choice(about.numbers)}$" if rng.random() < 0.5 else ""
        lines.append(f"{sentence(about, rng)}{inline}:")
        formula = f"\\frac{{{rng.choice(about.numbers)}}}{{{rng.choice(about.numbers)}}} \\times "
        display = f"{formula if rng.random() < 0.5 else ''}{equation(about, rng, chr(92) + 'cdot')}"
        lines += ["\\[", display, "\\]"] if rng.random() < 0.5 else [f"\\[ {display} \\]"]
    return "\n".join([*lines, f"{sentence(about, rng)} $\\boxed{{{rng.randint(1, 9000)}}}$."])


def numbered(about: Subject, rng: random.Random) -> str:
    """Numbered steps with a name in bold."""
    lines = [f"{sentence(about, rng)}:", ""] if rng.random() < 0.6 else []
    for number in range(1, rng.randint(3, 6)):
        title = " ".join(rng.sample(about.nouns, 2)).capitalize()
        lines.append(f"{number}. **{title}**: {sentence(about, rng)}, {equation(about, rng)}.")
    return "\n".join([*lines, "", f"**Answer:** {rng.randint(1, 9000)}"])


def bulleted(about: Subject, rng: random.Random) -> str:
    """Headings with bullets under them."""
    lines = []
    for _ in range(rng.randint(1, 3)):
        lines.append(f"## {' '.join(rng.sample(about.nouns, 2)).capitalize()}")
        lines += [f"- {sentence(about, rng)}" for _ in range(rng.randint(2, 4))]
        lines.append("")
    return "\n".join([*lines, "## Answer", f"{sentence(about, rng)} {rng.randint(1, 9000)}."])


def calculator(about: Subject, rng: random.Random) -> str:
    """GSM8K's: sentences with calculator annotations, and four hashes."""
    lines = []
    for _ in range(rng.randint(2, 6)):
        first, second = rng.choice(about.numbers), rng.choice(about.numbers)
        sign = rng.choice("+-*/")
        value = rng.randint(1, 9000)
        lines.append(f"{sentence(about, rng)} {first}{sign}{second} = <<{first}{sign}{second}={value}>>{value}.")
    return "\n".join([*lines, f"#### {rng.randint(1, 9000)}"])


def json_object(about: Subject, rng: random.Random) -> str:
    """An object with a list of steps, indented."""
    steps = [{"text": sentence(about, rng), "value": rng.randint(1, 9000)} for _ in range(rng.randint(2, 4))]
    found = {rng.choice(about.nouns): sentence(about, rng), "steps": steps, "answer": rng.randint(1, 9000)}
    return json.dumps(found, indent=2)


def plain_prose(about: Subject, rng: random.Random) -> str:
    """One paragraph, no mark of any kind."""
    told = [f"{rng.choice(['First', 'Then', 'So', 'Now'])} {sentence(about, rng).lower()}" for _ in range(5)]
    return ". ".join([*told, f"So the answer is {rng.randint(1, 9000)}."])


def table(about: Subject, rng: random.Random) -> str:
    """A table in Markdown and a sentence."""
    lines = [f"| {' | '.join(rng.sample(about.nouns, 3))} |", "|---|---|---|"]
    for _ in range(rng.randint(3, 7)):
        lines.append(f"| {rng.choice(about.names)} | {rng.choice(about.numbers)} | {sentence(about, rng)} |")
    return "\n".join([*lines, "", f"{sentence(about, rng)}: {rng.randint(1, 9000)}."])


def thinking(about: Subject, rng: random.Random) -> str:
    """Thoughts in tags, the answer in tags."""
    thoughts = [f"Hmm, {sentence(about, rng).lower()}? Wait, {equation(about, rng)}." for _ in range(rng.randint(2, 5))]
    return "\n".join(["<think>", *thoughts, "</think>", f"<answer>{rng.randint(1, 9000)}</answer>"])


SEVEN: dict[str, Writer] = {
    writer.__name__: writer
    for writer in (python_function, tagged_code, latex, numbered, bulleted, calculator, json_object)
}
LATER: dict[str, Writer] = {writer.__name__: writer for writer in (plain_prose, table, thinking)}
