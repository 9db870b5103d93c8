"""Requests to a server that can be told to misbehave."""

from search.records import Request
from search.retry import Backoff

AT_ONCE = Backoff(max_retries=3, first_s=0, longest_s=0)


def request(id=0, prompt="a b", seed=1, **options) -> Request:
    return Request(id=id, prompt=prompt, seed=seed, **{"max_new_tokens": 8, **options})
