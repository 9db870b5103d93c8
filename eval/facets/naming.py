"""Names for kinds of texts: the line types that most of a kind show and other kinds do not.

A kind that no line type tells apart - all texts on one line, say - is named by how most of its texts open.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from eval.facets.opening import opening
from eval.facets.skeleton import KINDS, bare_kind
from eval.facets.vectors import skeleton_grams

TEXTS_LOOKED_AT = 60
_CLEAR = 0.3  # share of texts by which a mark is more frequent here than anywhere else
_MOST_TYPES = 2
_MOST_MARKS = 5
_LONGEST_NAME = 60


def kind_names(kinds: Sequence[Sequence[str]], reserved: Sequence[str] = ()) -> list[tuple[str, list[str]]]:
    """Name each kind.

    Args:
        kinds: Texts of each of K kinds.
        reserved: Names that must not be given.

    Returns:
        For each kind its name, unlike all others, and the marks that tell it apart, clearest first.
    """
    shares = [_shares([skeleton_grams(text) for text in texts[:TEXTS_LOOKED_AT]]) for texts in kinds]
    found: list[tuple[str, list[str]]] = []
    taken = Counter(reserved)
    for number, own in enumerate(shares):
        others = [each for other, each in enumerate(shares) if other != number]
        clear = {
            gram: share - max((each.get(gram, 0.0) for each in others), default=0.0) for gram, share in own.items()
        }
        ranked = sorted((gram for gram in clear if clear[gram] >= _CLEAR), key=lambda gram: (*_rank(gram, clear), gram))
        marks = ranked[:_MOST_MARKS]
        name = " & ".join(map(_in_words, _told_apart(marks))) or _most_common_opening(kinds[number])
        name = name[:_LONGEST_NAME].rstrip()
        taken[name] += 1
        found.append((name if taken[name] == 1 else f"{name} ({taken[name]})", marks))
    return found


def _rank(gram: str, clear: dict[str, float]) -> tuple[bool, float, int]:
    """Marks within the text before those of its ends, clear ones first, telling kinds of lines before plain ones."""
    types = gram.split(" / ")
    telling = min((KINDS.index(kind) if (kind := bare_kind(each)) in KINDS else len(KINDS)) for each in types)
    return bool({"start", "end"} & set(types)), round(0.1 * len(types) - clear[gram], 1), telling


def _shares(grams: list[set[str]]) -> dict[str, float]:
    """Gram -> share of the texts that show it; where lines begin and end says nothing by itself."""
    counted = Counter(gram for each in grams for gram in each if gram not in ("start", "end"))
    return {gram: count / len(grams) for gram, count in counted.items()}


def _told_apart(marks: list[str]) -> list[str]:
    """The first marks without a line type in common; ends are named where there is nothing else."""
    chosen: list[str] = []
    seen: set[str] = set()
    for mark in marks:
        types = set(mark.split(" / "))
        if not types & seen and len(chosen) < _MOST_TYPES:
            chosen.append(mark)
            seen |= types
    return chosen


def _in_words(mark: str) -> str:
    types = mark.split(" / ")
    within = " / ".join(each for each in types if each not in ("start", "end"))
    if "start" in types:
        return f"{'only' if 'end' in types else 'begins with'} {within}"
    return f"ends with {within}" if "end" in types else within


def _most_common_opening(texts: Sequence[str]) -> str:
    counted = Counter(opening(text) for text in texts[:TEXTS_LOOKED_AT])
    return f"opens “{min(counted, key=lambda each: (-counted[each], each))}”"
