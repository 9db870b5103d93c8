"""Rollout logs in, :class:`~eval.samples.Samples` out: the input side of the collapse monitor.

One file a kind of log: our rollout log, TRL's completions, verl's and OpenRLHF's dumps, and a generic form as JSON
lines or Parquet. Whatever the kind, memory is that of a step, steps ascend, and what may not be averaged over is an
error or a sentence: damage, other reward components, another way of sampling, another prompt template.
"""

from eval.sources.errors import DamagedFileError, SourceError
from eval.sources.following import follow
from eval.sources.opening import KINDS, open_source, read_base
from eval.sources.sampling import PROMPT_TEMPLATE, sampling_change
from eval.sources.source import Source

__all__ = [
    "KINDS",
    "PROMPT_TEMPLATE",
    "DamagedFileError",
    "Source",
    "SourceError",
    "follow",
    "open_source",
    "read_base",
    "sampling_change",
]
