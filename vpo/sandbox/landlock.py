"""Landlock: what this process may open, connect to and signal, given up for good (kernel 5.13, landlock(7)).

It is the second wall behind the mount namespace, and the first one where a host has none. Each version of the kernel's
interface knows more kinds of access; what a kernel does not know, it cannot refuse.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable

from vpo.sandbox.syscalls import syscall

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_PATH_BENEATH = 1
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 2, 4, 8
_NUM_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}  # by version of the interface; 16 since the fifth
_READ = _EXECUTE | _READ_FILE | _READ_DIR
_OF_A_FILE = _EXECUTE | _WRITE_FILE | _READ_FILE


class _Attributes(ctypes.Structure):
    _fields_ = [("files", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64)]


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"
    _fields_ = [("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32)]


def version() -> int:
    """Version of the interface that the kernel offers.

    Raises:
        OSError: It offers none.
    """
    return syscall(_CREATE_RULESET, None, 0, 1)


def ruleset(read: Iterable[str], write: Iterable[str], change: Iterable[str]) -> int:
    """Make a set of rules: nothing may be opened but what is below these paths, nothing bound or connected by TCP.

    Args:
        read: To read and execute.
        write: Files to read and write, such as devices.
        change: Folders to do anything in.

    Returns:
        A file descriptor for :func:`restrict`.
    """
    abi = version()
    everything = (1 << _NUM_FILE_RIGHTS.get(abi, 16)) - 1
    # Since the fourth version TCP, since the sixth signals and abstract sockets that lead out of the domain.
    wanted = _Attributes(everything, 3 if abi >= 4 else 0, 3 if abi >= 6 else 0)
    size = 8 if abi < 4 else 16 if abi < 6 else 24
    rules = syscall(_CREATE_RULESET, ctypes.byref(wanted), size, 0)
    for paths, allowed in ((read, _READ), (write, _READ_FILE | _WRITE_FILE), (change, everything)):
        for path in paths:
            _allow(rules, path, allowed)
    return rules


def _allow(rules: int, path: str, allowed: int) -> None:
    try:
        target = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        if not os.path.isdir(path):
            allowed &= _OF_A_FILE
        rule = _PathBeneath(allowed, target)
        syscall(_ADD_RULE, rules, _PATH_BENEATH, ctypes.byref(rule), 0)
    finally:
        os.close(target)


def restrict(rules: int) -> None:
    """Hold this process to the rules from now on; it must have given up new privileges before."""
    syscall(_RESTRICT_SELF, rules, 0)
