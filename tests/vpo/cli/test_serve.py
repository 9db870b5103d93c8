import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from search.model_sampler import ModelSampler
from search.openai_sampler import OpenAISampler
from search.records import Request
from tests.search.tiny_policy import CHAT, tiny_policy, tiny_tokenizer
from vpo.cli.app import main

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def policy(tmp_path_factory):
    """A policy on disk, whose tokenizer has no chat template."""
    folder = tmp_path_factory.mktemp("models") / "policy"
    tiny_policy().save_pretrained(folder)
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = None
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def token(monkeypatch):
    def set_to(value):
        monkeypatch.setenv("VPO_SERVE_TOKEN", value)

    monkeypatch.delenv("VPO_SERVE_TOKEN", raising=False)
    return set_to


def test_a_served_policy_answers_as_it_does_here(policy, tmp_path, token):
    token("a-token-of-many-characters")
    (tmp_path / "chat.jinja").write_text(CHAT)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [
        "serve",
        str(policy),
        "--port",
        str(port),
        "--chat-template",
        str(tmp_path / "chat.jinja"),
        "--answers",
        "2",
    ]
    code = "import sys; from vpo.cli.app import main; sys.exit(main(sys.argv[1:]))"
    process = subprocess.Popen(
        [sys.executable, "-c", code, *words],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        for _ in range(600):
            assert process.poll() is None, process.stdout.read()
            try:
                httpx.get(f"http://127.0.0.1:{port}/health", timeout=5)
                break
            except httpx.TransportError:
                time.sleep(0.1)
        requests = [Request(id=i, prompt="a b", prefix="c", seed=i, max_new_tokens=6) for i in range(5)]
        requests += [Request(id=5, prompt=[{"role": "user", "content": "a"}], seed=5, max_new_tokens=6)]
        options = {"dialect": "vpo", "api_key_env": "VPO_SERVE_TOKEN"}
        served = OpenAISampler(f"http://127.0.0.1:{port}/v1", "policy", **options).sample(requests)
        assert served == ModelSampler(tiny_policy(), tiny_tokenizer()).sample(requests)
    finally:
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=60)
    assert f"serving policy at http://127.0.0.1:{port}/v1 (with the token of the environment as key)" in said
    assert "a-token-of-many-characters" not in said and "no chat template" not in said


def test_an_open_address_is_refused_before_a_model_is_looked_for(token, capsys):
    assert main(["serve", "no/such/model", "--host", "0.0.0.0"]) == 1
    said = capsys.readouterr().err
    assert "expected a token there: export VPO_SERVE_TOKEN=$(openssl rand -hex 24)" in said
    token("short")
    assert main(["serve", "no/such/model"]) == 1
    assert "the token of 5 characters is weak" in capsys.readouterr().err


def test_what_is_no_model_is_named(token, capsys):
    assert main(["serve", "./nothing-here"]) == 1
    assert "./nothing-here" in capsys.readouterr().err


def test_a_port_that_is_taken_is_named(policy, token, capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["serve", str(policy), "--port", str(port)]) == 1
    err = capsys.readouterr().err
    assert f"127.0.0.1:{port} cannot be listened at" in err


def test_without_the_servers_libraries_the_way_to_them_is_named(monkeypatch, token, capsys):
    for name in [name for name in sys.modules if name.split(".")[0] == "starlette" or name.startswith("search.serve")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "starlette", None)
    assert main(["serve", "no/such/model"]) == 1
    assert "pip install 'vpo[serve]'" in capsys.readouterr().err
