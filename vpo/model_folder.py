"""Whether the name of a model is one that can be loaded, said before a library takes a folder for a name on the hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any

_OF_A_MODEL = ("config.json", "adapter_config.json", "tokenizer.json", "tokenizer_config.json")


def check_folder(name: str) -> None:
    """Refuse what is meant as a folder and holds no model.

    Raises:
        ValueError: There is no such folder, or no model in it.
    """
    folder = Path(name)
    if name.startswith((".", "/", "~")) and not folder.is_dir():
        raise ValueError(
            f"{name} is no folder: expected one with a model's config.json and weights, or a name on the hub."
        )
    if folder.is_dir() and not any((folder / each).is_file() for each in _OF_A_MODEL):
        inside = sorted(path.parent for path in folder.glob("*/config.json"))
        hint = f"Did you mean {inside[-1]}?" if inside else "Name the folder that `save_pretrained` wrote."
        raise ValueError(f"{name} holds no model: expected config.json and weights in it. {hint}")


def check_model(name: str, **options: Any) -> None:
    """Refuse a model whose configuration cannot be read, from a folder or the hub.

    Args:
        name: Folder or hub name.
        **options: Of ``AutoConfig.from_pretrained``.

    Raises:
        ValueError: There is none, it is another kind of thing, or the hub cannot be reached.
    """
    check_folder(name)
    if (Path(name) / "adapter_config.json").is_file():
        return  # an adapter: the trainer finds its base
    from transformers import AutoConfig

    import vpo.looped  # noqa: F401 - registers looped models

    try:
        AutoConfig.from_pretrained(name, **options)
    except (OSError, ValueError) as error:
        said = str(error).strip().split("\n")[0]
        where = "its config.json" if Path(name).is_dir() else "spelling, network (HF_HUB_OFFLINE) and your access"
        raise ValueError(
            f"there is no model {name!r} to be had: expected a folder or a name on the hub. Check {where}. ({said})"
        ) from error
