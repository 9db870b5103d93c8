"""What docstrings say in the ways of other tools, as the site shows it.

Cross-references are written as Sphinx's roles, which editors know: ``:class:`~trainers.VPOTrainer``` becomes a plain
name. Fields of configurations are written as transformers and TRL write theirs, ``alpha (`float`, *optional*, defaults
to `1.0`)``: the type remains, as the default is shown beside it anyway.
"""

from __future__ import annotations

import re
from typing import Any

_ROLE = re.compile(r":(?:class|func|meth|mod|attr|data|exc):<code>(~?)([\w.]+)</code>")
_TYPE = re.compile(r"<code>`([^`<]+)`(?: or `([^`<]+)`)?, \*optional\*(?:, defaults to `[^<]*`)?</code>")


def on_page_content(html: str, **_: Any) -> str:
    """Called by mkdocs with the HTML of each page."""
    return _TYPE.sub(_type, _ROLE.sub(_name, html))


def _name(found: re.Match[str]) -> str:
    short, name = found.groups()
    return f"<code>{name.rpartition('.')[2] if short else name}</code>"


def _type(found: re.Match[str]) -> str:
    return f"<code>{' or '.join(filter(None, found.groups()))}</code>"
