"""Two hundred clients at once, for real: a model, a socket, and a connection for each of them."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from search.batching import DynamicBatcher
from search.model_sampler import ModelSampler
from search.serve import serving
from tests.search.tiny_policy import WORDS, tiny_policy, tiny_tokenizer

CLIENTS = 200


def question(number: int, choices: int) -> dict:
    return {"prompt": f"a {WORDS[number % 15]} c", "seed": number, "n": choices, "max_tokens": 8}


async def ask(client: httpx.AsyncClient, body: dict) -> list[str]:
    reply = await client.post("/completions", json=body)
    assert reply.status_code == 200, reply.text[:500]
    return [choice["text"] for choice in reply.json()["choices"]]


@pytest.mark.slow
@pytest.mark.parametrize("choices", [1, 8])
def test_two_hundred_requests_at_once_are_all_answered_each_with_its_own_completions(choices):
    bodies = [question(number, choices) for number in range(CLIENTS)]

    async def main(url: str) -> tuple[list[list[str]], list[list[str]]]:
        limits = httpx.Limits(max_connections=CLIENTS)
        async with httpx.AsyncClient(base_url=url, limits=limits, timeout=250) as client:
            together = await asyncio.gather(*(ask(client, body) for body in bodies))
            alone = [await ask(client, body) for body in bodies[:: CLIENTS // 10]]
        return together, alone

    with serving(DynamicBatcher(ModelSampler(tiny_policy(), tiny_tokenizer())), "tiny") as url:
        together, alone = asyncio.run(main(url))
    assert all(len(texts) == choices for texts in together)
    assert together[:: CLIENTS // 10] == alone
