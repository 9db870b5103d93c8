"""What a border must not do, seen from within the process: run code, write or read beside its folder, hang, swell.

An audit hook (PEP 578) sees what Python is asked to do, whoever asks. It cannot be taken out again, so there is one for
the process, which looks only while something is watched.
"""

from __future__ import annotations

import contextlib
import io
import os
import resource
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from vpo.cli.app import main
from vpo.visible import STEERS

MOST_CPU_S = 20.0  # of one input; the largest that is drawn takes a hundredth of it
MOST_GROWTH = 1 << 30  # bytes of peak memory that one input may add
CANARY = "vpo_fuzz_canary"  # what hostile inputs name to be run

_RUNS = ("os.system", "os.exec", "os.spawn", "os.posix_spawn", "subprocess.Popen", "pickle.find_class")
_CHANGES = {
    "os.mkdir": 1, "os.remove": 1, "os.rmdir": 1, "os.rename": 2, "os.link": 2, "os.symlink": 2, "os.truncate": 1,
    "os.chmod": 1, "shutil.rmtree": 1, "shutil.move": 2, "shutil.copyfile": 2,
}  # fmt: skip
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_MAY_RUN = ("git", "uname")  # `vpo.record` and `platform` ask them what this checkout and machine are


class _Watch:
    def __init__(self, folder: Path, bait: Path | None) -> None:
        self.folder = os.path.realpath(folder)
        self.bait = None if bait is None else os.path.realpath(bait)
        self.seen: list[str] = []

    def note(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            if self._is_path(path):
                if isinstance(flags, int) and flags & _WRITES and not self._is_inside(path, self.folder):
                    self.seen.append(f"opens {os.fsdecode(path)} for writing")
                elif self.bait is not None and self._is_inside(path, self.bait):
                    self.seen.append(f"reads {os.fsdecode(path)}")
        elif event in _CHANGES:
            for path in arguments[: _CHANGES[event]]:
                if self._is_path(path) and not self._is_inside(path, self.folder):
                    self.seen.append(f"{event} {os.fsdecode(path)}")
        elif event == "import" and arguments[0] == CANARY:
            self.seen.append(f"imports {CANARY}")
        elif event in _RUNS:
            program = arguments[0]
            if not (event == "subprocess.Popen" and os.path.basename(os.fsdecode(program)) in _MAY_RUN):
                self.seen.append(f"{event} {arguments!r:.200}")

    @staticmethod
    def _is_path(path: object) -> bool:
        return isinstance(path, str | bytes) and os.fsdecode(path) != os.devnull

    @staticmethod
    def _is_inside(path: str | bytes, folder: str) -> bool:
        whole = os.path.realpath(os.fsdecode(path))
        return whole == folder or whole.startswith(folder + os.sep)


_watch: _Watch | None = None


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if _watch is not None:
        _watch.note(event, arguments)


sys.addaudithook(_hook)


class TookTooLongError(AssertionError):
    """An input costs more processor time than any input may."""


def _give_up(number: int, frame: FrameType | None) -> None:
    raise TookTooLongError(f"more than {MOST_CPU_S:g} s of processor time for one input")


@contextlib.contextmanager
def watched(folder: Path, bait: Path | None = None) -> Iterator[None]:
    """Fail if something inside runs a program or a pickle, writes beside ``folder``, reads in ``bait``, or costs much.

    The time is this process's own (SIGVTALRM), so a busy machine makes no finding, and pytest's SIGALRM stays free.
    """
    global _watch
    assert _watch is None
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    former = signal.signal(signal.SIGVTALRM, _give_up)
    signal.setitimer(signal.ITIMER_VIRTUAL, MOST_CPU_S)
    watch = _watch = _Watch(folder, bait)
    try:
        yield
    finally:
        _watch = None
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, former)
    assert not watch.seen, watch.seen[:5]
    growth = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    assert growth <= MOST_GROWTH, f"peak memory grew by {growth / 2**20:.0f} MiB at one input"


@contextlib.contextmanager
def empty_folder() -> Iterator[Path]:
    """A folder for one input; what lies beside it is none of its business."""
    with tempfile.TemporaryDirectory(prefix="vpo-fuzz-") as name:
        folder = Path(name) / "run"
        folder.mkdir()
        yield folder


def command(words: Sequence[str], folder: Path, bait: Path | None = None) -> tuple[int, str]:
    """Run `vpo` with these words in this process: its status, and all that it said.

    Whatever it is given, it ends with 0, or with 1 or 2 and one message; an exception is a finding.
    """
    said = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)  # as a terminal: not all can be said
    with watched(folder, bait), contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        status = main(words)
    said.seek(0)
    text = said.read()
    assert status in (0, 1, 2), (status, text[-500:])
    assert "Traceback" not in text, text[-2000:]
    assert not STEERS.search(text), f"it steers the terminal: {ascii(text)[-500:]}"
    assert status == 0 or text.strip(), "it failed and said nothing"
    return status, text
