"""The machine in words, for every page and file of results."""

from __future__ import annotations

from collections import Counter

from vpo.record.surroundings import cores, processor


def hardware() -> str:
    """Processor, cores in use, and the GPUs that torch may use with their memory: what a figure has to be read with.

    Asks torch, for which a GPU that is hidden or without a driver is none. A CUDA context is opened: call it when the
    work is done.
    """
    return f"{cores()} CPU cores ({processor()}), {_accelerators()}"


def _accelerators() -> str:
    import torch  # seconds to import, and by the time a report is made it is

    if torch.cuda.is_available():
        found = map(torch.cuda.get_device_properties, range(torch.cuda.device_count()))
        counts = Counter(f"{each.name} ({each.total_memory / 2**30:.0f} GiB)" for each in found)
        return ", ".join(name if count == 1 else f"{count} x {name}" for name, count in counts.items())
    if torch.backends.mps.is_available():
        return f"Apple GPU ({torch.mps.recommended_max_memory() / 2**30:.0f} GiB of shared memory)"
    return "no GPU"
