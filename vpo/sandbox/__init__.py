"""A safe place to run code that a model has written: its own process, no files, no network, limits on everything.

A :class:`Sandbox` keeps a few *zygotes*: small interpreters that were started by exec, so they never saw CUDA, and have
imported numpy. A zygote forks for every job. What stands between the code and this machine, from outside to inside:

- the **jail** (:mod:`vpo.sandbox.jail`): a root of its own that shows the interpreter and its libraries, read only;
- **namespaces** (:mod:`vpo.sandbox.namespaces`): users, processes, network, shared memory and mounts of each job;
- a **supervisor** (:mod:`vpo.sandbox.supervisor`) that never runs the code: it forks once for every case, watches the
  clock and the memory, and kills whatever is left;
- in the process that runs the code (:mod:`vpo.sandbox.candidate`): no capabilities, no new privileges, Landlock,
  a seccomp filter, resource limits, no file descriptor but its own.

Code returns plain JSON and the caller compares: what was expected never enters. ``vpo doctor`` says what a host
enforces; what it cannot enforce is an error (:class:`NotEnforced`) unless it is allowed by name. A
:class:`RaySandbox` is the same on all nodes of a Ray cluster.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vpo.first_use import on_first_use

if TYPE_CHECKING:
    from vpo.sandbox.arrays import as_finite_array
    from vpo.sandbox.capabilities import NotEnforced
    from vpo.sandbox.coding_tests import CallTest, StdinTest, TestOutcome, run_tests, run_tests_async
    from vpo.sandbox.job import Job, Result
    from vpo.sandbox.job_pool import JobPool
    from vpo.sandbox.limits import Limits
    from vpo.sandbox.pool import Sandbox
    from vpo.sandbox.ray_pool import RaySandbox

_HOME = {
    "CallTest": "vpo.sandbox.coding_tests",
    "Job": "vpo.sandbox.job",
    "JobPool": "vpo.sandbox.job_pool",
    "Limits": "vpo.sandbox.limits",
    "NotEnforced": "vpo.sandbox.capabilities",
    "RaySandbox": "vpo.sandbox.ray_pool",
    "Result": "vpo.sandbox.job",
    "Sandbox": "vpo.sandbox.pool",
    "StdinTest": "vpo.sandbox.coding_tests",
    "TestOutcome": "vpo.sandbox.coding_tests",
    "as_finite_array": "vpo.sandbox.arrays",
    "run_tests": "vpo.sandbox.coding_tests",
    "run_tests_async": "vpo.sandbox.coding_tests",
}

__all__ = [
    "CallTest",
    "Job",
    "JobPool",
    "Limits",
    "NotEnforced",
    "RaySandbox",
    "Result",
    "Sandbox",
    "StdinTest",
    "TestOutcome",
    "as_finite_array",
    "run_tests",
    "run_tests_async",
]

# A zygote imports this package too, and should not hold what only its parent needs.
__getattr__, __dir__ = on_first_use(__name__, _HOME)
