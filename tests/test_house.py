"""The rules of the house: what is installed, who imports whom, what is pinned, and what no file may hold."""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("vpo", "trainers", "search", "eval")
MAY_IMPORT = {
    "vpo": {"vpo"},
    "eval": {"eval", "vpo"},
    "search": {"search", "vpo"},
    "trainers": {"trainers", "vpo", "eval"},
}
NOT_INSTALLED = ("tests", "benchmarks", "recipes", "docs")
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


def sources(package: str) -> list[Path]:
    return sorted(path for path in (ROOT / package).rglob("*.py") if "__pycache__" not in path.parts)


def copy_tree(target: Path) -> Path:
    """The checkout without its environment and leftovers: building in place would leave more of them."""
    left_out = shutil.ignore_patterns(".*", "__pycache__", "runs", "build", "dist", "*.egg-info", "node_modules")
    shutil.copytree(ROOT, target, ignore=left_out)
    return target


# --- what is installed ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = copy_tree(tmp_path_factory.mktemp("wheel") / "source")
    for name in NOT_INSTALLED:  # there even in a checkout that has lost them, so that the test can fail
        (source / name).mkdir(exist_ok=True)
        (source / name / "__init__.py").touch()
    out = source.parent / "out"
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-w", str(out), str(source)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (built,) = out.glob("vpo-*.whl")
    return built


def test_the_wheel_holds_the_four_packages_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == set(PACKAGES)


def test_the_wheel_holds_every_source_file_template_and_type_marker(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    wanted = {str(path.relative_to(ROOT)) for package in PACKAGES for path in sources(package)}
    wanted |= {f"{package}/py.typed" for package in PACKAGES}
    wanted |= {str(path.relative_to(ROOT)) for path in (ROOT / "eval" / "templates").rglob("*") if path.is_file()}
    wanted |= {str(path.relative_to(ROOT)) for path in (ROOT / "search" / "problems" / "instances").iterdir()}
    assert wanted - names == set(), "a folder without __init__.py is not a package and is not installed"


def test_the_wheel_carries_the_licence_and_the_command(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    texts = {Path(name).name: archive.read(name).decode() for name in archive.namelist() if ".dist-info/" in name}
    assert "Apache License" in texts["LICENSE"]
    assert "License-Expression: Apache-2.0" in texts["METADATA"]
    assert "vpo = vpo.cli.app:main" in texts["entry_points.txt"]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_an_installation_into_a_bare_environment_runs(tmp_path: Path) -> None:
    source = copy_tree(tmp_path / "source")
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    pip = [python, "-m", "pip", "install", "--quiet", "--no-compile", "--disable-pip-version-check"]
    subprocess.run([*pip, f"torch=={pins()['torch']}"], check=True)
    subprocess.run([*pip, "-c", source / "constraints.txt", source], check=True)

    def run(*command: str | Path) -> str:
        return subprocess.run(command, check=True, capture_output=True, text=True, cwd=tmp_path).stdout

    assert "demo" in run(python.parent / "vpo", "--help")
    run(python, "-W", "ignore", "-c", "import vpo, trainers, search, eval; vpo.set_reward; trainers.VPOTrainer")
    for name in NOT_INSTALLED:
        assert run(python, "-c", f"import importlib.util as u; print(u.find_spec({name!r}))").strip() == "None"


# --- the command answers at once -----------------------------------------------------------------------------------


def test_help_is_there_within_two_seconds() -> None:
    def seconds() -> float:
        start = time.perf_counter()
        command = [sys.executable, "-c", "from vpo.cli.app import main; raise SystemExit(main(['--help']))"]
        subprocess.run(command, check=True, capture_output=True, cwd=ROOT)
        return time.perf_counter() - start

    assert min(seconds() for _ in range(3)) < 2.0


@pytest.mark.parametrize("statement", ["import vpo", "import vpo.cli.app", "import trainers, search, eval"])
def test_importing_a_package_loads_nothing_heavy(statement: str) -> None:
    script = f"import sys\n{statement}\nprint(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True, cwd=ROOT)
    heavy = {"torch", "transformers", "trl", "datasets", "accelerate", "scipy", "pandas", "pyarrow", "plotly"}
    assert heavy & set(done.stdout.split()) == set()


@pytest.mark.parametrize("package", PACKAGES)
def test_every_name_that_a_package_exports_is_there(package: str) -> None:
    script = f"import {package}\nfor name in getattr({package}, '__all__', []): getattr({package}, name)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr


# --- what is pinned ------------------------------------------------------------------------------------------------


def pins(file: str = "constraints.txt") -> dict[str, str]:
    lines = (ROOT / file).read_text().splitlines()
    pairs = [line.split(";")[0].split("==") for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in pairs}


def requirements() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    # vLLM is not among the pins: it pins a stack of its own, which only machines that use it should have.
    unpinned = {"vllm"}
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


# --- who imports whom ----------------------------------------------------------------------------------------------


def imported_modules(source: str) -> Iterator[str]:
    """Modules that ``source`` imports anywhere, in functions and under ``if`` as well."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


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


# --- what no file may be -------------------------------------------------------------------------------------------


def test_every_function_lives_with_the_idea_that_it_serves() -> None:
    places = [*PACKAGES, "tests", "benchmarks"]
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


# --- training on several GPUs --------------------------------------------------------------------------------------


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
