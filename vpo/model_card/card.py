"""What a model card says, and its text.

Everything that was read from settings or files goes through :func:`escaped`: a task's option or the name of a reward
must not become a heading, a link or a script of a page on the Hub. What looks like a secret is left out, as in
``run.json``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vpo.record.plain import plain

_LONGEST = 400  # characters of a value
_MARKS = re.compile(r"([\\`*_\[\]|~$#!])")


@dataclass(frozen=True)
class Table:
    """A section with a table of two columns, or of more.

    Attributes:
        title: Its heading.
        rows: Cells; values of any kind, which are made text and escaped.
        head: Names of the columns; empty for none.
        note: A sentence below it, ours and not escaped.
    """

    title: str
    rows: Sequence[Sequence[Any]]
    head: Sequence[str] = ()
    note: str = ""


@dataclass(frozen=True)
class Asking:
    """How a policy is asked for its answers.

    Attributes:
        num_answers: In one completion.
        tag: Of the answers.
        asks: Whether the request for answers is appended to prompts.
        is_chat: Whether prompts are conversations.
        sampling: Keyword arguments of ``generate``.
    """

    num_answers: int
    tag: str = "answer"
    asks: bool = True
    is_chat: bool = False
    sampling: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Card:
    """A model card's body.

    Attributes:
        name: Of the model.
        summary: What it is, in a sentence or two of ours.
        place: Folder or Hub id that it is loaded from.
        tables: Sections in their order; those without rows are passed by.
        is_looped: Whether ``vpo`` must be imported to load it.
        base_of_adapter: The model that it is an adapter of; None if it is a whole model.
        asking: How its answers are asked for; None leaves that out.
        citation: BibTeX of the method, or empty.
    """

    name: str
    summary: str
    place: str
    tables: Sequence[Table] = ()
    is_looped: bool = False
    base_of_adapter: str | None = None
    asking: Asking | None = None
    citation: str = ""

    def text(self) -> str:
        """The body as Markdown, without the front matter."""
        from jinja2 import Environment, StrictUndefined

        source = Path(__file__).with_name("model_card.md").read_text(encoding="utf-8")
        # Markdown, not HTML: what is foreign is escaped below, so that autoescape would do it twice
        environment = Environment(
            undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
        )
        environment.filters |= {"escaped": escaped, "code": _code}
        tables = [each for each in self.tables if each.rows]
        return environment.from_string(source).render(card=self, tables=[_plain_table(each) for each in tables])

    def save(self, path: Path, front: Any) -> None:
        """Write the card, its front matter before its body.

        Args:
            path: The README.md.
            front: A ``huggingface_hub.ModelCardData``.

        Raises:
            OSError: It cannot be written.
        """
        from huggingface_hub import ModelCard

        ModelCard(f"---\n{front.to_yaml()}\n---\n{self.text()}").save(path)


def escaped(value: Any) -> str:
    """A value as text that Markdown and HTML show as it is, in one line."""
    if value is None:
        return "-"
    if isinstance(value, float):
        value = f"{value:.4g}"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    text = " ".join(text.split())
    if len(text) > _LONGEST:
        text = f"{text[: _LONGEST - 3]}..."
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _MARKS.sub(r"\\\1", text)


def _plain_table(table: Table) -> Table:
    """Without secrets: a mapping's and a row's, where the name stands in the first cell."""
    rows = [[row[0], *(plain({str(row[0]): cell})[str(row[0])] for cell in row[1:])] for row in table.rows]
    return Table(table.title, rows, table.head or [""] * max(len(row) for row in rows), table.note)


def _code(value: Any) -> str:
    """A value as a Python literal; text in double quotes."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)
