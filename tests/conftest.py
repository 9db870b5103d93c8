"""What every test runs under: offline, quiet, one thread a process, and property tests that do not depend on the clock.

The variables are set before anything imports torch, transformers or Ray; processes that tests start inherit them.
"""

from __future__ import annotations

import os
import secrets

os.environ.update(
    {
        "HF_HUB_OFFLINE": "1",  # a test that needs the network is wrong, and would hang where there is none
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
        "TOKENIZERS_PARALLELISM": "false",  # its threads and the forks of data loaders do not agree
        "OMP_NUM_THREADS": "1",  # small tensors: more threads cost more than they give, and workers share the cores
        "MKL_NUM_THREADS": "1",
        "WANDB_MODE": "disabled",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # on Linux, too: all of Ray listens on 127.0.0.1
        "RAY_AUTH_MODE": "token",  # and no other user of this machine may tell it what to run
        "RAY_AUTH_TOKEN": os.environ.get("RAY_AUTH_TOKEN") or secrets.token_hex(32),
        "RAY_memory_monitor_refresh_ms": "0",  # else it kills actors when others use up this machine's memory
    }
)

from hypothesis import HealthCheck, settings

settings.register_profile(
    "vpo",
    deadline=None,  # a loaded machine is not a failure
    suppress_health_check=[HealthCheck.too_slow],
    derandomize="CI" in os.environ,  # a red build must be red again when it is looked into
)
settings.load_profile("vpo")
