"""Linux system calls that Python has no function for, through ctypes: namespaces, mounts, capabilities, prctl.

Small libraries for this exist, each for a part of it; a zygote should hold as little code as can be, and the calls
are a line each. Numbers above 424 are the same on every architecture; the others are given for those that we know.
"""

from __future__ import annotations

import ctypes
import os
import platform
import signal
from typing import Any

MACHINE = platform.machine()
CLONE = {"x86_64": 56, "aarch64": 220}
PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
MOUNT_SETATTR = 442

NEW_NS, NEW_UTS, NEW_IPC, NEW_USER, NEW_PID, NEW_NET = (1 << bit for bit in (17, 26, 27, 28, 29, 30))

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 2, 4, 32, 4096, 16384, 1 << 18
MNT_DETACH = 2
MOUNT_ATTR_RDONLY, MOUNT_ATTR_NOSUID, MOUNT_ATTR_NODEV = 1, 2, 4
AT_FDCWD, AT_RECURSIVE = -100, 0x8000

CAP_SETFCAP = 1 << 31

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 1, 4, 22, 36, 38

# PyDLL keeps the interpreter's lock: the child of a clone() must hold it.
_libc = ctypes.PyDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def call(name: str, *args: Any) -> int:
    """Call a function of the C library.

    Raises:
        OSError: It failed; with the kernel's errno.
    """
    return _checked(name, getattr(_libc, name)(*map(_word, args)))


def syscall(number: int | None, *args: Any) -> int:
    """Make a system call by number; None is one that this architecture's number is not known of."""
    if number is None:
        raise OSError(38, f"no number of this system call is known for {MACHINE}")
    return _checked(f"system call {number}", _libc.syscall(ctypes.c_long(number), *map(_word, args)))


def _word(value: Any) -> Any:
    return ctypes.c_ulong(value) if isinstance(value, int) else value  # a bare int would be cut to 32 bits


def _checked(name: str, result: int) -> int:
    if result == -1:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")
    return result


def clone(flags: int) -> int:
    """Fork into new namespaces: 0 in the child, its process id here. One process less than fork, unshare, fork.

    What Python and the C library do around a fork is left out: new locks and seeds, which a process with one thread can
    do without, and which cost a millisecond of copied pages. So the child must be one that looks after others: when it
    forks in turn, by ``os.fork()``, all of that is done.
    """
    return syscall(CLONE.get(MACHINE), flags | signal.SIGCHLD, 0, 0, 0, 0)


def prctl(option: int, *args: Any) -> None:
    """Change a property of this process."""
    call("prctl", option, *args, *(0,) * (4 - len(args)))


def mount(source: str, target: str, kind: str, flags: int = 0, options: str = "") -> None:
    """Mount a file system, bind a folder, or change how one is mounted."""
    call("mount", source.encode(), target.encode(), kind.encode(), flags, options.encode())


def mount_setattr(target: str, attributes: int) -> None:
    """Set attributes of a mount and of all that is mounted below it."""
    packed = (ctypes.c_uint64 * 4)(attributes, 0, 0, 0)
    syscall(MOUNT_SETATTR, AT_FDCWD, target.encode(), AT_RECURSIVE, packed, ctypes.sizeof(packed))


def drop_capabilities(keep: int = 0) -> None:
    """Give up every capability but those in ``keep``; with no-new-privileges set they do not come back."""
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    call("capset", header, (ctypes.c_uint32 * 6)(keep, keep))
