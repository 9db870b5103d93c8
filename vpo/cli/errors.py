"""Which errors are a user's or the machine's, and are said in a message; all others keep their traceback."""

from __future__ import annotations

import errno

_OWN_PACKAGES = frozenset({"vpo", "trainers", "search", "eval"})
_OF_PYTHON = ("No module named", "cannot import name")  # what a failing import says itself
_MACHINE = {
    errno.EACCES: "Expected a place that you may write to (or read): choose another folder, or change its permissions.",
    errno.EPERM: "Expected a place that you may write to: choose another folder, or change its permissions.",
    errno.EROFS: "Expected a disk that can be written to: choose another folder.",
    errno.ENOSPC: "Expected room on the disk: make some, or choose a folder elsewhere. A run goes on where it stopped.",
    errno.EDQUOT: "Expected room in your quota: make some, or choose a folder elsewhere.",
    errno.ENOTDIR: "Expected folders all the way down: a part of this path is a file.",
    errno.EISDIR: "Expected a file: name one in it.",
    errno.EADDRINUSE: "Expected a free port: another program listens there. Choose another with --port.",
}


def of_the_machine(error: Exception) -> str | None:
    """What to say of a full disk or a missing permission, wherever it was found; None of any other error."""
    if not isinstance(error, OSError) or error.errno not in _MACHINE:
        return None
    place = str(error.filename) if error.filename else "the output folder"
    return f"{place}: {error.strerror}. {_MACHINE[error.errno]}"


def raised_by_us(error: Exception) -> bool:
    """Whether the error was raised in one of our packages, by a ``raise`` and not by an ``import`` that failed."""
    traceback = error.__traceback__
    if traceback is None or (isinstance(error, ImportError) and str(error).startswith(_OF_PYTHON)):
        return False
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    return str(traceback.tb_frame.f_globals.get("__name__", "")).split(".")[0] in _OWN_PACKAGES
