"""Which colour, dash and marker an arm gets, once for the whole page.

Lines take the eight colours of Okabe and Ito (2008), which readers with any common colour blindness can tell apart; a
dash and a marker repeat the difference for print in grey. Areas (kinds of answer) take Paul Tol's "light" scheme
instead, so that no kind of answer looks like an arm, and a pattern once its nine colours are used up.

Colours are names here (``"c:blue"``, ``"c:blue/0.2"`` with opacity); the style sheet gives each name one value for
light and one for dark surroundings, and the script puts them in.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from markupsafe import Markup

# Strongest contrast first; yellow is faint on white, hence last.
_LINE_COLOURS = ("vermillion", "blue", "green", "purple", "orange", "sky", "ink", "yellow")
_DASHES = ("solid", "dash", "dot", "dashdot", "longdash")
_VARIANT_DASHES = ("dot", "dashdot", "longdash", "dash")
_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross")
# Of all orders the one in which neighbours, and the first four, lie furthest apart for the worst of four sights.
_AREA_COLOURS = ("azure", "rose", "pear", "amber", "cyan", "straw", "mint", "olive", "pale")
_PATTERNS = ("", "/", ".", "x")

# Arms that every report of ours has look the same in each of them.
_KNOWN = {
    "base": ("ink", "dash", "circle"),
    "grpo": ("vermillion", "solid", "square"),
    "vpo": ("blue", "solid", "diamond"),
    "blind": ("purple", "dot", "x"),
    "oracle": ("green", "longdash", "cross"),
}
_DASH_ARRAYS = {"solid": "none", "dash": "5 3", "dot": "1.5 3", "dashdot": "6 3 1.5 3", "longdash": "9 4"}
_SHAPES = {
    "circle": '<circle cx="17" cy="6" r="3.6"/>',
    "square": '<rect x="13.6" y="2.6" width="6.8" height="6.8"/>',
    "diamond": '<path d="M17 1.2 21.8 6 17 10.8 12.2 6z"/>',
    "triangle-up": '<path d="M17 1.6 21.4 9.4H12.6z"/>',
    "cross": '<path d="M15.6 1.8h2.8v2.8h2.8v2.8h-2.8v2.8h-2.8V7.4h-2.8V4.6h2.8z"/>',
    "x": '<path d="M13.8 2.8 20.2 9.2M20.2 2.8 13.8 9.2" stroke-width="2.2"/>',
}


@dataclass(frozen=True)
class LineStyle:
    """How an arm's line is drawn; ``is_open`` markers (hollow) belong to variants of an arm."""

    colour: str
    dash: str
    symbol: str
    is_open: bool = False

    @property
    def plotly_symbol(self) -> str:
        """The marker's name in Plotly."""
        return f"{self.symbol}-open" if self.is_open else self.symbol

    @property
    def sample(self) -> Markup:
        """The line and its marker as a small SVG for a legend."""
        fill = "var(--card)" if self.is_open else "currentColor"
        return Markup(
            f'<svg class="sample" viewBox="0 0 34 12" aria-hidden="true" style="color:var(--c-{self.colour})">'
            f'<path d="M1 6H33" stroke="currentColor" stroke-width="2.4" stroke-dasharray="{_DASH_ARRAYS[self.dash]}"/>'
            f'<g fill="{fill}" stroke="currentColor" stroke-width="1.4">{_SHAPES[self.symbol]}</g></svg>'
        )


@dataclass(frozen=True)
class AreaStyle:
    """How a kind of answer is filled: a colour, and a Plotly pattern ("" = plain)."""

    colour: str
    pattern: str = ""

    @property
    def sample(self) -> Markup:
        """A filled square for a legend; a pattern shows as its sign."""
        return Markup('<span class="swatch" style="background:var(--c-{})" aria-hidden="true">{}</span>').format(
            self.colour, self.pattern
        )


def arm_styles(names: Iterable[str]) -> dict[str, LineStyle]:
    """Give each arm a style of its own.

    ``"VPO, shuffled prompts"`` is a variant of the arm ``VPO``: same colour, dotted, hollow markers. Unknown arms take
    the colours that no known arm on the page uses, then start over with the next dash and marker.
    """
    names = list(dict.fromkeys(names))
    stems = list(dict.fromkeys(_stem(name) for name in names))
    taken = {_KNOWN[stem.lower()][0] for stem in stems if stem.lower() in _KNOWN}
    free = [colour for colour in _LINE_COLOURS if colour not in taken] or list(_LINE_COLOURS)
    plain: dict[str, LineStyle] = {}
    num_new = 0
    for stem in stems:
        if stem.lower() in _KNOWN:
            plain[stem] = LineStyle(*_KNOWN[stem.lower()])
            continue
        turn = num_new // len(free)
        dash, symbol = _DASHES[turn % len(_DASHES)], _SYMBOLS[(num_new + 3) % len(_SYMBOLS)]
        plain[stem] = LineStyle(free[num_new % len(free)], dash, symbol)
        num_new += 1
    styles: dict[str, LineStyle] = {}
    num_variants: dict[str, int] = {}
    for name in names:
        stem = _stem(name)
        styles[name] = plain[stem]
        if name != stem:
            turn = num_variants.get(stem, 0)
            num_variants[stem] = turn + 1
            dash = _VARIANT_DASHES[turn % len(_VARIANT_DASHES)]
            styles[name] = LineStyle(plain[stem].colour, dash, plain[stem].symbol, is_open=True)
    return styles


def search_styles(keys: Iterable[str], arms: dict[str, LineStyle]) -> dict[str, LineStyle]:
    """Style ``"policy / procedure"`` keys: the policy's colour, a dash and a marker for each procedure."""
    keys = list(dict.fromkeys(keys))
    procedures = list(dict.fromkeys(procedure_of(key) for key in keys))
    styles = {}
    for key in keys:
        turn = procedures.index(procedure_of(key))
        colour = arms[policy_of(key)].colour
        # From the sixth procedure on dashes come again, each with another marker
        symbol = (turn + turn // len(_DASHES)) % len(_SYMBOLS)
        styles[key] = LineStyle(colour, _DASHES[turn % len(_DASHES)], _SYMBOLS[symbol])
    return styles


def area_styles(labels: Iterable[str]) -> dict[str, AreaStyle]:
    """Give each kind of answer a fill of its own (36 before one repeats)."""
    styles = {}
    for index, label in enumerate(dict.fromkeys(labels)):
        turn, place = divmod(index, len(_AREA_COLOURS))
        styles[label] = AreaStyle(_AREA_COLOURS[place], _PATTERNS[turn % len(_PATTERNS)])
    return styles


def policy_of(key: str) -> str:
    """The part of a search key before `` / ``."""
    return key.split(" / ", 1)[0]


def procedure_of(key: str) -> str:
    """The part of a search key after `` / ``, empty if there is none."""
    return key.partition(" / ")[2]


def _stem(name: str) -> str:
    return name.split(", ", 1)[0]
