"""Fuzzing of every border at which vpo reads what others wrote: YAML, checkpoints, ledgers and logs, HTTP.

The targets are those of `tests/fuzz`, which `make test` runs for seconds: valid inputs with a few things wrong, made by
hypothesis, and an audit hook that sees what they lead to. Whatever it is given, a border ends with a result or with one
message, runs nothing, writes nothing beside its folder, and stays within 20 s of processor time and 1 GiB.

`--minutes` of the wall clock are shared out among the targets and added to what former sessions did: seconds of
processor time, inputs and findings are kept in runs/benchmarks/fuzz, target by target, and taken up from the results in
the checkout where that folder has none. A finding that a later session does not see again stays there, with the
shortest input that led to it, and counts, until `--forget` drops it: mend it, write a
test, forget it. Seeds go on from one session to the next, so that none repeats the other's inputs.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import sys
import time
from pathlib import Path
from typing import Any

from targets import Target, finish, parser

sys.path.insert(0, str(Path(__file__).parents[1]))  # the targets are tests
from tests import conftest
from tests.fuzz.borders import TARGETS, session

FOLDER = Path("runs/benchmarks/fuzz")
RESULTS = Path("benchmarks/results/fuzz.json")
HOUR = 3600.0
_SLICE = 20.0  # seconds of a target in a row; a session that is stopped has done some of each


def load(path: Path) -> dict[str, Any]:
    empty: dict[str, Any] = {"seconds": 0.0, "examples": 0, "sessions": 0, "findings": {}}
    return json.loads(path.read_text()) if path.is_file() else empty


def restore(paths: dict[Any, Path]) -> None:
    """Where nothing is kept here yet, go on from the results in the checkout: their seeds are not taken again."""
    if not RESULTS.is_file() or any(path.is_file() for path in paths.values()):
        return
    rows = {(row["border"], row["target"]): row for row in json.loads(RESULTS.read_text())["by_target"]}
    for each, path in paths.items():
        if row := rows.get((each.border, each.name)):
            found = {finding.pop("kind"): finding for finding in row["findings"]}
            save(path, {**{key: row[key] for key in ("seconds", "examples", "sessions")}, "findings": found})


def save(path: Path, kept: dict[str, Any]) -> None:
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(kept, indent=1) + "\n")
    temporary.replace(path)


def main() -> int:
    options = parser(__doc__ or "")
    options.add_argument("--minutes", type=float, default=60.0, help="of all targets together, in this session")
    options.add_argument("--borders", nargs="+", help="some of yaml, checkpoints, ledgers, http")
    options.add_argument("--forget", action="store_true", help="drop the findings of former sessions: they are mended")
    chosen = options.parse_args()
    assert conftest
    folder = FOLDER / ("quick" if chosen.quick else "full")
    folder.mkdir(parents=True, exist_ok=True)
    targets = [each for each in TARGETS if chosen.borders is None or each.border in chosen.borders]
    paths = {each: folder / (re.sub(r"\W+", "-", f"{each.border} {each.name}") + ".json") for each in TARGETS}
    if chosen.quick:
        for path in paths.values():
            path.unlink(missing_ok=True)
    else:
        restore(paths)
    if chosen.forget:  # before anything is fuzzed: what this session finds counts
        for path in paths.values():
            save(path, {**load(path), "findings": {}})
    left = (len(targets) * 2.0) if chosen.quick else chosen.minutes * 60
    while left > 0.5:
        turn = min(_SLICE, left / len(targets))
        for each in targets:
            kept = load(paths[each])
            began, said = time.perf_counter(), io.StringIO()
            with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
                found = session(each, turn, 10_000 * kept["sessions"])
            for kind, finding in found.findings.items():
                print(f"{each.border}, {each.name}: {kind}: {finding['message'][:300]}", flush=True)
                known = kept["findings"].setdefault(kind, finding)
                known["times"] = known["times"] + finding["times"] if known is not finding else finding["times"]
            kept["seconds"] += found.seconds
            kept["examples"] += found.examples
            kept["sessions"] += 1
            save(paths[each], kept)
            left -= time.perf_counter() - began
    return report(chosen.quick, paths)


def report(quick: bool, paths: dict[Any, Path]) -> int:
    rows = [{"border": each.border, "target": each.name, **load(path)} for each, path in paths.items()]
    print(f"\n{'border':<12} {'target':<22} {'seconds':>8} {'inputs':>8} {'findings':>8}")
    for row in rows:
        figures = f"{row['seconds']:8.0f} {row['examples']:8} {len(row['findings']):8}"
        print(f"{row['border']:<12} {row['target']:<22} {figures}")
    borders = {}
    for row in rows:
        border = borders.setdefault(row["border"], {"seconds": 0.0, "examples": 0, "findings": 0})
        border["seconds"] += row["seconds"]
        border["examples"] += row["examples"]
        border["findings"] += len(row["findings"])
    seconds = sum(border["seconds"] for border in borders.values())
    findings = sum(border["findings"] for border in borders.values())
    targets = [
        Target("seconds of processor time fuzzed, all borders together", seconds, 10.0 if quick else HOUR),
        Target("inputs that crashed, ran something, left their folder or cost too much", findings, 0, at_least=False),
    ]
    shown = [{**row, "findings": [{"kind": kind, **each} for kind, each in row["findings"].items()]} for row in rows]
    facts = {
        "borders": borders,
        "by_target": shown,
        "first_seed": "10000 x the number of former sessions of the target",
    }
    return finish("fuzz", quick, facts, targets)


if __name__ == "__main__":
    began = time.perf_counter()
    sys.exit(main())
