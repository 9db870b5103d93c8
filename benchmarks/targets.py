"""How every benchmark ends: a JSON file under ``results/``, and a line a target with ``ok`` or ``short``.

Run by itself, it lists the targets that the results there miss.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from vpo.cli.hardware import hardware

RESULTS = Path(__file__).parent / "results"
_BEGAN = time.monotonic()  # every benchmark imports this file before it measures


@dataclass(frozen=True)
class Target:
    """A measured figure and what was asked of it. Targets are not lowered; a short one stays visible."""

    name: str
    figure: float
    target: float
    at_least: bool = True

    @property
    def ok(self) -> bool:
        return self.figure >= self.target if self.at_least else self.figure <= self.target

    def __str__(self) -> str:
        sign = ">=" if self.at_least else "<="
        return f"{self.name}: {self.figure:.4g} (target {sign} {self.target:g}) {'ok' if self.ok else 'short'}"


def parser(description: str) -> argparse.ArgumentParser:
    """Command line with the option that every benchmark has."""
    result = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    result.add_argument("--quick", action="store_true", help="the same in under a minute; the figures mean little")
    return result


def _shown(argument: str) -> str:
    """An argument as results keep it: where a program lies on one machine is of no use on another."""
    return Path(argument).name if Path(argument).is_absolute() else argument


def _script() -> str:
    """The running benchmark as a path within the checkout."""
    path, home = Path(sys.argv[0]).resolve(), RESULTS.resolve().parent
    return f"benchmarks/{path.relative_to(home).as_posix() if path.is_relative_to(home) else path.name}"


def finish(name: str, quick: bool, results: dict[str, Any], targets: list[Target]) -> int:
    """Write the results, print the targets, and return the exit status: 1 if one is short."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}{'-quick' if quick else ''}.json"
    facts = {
        "command": " ".join(["python", _script(), *map(_shown, sys.argv[1:])]),
        "date": datetime.now(UTC).date().isoformat(),
        "hardware": hardware(),
        "python": platform.python_version(),
        "minutes": round((time.monotonic() - _BEGAN) / 60, 1),  # of this session; one that went on took longer in all
        "versions": {package: version(package) for package in ("torch", "transformers", "trl")},
        **results,
        "targets": [{**asdict(target), "ok": target.ok} for target in targets],
    }
    path.write_text(json.dumps(facts, indent=1) + "\n")
    print(f"\nwrote {path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}")
    for target in targets:
        print(target)
    return 0 if all(target.ok for target in targets) else 1


def short(folder: Path = RESULTS) -> dict[str, list[Target]]:
    """Command of a benchmark -> the targets that its results in ``folder`` miss; smoke tests are left out."""
    found = {}
    for path in sorted(folder.glob("*.json")):
        if not path.stem.endswith("-quick"):
            facts = json.loads(path.read_text())
            targets = [Target(**{k: v for k, v in each.items() if k != "ok"}) for each in facts["targets"]]
            found[facts["command"]] = [target for target in targets if not target.ok]
    return found


if __name__ == "__main__":
    for command, targets in short().items():
        print(command if targets else f"{command}: none is short")
        for target in targets:
            print(f"    {target}")
