from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.checkout import NOT_INSTALLED, PACKAGES, ROOT, imported_modules, sources

MAY_IMPORT = {
    "vpo": {"vpo"},
    "eval": {"eval", "vpo"},
    "search": {"search", "vpo"},
    "trainers": {"trainers", "vpo", "eval"},
}
MAX_LINES = 300
# Written in pieces, so that this file does not hold what it looks for.
ADDRESSES = [
    "py" + "pi.org",
    "python" + "hosted.org",
    "npm" + "js.org",
    "download." + "pytorch.org",
    "deb." + "debian.org",
    "--extra-" + "index-url",
    "file:" + "///",
]


def forbidden(source: str, package: str) -> set[str]:
    """Modules that ``source``, a file of ``package``, imports against the direction of the arrows."""
    ours = {*PACKAGES, *NOT_INSTALLED}
    return {
        module
        for module in imported_modules(source)
        if (module.split(".")[0] in ours - MAY_IMPORT[package]) or (module + ".").startswith("vpo.cli.")
    }


@pytest.mark.parametrize("package", PACKAGES)
def test_arrows_between_the_packages_go_one_way(package: str) -> None:
    files = [path for path in sources(package) if (ROOT / "vpo" / "cli") not in path.parents]
    found = {str(path.relative_to(ROOT)): forbidden(path.read_text(), package) for path in files}
    assert {path: modules for path, modules in found.items() if modules} == {}


@pytest.mark.parametrize(
    ("package", "source"),
    [
        ("vpo", "import trainers"),
        ("vpo", "def f():\n    from eval.formats import shares"),
        ("eval", "from search import archive"),
        ("search", "import torch, trainers.vpo_config"),
        ("trainers", "from search import budget"),
        ("trainers", "from vpo import cli"),
        ("eval", "import vpo.cli.app"),
        ("search", "from tests.search import oracle"),
    ],
)
def test_an_arrow_in_the_wrong_direction_is_seen(package: str, source: str) -> None:
    assert forbidden(source, package)


def test_every_function_lives_with_the_idea_that_it_serves() -> None:
    places = [*PACKAGES, "tests", "benchmarks", "examples"]
    names = {path.stem: path for place in places for path in sources(place)}
    assert names.keys() & {"utils", "util", "helpers", "helper", "common", "misc"} == set()


def test_a_source_file_stays_under_three_hundred_lines() -> None:
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for each in PACKAGES for path in sources(each)
    }
    assert {path: length for path, length in lengths.items() if length >= MAX_LINES} == {}


def text_files() -> Iterator[tuple[Path, str]]:
    """Files that git tracks or would track; in an unpacked archive, all that are not hidden."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    if done.returncode == 0:
        paths = [ROOT / line for line in done.stdout.splitlines()]
    else:
        paths = [path for path in ROOT.rglob("*") if not any(part[0] == "." for part in path.relative_to(ROOT).parts)]
    for path in paths:
        if path.is_file():
            data = path.read_bytes()
            if b"\0" not in data[:1024]:
                yield path, data.decode(errors="replace")


def test_no_file_names_the_address_of_a_package_registry() -> None:
    seen = list(text_files())
    assert Path(__file__) in {path for path, _ in seen}, "the search must see the files it is about"
    found = {(str(path.relative_to(ROOT)), each) for path, text in seen for each in ADDRESSES if each in text}
    assert found == set()


def test_the_accelerate_configuration_is_fsdp2_in_bfloat16() -> None:
    from accelerate.commands.config.config_args import load_config_from_file
    from accelerate.utils import DistributedType

    config = load_config_from_file(str(ROOT / "accelerate_config.yaml"))
    assert config.distributed_type == DistributedType.FSDP
    assert config.fsdp_config["fsdp_version"] == 2
    assert config.mixed_precision == "bf16"
    assert not config.use_cpu


def test_accelerate_knows_every_fsdp_setting_of_the_configuration() -> None:
    from accelerate.commands.config.config_args import load_config_from_file
    from accelerate.commands.launch import launch_command_parser

    config = load_config_from_file(str(ROOT / "accelerate_config.yaml"))
    options = {action.dest for action in launch_command_parser()._actions}
    assert set(config.fsdp_config) - options == set(), "accelerate drops a setting that it does not know, in silence"


def test_ci_runs_as_it_is() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert subprocess.run(["bash", "-n", script]).returncode == 0
