"""A served policy under load: does `vpo serve` lose a request, what does it cost in memory, what does batching bring?

The real command serves a tiny policy (a random Llama of two layers) in a process of its own, on loopback; this process
is the clients. First one client, request after request. Then bursts of 200 requests at once, each on a connection of
its own: n = 1 and n = 8 choices, some of them as streams. Then bursts in which half of the clients hang up, either in
the middle of the body or while their completions are computed. A request is lost if it gets no answer, an error, or
another answer than the same seed gave a client that was alone.

Bounds, set before anything was measured: no request lost, whoever hangs up; 200 clients raise the peak of the server's
memory by at most 128 MiB over one client's; the last burst ends within 16 MiB of the first (nothing piles up); a burst
is answered at 3 times the rate of a single client at least. No wait is bounded: on a CPU it is the model's.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from targets import Target, finish, parser

sys.path.insert(0, str(Path(__file__).parents[1]))  # the tiny policy is one of the tests'
from tests.search.tiny_policy import WORDS, tiny_policy, tiny_tokenizer

CLIENTS = 200
MAX_TOKENS = 16
MIB = 2**20
SERVE = "import sys; from vpo.cli.app import main; sys.exit(main())"


@contextmanager
def served(folder: Path) -> Iterator[tuple[str, int]]:
    """`vpo serve` on a free port: its address, and its process."""
    tiny_policy().save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    with httpx.Client() as client, _free_port() as port:
        command = [sys.executable, "-c", SERVE, "serve", str(folder), "--port", str(port), "--name", "tiny"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
        with (folder / "log.txt").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        try:
            url = f"http://127.0.0.1:{port}"
            for _ in range(600):
                if process.poll() is not None:
                    raise RuntimeError((folder / "log.txt").read_text(errors="replace")[-2000:])
                try:
                    if client.get(f"{url}/health").status_code == 200:
                        break
                except httpx.TransportError:
                    time.sleep(0.2)
            yield url, process.pid
        finally:
            process.terminate()
            process.wait(timeout=30)
            if "Traceback" in (text := (folder / "log.txt").read_text(errors="replace")):
                print(text[text.index("Traceback") :][:3000])


@contextmanager
def _free_port() -> Iterator[int]:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    yield port


def memory(pid: int, which: str) -> float:
    """Of a process, in bytes: "VmRSS" now, "VmHWM" at its highest."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(which):
            return float(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/{pid}/status has no {which}")


def question(number: int, choices: int, streams: bool = False) -> dict[str, Any]:
    prompt = " ".join(random.Random(number).choices(WORDS[:15], k=5))
    return {"prompt": prompt, "seed": number, "n": choices, "max_tokens": MAX_TOKENS, "stream": streams}


def texts(reply: httpx.Response) -> list[str]:
    """Texts of all choices, of a stream as well."""
    if not reply.headers["content-type"].startswith("text/event-stream"):
        return [choice["text"] for choice in reply.json()["choices"]]
    events = [line.removeprefix("data: ") for line in reply.text.split("\n\n") if line and "[DONE]" not in line]
    return [choice["text"] for event in events for choice in json.loads(event)["choices"]]


async def ask(client: httpx.AsyncClient, body: dict[str, Any]) -> tuple[list[str] | None, float]:
    """Texts, or None for a request that was lost, and the seconds that it took."""
    began = time.perf_counter()
    try:
        reply = await client.post("/v1/completions", json=body)
        return (texts(reply) if reply.status_code == 200 else None), time.perf_counter() - began
    except httpx.HTTPError:
        return None, time.perf_counter() - began


def clients(url: str, number: int) -> httpx.AsyncClient:
    limits = httpx.Limits(max_connections=number, max_keepalive_connections=number)
    return httpx.AsyncClient(base_url=url, limits=limits, timeout=600)


async def one_by_one(url: str, bodies: list[dict[str, Any]]) -> tuple[list[list[str] | None], list[float], float]:
    began = time.perf_counter()
    async with clients(url, 1) as client:
        found = [await ask(client, body) for body in bodies]
    return [each for each, _ in found], [seconds for _, seconds in found], time.perf_counter() - began


async def burst(url: str, bodies: list[dict[str, Any]]) -> tuple[list[list[str] | None], list[float], float]:
    began = time.perf_counter()
    async with clients(url, len(bodies)) as client:
        found = await asyncio.gather(*(ask(client, body) for body in bodies))
    return [each for each, _ in found], [seconds for _, seconds in found], time.perf_counter() - began


async def hang_up(url: str, body: dict[str, Any], in_body: bool) -> None:
    """A client that goes in the middle of its body, or a moment after it."""
    host, port = url.removeprefix("http://").split(":")
    content = json.dumps(body).encode()
    head = f"POST /v1/completions HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
    _, writer = await asyncio.open_connection(host, int(port))
    whole = f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content
    writer.write(whole[: -len(content) // 2] if in_body else whole)
    await writer.drain()
    await asyncio.sleep(0.05)
    writer.close()


async def burst_with_leavers(url: str, bodies: list[dict[str, Any]]) -> list[list[str] | None]:
    leavers = [hang_up(url, {**body, "n": 8}, in_body=bool(i % 2)) for i, body in enumerate(bodies)]
    (found, _, _), *_ = await asyncio.gather(burst(url, bodies), *leavers, return_exceptions=False)
    return found


def quantiles(seconds: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(seconds, n=100, method="inclusive")
    return {"p50_s": round(cuts[49], 4), "p99_s": round(cuts[98], 4)}


def lost(found: list[list[str] | None], expected: list[list[str] | None]) -> int:
    return sum(each is None or each != wanted for each, wanted in zip(found, expected, strict=True))


def measure(waves: int, alone: int) -> tuple[dict[str, Any], list[Target]]:
    with tempfile.TemporaryDirectory() as name, served(Path(name)) as (url, pid):
        singles = [question(i, 1) for i in range(CLIENTS)]
        eights = [question(i, 8, streams=i % 4 == 0) for i in range(CLIENTS)]
        asyncio.run(one_by_one(url, singles[:5] + eights[:2]))  # what is made at first use
        _, latencies, seconds = asyncio.run(one_by_one(url, singles[:alone]))
        single_rate = alone / seconds
        rows = [
            {"load": "one client, n = 1", "requests": alone, "lost": 0, "rate": single_rate, **quantiles(latencies)}
        ]
        answers = {1: asyncio.run(one_by_one(url, singles))[0], 8: asyncio.run(one_by_one(url, eights))[0]}
        peak_alone, ends, rates = memory(pid, "VmHWM"), [], []
        for choices, bodies in ((1, singles), (8, eights)):
            found: list[list[str] | None] = []
            latencies, seconds = [], 0.0
            for _ in range(waves):
                texts_of_wave, times, took = asyncio.run(burst(url, bodies))
                found += texts_of_wave
                latencies += times
                seconds += took
                ends.append(memory(pid, "VmRSS"))
            if choices == 1:
                rates.append(len(found) / seconds)
            missing = lost(found, answers[choices] * waves)
            rate = len(found) / seconds
            load = f"{CLIENTS} clients, n = {choices}" + (", a quarter of them as streams" if choices == 8 else "")
            rows.append({"load": load, "requests": len(found), "lost": missing, "rate": rate, **quantiles(latencies)})
        stayed, expected = singles[: CLIENTS // 2], answers[1][: CLIENTS // 2]
        found = [each for _ in range(waves) for each in asyncio.run(burst_with_leavers(url, stayed))]
        ends.append(memory(pid, "VmRSS"))
        load = f"{CLIENTS} clients, half of which hang up: the others"
        rows.append({"load": load, "requests": len(found), "lost": lost(found, expected * waves)})
        after, _, _ = asyncio.run(one_by_one(url, singles[:20]))
        rows.append({"load": "one client afterwards", "requests": 20, "lost": lost(after, answers[1][:20])})
        peak = memory(pid, "VmHWM")
    targets = [
        Target("requests lost or answered wrongly", sum(row["lost"] for row in rows), 0, at_least=False),
        Target("MiB that 200 clients add to the peak of one", (peak - peak_alone) / MIB, 128, at_least=False),
        Target(
            "MiB from the end of the first burst to that of the last", (ends[-1] - ends[0]) / MIB, 16, at_least=False
        ),
        Target("requests a second, 200 clients against one, n = 1", rates[0] / single_rate, 3),
    ]
    facts = {
        "seeds": "request i has seed i",
        "clients": CLIENTS,
        "waves": waves,
        "max_tokens": MAX_TOKENS,
        "peak_mib": {"one client": peak_alone / MIB, "all": peak / MIB},
        "mib_after_each_burst": [round(each / MIB, 1) for each in ends],
        "rows": rows,
    }
    return facts, targets


def main() -> int:
    chosen = parser(__doc__ or "").parse_args()
    facts, targets = measure(waves=1 if chosen.quick else 3, alone=20 if chosen.quick else 100)
    print(f"{'load':<52} {'requests':>8} {'lost':>5} {'a second':>9} {'p50 s':>7} {'p99 s':>7}")
    for row in facts["rows"]:
        figures = [f"{row[name]:{width}}" if name in row else " " * int(width.split(".")[0]) for name, width in
                   (("rate", "9.1f"), ("p50_s", "7.3f"), ("p99_s", "7.3f"))]  # fmt: skip
        print(f"{row['load']:<52} {row['requests']:8} {row['lost']:5} {' '.join(figures)}")
    return finish("load", chosen.quick, facts, targets)


if __name__ == "__main__":
    sys.exit(main())
