"""The tables of docs/reproduce.md: every benchmark with its question, command, time, result and the pages that cite it.

They are made anew by each build of the site, from the benchmarks and their results, so they cannot go stale.
`python docs/hooks/results.py` prints them.
"""

from __future__ import annotations

import ast
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
BENCHMARKS, SHORT = "<!-- the table of benchmarks -->", "<!-- the targets that are short -->"
_PARTS = ("targets", "workers", "gpu/device", "gpu/models", "gpu/maze_stages")  # what benchmarks share
_NAME = re.compile(r"benchmarks/((?:gpu/)?\w+)\.py")
_TIME = re.compile(r"[^.?;,:]*\b\d+\s+(?:minutes?|hours?)\b[^.;]*|[Aa]bout two hours[^.;]*")


@dataclass(frozen=True)
class Benchmark:
    """One file of benchmarks/ or benchmarks/gpu/.

    Attributes:
        name: File name without its ending, for one that needs a GPU with the folder: "gpu/NAME".
        question: First paragraph of its docstring.
        results: Results file by name, with its content.
        time: What it takes, in words; empty if neither results nor docstring say it.
        cited: Pages that name it.
    """

    name: str
    question: str
    results: dict[str, dict[str, Any]]
    time: str
    cited: tuple[str, ...]


def benchmarks(root: Path = ROOT) -> list[Benchmark]:
    """All of them, by name."""
    results: dict[str, dict[str, dict[str, Any]]] = {}
    for path in sorted((root / "benchmarks" / "results").glob("*.json")):
        if not path.stem.endswith("-quick"):
            content = json.loads(path.read_text(encoding="utf-8"))
            named = _NAME.search(content.get("command", ""))
            results.setdefault(named[1] if named else path.stem, {})[path.name] = content
    pages = {
        path.relative_to(root).as_posix(): path.read_text(encoding="utf-8")
        for path in [root / "README.md", *sorted((root / "docs").glob("*.md"))]
        if path.name != "reproduce.md"
    }
    found = []
    home = root / "benchmarks"
    for path in [*sorted(home.glob("*.py")), *sorted(home.glob("gpu/*.py"))]:
        name = path.relative_to(home).with_suffix("").as_posix()
        if name in _PARTS:
            continue
        text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        cited = tuple(page for page, words in pages.items() if re.search(rf"benchmarks/{name}(\.py|\.json)?\b", words))
        of_it = results.get(name, {})
        question = " ".join(text.partition("\n\n")[0].split())
        found.append(Benchmark(name, question, of_it, _time(text, of_it), cited))
    return found


def _time(text: str, results: dict[str, dict[str, Any]]) -> str:
    """What the docstring says comes before the minutes of the latest session, which may have gone on with a run."""
    for content in results.values():
        if "cpu_seconds_a_seed" in content:
            return f"{content['cpu_seconds_a_seed'] / 60:.0f} CPU minutes a seed"
    if said := _TIME.search(" ".join(text.split())):
        return said[0].strip().removeprefix("About ").removeprefix("about ")
    minutes = [content["minutes"] for content in results.values() if "minutes" in content]
    return f"{max(minutes):g} minutes" if minutes else ""


def table(root: Path = ROOT) -> str:
    """The table in Markdown: a row a results file, and one for a benchmark that has none."""
    lines = ["| question | command | takes | results | targets | cited in |", "|---|---|---|---|---|---|"]
    for each in benchmarks(root):
        cited = ", ".join(_page(page) for page in each.cited) or "-"
        for name, content in each.results.items() or [("", {})]:
            command = content.get("command", f"python benchmarks/{each.name}.py")
            targets = content.get("targets", [])
            met = f"{sum(bool(target['ok']) for target in targets)} of {len(targets)}" if targets else "-"
            where = f"`{name}`, {content.get('date', 'no date')}" if name else "none yet"
            lines.append(
                f"| {each.question} | `{command}` | {each.time or 'not recorded'} | {where} | {met} | {cited} |"
            )
    return "\n".join(lines)


def short_targets(root: Path = ROOT) -> str:
    """What was asked for and not reached, in Markdown: a row a target."""
    lines = ["| benchmark | target | asked for | measured |", "|---|---|---|---|"]
    for each in benchmarks(root):
        for content in each.results.values():
            for target in content.get("targets", []):
                if not target["ok"]:
                    asked = f"{'>=' if target['at_least'] else '<='} {target['target']:g}"
                    name = target["name"].replace("|", "\\|")
                    lines.append(f"| {each.name} | {name} | {asked} | {target['figure']:.4g} |")
    return "\n".join(lines)


def _page(page: str) -> str:
    folder, _, name = page.rpartition("/")
    return f"[{name.removesuffix('.md')}]({name})" if folder == "docs" else page.removesuffix(".md")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Called by mkdocs with the text of each page."""
    for mark, make in ((BENCHMARKS, table), (SHORT, short_targets)):
        if mark in markdown:
            markdown = markdown.replace(mark, make())
    return markdown


if __name__ == "__main__":
    print(table(), short_targets(), sep="\n\n")
