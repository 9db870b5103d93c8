"""The tables of docs/fixed-or-chosen.md are those of the results that it names."""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np

from tests.checkout import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))  # where a benchmark finds its parts

from arrows.report import bought, kept, per_stratum, smallest_good

PAGE = (ROOT / "docs" / "fixed-or-chosen.md").read_text()
ROWS = {tuple(cell.strip() for cell in line.strip("|").split("|")) for line in PAGE.splitlines() if line[:1] == "|"}
SHOWN = {"1": "one loop", "4": "four loops", "1 loop": "one loop", "4 loops": "four loops", "chosen": "chosen"}


def results(name: str) -> list[dict[str, Any]]:
    return json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text())["results"]


def cell(values: list[float], digits: int, is_signed: bool = False) -> str:
    """Mean (standard error), without the zero before the point; of a single seed the value alone."""

    def shown(value: float, sign: str = "") -> str:
        text = f"{value:{sign}.{digits}f}"
        return text.replace("0.", ".", 1) if abs(value) < 1 else text

    mean = shown(float(np.mean(values)), "+" if is_signed else "")
    return f"{mean} ({shown(np.std(values, ddof=1) / len(values) ** 0.5)})" if len(values) > 1 else mean


def loops_shown(values: list[float]) -> str:
    return f"{values[0]:g}" if set(values) <= {1, 2, 3, 4} else cell(values, 2)


def of(found: list[dict[str, Any]], policy: str) -> list[dict[str, Any]]:
    own = [each for each in found if each["policy"] == policy]
    assert own and len(own) == len({each["seed"] for each in found})
    return own


def test_the_mazes_table_is_that_of_its_results() -> None:
    found, last = results("fixed_or_chosen"), ""
    for policy, name in (("base", "warm start"), ("GRPO", "GRPO"), ("VPO", "VPO")):
        own = of(found, policy)
        for depth in ("1 loop", "4 loops", "chosen"):

            def values(m: str, d: str = depth, o: list[dict[str, Any]] = own) -> list[float]:
                return [each[d][m] for each in o]

            expected = (
                name if name != last else "",
                SHOWN[depth],
                loops_shown(values("loops")),
                cell(values("reward"), 3),
                cell(values("expected"), 3),
                cell(values("distinct"), 1),
            )
            assert expected in ROWS
            last = name


def test_the_arrows_tables_are_those_of_their_results() -> None:
    found, last = results("loops_and_collapse"), ""
    for policy in ("start, one answer", "GRPO", "start, three", "VPO"):
        own = of(found, policy)
        for depth in ("1", "2", "3", "4", "chosen"):

            def values(m: str, d: str = depth, o: list[dict[str, Any]] = own) -> list[float]:
                return [each["depths"][d]["all"][m] for each in o]

            expected = (
                policy if policy != last else "",
                SHOWN.get(depth, {"2": "two", "3": "three"}.get(depth, "")),
                loops_shown(values("loops")),
                loops_shown(values("answer loops")),
                cell(values("right"), 3),
                cell(values("few"), 3),
                cell(values("best"), 3),
                cell(values("distinct"), 1),
            )
            assert expected in ROWS
            last = policy
        gains = [(m, g) for g in ("alike", "mixed") for m in ("right", "best")]
        assert (policy, *(cell([bought(each, *gain) for each in own], 3, True) for gain in gains)) in ROWS
        spent = ([smallest_good(e) for e in own], [per_stratum(e) for e in own])
        chosen = [[e["depths"]["chosen"]["all"][m] for e in own] for m in ("loops", "answer loops")]
        assert (policy, *(f"{np.mean(values):.2f}" for values in (*spent, *chosen))) in ROWS
    for policy in ("GRPO", "VPO"):
        for measure in ("right", "best"):
            assert cell(kept(found, policy, measure), 2) in " ".join(PAGE.split())  # lines are wrapped
