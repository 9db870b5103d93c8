import pytest

from search.openai_sampler import OpenAISampler
from tests.search.misbehaving_server import misbehaving
from tests.search.openai.asking import AT_ONCE


@pytest.fixture
def server():
    with misbehaving() as server:
        yield server


@pytest.fixture
def sampler(server):
    return OpenAISampler(server.url, "policy", backoff=AT_ONCE)
