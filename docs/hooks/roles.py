"""Cross-references of docstrings as the site shows them: ``:class:`~trainers.VPOTrainer``` becomes a plain name.

The docstrings' roles are Sphinx's, which editors know; Markdown does not, and would print them.
"""

from __future__ import annotations

import re
from typing import Any

_ROLE = re.compile(r":(?:class|func|meth|mod|attr|data|exc):<code>(~?)([\w.]+)</code>")


def on_page_content(html: str, **_: Any) -> str:
    """Called by mkdocs with the HTML of each page."""
    return _ROLE.sub(_plain, html)


def _plain(found: re.Match[str]) -> str:
    short, name = found.groups()
    return f"<code>{name.rpartition('.')[2] if short else name}</code>"
