"""Which commands `vpo runs resume` starts: those of our entry points, word by word, whatever a run.json says.

A run's folder may come from elsewhere. Its record is text: words are only ever handed to our own modules, never to a
shell, and never to a launcher with an option that is not known here.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

_SINGLE = {"--standalone", "--use_fsdp", "--use_deepspeed", "--multi_gpu", "--same_network"}
_WITH_VALUE = {
    *("--nproc_per_node", "--nnodes", "--node_rank", "--master_addr", "--master_port", "--max_restarts"),
    *("--rdzv_backend", "--rdzv_endpoint", "--rdzv_id"),
    *("--config_file", "--num_processes", "--num_machines", "--machine_rank", "--main_process_ip"),
    *("--main_process_port", "--mixed_precision", "--rdzv_conf"),
}
_LAUNCHERS = {
    ("torchrun",): "torch.distributed.run",
    ("python", "-m", "torch.distributed.run"): "torch.distributed.run",
    ("accelerate", "launch"): "accelerate.commands.launch",
    ("python", "-m", "accelerate.commands.launch"): "accelerate.commands.launch",
}
_OURS = {("vpo",): "vpo.cli", ("python", "-m", "vpo.cli"): "vpo.cli"}
_TRAINER = "trainers.vpo"
_COMMANDS = {("train",), ("compare",), ("demo",), ("search", "resume")}


def module_words(words: Sequence[str]) -> list[str]:
    """What to hand to ``python -m`` for a command as `vpo runs` prints it.

    Args:
        words: Of the command; ``python`` stands for any interpreter.

    Returns:
        A module of ours, or a launcher with one, and its words.

    Raises:
        ValueError: It is not a command of ours, or a launcher has an option that is not known.
    """
    given = list(words)
    for start, module in _OURS.items():
        rest = given[len(start) :]
        if tuple(given[: len(start)]) == start and any(tuple(rest[: len(each)]) == each for each in _COMMANDS):
            return [module, *rest]
    if given[:3] == ["python", "-m", _TRAINER]:
        return given[2:]
    for start, module in _LAUNCHERS.items():
        if tuple(given[: len(start)]) == start:
            return [module, *_launched(given[len(start) :])]
    raise ValueError(
        f"the run was started with {' '.join(given[:3])!r} ...: expected `vpo train`, `python -m {_TRAINER}` or a "
        "launcher with it, as `vpo runs resume` starts nothing else. `vpo runs` prints how to go on by hand."
    )


def recipe_of(words: Sequence[str]) -> tuple[Path | None, list[str]]:
    """The recipe that a command of ours reads, and the flags that go before it."""
    given = list(words)
    if "--config" in given[:-1]:
        place = given.index("--config")
        return Path(given[place + 1]), given[place + 2 :]
    if given[0] == "vpo.cli" and given[1] in ("train", "compare"):
        rest, is_value = given[2:], False
        for i, word in enumerate(rest):
            if not is_value and not word.startswith("-"):
                return Path(word), rest[:i] + rest[i + 1 :]
            is_value = word.startswith("--") and "=" not in word
    return None, given


def _launched(words: list[str]) -> list[str]:
    """Check a launcher's words up to our module."""
    place = 0
    while place < len(words):
        name, equals, _ = words[place].partition("=")
        name = name.replace("-", "_").replace("__", "--", 1)
        if name == "_m" and words[place + 1 : place + 2] == [_TRAINER]:
            return words
        if name in _SINGLE:
            place += 1
        elif name in _WITH_VALUE:
            place += 1 if equals else 2
        else:
            break
    raise ValueError(
        f"the run's launcher has {' '.join(words[place : place + 1])!r}: expected options of processes and machines, "
        f"then `-m {_TRAINER}`, as `vpo runs resume` starts nothing else. `vpo runs` prints how to go on by hand."
    )
