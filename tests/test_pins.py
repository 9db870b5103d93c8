from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import subprocess
import sys
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.checkout import PACKAGES, ROOT, imported_modules, pins, sources


def requirements() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    # vLLM is not among the pins: it pins a stack of its own, which only machines that use it should have. Nor is
    # Trackio, which wants an older Pillow.
    unpinned = {"vllm", "trackio"}
    optional = project["optional-dependencies"]
    extras = [line for name, lines in optional.items() if name not in unpinned for line in lines]
    return [found for line in [*project["dependencies"], *extras] if (found := Requirement(line)).name != "vpo"]


@pytest.mark.parametrize("requirement", requirements(), ids=str)
def test_a_dependency_has_a_pin_that_it_allows(requirement: Requirement) -> None:
    assert requirement.specifier.contains(pins()[canonicalize_name(requirement.name)])


def closure(wanted: list[Requirement]) -> set[str]:
    """Names of everything that ``wanted`` brings with it here, read from what is installed."""
    found: set[str] = set()
    queue = [(requirement.name, extra) for requirement in wanted for extra in ("", *requirement.extras)]
    seen = set(queue)
    while queue:
        name, extra = queue.pop()
        found.add(canonicalize_name(name))
        for line in importlib.metadata.requires(name) or []:
            needed = Requirement(line)
            if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                fresh = {(needed.name, each) for each in ("", *needed.extras)} - seen
                seen |= fresh
                queue += fresh
    return found


def test_the_pins_are_all_that_is_needed_and_no_more() -> None:
    needed = closure(requirements())
    # A CUDA build of torch brings these, at versions that it pins itself; a CPU build does not.
    cuda = {name for name in needed if name.startswith(("nvidia-", "cuda-", "triton"))}
    assert pins().keys() == needed - cuda


@pytest.mark.parametrize("file", ["constraints.txt", "requirements-vllm.txt"])
def test_a_pin_is_an_exact_version_without_a_build_suffix(file: str) -> None:
    wrong = {name: version for name, version in pins(file).items() if not re.fullmatch(r"[0-9][0-9a-z.]*", version)}
    assert wrong == {}


def test_the_environment_with_vllm_has_our_pins_but_for_those_that_vllm_sets_lower() -> None:
    ours, theirs = pins(), pins("requirements-vllm.txt")
    assert {name for name in ours if theirs.get(name) != ours[name]} == {"numpy", "setuptools"}


@pytest.mark.vllm
@pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="vLLM is not installed here: make test-vllm")
def test_the_environment_with_vllm_lacks_only_what_was_left_out() -> None:
    done = subprocess.run([sys.executable, "-m", "pip", "check"], capture_output=True, text=True)
    assert "but you have" not in done.stdout  # what is there is what was asked for
    missing = set(re.findall(r"requires (\S+), which is not installed", done.stdout))
    assert missing <= {"torchvision", "torchaudio", "torchcodec", "triton"}


def test_every_third_party_import_is_a_declared_dependency() -> None:
    declared = {canonicalize_name(requirement.name) for requirement in requirements()}
    known = declared | {canonicalize_name(name) for name in (*PACKAGES, *sys.stdlib_module_names)} | {"vllm"}
    known |= {"yaml"} if "pyyaml" in declared else set()  # the module has another name
    found = {
        (canonicalize_name(module.split(".")[0]), str(path.relative_to(ROOT)))
        for package in PACKAGES
        for path in sources(package)
        for module in imported_modules(path.read_text())
    }
    assert {(name, path) for name, path in found if name not in known} == set()
