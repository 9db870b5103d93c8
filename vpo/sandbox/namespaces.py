"""Who a zygote is, what its jobs are cloned into, and which of it this host allows, found out by trying.

A zygote that was started by root builds its jail as root and then becomes nobody; one that was started by a user
builds it in a user namespace of its own. From there on both do the same: each job is cloned into a user namespace in
which it has every capability for as long as its supervisor sets things up, and into process, network, shared-memory,
host name and mount namespaces that belong to it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import signal
from collections.abc import Callable, Sequence

from vpo.sandbox import descendants, jail, landlock, seccomp
from vpo.sandbox import syscalls as sys_

NOBODY = 65534
_HINTS = {errno.ENOSPC: " (a limit in /proc/sys/user)"}
FLAGS = {
    "user_namespaces": sys_.NEW_USER | sys_.NEW_UTS,
    "mount_namespaces": sys_.NEW_NS,
    "pid_namespaces": sys_.NEW_PID,
    "network_namespaces": sys_.NEW_NET,
    "ipc_namespaces": sys_.NEW_IPC,
}


def job_ids() -> tuple[int, int]:
    """User and group that jobs run as."""
    return (NOBODY, NOBODY) if os.geteuid() == 0 else (os.geteuid(), os.getegid())


def become_unprivileged() -> None:
    """From root become nobody, and give up all capabilities, for good."""
    if os.geteuid() == 0:
        with contextlib.suppress(OSError):  # root of a user namespace that knows no nobody: a user, on the host
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
    try:
        # Whoever is still root may map itself into a namespace only with this one (kernel 5.12).
        sys_.drop_capabilities(keep=sys_.CAP_SETFCAP if os.geteuid() == 0 else 0)
    except PermissionError:
        sys_.drop_capabilities()
    sys_.prctl(sys_.PR_SET_DUMPABLE, 1)  # else the files in /proc that map ids would belong to root


def map_ids(proc: int, uid: int, gid: int) -> None:
    """In a new user namespace: stay who one is.

    Args:
        proc: Descriptor of ``/proc``.
        uid: User before the namespace.
        gid: Group before the namespace.
    """
    for name, line in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
        file = os.open(f"self/{name}", os.O_WRONLY | os.O_CLOEXEC, dir_fd=proc)
        try:
            os.write(file, line.encode())
        finally:
            os.close(file)


def unshare(proc: int, flags: int = 0) -> None:
    """Enter a user namespace, and others that belong to it."""
    uid, gid = os.geteuid(), os.getegid()
    sys_.call("unshare", sys_.NEW_USER | flags)
    map_ids(proc, uid, gid)


def enter_jail(proc: int, visible: Sequence[str], hidden: Sequence[str]) -> None:
    """Make the jail this process's root, as root or in a user namespace, and become unprivileged.

    Raises:
        OSError: The host does not let this process do it.
    """
    uid, _ = job_ids()
    try:
        sys_.call("unshare", sys_.NEW_NS)  # root on a machine, or in a container that may mount
    except PermissionError:
        become_unprivileged()
        unshare(proc, sys_.NEW_NS)
    jail.enter(visible, hidden, uid)
    become_unprivileged()


def mount_scratch(megabytes: int) -> None:
    """In a job's mount namespace: an empty folder of limited size to work in."""
    options = f"size={megabytes}m,nr_inodes=4096,mode=1777"
    sys_.mount("none", jail.SCRATCH, "tmpfs", sys_.MS_NOSUID | sys_.MS_NODEV, options)


def reasons(proc: int, visible: Sequence[str], hidden: Sequence[str]) -> dict[str, str | None]:
    """Try every mechanism in a process of its own.

    Returns:
        Name of each, and the host's reason against it; None where it works.
    """

    def in_namespace(flags: int) -> Callable[[], None]:
        def enter() -> None:
            become_unprivileged()
            unshare(proc, flags)

        return enter

    def fork_in_namespace() -> None:
        in_namespace(sys_.NEW_PID)()
        child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)

    def jail_and_scratch() -> None:
        enter_jail(proc, visible, hidden)
        if found["user_namespaces"] is None:
            unshare(proc, sys_.NEW_NS)
            mount_scratch(1)

    found = {"user_namespaces": _try(in_namespace(sys_.NEW_UTS))}
    found["mount_namespaces"] = _try(jail_and_scratch)
    found["pid_namespaces"] = _try(fork_in_namespace)
    found["network_namespaces"] = _try(in_namespace(sys_.NEW_NET))
    found["ipc_namespaces"] = _try(in_namespace(sys_.NEW_IPC))
    enter = in_namespace(0) if found["user_namespaces"] is None else become_unprivileged
    return found | limits_reasons(proc, enter)


def limits_reasons(proc: int, enter: Callable[[], None], others: int = 0) -> dict[str, str | None]:
    """Try what needs no namespace: the rules that a process puts on itself, and the limits.

    Args:
        proc: Descriptor of ``/proc``.
        enter: Becomes what a job is.
        others: Processes in the namespace that this enters.
    """
    most = others + 2

    def limit_processes() -> None:
        enter()
        resource.setrlimit(resource.RLIMIT_NPROC, (most, most))
        try:
            children = [_sleeper()]
        except BlockingIOError as error:
            raise OSError("processes of other jobs are counted too") from error
        try:
            children.append(_sleeper())
        except BlockingIOError:
            return
        finally:
            for child in children:
                os.kill(child, signal.SIGKILL)
        raise OSError("the limit is not kept; root's never is")

    def limit_memory() -> None:
        limit = descendants.memory(proc)[0] + (64 << 20)
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        try:
            bytearray(256 << 20)
        except MemoryError:
            return
        raise OSError("more memory was given than allowed")

    def see_children() -> None:
        child = _sleeper()
        try:
            if not descendants.walk(proc):
                raise OSError("/proc does not show a process's children")
        finally:
            os.kill(child, signal.SIGKILL)

    return {
        "landlock": _try(_restrict_files),
        "seccomp": _try(_refuse_calls),
        "process_limit": _try(limit_processes),
        "memory_limit": _try(limit_memory),
        "memory_watch": _try(see_children),
    }


def _sleeper() -> int:
    child = os.fork()
    if child == 0:
        sys_.prctl(sys_.PR_SET_PDEATHSIG, signal.SIGKILL)
        signal.pause()
        os._exit(0)
    return child


def _restrict_files() -> None:
    sys_.prctl(sys_.PR_SET_NO_NEW_PRIVS, 1)
    landlock.restrict(landlock.ruleset(["/usr"], [], []))
    try:
        os.listdir("/")
    except PermissionError:
        return
    raise OSError("a rule was not kept")


def _refuse_calls() -> None:
    sys_.prctl(sys_.PR_SET_NO_NEW_PRIVS, 1)
    seccomp.install(seccomp.program())
    try:
        sys_.call("unshare", 0)
    except PermissionError:
        return
    raise OSError("a refused call was let through")


def _try(trial: Callable[[], None]) -> str | None:
    """Run it in a child; why it failed, or None."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            trial()
        except OSError as error:
            reason = error.strerror or str(error)
            os.write(write, (reason + _HINTS.get(error.errno or 0, "")).encode())
        except BaseException as error:
            os.write(write, repr(error).encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        text = pipe.read(4096).decode(errors="replace")
    status = os.waitpid(child, 0)[1]
    if not text and status:
        text = f"the trial ended with status {status}"
    return text.strip() or None
