"""Samples that a made run shows."""

from __future__ import annotations

from eval.collapse.records import AlarmRecord
from eval.collapse.run_report import Example

CODE = "def solve(apples: int, eaten: int) -> int:\n    left = apples - eaten\n    return left\n\nprint(solve(12, 5))"


def made_examples(formats: tuple[str, ...], last: int, alarms: list[AlarmRecord]) -> list[Example]:
    texts = {
        formats[0]: CODE,
        formats[1]: "\\[\n12 - 5 = 7\n\\]\nSo **7** apples are left.",
        formats[2]: "1. Start with 12 apples.\n2. Five are eaten.\n3. 12 - 5 = 7.\n\nThe answer is 7.",
    }
    prompt = "Tom has 12 apples and eats 5 of them. How many are left?"
    found = [Example("medoid", "format", label, "base", 0, prompt, text, True) for label, text in texts.items()]
    if alarms:
        found.append(
            Example(
                "medoid",
                "format",
                formats[0],
                "alarm",
                alarms[0].step,
                prompt,
                CODE + "\n" * 3 + "# again\n" * 150,
                False,
            )
        )
    found.append(Example("medoid", "format", formats[0], "last", last, prompt, CODE, True))
    found.append(Example("suppressed", "format", formats[2], "last", last, prompt, texts[formats[2]], True))
    return found
