"""A seccomp filter: system calls that no solution to a problem needs and that escapes are made of are refused.

A deny list, so a second wall and not the first: it takes away what reaches into other processes, what changes mounts
and namespaces, memory that no limit counts, every socket but those between processes of the job, and the parts of the
kernel that most holes were found in. Refused calls fail with EPERM.

The filter is a classic BPF program over ``struct seccomp_data`` (nr at byte 0, arch at 4, arguments from 16, low half
first on both architectures).
"""

from __future__ import annotations

import ctypes
import errno
import socket
import struct

from vpo.sandbox.syscalls import MACHINE, NEW_IPC, NEW_NET, NEW_NS, NEW_PID, NEW_USER, NEW_UTS, PR_SET_SECCOMP, prctl

AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
KILL, ERRNO, ALLOW = 0x80000000, 0x00050000, 0x7FFF0000
_X32 = 0x40000000  # numbers of x86_64's 32-bit twin, by which the filter would be passed
_NEW_CGROUP = 1 << 25
_NAMESPACES = NEW_NS | NEW_UTS | NEW_IPC | NEW_USER | NEW_PID | NEW_NET | _NEW_CGROUP

# Refused whatever the arguments; numbers of (x86_64, aarch64), from the kernel's unistd headers.
REFUSED = {
    # other processes
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "pidfd_getfd": (438, 438),
    "kcmp": (312, 272),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
    "setpriority": (141, 140),
    "sched_setparam": (142, 118),
    "sched_setscheduler": (144, 119),
    "sched_setattr": (314, 274),
    "sched_setaffinity": (203, 122),
    "ioprio_set": (251, 30),
    # namespaces and mounts
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    # memory outside of the address space
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "shmget": (29, 194),
    "shmat": (30, 196),
    "semget": (64, 190),
    "msgget": (68, 186),
    "mq_open": (240, 180),
    # parts of the kernel with a history
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "fanotify_init": (300, 262),
    "lookup_dcookie": (212, 18),
    # the machine
    "quotactl": (179, 60),
    "acct": (163, 89),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "reboot": (169, 142),
    "syslog": (103, 116),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
}
# Looked at more closely.
CLONE, CLONE3, PRLIMIT, SOCKET, SOCKETPAIR = (56, 220), (435, 435), (302, 261), (41, 198), (53, 199)
# Only where processes have no namespace of their own: the first to oneself alone, the others not at all.
KILL_BY_ID = {"kill": (62, 129), "tgkill": (234, 131)}
OTHER_SIGNALS = {
    "tkill": (200, 130),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "pidfd_send_signal": (424, 424),
}

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NR, _ARCH, _FIRST_ARGUMENT = 0, 4, 16


def program(machine: str = MACHINE, unix_sockets: bool = True, only_signal: int | None = None) -> bytes:
    """The filter for an architecture, as the kernel takes it.

    Args:
        machine: ``x86_64`` or ``aarch64``.
        unix_sockets: Let the code make sockets of the family AF_UNIX. Pairs of them are always allowed.
        only_signal: The only process that signals may go to; None for all that it sees.

    Raises:
        OSError: The architecture is another.
    """
    if machine not in AUDIT_ARCH:
        raise OSError(errno.ENOSYS, f"no seccomp filter is written for {machine}")
    column = list(AUDIT_ARCH).index(machine)
    refuse = ERRNO | errno.EPERM
    lines = [
        _line(_LOAD, 0, 0, _ARCH),
        _line(_EQUAL, 1, 0, AUDIT_ARCH[machine]),
        _line(_RETURN, 0, 0, KILL),
        _line(_LOAD, 0, 0, _NR),
    ]
    if machine == "x86_64":
        lines += [_line(_AT_LEAST, 0, 1, _X32), _line(_RETURN, 0, 0, KILL)]
    for numbers in (*REFUSED.values(), *(OTHER_SIGNALS.values() if only_signal is not None else ())):
        lines += [_line(_EQUAL, 0, 1, numbers[column]), _line(_RETURN, 0, 0, refuse)]
    # The flags of clone3 lie in memory that no filter can read; without it the C library falls back to clone.
    lines += [_line(_EQUAL, 0, 1, CLONE3[column]), _line(_RETURN, 0, 0, ERRNO | errno.ENOSYS)]
    lines += _when(CLONE[column], _line(_ANY_BIT, 0, 1, _NAMESPACES), refuse, ALLOW)
    lines += _when(PRLIMIT[column], _line(_EQUAL, 0, 1, 0), ALLOW, refuse)  # 0 is the caller itself
    if only_signal is not None:
        for numbers in KILL_BY_ID.values():
            lines += _when(numbers[column], _line(_EQUAL, 0, 1, only_signal), ALLOW, refuse)
    family = int(socket.AF_UNIX) if unix_sockets else 0xFFFFFFFF
    lines += _when(SOCKET[column], _line(_EQUAL, 0, 1, family), ALLOW, refuse)
    lines += _when(SOCKETPAIR[column], _line(_EQUAL, 0, 1, int(socket.AF_UNIX)), ALLOW, refuse)
    return b"".join([*lines, _line(_RETURN, 0, 0, ALLOW)])


def _when(number: int, test: bytes, then: int, otherwise: int) -> list[bytes]:
    """Four more lines for one system call: test its first argument."""
    returns = [_line(_RETURN, 0, 0, then), _line(_RETURN, 0, 0, otherwise)]
    return [_line(_EQUAL, 0, 4, number), _line(_LOAD, 0, 0, _FIRST_ARGUMENT), test, *returns]


def _line(code: int, if_true: int, if_false: int, value: int) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_uint16), ("lines", ctypes.c_char_p)]


def install(lines: bytes) -> None:
    """Put the filter over this process and its children for good; new privileges must have been given up before."""
    prctl(PR_SET_SECCOMP, 2, ctypes.byref(_Program(len(lines) // 8, lines)))
