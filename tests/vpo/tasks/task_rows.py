"""A few rows of each published data set's columns, written to disk as a user's own copy would be."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def write_rows(path: Path, rows: Sequence[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def musique_row(hops: int = 2, number: int = 0) -> dict[str, Any]:
    """A question whose steps rest on paragraphs 2, 5, 1, 7 in that order; answered by "The Lyon Opera"."""
    paragraphs = [
        {"idx": i, "title": f"Title {i}", "paragraph_text": f"Paragraph {i} of {number}.", "is_supporting": i in (2, 5)}
        for i in range(8)
    ]
    steps = [
        {"id": i, "question": f"step {i}?", "answer": "x", "paragraph_support_idx": index}
        for i, index in enumerate((2, 5, 1, 7)[:hops])
    ]
    return {
        "id": f"{hops}hop__{number}",
        "paragraphs": paragraphs,
        "question": f"Where did question {number} happen?",
        "question_decomposition": steps,
        "answer": "The Lyon Opera",
        "answer_aliases": ["Opéra Nouvel"],
        "answerable": True,
    }


def eureqa_row(number: int = 0) -> dict[str, Any]:
    return {
        "idx": number,
        "question": [f"Person A of {number} knows Country B.", "Country B is near City C.", "Place F is given: Rome."],
        "entity_masks": ["Person A", "Country B", "City C", "Work D", "Event E", "Place F"],
        "entities": [
            f"Robert_Rodriguez_{number}",
            "The_Gambia",
            "St._John's",
            "Dusk:_The_Series",
            "32nd_Awards",
            "Rome",
        ],
    }


def toolrl_row(turn: str, number: int = 0) -> dict[str, Any]:
    system = "Tools: 1. Name: search. Output format: <think> <tool_call> <response>"
    return {
        "data_source": "rlla",
        "prompt": [
            {"role": "system", "content": system},
            {"role": "user", "content": f"<user> request {number} </user>"},
        ],
        "ability": "math",
        "reward_model": {"ground_truth": turn, "style": "rule"},
        "extra_info": {"index": number, "split": "train"},
    }


def tool_turn(*calls: Any, reply: str | None = None) -> str:
    """A turn in ToolRL's layout; a call is a pair of name and parameters."""
    parts = ["<think> I think. </think>"]
    if calls:
        lines = [json.dumps({"name": name, "parameters": parameters}) for name, parameters in calls]
        parts.append("\n".join(["<tool_call>", *lines, "</tool_call>"]))
    if reply is not None:
        parts.append(f"<response> {reply} </response>")
    return "\n".join(parts)


TOOL_TURNS = [
    tool_turn(("search", {"query": "red fox", "limit": 5})),
    tool_turn(("search", {"query": "tea"}), ("open", {"page": 2, "new": True})),
    tool_turn(reply="There is nothing to call."),
    tool_turn(("ping", {}), reply="I pinged it."),
]


def deepcoder_rows() -> list[dict[str, Any]]:
    """One row of each of DeepCoder's forms of tests."""
    return [
        {  # lcbv5, standard input
            "problem": "Add two numbers.",
            "starter_code": "",
            "tests": json.dumps([{"input": f"{i} 1\n", "output": f"{i + 1}\n", "testtype": "stdin"} for i in range(3)]),
            "solutions": ["print(sum(map(int, input().split())))"],
        },
        {  # lcbv5, a function
            "problem": "Add two numbers.",
            "starter_code": "class Solution:\n    def add(self, a: int, b: int) -> int:\n        ",
            "tests": json.dumps(
                [
                    {"input": "1\n2", "output": "3", "testtype": "functional", "metadata": {"func_name": "add"}},
                    {"input": "-1\n-2", "output": "-3", "testtype": "functional", "metadata": {"func_name": "add"}},
                ]
            ),
            "solutions": ["class Solution:\n    def add(self, a, b):\n        return a + b"],
        },
        {  # primeintellect, a function
            "problem": "Double it.",
            "tests": json.dumps([{"type": "function_call", "fn_name": "double", "input": [4], "output": [8]}]),
            "solutions": ["def double(x):\n    return 2 * x"],
        },
        {  # taco, standard input as lists of lines
            "problem": "Say it twice.",
            "tests": json.dumps({"inputs": [["a", "b"], "c"], "outputs": ["a a\nb b", ["c c"]]}),
            "solutions": ["import sys\nfor line in sys.stdin:\n    print(line.strip(), line.strip())"],
        },
    ]


def humaneval_row() -> dict[str, Any]:
    return {
        "task_id": "Test/0",
        "entry_point": "halve",
        "prompt": 'import math\n\n\ndef one():\n    return 1\n\n\ndef halve(xs):\n    """Halve each number."""\n',
        "canonical_solution": "    return [x / 2 for x in xs]\n",
        "test": (
            "METADATA = {}\n\n\ndef check(candidate):\n"
            "    assert candidate([2, 4]) == [1.0, 2.0], 'simple'\n"
            "    assert math.isclose(candidate([one()])[0], 0.5)\n"
            "    assert True\n"
        ),
    }


def mbpp_row() -> dict[str, Any]:
    return {
        "task_id": 1,
        "text": "Write a function to swap a pair.",
        "code": "def swap(pair):\n    return (pair[1], pair[0])",
        "test_list": ["assert swap((1, 2)) == (2, 1)", "assert set(swap((1, 1))) == {1}"],
        "test_setup_code": "",
        "challenge_test_list": [],
    }
