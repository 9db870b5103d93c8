"""`vpo search resume` and `replay` on a stranger's folder run none of its code, and send none of the user's keys."""

from __future__ import annotations

import http.server
import sys
import threading
from pathlib import Path

import pytest
import yaml

from search.procedures.registry import PROCEDURES
from search.screening.registry import PREDICTORS
from vpo.cli.app import main
from vpo.cli.own_code import code_of_search
from vpo.cli.search.config import CONFIG, parse_config

OURS = {
    "problem": {"name": "maze", "num_problems": 1, "num_answers": 1},
    "sampler": {"name": "model", "model": "none"},
    "procedure": "best_of_n",
    "budget": {"max_answers": 1},
    "out": "x",
}
# What vpo imports by these names; importing it leaves a file, whatever becomes of it then
CANARY = """
from pathlib import Path
Path({path!r}).touch()
def make(*_, **__): raise ValueError("made")
"""
FOREIGN = {
    "a sampler": {"sampler": "stranger:make"},
    "a sampler with options": {"sampler": {"name": "stranger:make", "model": "maze"}},
    "a problem by file": {"problem": "{here}/stranger.py"},
    "a problem by dotted name": {"problem": "stranger.make"},
    "a problem under a task's name": {"problem": "maze:stranger.make"},
    "a problem with a space": {"problem": "stranger .make"},
    "a runner": {"problem": {"name": "code", "runner": "stranger.make", "path": "{here}"}},
    "a runner within vpo": {"problem": {"name": "code", "runner": "vpo.cli.train.subprocess", "path": "{here}"}},
    "an evaluator": {"problem": {"name": "openevolve", "folder": "{here}"}},
    "a predictor": {"screen": {"predictor": "stranger:make"}},
    "a predictor with options": {"screen": {"predictor": {"name": "stranger:make"}}},
    "a worker of vLLM": {"sampler": {"name": "vllm", "model": "{here}", "worker_cls": "stranger.make"}},
    "a connector of vLLM": {
        "sampler": {"name": "vllm", "model": "{here}", "kv_transfer_config": {"kv_connector_module_path": "stranger"}}
    },
    "code of generate": {
        "sampler": {
            "name": "model",
            "model": "m",
            "generate_kwargs": {"custom_generate": "{here}", "trust_remote_code": 1},
        }
    },
    "a checkpoint's code": {"sampler": {"name": "vllm", "model": "{here}", "trust_remote_code": True}},
}


def stranger(folder: Path, **changes) -> Path:
    """A folder of a search, with the code that it names beside it."""
    folder.mkdir(exist_ok=True)
    text = yaml.safe_dump(OURS | changes).replace("{here}", str(folder))
    (folder / CONFIG).write_text(text)
    for place in ("stranger.py", "maze:stranger.py", "stranger .py"):
        (folder / place).write_text(CANARY.format(path=str(folder / "owned")))
    return folder


@pytest.mark.parametrize("what", FOREIGN)
@pytest.mark.parametrize("command", ["resume", "replay"])
def test_a_strangers_search_runs_no_code_of_its_own(tmp_path, monkeypatch, capsys, what, command):
    folder = stranger(tmp_path / "out", **FOREIGN[what])
    (folder / "ledger.jsonl").touch()
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)
    assert main(["search", command, str(folder)]) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert "expected --trust" in said and not (folder / "owned").exists()
    assert (folder / CONFIG).is_file() and not (folder / "run.json").exists(), "nothing has begun"


def test_trust_runs_it(tmp_path, monkeypatch):
    folder = stranger(tmp_path / "out", sampler="stranger:make")
    monkeypatch.syspath_prepend(folder)
    with pytest.raises(ValueError, match="made"):  # not in our code, so it keeps its traceback
        main(["search", "resume", str(folder), "--trust"])
    assert (folder / "owned").exists()
    del sys.modules["stranger"]


def test_a_key_is_sent_only_where_the_user_says_so(tmp_path, monkeypatch, capsys):
    seen = []

    class Thief(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            seen.append(self.headers["Authorization"])
            self.send_error(400)

        def log_message(self, *_):
            pass

    monkeypatch.setenv("BANK", "gold")
    with http.server.HTTPServer(("127.0.0.1", 0), Thief) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        sampler = {"name": "openai", "base_url": f"http://127.0.0.1:{listening.server_port}/v1", "model": "m"}
        folder = stranger(tmp_path / "out", sampler={**sampler, "api_key_env": "BANK"})
        assert main(["search", "resume", str(folder)]) == 1
        assert "the key in BANK for http://127.0.0.1" in " ".join(capsys.readouterr().err.split()) and not seen
        main(["search", "resume", str(folder), "--trust"])
        listening.shutdown()
    assert seen == ["Bearer gold"]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"problem": "circle_packing"},
        {"problem": "reasoning_gym:countdown"},
        {"problem": {"name": "code", "path": "some/rows.jsonl"}},
        {"problem": {"name": "code", "runner": "vpo.tasks.code.sandboxed.run"}},
        {"sampler": {"name": "vllm", "model": "m", "gpu_memory_utilization": 0.5, "enforce_eager": True}},
        {"sampler": {"name": "vllm", "model": "m", "dtype": "float32", "chat_template_kwargs": {"think": False}}},
        {"sampler": {"name": "openai", "base_url": "http://127.0.0.1:1/v1", "model": "m"}},
        *({"procedure": name} for name in PROCEDURES),
        *({"screen": {"predictor": name}} for name in PREDICTORS),
        {"screen": {"predictor": {"name": "world", "model": "m"}}},
        {"sampler": {"name": "model", "model": "m", "generate_kwargs": {"repetition_penalty": 1.1}}},
        {"screen": {"tolerance": 0.2}},
    ],
    ids=str,
)
def test_what_is_ours_needs_no_trust(changes):
    assert not list(code_of_search(OURS | changes))
    assert not list(code_of_search(vars(parse_config(OURS | changes, "here")))), "nor once it was read"


def test_the_users_own_file_needs_no_trust_and_the_printed_command_has_it(tmp_path, capsys):
    from tests.vpo.cli.test_search import write_config

    path = write_config(tmp_path, sampler={"name": "tests.search.cli_parts:digits", "stop_at": 5})
    assert main(["search", "run", str(path)]) == 130
    assert main(["search", "run", str(path)]) in (0, 130), "it goes on, unasked"
    said = " ".join(capsys.readouterr().err.split())
    assert f"To go on: vpo search resume {tmp_path / 'out'} --trust" in said
