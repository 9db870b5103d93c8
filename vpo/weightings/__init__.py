"""Weightings: what a random taste over the reward components looks like (VPO, arXiv 2605.22817).

A weighting is a point w on the simplex, the utility of an answer under it is ``w . r``. VPO draws K of them for every
prompt and step, from a flat Dirichlet, and shares them between the members of the group. The seed of a draw is a pure
function of (run seed, step, prompt), so every process, and every resumed run, draws the same ones without talking to
the others. No global random generator is read or touched.

Shape letters: K weightings, D components.

The names below are imported on first use: readers of logs need a prompt's key and no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vpo.first_use import on_first_use

if TYPE_CHECKING:
    from vpo.weightings.corners import Corners, Lexicase
    from vpo.weightings.dirichlet import Dirichlet
    from vpo.weightings.fixed import Fixed
    from vpo.weightings.protocol import Weighting
    from vpo.weightings.seeds import prompt_key, weighting_seed

__all__ = ["Corners", "Dirichlet", "Fixed", "Lexicase", "Weighting", "prompt_key", "weighting_seed"]

_HOME = {
    "Corners": "vpo.weightings.corners",
    "Dirichlet": "vpo.weightings.dirichlet",
    "Fixed": "vpo.weightings.fixed",
    "Lexicase": "vpo.weightings.corners",
    "Weighting": "vpo.weightings.protocol",
    "prompt_key": "vpo.weightings.seeds",
    "weighting_seed": "vpo.weightings.seeds",
}

__getattr__, __dir__ = on_first_use(__name__, _HOME)
