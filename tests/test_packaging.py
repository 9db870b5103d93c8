from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import time
import zipfile
from importlib.metadata import EntryPoint, distributions
from pathlib import Path

import pytest

from tests.checkout import NOT_INSTALLED, PACKAGES, ROOT, pins, sources


def copy_tree(target: Path) -> Path:
    """The checkout without its environment and leftovers: building in place would leave more of them."""
    left_out = shutil.ignore_patterns(".*", "__pycache__", "runs", "build", "dist", "*.egg-info", "node_modules")
    shutil.copytree(ROOT, target, ignore=left_out)
    return target


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
    wanted |= {str(path.relative_to(ROOT)) for path in (ROOT / "eval" / "schemas").iterdir()}
    wanted |= {str(path.relative_to(ROOT)) for path in (ROOT / "search" / "problems" / "instances").iterdir()}
    wanted |= {"vpo/model_card/model_card.md"}
    assert wanted - names == set(), "a folder without __init__.py is not a package and is not installed"


def test_the_wheel_carries_the_licence_and_the_command(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    texts = {Path(name).name: archive.read(name).decode() for name in archive.namelist() if ".dist-info/" in name}
    assert "Apache License" in texts["LICENSE"]
    assert "License-Expression: Apache-2.0" in texts["METADATA"]
    assert "vpo = vpo.cli.app:main" in texts["entry_points.txt"]


def test_vllm_finds_the_plugin_for_looped_policies_in_the_wheel(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path)
    (plugin,) = entry_points_of(tmp_path, "vllm.general_plugins")
    assert plugin.name == "vpo_looped"
    module, _, function = plugin.value.partition(":")
    home = tmp_path / module.replace(".", "/")
    source = (home / "__init__.py" if home.is_dir() else home.with_suffix(".py")).read_text()
    assert f"def {function}(" in source


def entry_points_of(folder: Path, group: str) -> list[EntryPoint]:
    return [
        point for found in distributions(path=[str(folder)]) for point in found.entry_points if point.group == group
    ]


def test_the_source_distribution_builds_the_same_wheel_and_holds_no_half_of_the_tests(
    wheel: Path, tmp_path: Path
) -> None:
    source = copy_tree(tmp_path / "source")
    script = "import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])"
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, cwd=source)
    assert done.returncode == 0, done.stderr
    (archive,) = tmp_path.glob("vpo-*.tar.gz")
    with tarfile.open(archive) as packed:
        packed.extractall(tmp_path / "unpacked", filter="data")
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    there = {path.name for path in unpacked.iterdir()}
    assert {"constraints.txt", "CHANGELOG.md", "examples", "recipes", "docs"} <= there
    assert not there & {"tests", "benchmarks"}
    files = {str(path.relative_to(unpacked)) for path in unpacked.rglob("*") if path.is_file()}
    installed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert installed - files == set()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_an_installation_into_a_bare_environment_runs(tmp_path: Path) -> None:
    source = copy_tree(tmp_path / "source")
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    pip = [python, "-m", "pip", "install", "--quiet", "--no-compile", "--disable-pip-version-check"]
    subprocess.run([*pip, f"torch=={pins()['torch']}"], check=True)
    subprocess.run([*pip, "-c", source / "constraints.txt", source], check=True)

    environment = {
        name: value for name, value in os.environ.items() if name != "PYTHONPATH"
    }  # it may hold this checkout

    def run(*command: str | Path) -> str:
        found = subprocess.run(command, check=True, capture_output=True, text=True, cwd=tmp_path, env=environment)
        return found.stdout

    assert "demo" in run(python.parent / "vpo", "--help")
    run(python, "-W", "ignore", "-c", "import vpo, trainers, search, eval; vpo.set_reward; trainers.VPOTrainer")
    for name in NOT_INSTALLED:
        assert run(python, "-c", f"import importlib.util as u; print(u.find_spec({name!r}))").strip() == "None"


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
