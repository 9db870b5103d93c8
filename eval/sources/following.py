"""Following a log that is being written: each step is given out once it is whole, and once only."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from eval.samples import Samples
from eval.sources.source import Source


def follow(source: Source, poll_s: float, stop: Callable[[], bool], after_step: int = -1) -> Iterator[Samples]:
    """Yield steps as they become whole.

    A line without its end and a file that cannot be read yet are waited for. The last step of a log is held back until
    a later one begins or ``stop`` says that the writer is done: then it is read like any log, and damage is named.
    The log need not be there yet, see ``kind=`` of :func:`eval.sources.open_source`.

    Args:
        source: The log; it must have no other follower.
        poll_s: Seconds between looks at it.
        stop: Whether the writer is done. Asked before each look, so nothing that it wrote before is missed.
        after_step: Leave out this step and all before, as they were seen before an interruption.

    Raises:
        SourceError: As ``Source.read``.
        ValueError: ``poll_s`` is negative.
    """
    if not poll_s >= 0:
        raise ValueError(f"poll_s is {poll_s}: expected the seconds between two looks at the log, 0 or more. Use 10.")
    while True:
        done = stop()
        for samples in source.poll(after_step, final=done):
            after_step = samples.step
            yield samples
        if done:
            return
        time.sleep(poll_s)
