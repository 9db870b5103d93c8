"""What is too little, what it is called, and what the jail shows."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import vpo
from vpo.sandbox import CallTest, Job, NotEnforced, Sandbox, run_tests
from vpo.sandbox.capabilities import MECHANISMS, check_allowed, unmet
from vpo.sandbox.jail import visible_paths

NAMES = st.sets(st.sampled_from(sorted(MECHANISMS)))


@given(broken=NAMES, allowed=NAMES)
def test_what_is_missing_and_not_allowed_is_unmet(broken: set[str], allowed: set[str]) -> None:
    reasons = {name: "why" if name in broken else None for name in MECHANISMS}
    expected = broken - allowed
    if "mount_namespaces" not in broken:
        expected -= {"landlock"}  # it guards the same files
    assert unmet(reasons, [f"no_{name}" for name in allowed]) == dict.fromkeys(expected, "why")


def test_the_error_names_each_the_hosts_reason_what_is_lost_and_how_to_allow_it() -> None:
    error = NotEnforced({"seccomp": "Invalid argument", "mount_namespaces": "Permission denied"})
    text = str(error)
    assert "no_seccomp: Invalid argument. Then namespaces are the only wall" in text
    assert "no_mount_namespaces: Permission denied. Then Landlock" in text
    assert "AppArmor" in text
    assert text.endswith('Sandbox(allow=("no_seccomp", "no_mount_namespaces",)).')
    assert isinstance(error, OSError)


def test_only_names_of_mechanisms_allow_something() -> None:
    check_allowed([f"no_{name}" for name in MECHANISMS])
    with pytest.raises(ValueError, match="allow names 'seccomp': expected names out of no_user_namespaces, "):
        check_allowed(["seccomp"])


def test_a_sandbox_says_what_this_host_enforces(box: Sandbox) -> None:
    assert box.reasons.keys() == MECHANISMS.keys()
    assert unmet(box.reasons, ()) == {}


def test_visible_paths_are_the_interpreters_and_the_systems_and_no_projects(tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    sys.path.append(str(project))  # as an editable installation does
    try:
        paths = visible_paths()
    finally:
        sys.path.remove(str(project))
    assert not [path for path in paths if Path(path).is_relative_to(tmp_path)]
    assert any(Path(os.__file__).is_relative_to(path) for path in paths)
    assert not {str(Path.home()), "/", "/etc", "/home", "/proc", "/var", sys.prefix} & set(paths)
    assert not [path for path in paths for other in paths if path.startswith(f"{other}/")]


def test_what_is_asked_for_can_be_read_and_not_written(box: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "table.txt").write_text("7")
    (tmp_path / "large").write_bytes(b"x" * (8 << 20))  # larger than the jail itself
    tmp_path.chmod(0o755)  # jobs of root's sandboxes are nobody, who reads what everybody may
    code = f"""
def f(): return open({str(tmp_path / "table.txt")!r}).read()
def g(): open({str(tmp_path / "table.txt")!r}, "a")
"""
    with Sandbox(1, readable=[tmp_path / "large", "/etc/hostname"], preload=()) as own:
        code_of_files = (
            f"import os\ndef f(): return [len(open({str(tmp_path / 'large')!r}).read()), os.listdir('/etc')]"
        )
        (result,) = own.run(Job(code_of_files, [[]], "f"))
        assert result.value[0] == 8 << 20 and "hostname" in result.value[1]
    with Sandbox(1, readable=[tmp_path], preload=()) as own:
        assert own.run(Job(code, [[]], "f"))[0].value == "7"
        assert own.run(Job(code, [[]], "g"))[0].status == "error"


def test_our_own_packages_are_hidden_where_others_can_be_read(box: Sandbox) -> None:
    """As in an installation from a wheel, where tasks and their answers lie beside numpy."""
    package = Path(vpo.__file__).parent
    with Sandbox(1, readable=[package.parent], preload=()) as own:
        code = f"import os\ndef f(name): return os.listdir(os.path.join({str(package.parent)!r}, name))"
        listings = own.run(Job(code, [["vpo"], ["search"], ["eval"], ["trainers"], ["."]], "f"))
    assert [result.value for result in listings[:4]] == [[], [], [], []]
    assert "pyproject.toml" in listings[4].value


def test_a_zygote_holds_nothing_of_its_parent(box: Sandbox) -> None:
    import torch  # noqa: F401 - as a trainer has it, with CUDA or without

    code = "import sys\ndef f(*names): return [name for name in names if name in sys.modules]"
    names = ["torch", "vpo", "pytest", "concurrent.futures", "sys"]
    assert run_tests(code, [CallTest("f", names, ["sys"])], box)[0].passed
