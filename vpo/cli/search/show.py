"""`vpo search show`: what a search found, and how one answer came about as a chain of differences."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.table import Table
from rich.text import Text

from search.fold import Told
from search.ledger import read_told
from search.records import Candidate, Result
from search.screening.report import read_trials, verdict
from vpo.cli.console import Console, words
from vpo.cli.search.config import LEDGER
from vpo.visible import visible

_STYLES = {"+": "green", "-": "red", "@": "cyan"}


def show_folder(folder: Path, problem: str | None, candidate_id: int | None) -> None:
    """Print the table of a search; with a problem, or where there is but one, the lineage of an answer.

    Raises:
        FileNotFoundError: The folder holds no ledger.
        ValueError: There is no such problem or answer.
    """
    path = folder / LEDGER
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there: expected the folder of a search, which `vpo search run` makes.")
    told = read_told(path)
    console = Console()
    console.print(summary(told))
    for line in screen_summary(path):
        console.print(line)
    if problem is None and len(told) > 1:
        if candidate_id is not None:
            raise ValueError("--id goes with a problem: say which one with --problem.")
        return
    chosen = told[0] if problem is None else _choose(told, problem)
    candidates = [candidate for result in chosen.results for candidate in result.candidates]
    if not candidates:
        console.print(f"no answer was found to {chosen.problem_id} yet")
        return
    if candidate_id is None:
        candidate_id = max(candidates, key=lambda candidate: candidate.scalar).id  # the first of the best
    if candidate_id >= len(candidates):
        raise ValueError(
            f"{chosen.problem_id} has no answer {candidate_id}: expected 0 to {len(candidates) - 1}, or --best."
        )
    for part in lineage(chosen, candidates, candidate_id):
        console.print(part)


def summary(told: Sequence[Told]) -> Table:
    """One line a problem."""
    table = Table()
    for column in ("", "problem", "best", "answers", "distinct", "tokens read", "generated", ""):
        table.add_column(column, justify="left" if column in ("problem", "") else "right")
    for number, each in enumerate(told):
        report = each.report()
        distinct = sum(not candidate.duplicate for candidate in report.candidates)
        table.add_row(
            str(number),
            each.problem_id,
            f"{report.best[-1]:.6g}" if report.candidates else "-",
            str(report.answers[-1] if report.answers else 0),
            str(distinct),
            str(report.prompt_tokens[-1] if report.prompt_tokens else 0),
            str(report.completion_tokens[-1] if report.completion_tokens else 0),
            _solved(each),
        )
    return table


def screen_summary(path: Path) -> Iterator[Text]:
    """What a screen kept from evaluation and what its audit says; nothing of a search without a screen."""
    for problem_id, trial in read_trials(path).items():
        judged, dropped = trial.tally.num_judged, trial.tally.num_dropped
        yield words(f"screen of {problem_id}: {dropped} of {judged} new answers screened out; {verdict(trial)}")
        for switch in trial.switches:
            stands = "on" if switch.on else "off"
            yield words(f"  switched {stands} after {switch.num_told} results: {switch.reason}")


def lineage(told: Told, candidates: Sequence[Candidate], candidate_id: int) -> Iterator[Text]:
    """From the first ancestor to an answer: the whole of the first one, then what each changed of its first parent.

    Raises:
        ValueError: An answer varies one that came later, as no search's does.
    """
    chain = [candidates[candidate_id]]
    while chain[-1].parents:
        parent, child = chain[-1].parents[0], chain[-1].id
        if parent >= child:
            raise ValueError(
                f"the ledger says that answer {child} varies answer {parent}, which came later: restore it from a copy."
            )
        chain.append(candidates[parent])
    results = {result.number: result for result in told.results}
    before = ""
    for candidate in reversed(chain):
        yield _headline(candidate, results[candidate.generation_id])
        yield _difference(before, candidate.answer) if candidate.parents else words(candidate.answer)
        before = candidate.answer


def _headline(candidate: Candidate, result: Result) -> Text:
    text = Text(f"\n#{candidate.id}", style="bold")
    text.append(visible(f"  scalar {candidate.scalar:.6g}, {candidate.status}"))
    if candidate.parents:
        text.append(f", of {', '.join(f'#{parent}' for parent in candidate.parents)}")
    if result.proposal.inspirations:
        text.append(f", shown {', '.join(f'#{each}' for each in result.proposal.inspirations)}")
    text.append(f", completion {candidate.generation_id}")
    text.append(f"\n{list(candidate.vector)}", style="dim")
    if candidate.artifact:
        text.append(visible(f"\n{candidate.artifact}"), style="yellow")
    return text


def _difference(before: str, after: str) -> Text:
    text = Text()
    lines = list(difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=2))[2:]
    for line in lines:
        text.append(visible(line) + "\n", style=_STYLES.get(line[:1], ""))
    return text if lines else Text("(the same text)\n", style="dim")


def _solved(told: Told) -> str:
    if not told.solved:
        return ""
    return f"solved, {told.num_aborted} cut off" if told.num_aborted else "solved"


def _choose(told: Sequence[Told], name: str) -> Told:
    exact = [each for each in told if each.problem_id == name]
    found = exact or [each for each in told if each.problem_id.startswith(name)]
    if not exact and name.isdecimal() and int(name) < len(told):
        return told[int(name)]
    if len(found) != 1:
        ids = ", ".join(each.problem_id for each in (found or told)[:5])
        what = "several problems begin" if found else "no problem begins"
        raise ValueError(f"{what} with {name!r}: expected one such as {ids}, or a number below {len(told)}.")
    return found[0]
