"""`vpo doctor` says what holds, and tries it."""

from __future__ import annotations

import os

import pytest

from vpo.cli import app as cli
from vpo.cli import doctor
from vpo.sandbox import NotEnforced, Sandbox
from vpo.sandbox.capabilities import MECHANISMS


@pytest.fixture(autouse=True)
def host_with_all_of_it() -> None:
    try:
        Sandbox(1, preload=()).close()
    except NotEnforced as error:
        if "CI" in os.environ:
            raise
        pytest.skip(str(error))


def test_a_host_that_enforces_all_is_well(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor"]) == 0
    printed = capsys.readouterr().out
    assert printed.count("enforced") == len(MECHANISMS)
    assert printed.count("cannot") == 10
    assert "CAN" not in printed


def test_what_gets_out_and_what_is_missing_is_said(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    start = Sandbox.__init__

    def leaky(self: Sandbox, *args: object, **kwargs: object) -> None:
        start(self, *args, **kwargs, readable=["/tmp"])  # type: ignore[arg-type]  # where the doctor's own file lies
        self.reasons["seccomp"] = "Function not implemented"

    monkeypatch.setattr(Sandbox, "__init__", leaky)
    monkeypatch.setattr(doctor, "_few_processes", lambda found: False)
    monkeypatch.setenv("COLUMNS", "200")
    assert cli.main(["doctor"]) == 1
    printed = " ".join(capsys.readouterr().out.split())
    assert printed.count("CAN ") == 2
    assert "not: Function not implemented" in printed
    assert 'allow=("no_seccomp",)' in printed


def test_what_is_not_installed_does_not_change_the_exit_status(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from vpo.cli.host import optional_parts

    monkeypatch.setattr(optional_parts.shutil, "which", lambda name: None)
    monkeypatch.setenv("COLUMNS", "200")
    assert cli.main(["doctor"]) == 0
    printed = capsys.readouterr().out
    for part in ("stack", "machine", "optional parts", "make setup-browser", "sandbox, backend zygote"):
        assert part in printed
