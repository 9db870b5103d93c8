import asyncio
import threading

import pytest

from search.openai_sampler import OpenAISampler
from search.samplers import SamplerError
from tests.search.misbehaving_server import completion
from tests.search.openai.asking import request


def test_answers_come_in_order_however_they_arrive(server, sampler):
    server.script = lambda body: completion(f" {body['seed']}")
    generations = sampler.sample([request(id=i, seed=1000 + i) for i in range(200)])
    assert [(g.request_id, g.text) for g in generations] == [(i, f" {1000 + i}") for i in range(200)]


def test_as_many_requests_are_under_way_as_may_be_and_no_more(server):
    server.barrier = threading.Barrier(5)  # passes only if five are there together
    OpenAISampler(server.url, "m", max_concurrency=5).sample([request(id=i) for i in range(20)])
    assert server.most_at_once == 5


def test_cancelling_the_task_hangs_up(server, sampler):
    server.script = lambda body: "hang"

    async def main():
        task = asyncio.ensure_future(sampler.generate(request()))
        await asyncio.to_thread(server.hanging.acquire)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(server.hung_up.acquire, timeout=30)
        server.script = []
        return await sampler.generate(request(id=1))

    assert asyncio.run(main()).request_id == 1


def test_one_failure_ends_the_batch_and_hangs_up_on_the_rest(server, sampler):
    server.script = lambda body: (400, {}, {}) if body["seed"] == 3 else "hang"
    server.barrier = threading.Barrier(6)  # the failure comes when all are there
    with pytest.raises(SamplerError, match="HTTP 400"):
        sampler.sample([request(id=i, seed=i) for i in range(6)])
    for _ in range(5):
        assert server.hung_up.acquire(timeout=30)


def test_batches_can_be_sampled_where_an_event_loop_runs(server, sampler):
    async def main():
        return sampler.sample([request()])

    assert asyncio.run(main())[0].text == "so be it"


def test_connections_are_kept_inside_the_context_and_closed_outside(server, sampler):
    async def main():
        async with sampler:
            for i in range(5):
                await sampler.generate(request(id=i))
            (pool,) = sampler._pools.values()
            assert len(pool._idle) == 1, "one connection did it all"
        assert not sampler._pools

    asyncio.run(main())
