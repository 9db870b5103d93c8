"""What a host can enforce, by name: what each mechanism is for, what is lost without it, and what is too little."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Mechanism:
    """One thing that a host may or may not let us enforce.

    Args:
        purpose: What it is there for.
        without: What holds, and what does not, where it is missing and was allowed to be.
    """

    purpose: str
    without: str


MECHANISMS = {
    "user_namespaces": Mechanism(
        "a job has no rights on this machine, and processes of its own to count",
        "jobs are bare forks: no namespace of their own, and no folder to write in",
    ),
    "mount_namespaces": Mechanism(
        "the interpreter and system libraries are the only files there are, and they are read only",
        "Landlock keeps files from being opened, but names and sizes can be seen, and packages with their data be "
        "read; there is no folder to write in",
    ),
    "pid_namespaces": Mechanism(
        "a job sees and signals no process but its own, and none outlives it",
        "a job may signal itself alone; what it left behind is looked for and killed, which a fast one can outrun; "
        "if a zygote is killed, it stays",
    ),
    "network_namespaces": Mechanism(
        "there is no network", "seccomp refuses to make sockets: the only wall, where there were two"
    ),
    "ipc_namespaces": Mechanism("shared memory is the job's own", "seccomp refuses to make any"),
    "landlock": Mechanism(
        "a second wall around files, signals and TCP", "the mount namespace is the only wall around files"
    ),
    "seccomp": Mechanism(
        "other processes' memory, mounts, namespaces, uncounted memory and rare kernel interfaces are refused",
        "namespaces are the only wall; memory can be had that no limit counts, and a job can break its own supervisor",
    ),
    "process_limit": Mechanism(
        "the kernel refuses one process too many", "a job with too many processes is seen within 50 ms, and killed"
    ),
    "memory_limit": Mechanism(
        "the kernel refuses a process too much memory", "a job with too much memory is seen within 50 ms, and killed"
    ),
    "memory_watch": Mechanism(
        "memory and number of a job's processes are limited together", "each of them may use the whole limit"
    ),
}


_HINT = (
    " What forbids namespaces is often AppArmor (kernel.apparmor_restrict_unprivileged_userns, on Ubuntu; then "
    "Sandbox(backend='bubblewrap') may work) or a container's own seccomp profile."
)


class NotEnforced(OSError):  # noqa: N818 - it reads as what it says: raise NotEnforced
    """This host does not let the sandbox enforce something that was not allowed to be missing.

    Args:
        missing: Name of each mechanism, and the host's reason.
    """

    def __init__(self, missing: Mapping[str, str]) -> None:
        self.missing = dict(missing)
        lines = "".join(
            f"\n  no_{name}: {reason}. Then {MECHANISMS[name].without}." for name, reason in self.missing.items()
        )
        hint = _HINT if self.missing.keys() & {"user_namespaces", "mount_namespaces"} else ""
        names = ", ".join(f'"no_{name}"' for name in self.missing)
        super().__init__(
            f"this host does not let the sandbox enforce what it should:{lines}\n"
            f"Expected all of it.{hint} Change the host, or allow it by name: Sandbox(allow=({names},))."
        )


def check_allowed(allow: Collection[str]) -> None:
    """Refuse names that allow nothing.

    Raises:
        ValueError: A name is not ``no_`` and a mechanism.
    """
    known = [f"no_{name}" for name in MECHANISMS]
    for name in allow:
        if name not in known:
            raise ValueError(f"allow names {name!r}: expected names out of {', '.join(known)}. See `vpo doctor`.")


def unmet(reasons: Mapping[str, str | None], allow: Collection[str]) -> dict[str, str]:
    """What is missing and was not allowed to be.

    Landlock is wanted only where there is no mount namespace: it guards the same files.

    Args:
        reasons: Why each mechanism does not work here; None where it works.
        allow: Names such as ``no_landlock``.
    """
    spared = {name.removeprefix("no_") for name in allow}
    if reasons.get("mount_namespaces") is None:
        spared.add("landlock")
    return {name: reason for name, reason in reasons.items() if reason is not None and name not in spared}
