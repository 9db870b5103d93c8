"""Hosts of other kinds, made out of this one: an unprivileged user's, and hosts that lack a kind of namespace."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
USER_NAMESPACE = ["unshare", "--user", "--map-root-user"]
# Processes of whoever is root outside are never limited, and in these hosts we are root or ourselves, by another name.
AS_ROOT_MISSING = {"process_limit"} if os.getuid() == 0 else set()


def can(*command: str) -> bool:
    return shutil.which(command[0]) is not None and subprocess.run(command, capture_output=True).returncode == 0


needs_namespaces = pytest.mark.skipif(not can(*USER_NAMESPACE, "true"), reason="no user namespaces here")


def on_host(*wrapper: str, backend: str = "zygote") -> dict[str, Any]:
    command = [*wrapper, sys.executable, "-B", "-m", "tests.vpo.sandbox.host_run", backend]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def assert_contained(found: dict[str, Any], late: bool = False) -> None:
    """Every attempt failed; where processes are only counted after the fact, a burst of them may come through."""
    got_out = {name for name, held in found["held"].items() if not held}
    assert got_out <= ({"start 100 processes"} if late else set())
    assert found["left"] == 0


@needs_namespaces
@pytest.mark.parametrize(
    ("setting", "missing"),
    [
        ("max_net_namespaces", {"network_namespaces"}),
        ("max_ipc_namespaces", {"ipc_namespaces"}),
        ("max_pid_namespaces", {"pid_namespaces"}),
        ("max_mnt_namespaces", {"mount_namespaces"}),
        ("max_user_namespaces", {"user_namespaces", "pid_namespaces", "network_namespaces", "ipc_namespaces"}),
    ],
)
def test_a_missing_kind_of_namespace_is_an_error_by_name_and_the_other_walls_hold(
    setting: str, missing: set[str]
) -> None:
    found = on_host(*USER_NAMESPACE, "sh", "-c", f'echo 0 > /proc/sys/user/{setting}; exec "$@"', "sh")
    assert missing <= set(found["missing"]) <= missing | AS_ROOT_MISSING
    for name in missing:
        assert f"no_{name}: " in found["message"]
        assert f'"no_{name}"' in found["message"].splitlines()[-1]
    assert_contained(found, late=True)


@needs_namespaces
def test_a_user_in_a_namespace_needs_no_root() -> None:
    found = on_host("unshare", "--user", "--map-user=1000", "--map-group=1000")
    assert found["uid"] == 1000
    assert set(found["missing"]) <= AS_ROOT_MISSING
    assert_contained(found, late=True)


def as_nobody() -> list[str]:
    """A command that becomes nobody, who may yet read this interpreter: the homes it lies in are covered for that."""
    closed = {
        parent
        for path in (Path(sys.base_prefix), Path(sys.prefix), ROOT)
        for parent in path.resolve().parents
        if not parent.stat().st_mode & 1
    }
    script = "set -e\n"
    for home in sorted(closed):
        if any(other in home.parents for other in closed):
            continue
        inside = [p for p in {Path(sys.base_prefix).resolve(), Path(sys.prefix), ROOT} if home in p.parents]
        # Held by a bind on a folder in a file system of our own, while the home is covered.
        script += "mount -t tmpfs tmpfs /mnt\n"
        for number, path in enumerate(inside):
            script += f"mkdir /mnt/{number}; mount --bind '{path}' /mnt/{number}\n"
        script += f"mount -t tmpfs -o mode=755 tmpfs '{home}'\n"
        for number, path in enumerate(inside):
            script += f"mkdir -p '{path}'; mount --bind /mnt/{number} '{path}'\n"
    script += 'exec setpriv --reuid=65534 --regid=65534 --clear-groups "$@"'
    return ["unshare", "--mount", "sh", "-c", script, "sh"]


@needs_namespaces
@pytest.mark.skipif(os.getuid() != 0 or not can("setpriv", "true"), reason="needs root, to become somebody else")
@pytest.mark.parametrize("backend", ["zygote", "bubblewrap"])
def test_an_unprivileged_user_has_all_of_it(backend: str) -> None:
    if backend == "bubblewrap" and shutil.which("bwrap") is None:
        pytest.skip("bubblewrap is not installed")
    found = on_host(*as_nobody(), backend=backend)
    assert found["uid"] == 65534
    assert found["missing"] == []
    assert_contained(found)
