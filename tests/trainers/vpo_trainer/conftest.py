"""VPOTrainer on completions that are written for it, so that rewards are known."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _silence_experimental(monkeypatch):
    monkeypatch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")
