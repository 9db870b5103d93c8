import asyncio
import threading

import pytest

from search.batching import DynamicBatcher
from search.records import Request
from search.samplers import ScriptedSampler


class Recording(ScriptedSampler):
    """Remembers its batches, and waits in each until it is let go."""

    def __init__(self):
        super().__init__(lambda prompt, prefix, seed: f" {prompt} {seed}")
        self.batches = []
        self.begun = threading.Semaphore(0)
        self.go = threading.Event()
        self.go.set()

    def sample(self, requests):
        self.batches.append([request.id for request in requests])
        self.begun.release()
        assert self.go.wait(timeout=30)
        if any(request.prompt == "bad" for request in requests):
            raise ValueError("a bad one")
        return super().sample(requests)


def request(id, prompt="p"):
    return Request(id=id, prompt=prompt, seed=id, max_new_tokens=9)


async def begun(sampler):
    await asyncio.to_thread(sampler.begun.acquire)


def test_requests_of_the_same_moment_share_a_batch_and_get_their_own_answers():
    sampler = Recording()
    batcher = DynamicBatcher(sampler, max_batch=4)

    async def main():
        return await asyncio.gather(*[batcher.generate(request(i)) for i in range(10)])

    generations = asyncio.run(main())
    assert generations == sampler.sample([request(i) for i in range(10)])
    assert sampler.batches[:-1] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_what_arrives_during_a_batch_makes_up_the_next_one():
    sampler = Recording()
    batcher = DynamicBatcher(sampler)
    sampler.go.clear()

    async def main():
        first = asyncio.ensure_future(batcher.generate(request(0)))
        await begun(sampler)
        others = [asyncio.ensure_future(batcher.generate(request(i))) for i in range(1, 6)]
        await asyncio.sleep(0)
        sampler.go.set()
        await asyncio.gather(first, *others)

    asyncio.run(main())
    assert sampler.batches == [[0], [1, 2, 3, 4, 5]]


def test_a_request_that_is_cancelled_while_it_waits_is_never_sampled():
    sampler = Recording()
    batcher = DynamicBatcher(sampler)
    sampler.go.clear()

    async def main():
        first = asyncio.ensure_future(batcher.generate(request(0)))
        await begun(sampler)
        others = [asyncio.ensure_future(batcher.generate(request(i))) for i in (1, 2, 3)]
        await asyncio.sleep(0)
        others[1].cancel()
        sampler.go.set()
        done = await asyncio.gather(first, *others, return_exceptions=True)
        return [getattr(each, "request_id", type(each)) for each in done]

    assert asyncio.run(main()) == [0, 1, asyncio.CancelledError, 3]
    assert sampler.batches == [[0], [1, 3]]


def test_a_request_that_is_cancelled_under_way_leaves_its_mates_alone():
    sampler = Recording()
    batcher = DynamicBatcher(sampler)
    sampler.go.clear()

    async def main():
        tasks = [asyncio.ensure_future(batcher.generate(request(i))) for i in range(3)]
        await begun(sampler)
        tasks[0].cancel()
        sampler.go.set()
        done = await asyncio.gather(*tasks, return_exceptions=True)
        return [getattr(each, "request_id", type(each)) for each in done]

    assert asyncio.run(main()) == [asyncio.CancelledError, 1, 2]


def test_a_request_that_is_cancelled_under_way_is_aborted_if_the_sampler_can():
    sampler = Recording()
    aborted = []
    sampler.abort = aborted.append
    batcher = DynamicBatcher(sampler)
    sampler.go.clear()

    async def main():
        tasks = [asyncio.ensure_future(batcher.generate(request(i))) for i in range(3)]
        await begun(sampler)
        tasks += [asyncio.ensure_future(batcher.generate(request(i))) for i in (3, 4)]
        await asyncio.sleep(0)
        tasks[1].cancel()
        tasks[3].cancel()  # this one still waits
        await asyncio.sleep(0)
        assert aborted == [1]
        sampler.go.set()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(main())
    assert aborted == [1] and sampler.batches == [[0, 1, 2], [4]]


def test_a_bad_request_fails_alone():
    sampler = Recording()
    batcher = DynamicBatcher(sampler)
    requests = [request(i, "bad" if i in (2, 5) else "good") for i in range(8)]

    async def main():
        return await asyncio.gather(*[batcher.generate(r) for r in requests], return_exceptions=True)

    done = asyncio.run(main())
    assert [i for i, each in enumerate(done) if isinstance(each, ValueError)] == [2, 5]
    assert [each.text for i, each in enumerate(done) if i not in (2, 5)] == [f" good {i}" for i in (0, 1, 3, 4, 6, 7)]


def test_it_serves_one_event_loop_after_another():
    batcher = DynamicBatcher(Recording())
    for i in range(3):
        assert asyncio.run(batcher.generate(request(i))).text == f" p {i}"


def test_a_loop_that_ended_early_leaves_nothing_behind():
    sampler = Recording()
    batcher = DynamicBatcher(sampler)
    sampler.go.clear()

    async def give_up():
        tasks = [asyncio.ensure_future(batcher.generate(request(i))) for i in range(2)]
        await begun(sampler)
        tasks += [asyncio.ensure_future(batcher.generate(request(7)))]
        await asyncio.sleep(0)

    asyncio.run(give_up())
    sampler.go.set()
    assert asyncio.run(batcher.generate(request(9))).request_id == 9
    assert sampler.batches == [[0, 1], [9]]


def test_it_says_of_its_sampler_what_the_sampler_says():
    batcher = DynamicBatcher(ScriptedSampler(lambda *_: ""))
    assert batcher.count_tokens("one two") == 2
    assert batcher.describe() == {"name": "ScriptedSampler"}

    class Bare:
        def sample(self, requests):
            return []

    assert not hasattr(DynamicBatcher(Bare()), "count_tokens")


@pytest.mark.parametrize("wrong", [{"max_batch": 0}, {"max_concurrency": 0}, {"wait_s": -1}])
def test_a_wrong_number_is_refused(wrong):
    with pytest.raises(ValueError, match=rf"{next(iter(wrong))} is .*expected"):
        DynamicBatcher(Recording(), **wrong)
