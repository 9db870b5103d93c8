from __future__ import annotations

import pytest

from search.batching import DynamicBatcher
from search.samplers import ScriptedSampler
from search.serve import serving
from tests.search.serve.asking import script


@pytest.fixture(scope="module")
def url():
    with serving(DynamicBatcher(ScriptedSampler(script)), "toy", default_tokens=50) as url:
        yield url
