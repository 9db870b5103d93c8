from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
import types
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from eval.collapse.actions import suggest
from eval.collapse.alerts import alarm_text, make_sinks, send
from eval.collapse.records import AlarmRecord


def alarm(level="critical") -> AlarmRecord:
    return AlarmRecord(
        look=3,
        step=30,
        epoch=0.5,
        level=level,
        quantities=["format: python"],
        sentence="Share of python is .9.",
        log_evidence=5.0,
        log_threshold=3.0,
        guarantee="The chance of any alarm is at most 0.05.",
        assumption="Prompts are independent.",
        verdict="costly collapse",
        why="pass@8 fell.",
        actions=suggest("costly collapse", "trl", {"beta": 0.001}, 30),
    )


def test_an_alarm_in_words_says_its_guarantee_its_assumption_and_what_may_help():
    text = alarm_text(alarm())
    for part in ("Share of python is .9.", "costly collapse", "at most 0.05", "independent", "beta: 0.001 -> 0.01"):
        assert part in text


def test_the_console_gets_a_level_of_its_own(caplog):
    with caplog.at_level(logging.WARNING, "vpo.monitor"):
        send(make_sinks(["console"]), "run", alarm("warning"))
        send(make_sinks(["console"]), "run", alarm())
    assert [record.levelname for record in caplog.records] == ["WARNING", "ERROR"]
    assert "critical at step 30 of run: format: python" in caplog.text


def test_a_webhook_gets_text_and_the_whole_alarm():
    bodies, arrived = [], threading.Event()

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self):
            bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()
            arrived.set()

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        send(make_sinks([f"http://127.0.0.1:{server.server_port}/hook"]), "run", alarm())
        assert arrived.wait(20)
    finally:
        server.shutdown()
        server.server_close()
    assert "critical at step 30 of run" in bodies[0]["text"]
    assert bodies[0]["alarm"]["verdict"] == "costly collapse"


@pytest.mark.slow
def test_a_program_that_ends_after_an_alarm_has_sent_it():
    """The last alarm of a log is raised just before the program ends, and an address may take a while."""
    arrived = threading.Event()

    class Slow(BaseHTTPRequestHandler):
        def do_POST(self):
            threading.Event().wait(0.5)
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.end_headers()
            arrived.set()

        def log_message(self, *args):
            pass

    server = HTTPServer(("127.0.0.1", 0), Slow)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    program = (
        "from eval.collapse.alerts import make_sinks, send; from tests.eval.collapse.test_alerts import alarm; "
        f"send(make_sinks(['http://127.0.0.1:{server.server_port}/hook']), 'run', alarm())"
    )
    try:
        subprocess.run([sys.executable, "-c", program], check=True, timeout=120)
        assert arrived.wait(5)
    finally:
        server.shutdown()
        server.server_close()


def test_trackers_are_told_in_their_own_levels(monkeypatch):
    told = []
    levels = types.SimpleNamespace(WARN="warn", ERROR="error")
    trackio = types.ModuleType("trackio")
    trackio.AlertLevel, trackio.alert = levels, lambda **given: told.append(("trackio", given["level"], given["title"]))
    wandb = types.ModuleType("wandb")
    wandb.AlertLevel = levels
    wandb.run = types.SimpleNamespace(alert=lambda **given: told.append(("wandb", given["level"], given["title"])))
    monkeypatch.setitem(sys.modules, "trackio", trackio)
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    send(make_sinks(["trackio", "wandb"]), "run", alarm("warning"))
    assert [(name, level) for name, level, _ in told] == [("trackio", "warn"), ("wandb", "warn")]


def test_a_sink_that_fails_stops_neither_the_others_nor_the_run(caplog):
    told = []

    def broken(run, record):
        raise ConnectionError("no route")

    send([broken, lambda run, record: told.append(run)], "run", alarm())
    assert told == ["run"]
    assert "an alarm could not be sent (ConnectionError: no route)" in caplog.text


def test_an_unknown_sink_is_refused_at_the_door():
    with pytest.raises(ValueError, match="alerts hold 'slack': expected 'console', 'trackio', 'wandb'"):
        make_sinks(["slack"])


@pytest.mark.parametrize("verdict", ["no change", "nothing to collapse", "benign selection", "insufficient data"])
def test_nothing_is_suggested_where_nothing_should_be_done(verdict):
    assert suggest(verdict, "trl", {}, 10) == []


@pytest.mark.parametrize(
    ("trainer", "key"),
    [
        ("trl", "beta"),
        ("vpo", "beta"),
        ("verl", "actor_rollout_ref.actor.kl_loss_coef"),
        ("openrlhf", "algo.kl.init_coef"),
    ],
)
def test_suggestions_are_in_the_trainers_own_keys(trainer, key):
    actions = suggest("costly collapse", trainer, {}, 10)
    assert any(key in action.changes for action in actions)
    assert all(action.source and action.strength for action in actions)


def test_a_strong_pull_is_raised_but_not_without_limit():
    def proposed(beta):
        return suggest("costly collapse", "trl", {"beta": beta}, 10)[0].changes["beta"]

    assert proposed(0.0) == [0.0, 0.01]
    assert proposed(0.001) == [0.001, 0.01]
    assert proposed(0.05) == [0.05, 0.1]
    assert all("beta" not in action.changes for action in suggest("costly collapse", "trl", {"beta": 0.2}, 10))


def test_a_tracker_that_is_not_installed_is_named_with_the_cure(monkeypatch):
    monkeypatch.setitem(sys.modules, "trackio", None)
    with pytest.raises(ImportError, match="alerts hold 'trackio', which is not installed: `pip install trackio`"):
        make_sinks(["trackio"])
