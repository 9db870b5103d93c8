"""Whether the name of a model is one that can be loaded, said before a library takes a folder for a name on the hub."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

_ON_THE_HUB = re.compile(r"(\w[\w.-]*/)?\w[\w.-]*")  # model, or owner/model; anything else can only be a path
_OF_A_MODEL = ("config.json", "adapter_config.json", "tokenizer.json", "tokenizer_config.json")


def may_be_on_the_hub(name: str) -> bool:
    """Whether a name has the form of one on the hub, which a folder's may have as well.

    ``runs/...`` is always a folder: everything here writes there, and to ask the hub for a misspelled one takes a
    minute of tries where there is no network.
    """
    return _ON_THE_HUB.fullmatch(name) is not None and not name.startswith("runs/")


def check_folder(name: str) -> None:
    """Refuse what is meant as a folder and holds no model.

    Raises:
        ValueError: There is no such folder, or no model in it.
    """
    folder = Path(name)
    if not may_be_on_the_hub(name) and not folder.is_dir():
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
        raise ValueError(not_to_be_had(name, str(error).strip().split("\n")[0])) from error


def not_to_be_had(name: str, said: str) -> str:
    """What to say of a model that could not be loaded at all, with what the library ``said``."""
    if Path(name).is_dir():
        where = "Check its config.json"
    else:
        where = "There is no such folder here; for the hub check spelling, network (HF_HUB_OFFLINE) and your access"
    return f"there is no model {name!r} to be had: expected a folder or a name on the hub. {where}. ({said})"
