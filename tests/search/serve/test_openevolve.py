"""OpenEvolve and ShinkaEvolve, the real packages, with a policy of ours as their model.

Each is installed into an environment of its own (a minute), as neither goes with our pins. Skipped where it cannot be.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from search.batching import DynamicBatcher
from search.request_seeds import choice_seed
from search.samplers import ScriptedSampler
from search.seeds import stable_hash
from search.serve import serving

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
TOKEN = "token-of-the-bridge-test"
ITERATIONS = 20
CONFIG = (Path(__file__).parents[3] / "docs" / "openevolve.yaml").read_text()
START = "# EVOLVE-BLOCK-START\ndef guess():\n    return 0.0\n# EVOLVE-BLOCK-END\n"
EVALUATOR = """
import importlib.util

def evaluate(path):
    spec = importlib.util.spec_from_file_location("candidate", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return {"combined_score": 1 / (1 + abs(module.guess() - 7.0))}
"""


def environment(folder: Path, *packages: str) -> Path:
    """Python of a new environment with the packages; skips the test if they cannot be installed."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = folder / "bin" / "python"
    command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    if done.returncode:
        pytest.skip(f"{packages[0]} cannot be installed here: {done.stderr.strip().splitlines()[-1]}")
    return python


class Recording(ScriptedSampler):
    """A policy that rewrites the program with a number that depends on prompt and seed."""

    def __init__(self):
        super().__init__(self.write)
        self.requests = []

    def write(self, prompt, prefix, seed):
        number = random.Random(stable_hash(prompt, seed)).randrange(15)
        block = f"# EVOLVE-BLOCK-START\ndef guess():\n    return {number}.0\n# EVOLVE-BLOCK-END"
        return f"Try this.\n```python\n{block}\n```"

    def sample(self, requests):
        self.requests.extend(requests)
        return super().sample(requests)


@pytest.fixture(scope="module")
def openevolve(tmp_path_factory) -> Path:
    return environment(tmp_path_factory.mktemp("openevolve"), "openevolve==0.4.1", "setuptools")


def test_openevolve_evolves_a_program_with_a_served_policy(openevolve, tmp_path):
    (tmp_path / "start.py").write_text(START)
    (tmp_path / "evaluator.py").write_text(EVALUATOR)
    sampler = Recording()
    with serving(DynamicBatcher(sampler), "policy", token=TOKEN) as url:
        config = CONFIG.replace("http://127.0.0.1:8000/v1", url).replace(
            "max_iterations: 100", f"max_iterations: {ITERATIONS}"
        )
        assert url in config and f"max_iterations: {ITERATIONS}" in config
        (tmp_path / "config.yaml").write_text(config)
        command = [openevolve.parent / "openevolve-run", "start.py", "evaluator.py", "--config", "config.yaml"]
        done = subprocess.run(
            [*command, "--output", "out"],
            cwd=tmp_path,
            env={"VPO_SERVE_TOKEN": TOKEN, "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=600,
        )
    assert done.returncode == 0, done.stderr[-5000:]
    assert "ERROR" not in done.stdout + done.stderr, done.stderr[-5000:]
    assert len(sampler.requests) == ITERATIONS
    assert len({request.seed for request in sampler.requests}) == ITERATIONS
    for request in sampler.requests:
        assert [message["role"] for message in request.prompt] == ["system", "user"]
        assert "guess" in request.prompt[1]["content"]
        assert request.max_new_tokens == 1024
    best = json.loads((tmp_path / "out" / "best" / "best_program_info.json").read_text())
    written = [float(sampler.write(r.prompt, "", r.seed).split("return ")[1].split()[0]) for r in sampler.requests]
    expected = max(1 / (1 + abs(number - 7.0)) for number in [0.0, *written])
    assert best["metrics"]["combined_score"] == pytest.approx(expected)


def test_the_openai_package_talks_to_the_server(openevolve):
    """It comes with OpenEvolve. Choices, streams, errors and keys, as its own client reads them."""
    script = """
import json, sys, openai
client = openai.OpenAI(base_url=sys.argv[1], api_key=sys.argv[2], max_retries=0)
chat = dict(model="policy", messages=[{"role": "user", "content": "go"}], seed=5)
whole = client.chat.completions.create(**chat, n=3)
streamed = "".join(c.choices[0].delta.content or "" for c in client.chat.completions.create(**chat, stream=True))
answers = client.completions.create(
    model="policy", prompt="go", seed=5, extra_body={"answers_as_choices": True, "num_answers": 2}
)
failures = []
for call in (lambda: client.chat.completions.create(**chat, presence_penalty=1.0),
             lambda: client.chat.completions.create(**{**chat, "model": "other"}),
             lambda: openai.OpenAI(base_url=sys.argv[1], api_key="wrong", max_retries=0).models.list()):
    try:
        call()
    except openai.APIStatusError as error:
        failures.append([type(error).__name__, error.body["message"]])
print(json.dumps({
    "models": [model.id for model in client.models.list()],
    "texts": [choice.message.content for choice in whole.choices],
    "usage": whole.usage.completion_tokens,
    "seeds": [choice.seed for choice in whole.choices],
    "streamed": streamed,
    "parsed": [choice.parsed for choice in answers.choices],
    "failures": failures,
}))
"""
    sampler = Recording()
    with serving(DynamicBatcher(sampler), "policy", token=TOKEN) as url:
        done = subprocess.run([openevolve, "-c", script, url, TOKEN], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    chat = [{"role": "user", "content": "go"}]
    assert seen["models"] == ["policy"]
    assert seen["seeds"] == [choice_seed(5, i) for i in range(3)]
    assert seen["texts"] == [sampler.write(chat, "", seed) for seed in seen["seeds"]]
    assert seen["streamed"] == seen["texts"][0]
    assert seen["usage"] == sum(len(text.split()) + 1 for text in seen["texts"])
    assert seen["parsed"] == [False]
    assert [name for name, _ in seen["failures"]] == ["BadRequestError", "NotFoundError", "AuthenticationError"]
    assert "presence_penalty is 1.0" in seen["failures"][0][1]


def test_shinkaevolve_asks_a_served_policy(tmp_path):
    """Its client alone, without the heavy rest of its dependencies: the address is part of the model's name."""
    light = ["openai", "anthropic", "pydantic", "backoff", "python-dotenv", "instructor", "google-genai", "boto3"]
    python = environment(tmp_path / "venv", *light, "numpy", "scipy", "pandas", "httpx")
    command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    done = subprocess.run([*command, "shinka-evolve==0.0.7"], capture_output=True, text=True, timeout=300)
    if done.returncode:
        pytest.skip(f"shinka-evolve cannot be installed here: {done.stderr.strip().splitlines()[-1]}")
    script = """
import sys
from shinka.llm import LLMClient
client = LLMClient(model_names=[f"local/policy@{sys.argv[1]}"], temperatures=0.7, max_tokens=512, verbose=False)
for _ in range(3):
    result = client.query(msg="improve guess()", system_msg="you write programs")
    print(result.content.split("return ")[1].split()[0], result.input_tokens, result.output_tokens)
"""
    sampler = Recording()
    with serving(DynamicBatcher(sampler), "policy") as url:
        done = subprocess.run(
            [python, "-c", script, url],
            capture_output=True,
            text=True,
            timeout=300,
            env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "LOCAL_OPENAI_API_KEY": "none"},
        )
    assert done.returncode == 0, done.stderr[-5000:]
    assert len(sampler.requests) == 3 and len({request.seed for request in sampler.requests}) == 3
    expected = [sampler.write(r.prompt, "", r.seed).split("return ")[1].split()[0] for r in sampler.requests]
    answered = [line.split() for line in done.stdout.splitlines()[-3:]]
    assert [number for number, _, _ in answered] == expected
    assert all(int(read) > 0 and int(written) > 5 for _, read, written in answered)
    assert sampler.requests[0].temperature == 0.7 and sampler.requests[0].max_new_tokens == 512
