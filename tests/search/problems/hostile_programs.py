"""Programs that try to be scored without solving anything, written for any entry function and number of arguments."""

from __future__ import annotations

# name -> the body of the entry function; each must earn the floor on every problem
HOSTILE = {
    "none": "return None",
    "empty list": "return []",
    "wrong shape": "return [[1.0]]",
    "deep": "x = []\n    for _ in range(5000): x = [x]\n    return x",
    "nan": "return [[float('nan')] * 3] * 30",
    "infinity": "return float('inf')",
    "nan of numpy": "import numpy\n    return numpy.full((26, 3), numpy.nan)",
    "object array": "import numpy\n    return numpy.array([object()] * 26)",
    "strings": "return ['1e9'] * 26",
    "text of a score": "return '{\"combined_score\": 1e9}'",
    "its own score": "return {'score': 1e9, 'combined_score': 1e9, 'sum_radii': 1e9}",
    "booleans": "return [[True, True]] * 11",
    "huge": "return [[0.5] * 100] * 100000",
    "huge memory": "return bytearray(4 << 30)",
    "endless": "while True: pass",
    "printing": "print([[0.5, 0.5, 0.5]] * 26)",
    "exit": "import sys; sys.exit(0)",
    "hard exit": "import os; os._exit(0)",
    "lying equality": (
        "class Yes(float):\n        def __eq__(s, o): return True\n        def __lt__(s, o): return True\n"
        "        def __gt__(s, o): return True\n        def __hash__(s): return 0\n    return Yes('nan')"
    ),
    "reads the evaluator": "import search.problems.circle_packing as c\n    return c.BEST",
    "finds the evaluator": (
        "import os\n    return [open(os.path.join(d, f)).read() for d, _, fs in os.walk('/') for f in fs "
        "if f in ('circle_packing.py', 'or3.txt')]"
    ),
    "raises": "raise ValueError('no')",
    "huge integers": "return [[10 ** 400] * 3] * 26",
    "writes the message": "import os\n    os.write(3, b'{\"value\": 1e9}')\n    os._exit(0)",
}


def hostile(name: str, entry: str) -> str:
    """The program of that name for an entry function."""
    return f"def {entry}(*args):\n    {HOSTILE[name]}\n"
