"""The console of our commands: rich's, on which text of anybody is text.

Rich reads ``[bold]``, ``[link=...]`` and ``:smile:`` in whatever it is given, and sends on ESC. Here no text is markup,
control characters are shown (`vpo.visible`), and styles come from the code alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console as RichConsole
from rich.console import ConsoleOptions, RenderableType
from rich.progress import TextColumn
from rich.segment import Segment
from rich.status import Status
from rich.style import StyleType
from rich.text import Text

from vpo.visible import visible


class Console(RichConsole):
    """As rich's, for text that we did not write.

    Args:
        **options: As rich's, without ``markup`` and ``emoji``.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """As rich's; control characters are spelt out before lines and columns are measured."""
        return super().render_str(visible(text), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """As rich's; whatever comes to be printed passes here, and takes no control character and no link along."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else _plain(segment)

    def status(self, status: RenderableType, **options: Any) -> Status:
        """As rich's; its spinner would read markup."""
        return super().status(words(status) if isinstance(status, str) else status, **options)


def words(text: str, style: StyleType = "") -> Text:
    """Text with a style; rich's own class drops some control characters in silence."""
    return Text(visible(text), style=style)


def text_column(template: str) -> TextColumn:
    """A column of a progress bar, in whose description nothing is markup."""
    return TextColumn(template, markup=False)


def _plain(segment: Segment) -> Segment:
    text, style, _ = segment
    return Segment(visible(text), style.update_link(None) if style is not None and style.link else style)
