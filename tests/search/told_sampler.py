"""Samplers that actors of a test make: they do as their requests tell them, and leave a line a chunk in a file."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from search.records import Generation, Request
from search.samplers import ScriptedSampler


def script(prompt: Any, prefix: str, seed: int) -> str:
    return " ".join(str((seed * 7919 + k * len(str(prompt)) + len(prefix)) % 97) for k in range(seed % 5))


class Told(ScriptedSampler):
    """A scripted sampler that takes its time, leaves a line a chunk in a file, and does as a request tells it."""

    def __init__(self, log: str, name: str = "told") -> None:
        super().__init__(script)
        self.log, self.name = log, name

    def describe(self) -> dict[str, Any]:
        return {"name": self.name}

    def sample(self, requests: Sequence[Request]) -> list[Generation]:
        with open(self.log, "a") as file:
            file.write(f"{os.getpid()} {' '.join(str(request.id) for request in requests)}\n")
        for request in requests:
            if request.prompt == "slow":
                time.sleep(0.1)
            if request.prompt == "kill once" and not os.path.exists(f"{self.log}.killed"):
                Path(f"{self.log}.killed").touch()
                os._exit(1)
            if request.prompt == "kill":
                os._exit(1)
            if request.prompt == "wrong":
                raise ValueError("a prompt has no tokens")
        answers = super().sample(requests)
        return answers[:-1] if requests[0].prompt == "forget" else answers


class Other(Told):
    """Describes itself as its process."""

    def describe(self) -> dict[str, Any]:
        return {"name": str(os.getpid())}
