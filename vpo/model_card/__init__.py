"""Model cards: the README.md beside a model's weights, which says what it is, how it came about and how to use it.

:class:`Card` holds the facts, ``model_card.md`` the words. Hugging Face's front matter stays as whoever made it (TRL's
trainers do) wants it; this is about the body.
"""

from __future__ import annotations

from vpo.model_card.card import Asking, Card, Table, escaped

__all__ = ["Asking", "Card", "Table", "escaped"]
