"""The code task: problems and tests of public data sets, programs in answers, and the seam to a sandbox."""

from __future__ import annotations

from vpo.tasks.code.cases import CodeTest, Runner
from vpo.tasks.code.task import CodeTask

__all__ = ["CodeTask", "CodeTest", "Runner"]
