"""A checkpoint's folder, looked at before it is loaded: weights as safetensors, in this folder, whole.

A checkpoint may come from anybody. transformers joins the names in a weight index to the folder as they are, so
``../../other`` is read from there; it takes an adapter's weights from wherever the adapter says; and a damaged file is
an error of whichever library met it. Names on the hub are not looked at here: there are no files yet.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_INDEX = "model.safetensors.index.json"
_ADAPTER = "adapter_config.json"
_MOST_BYTES = 64 * 2**20  # of an index; one of a trillion parameters has a tenth


def check_checkpoint(name: str | Path) -> None:
    """Refuse a folder whose weights are not whole safetensors of its own; anything but a folder passes.

    Args:
        name: Folder, or name on the hub.

    Raises:
        ValueError: A file of weights is damaged, or the index names one that is not in the folder.
    """
    folder = Path(name)
    if not folder.is_dir():
        return
    names = sorted(path.name for path in folder.glob("*.safetensors"))
    if (folder / _INDEX).exists():
        names = _indexed(folder)
    if (folder / _ADAPTER).exists() and not (folder / "adapter_model.safetensors").is_file():
        raise ValueError(
            f"{folder} has an {_ADAPTER} and no adapter_model.safetensors; other files are pickles, which are not "
            "read. Save the adapter again with safetensors, or take the file away."
        )
    for each in names:
        _check_weights(folder / each)


def _indexed(folder: Path) -> list[str]:
    """Files that the index names."""
    path = folder / _INDEX
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError("it is too large")
        found: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} cannot be read ({error}): expected the index of weights. Copy it again.") from error
    files = found.get("weight_map") if isinstance(found, dict) else None
    if not isinstance(files, dict) or not all(isinstance(each, str) for each in files.values()):
        raise ValueError(f"{path} has no weight_map of names to files: expected the index of weights. Copy it again.")
    for each in dict.fromkeys(files.values()):
        if Path(each).name != each or not each.endswith(".safetensors") or not each.isprintable():
            raise ValueError(
                f"{path} names the file {each!r:.200}: expected files of safetensors in the folder itself. Do not load "
                "it unless you know where it comes from."
            )
        if not (folder / each).is_file():
            raise ValueError(
                f"{path} names the file {each}, which is not there: expected it. Copy the checkpoint again."
            )
    return list(dict.fromkeys(files.values()))


def _check_weights(path: Path) -> None:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt"):
            pass
    except (SafetensorError, OSError, ValueError) as error:
        raise ValueError(
            f"{path} is no whole file of safetensors ({str(error)[:200]}): expected weights. Copy it again."
        ) from error
