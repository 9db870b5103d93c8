"""A sampler that the command line finds by name: writes random digits into tags of the format."""

from __future__ import annotations

import random
import signal

from search.samplers import ScriptedSampler
from search.seeds import stable_hash
from tests.search.streaming import StreamingScript


def digits(
    *,
    batches: bool = False,
    stop_at: int | None = None,
    only: str | None = None,
    comments: bool = False,
    fails: bool = False,
) -> StreamingScript | ScriptedSampler:
    """Single answers of 4 lines, or of ``only``; a comment makes each another text; ``stop_at`` presses Ctrl-C.

    One that ``fails`` refuses the first request, as a model does whose context is too short.
    """

    def script(prompt, prefix, seed):
        rng = random.Random(stable_hash(prompt, prefix, seed))
        text = only or "\n".join(str(rng.randrange(4)) for _ in range(4 - len(prefix.split())))
        return f"\n{text}" + (f"  # {seed}" if comments else "")

    def before(request):
        if fails:
            raise ValueError("a prompt of 29 tokens does not fit.")
        if request.id == stop_at:
            signal.raise_signal(signal.SIGINT)

    scripted = ScriptedSampler(script)
    return scripted if batches else StreamingScript(scripted, disorder=0, before=before)
