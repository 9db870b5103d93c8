from __future__ import annotations

import asyncio
import concurrent.futures
import json
import socket
import threading

from search.batching import DynamicBatcher
from search.budget import Budget
from search.driver import run_search
from search.openai_sampler import OpenAISampler
from search.procedures import Evolution
from search.records import Request, Sampling
from search.samplers import ScriptedSampler
from search.serve import serving
from tests.search.serve.asking import ask, post, script
from tests.search.toy_problem import ToyProblem, toy_sampler


class Waiting:
    """Generates when it is let go, and counts what was cancelled."""

    max_concurrency = 8

    def __init__(self):
        self.begun = threading.Semaphore(0)
        self.cancelled = threading.Semaphore(0)
        self.go = threading.Event()

    async def generate(self, request):
        self.begun.release()
        try:
            while not self.go.is_set():
                await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            self.cancelled.release()
            raise
        return ScriptedSampler(script).sample([request])[0]


def test_a_client_that_hangs_up_has_its_completions_aborted():
    sampler = Waiting()
    with serving(sampler, "m") as url:
        host, port = url.removeprefix("http://").removesuffix("/v1").split(":")
        body = json.dumps({"prompt": "x", "n": 3})
        with socket.create_connection((host, int(port))) as connection:
            head = f"POST /v1/completions HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
            connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
            for _ in range(3):
                assert sampler.begun.acquire(timeout=30)
        for _ in range(3):
            assert sampler.cancelled.acquire(timeout=30)


def test_cancelling_our_sampler_aborts_the_completion_over_there():
    sampler = Waiting()

    async def main(url):
        task = asyncio.ensure_future(
            OpenAISampler(url, "m").generate(Request(id=0, prompt="x", seed=0, max_new_tokens=3))
        )
        assert await asyncio.to_thread(sampler.begun.acquire, timeout=30)
        task.cancel()
        assert await asyncio.to_thread(sampler.cancelled.acquire, timeout=30)

    with serving(sampler, "m") as url:
        asyncio.run(main(url))


def test_more_than_may_wait_are_told_to_come_back(monkeypatch):
    from search.serve import server

    make = server.make_app
    monkeypatch.setattr(server, "make_app", lambda *args, **options: make(*args, **options, max_waiting=2))
    sampler = Waiting()
    with serving(sampler, "m") as url, concurrent.futures.ThreadPoolExecutor() as threads:
        first = threads.submit(ask, url, prompt="x", n=2)
        assert sampler.begun.acquire(timeout=30)
        response = post(url, prompt="x")
        assert response.status_code == 429 and response.headers["retry-after"] == "1"
        sampler.go.set()
        assert len(first.result()["choices"]) == 2
        ask(url, prompt="x")


def test_a_search_over_the_server_is_the_search_over_the_sampler_behind_it():
    problem = ToyProblem("toy", num_answers=2)
    scripted = toy_sampler(problem)

    def search(sampler):
        return run_search(
            [problem],
            lambda problem: Evolution(problem.vary),
            sampler,
            Budget(max_completion_tokens=600),
            sampling=Sampling(max_new_tokens=20),
            mode="rounds",  # a stream asks at other moments, and finds other things
        )

    with serving(DynamicBatcher(scripted), "toy") as url:
        (over_there,) = search(OpenAISampler(url, "toy", dialect="vpo"))
    (here,) = search(scripted)
    assert [(c.answer, c.parents) for c in over_there.candidates] == [(c.answer, c.parents) for c in here.candidates]
    assert len(here.candidates) > 20
