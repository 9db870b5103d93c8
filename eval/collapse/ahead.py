"""Labels computed by other processes, ahead of the monitor: labelling is what takes its time on a long log.

Order is kept and only a few steps are in flight, so memory stays that of a few steps.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context

from eval.samples import Facet, Samples

Labels = Mapping[str, Sequence[str]]
"""Facet -> labels of a step's samples."""
_AHEAD = 3  # steps in flight for each worker
_facets: list[Facet] = []


def labelled(
    steps: Iterable[Samples], facets: Sequence[Facet], workers: int
) -> Iterator[tuple[Samples, dict[str, list[str]]]]:
    """Steps with their labels, in order.

    Args:
        steps: Samples of each step.
        facets: Fitted.
        workers: Processes; with 1 everything is done here.

    Raises:
        ValueError: ``workers`` is below 1.
    """
    if workers < 1:
        raise ValueError(f"workers is {workers}: expected 1 or more. Use the number of cores.")
    if workers == 1:
        for samples in steps:
            yield samples, {facet.name: facet.labels(samples) for facet in facets}
        return
    # Spawned, not forked: the parent may hold threads of torch and of Parquet's readers.
    with ProcessPoolExecutor(workers, get_context("spawn"), _start, (list(facets),)) as pool:
        waiting: deque[tuple[Samples, Future[dict[str, list[str]]]]] = deque()
        for samples in steps:
            waiting.append((samples, pool.submit(_label, samples)))
            if len(waiting) >= _AHEAD * workers:
                first, future = waiting.popleft()
                yield first, future.result()
        while waiting:
            first, future = waiting.popleft()
            yield first, future.result()


def join_labels(parts: Sequence[Labels | None]) -> Labels | None:
    """Labels of all parts, if all have them."""
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return None
    return {facet: [label for part in known for label in part[facet]] for facet in known[0]}


def _start(facets: list[Facet]) -> None:
    _facets[:] = facets


def _label(samples: Samples) -> dict[str, list[str]]:
    return {facet.name: facet.labels(samples) for facet in _facets}
