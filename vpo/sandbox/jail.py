"""The file system that code sees: the interpreter, its libraries and the system's, read only, and a folder of its own.

A zygote builds it once, in a mount namespace of its own, and makes it its root: what is not bound into it is out of
reach by any path. Nothing on the host's file system is made or changed. Every job mounts an empty :data:`SCRATCH` over
the one here, of limited size, which is gone with the job.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from collections.abc import Iterable, Sequence

from vpo.sandbox import syscalls as sys_

SCRATCH = "/box"  # not /tmp: a virtual environment may lie there; /tmp and /dev/shm point here
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
_SYSTEM = ("/usr", "/nix/store", "/gnu/store", "/etc/alternatives")
ROOT_FOLDERS = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")  # on most systems links into /usr
_FILES = ("/etc/ld.so.cache", "/etc/localtime")
_OF_A_PREFIX = ("bin", "lib", "lib64", "pyvenv.cfg")  # a prefix may be the folder of somebody's project
_MOUNT_POINTS = ("/tmp", "/mnt", "/var", "/home")  # one is covered, in the new namespace only


def visible_paths(readable: Iterable[str] = ()) -> list[str]:
    """What a job may read: the system, this interpreter and its packages, and what is asked for, nothing twice."""
    prefixes = {sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix}
    prefixes |= {os.path.realpath(prefix) for prefix in prefixes}
    wanted = {os.path.join(prefix, name) for prefix in prefixes for name in _OF_A_PREFIX}
    # The paths that an editable installation adds lead to projects; packages lie where they are called so.
    wanted |= {entry for entry in sys.path if entry.endswith("-packages")}
    wanted |= {*readable}
    wanted |= {*_SYSTEM, *_FILES, *(path for path in ROOT_FOLDERS if not os.path.islink(path))}
    there = sorted(path for path in wanted if os.path.exists(path))
    return [path for path in there if not any(path.startswith(f"{other}/") for other in there)]


def empty_scratch() -> None:
    """Remove everything in the job's folder, however deep; nobody else is left to work in it."""
    os.chmod(SCRATCH, 0o1777)
    number = 0
    while names := os.listdir(SCRATCH):
        for name in names:
            path = os.path.join(SCRATCH, name)
            if os.path.islink(path) or not os.path.isdir(path):
                os.unlink(path)
                continue
            os.chmod(path, 0o700)
            for inner in os.listdir(path):  # up here, so that no path is long and no call nests
                number += 1
                while os.path.lexists(target := os.path.join(SCRATCH, str(number))):
                    number += 1
                source = os.path.join(path, inner)
                if not os.path.islink(source):
                    os.chmod(source, 0o700)  # a folder can be moved only by who may write in it
                os.rename(source, target)
            os.rmdir(path)


def enter(visible: Sequence[str], hidden: Sequence[str], uid: int) -> None:
    """Build the jail and make it this process's root; the process needs capabilities over its mount namespace.

    Args:
        visible: Paths that are in it, from :func:`visible_paths`.
        hidden: Folders below those that shall look empty.
        uid: Whom the jail's list of users knows.

    Raises:
        OSError: The host does not let this process mount.
    """
    sys_.mount("none", "/", "", sys_.MS_REC | sys_.MS_PRIVATE)
    links = {path: os.readlink(path) for path in ROOT_FOLDERS if os.path.islink(path)}
    opened = {path: os.open(path, os.O_PATH | os.O_CLOEXEC) for path in (*visible, *DEVICES)}  # before it is covered
    root = next(each for each in _MOUNT_POINTS if os.path.isdir(each) and not _below(each, visible))
    sys_.mount("none", root, "tmpfs", sys_.MS_NOSUID, "mode=755,size=4m")
    for path, target in links.items():
        os.symlink(target, root + path)
    for path, source in opened.items():
        _bind(source, path, root + path)
        os.close(source)
    for path in hidden:
        if os.path.isdir(root + path):
            sys_.mount("none", root + path, "tmpfs", sys_.MS_RDONLY | sys_.MS_NOSUID | sys_.MS_NODEV)
    _furnish(root, uid)
    sys_.mount("none", root, "", sys_.MS_REMOUNT | sys_.MS_BIND | sys_.MS_RDONLY | sys_.MS_NOSUID)
    os.chdir(root)
    sys_.syscall(sys_.PIVOT_ROOT.get(sys_.MACHINE), b".", b".")  # the old root now lies over the new one,
    sys_.call("umount2", b".", sys_.MNT_DETACH)  # and goes
    os.chdir("/")


def _below(path: str, others: Iterable[str]) -> bool:
    return any(f"{path}/".startswith(f"{other}/") for other in others)


def _bind(source: int, path: str, target: str) -> None:
    os.makedirs(os.path.dirname(target), exist_ok=True)
    kind = os.fstat(source).st_mode
    if stat.S_ISDIR(kind):
        os.mkdir(target)
    else:
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o666))
    sys_.mount(f"/proc/self/fd/{source}", target, "", sys_.MS_BIND | sys_.MS_REC)
    if not stat.S_ISCHR(kind):  # devices are there to be written, and to be devices
        _make_read_only(target)


def _make_read_only(target: str) -> None:
    try:
        sys_.mount_setattr(target, sys_.MOUNT_ATTR_RDONLY | sys_.MOUNT_ATTR_NOSUID | sys_.MOUNT_ATTR_NODEV)
    except OSError:  # before kernel 5.12: this mount alone, and with the flags that it may not lose
        locked = os.statvfs(target).f_flag & (os.ST_NOEXEC | os.ST_NOATIME | os.ST_NODIRATIME | os.ST_RELATIME)
        flags = sys_.MS_RDONLY | sys_.MS_NOSUID | sys_.MS_NODEV | locked
        sys_.mount("none", target, "", sys_.MS_REMOUNT | sys_.MS_BIND | flags)


def _furnish(root: str, uid: int) -> None:
    """The small things that programs look for."""
    os.makedirs(root + SCRATCH, exist_ok=True)
    for link in ("/tmp", "/dev/shm"):
        with contextlib.suppress(FileExistsError):  # a visible path below /tmp: then it is a folder, and read only
            os.symlink(SCRATCH, root + link)
    os.makedirs(root + "/etc", exist_ok=True)
    for name, line in (("passwd", f"sandbox:x:{uid}:{uid}::{SCRATCH}:/bin/sh"), ("group", f"sandbox:x:{uid}:")):
        with contextlib.suppress(FileExistsError), open(f"{root}/etc/{name}", "x", encoding="ascii") as file:
            file.write(line + "\n")
