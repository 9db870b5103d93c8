"""The filter, run by a small interpreter of classic BPF: what it decides on both architectures, without a kernel."""

from __future__ import annotations

import errno
import re
import socket
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vpo.sandbox import seccomp

EPERM, ENOSYS = seccomp.ERRNO | errno.EPERM, seccomp.ERRNO | errno.ENOSYS
MACHINES = ("x86_64", "aarch64")
SOCKETS = (seccomp.SOCKET, seccomp.SOCKETPAIR)
NAMESPACES = [0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000]
HEADERS = {
    "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    "aarch64": Path("/usr/include/asm-generic/unistd.h"),
}


def decide(program: bytes, number: int, *arguments: int, arch: int) -> int:
    """What the program returns for a system call: bpf(4)'s semantics of the four instructions that it uses."""
    data = struct.pack("=IIQ6Q", number, arch, 0, *arguments, *(0,) * (6 - len(arguments)))
    lines = list(struct.iter_unpack("=HBBI", program))
    at = value = 0
    while True:
        code, if_true, if_false, constant = lines[at]
        at += 1
        match code:
            case 0x20:  # BPF_LD | BPF_W | BPF_ABS
                (value,) = struct.unpack_from("=I", data, constant)
            case 0x15:  # BPF_JMP | BPF_JEQ | BPF_K
                at += if_true if value == constant else if_false
            case 0x35:  # BPF_JGE
                at += if_true if value >= constant else if_false
            case 0x45:  # BPF_JSET
                at += if_true if value & constant else if_false
            case 0x06:  # BPF_RET | BPF_K
                return constant
            case _:
                raise AssertionError(f"an instruction that was not expected: {code:#x}")


def numbers(machine: str) -> dict[str, int]:
    """Names of system calls by the kernel's own header."""
    header = HEADERS[machine]
    if not header.exists():
        pytest.skip(f"{header} is not installed")
    pattern = r"#define __NR(?:3264)?_(\w+)\s+(\d+)"
    return {name: int(number) for name, number in re.findall(pattern, header.read_text())}


@pytest.mark.parametrize("machine", MACHINES)
def test_every_number_is_the_kernels(machine: str) -> None:
    known = numbers(machine)
    column = MACHINES.index(machine)
    ours = {name: both[column] for name, both in seccomp.REFUSED.items()}
    ours |= {
        name: both[column]
        for name, both in {
            "clone": seccomp.CLONE,
            "clone3": seccomp.CLONE3,
            "prlimit64": seccomp.PRLIMIT,
            "socket": seccomp.SOCKET,
            "socketpair": seccomp.SOCKETPAIR,
            **seccomp.KILL_BY_ID,
            **seccomp.OTHER_SIGNALS,
        }.items()
    }
    assert {name: (number, known[name]) for name, number in ours.items() if known.get(name, number) != number} == {}
    assert len(ours.keys() & known.keys()) > 55, "the header must be the right one"


@pytest.mark.parametrize("machine", MACHINES)
def test_refused_calls_are_refused_and_only_they(machine: str) -> None:
    program, arch, column = seccomp.program(machine), seccomp.AUDIT_ARCH[machine], MACHINES.index(machine)
    refused = {both[column] for both in seccomp.REFUSED.values()}
    looked_at = {both[column] for both in (seccomp.CLONE, seccomp.CLONE3, seccomp.PRLIMIT, *SOCKETS)}
    for number in set(range(600)) - looked_at:
        expected = EPERM if number in refused else seccomp.ALLOW
        assert decide(program, number, 2**64 - 1, arch=arch) == expected, number


@pytest.mark.parametrize("machine", MACHINES)
@given(flags=st.integers(0, 2**32 - 1), high=st.integers(0, 2**32 - 1))
def test_a_clone_into_a_namespace_is_refused_and_a_fork_is_not(machine: str, flags: int, high: int) -> None:
    program, arch, column = seccomp.program(machine), seccomp.AUDIT_ARCH[machine], MACHINES.index(machine)
    into_one = any(flags & bit for bit in NAMESPACES)
    found = decide(program, seccomp.CLONE[column], high << 32 | flags, arch=arch)
    assert found == (EPERM if into_one else seccomp.ALLOW)
    assert decide(program, seccomp.CLONE3[column], high << 32 | flags, arch=arch) == ENOSYS


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("unix", [True, False])
@given(family=st.integers(0, 60))
def test_sockets_are_of_one_family_or_none(machine: str, unix: bool, family: int) -> None:
    program = seccomp.program(machine, unix)
    found = decide(program, seccomp.SOCKET[MACHINES.index(machine)], family, arch=seccomp.AUDIT_ARCH[machine])
    assert found == (seccomp.ALLOW if unix and family == socket.AF_UNIX else EPERM)
    pair = decide(program, seccomp.SOCKETPAIR[MACHINES.index(machine)], family, arch=seccomp.AUDIT_ARCH[machine])
    assert pair == (seccomp.ALLOW if family == socket.AF_UNIX else EPERM)


@pytest.mark.parametrize("machine", MACHINES)
@given(process=st.integers(0, 2**22))
def test_limits_are_set_of_oneself_only(machine: str, process: int) -> None:
    program, column = seccomp.program(machine), MACHINES.index(machine)
    found = decide(program, seccomp.PRLIMIT[column], process, arch=seccomp.AUDIT_ARCH[machine])
    assert found == (seccomp.ALLOW if process == 0 else EPERM)


@pytest.mark.parametrize("machine", MACHINES)
@given(process=st.integers(0, 2**32 - 1) | st.just(777))
def test_signals_go_to_oneself_alone_where_processes_share_a_namespace(machine: str, process: int) -> None:
    arch, column = seccomp.AUDIT_ARCH[machine], MACHINES.index(machine)
    shared, own = seccomp.program(machine, only_signal=777), seccomp.program(machine)
    for numbers in seccomp.KILL_BY_ID.values():
        expected = seccomp.ALLOW if process == 777 else EPERM
        assert decide(shared, numbers[column], process, 9, arch=arch) == expected
        assert decide(own, numbers[column], process, 9, arch=arch) == seccomp.ALLOW
    for numbers in seccomp.OTHER_SIGNALS.values():
        assert decide(shared, numbers[column], 777, 9, arch=arch) == EPERM
        assert decide(own, numbers[column], process, 9, arch=arch) == seccomp.ALLOW


@pytest.mark.parametrize("machine", MACHINES)
@given(number=st.integers(0, 2**32 - 1), arch=st.integers(0, 2**32 - 1))
def test_a_call_by_another_architectures_numbers_kills(machine: str, number: int, arch: int) -> None:
    if arch != seccomp.AUDIT_ARCH[machine]:
        assert decide(seccomp.program(machine), number, arch=arch) == seccomp.KILL


@given(number=st.integers(0x40000000, 2**32 - 1))
def test_x32_numbers_kill(number: int) -> None:
    assert decide(seccomp.program("x86_64"), number, arch=seccomp.AUDIT_ARCH["x86_64"]) == seccomp.KILL


def test_an_architecture_without_a_filter_says_so() -> None:
    with pytest.raises(OSError, match="no seccomp filter is written for riscv64"):
        seccomp.program("riscv64")
