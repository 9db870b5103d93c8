"""A text without its content: digits become 0, words w or W, and what is left is layout and turn of phrase.

Words that texts are built with - articles, connectives, keywords of code, names of LaTeX commands - stay, for they say
how something is told; all others say what. After text distortion (Stamatatos 2017). Runs are drawn together, so that
long sentences look like short ones. Raw texts of one prompt resemble each other more than texts of one format do:
clusters of raw n-grams miss the format (benchmarks/format_discovery.py: a Rand index of .01 for characters and .20 for
words, 1 after masking).
"""

from __future__ import annotations

import re

LONGEST = 8192
"""Characters of a text that are looked at; what comes after them has no part in any reading of its structure."""

FOUR_HASHES = r"[ \t]*+[-+$]?\d[\d,.]*+%?[ \t]*$|[^\s#]"
"""What follows four hashes that mark an answer, as in GSM8K: a number alone, or no blank, which a heading needs."""

STRUCTURAL = frozenset(
    """
    a an and any are as at be because been but by can could did do does each either every for from had has have how if
    in into is it its let may more most must no nor not of off on or our out over per shall should since so some such
    than that the their them then there these they this those thus to under until up us was we were what when where
    whether which while who whose why will with would you your i let's it's that's there's don't doesn't can't i'm we'll
    after again also alternatively before both first second third finally hence however last likewise moreover next note
    now otherwise similarly therefore wait hmm okay actually
    answer case check conclusion consider define explanation final find get given means need question reasoning result
    same see simplify solution solve step suppose thought total use verify yes
    assert async await break class continue def del elif else except false finally float global import int lambda len
    list none null pass print raise range return self set static str string true try tuple type var void function
    public private const let new null end begin
    code output llm response think thinking tool
    approx array aligned boxed cdot cdots cos dfrac div equation frac ge geq infty int left le leq ldots ln log mathbf
    mathrm neq overline pi pm prod quad right rightarrow sin sqrt sum tan text times
    """.split()  # noqa: SIM905 - two hundred words are read more easily without two hundred pairs of quotes
)
"""Words that are kept, in lower case."""

_WORD = re.compile(r"([^\W\d][\w'’]*+)")
_NUMBER = re.compile(r"\d++(?:[.,]\d++)*+")
_REST_OF_RUN = re.compile(r"(?<=\b[wW])(?:[ -][wW]\b)++")
_BLANKS = re.compile(r"[ \t]{2,}")
_MOST_REMEMBERED = 100_000


class _Masks(dict[str, str]):
    """Word -> what stands for it; bounded, for there is no end to words."""

    def __missing__(self, word: str) -> str:
        if len(self) >= _MOST_REMEMBERED:
            self.clear()
        mask = word if word.lower() in STRUCTURAL else "W" if word[0].isupper() else "w"
        self[word] = mask
        return mask


_MASKS = _Masks()


def masked(text: str) -> str:
    """The text with what it is about taken out.

    >>> masked("Then Tom buys 12 red apples: 3 + 4.5 = x_1.")
    'Then W 0 w: 0 + 0 = w.'

    Args:
        text: Any; characters beyond :data:`LONGEST` are left out.
    """
    parts = _WORD.split(text[:LONGEST])
    parts[1::2] = map(_MASKS.__getitem__, parts[1::2])
    hidden = _NUMBER.sub("0", "".join(parts))
    return _REST_OF_RUN.sub("", _BLANKS.sub("  ", hidden))
