"""OpenRLHF's samples: what ``openrlhf.cli.batch_inference`` writes, as one JSONL file or one for each iteration.

Its trainers keep no rollouts (one sample a logging step goes to W&B or TensorBoard); samples on disk come from
``--eval_task generate`` or ``generate_vllm`` (``input``, ``output``) and ``--eval_task rm`` (also ``reward``), with
``--best_of_n`` completions a prompt, once for each ``--iter`` of an iterative run or for each checkpoint. A file's step
is the last number in its name, 0 without. What its post-processors make for SFT or DPO is no sample of the policy: such
a file beside samples is left out, with a warning, if no number in its name says that it is one of them.

A save hook in an OpenRLHF reward function does better by writing the generic form.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

from eval.sources.errors import SourceError
from eval.sources.lines import first_record
from eval.sources.numbered import NumberedDumps
from eval.sources.rewards import Place


class OpenRLHFSamples(NumberedDumps):
    """A folder of OpenRLHF's samples, or one of its files."""

    name = "OpenRLHF samples"
    pattern = re.compile(r"(?:.*?(\d+))?\D*\.jsonl(?:\.gz)?")

    def _step_of(self, path: Path) -> int | None:
        match = self.pattern.fullmatch(path.name)
        if match is None or match[1] is not None:
            return match and int(match[1])
        if is_openrlhf(first_record(path) or ()):
            return 0
        self.warn(f"{path} begins with no sample and has no number in its name: left out.")
        return None

    def _components(self, columns: dict[str, list[Any]], place: Place) -> list[str]:
        if missing := [key for key in ("input", "output") if key not in columns]:
            raise SourceError(
                f"{place(0)} has no {', '.join(map(repr, missing))}: expected OpenRLHF's input and output, got "
                f"{', '.join(columns)}. Point at the output of batch_inference before any post-processor, or name the "
                "kind of log with kind=."
            )
        if "reward" not in columns:
            self.warn(f"{self.path} has no rewards: run --eval_task rm on it. Formats can be read, success cannot.")
            return []
        return ["reward"]


def is_openrlhf(keys: Collection[str]) -> bool:
    """Whether a record with these keys is OpenRLHF's."""
    return {"input", "output"} <= set(keys) and "score" not in keys
