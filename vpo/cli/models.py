"""Loading models for commands, with messages for what a user gets wrong."""

from __future__ import annotations

from typing import Any

from vpo.model_folder import check_folder


def load_model(name: str, trust_remote_code: bool = False) -> Any:
    """The causal language model in a folder or on the hub, in the dtype it was saved in, on a GPU if there is one.

    Weights are read from safetensors alone: other files are pickles, which may hold anything.

    Args:
        name: Folder or hub name.
        trust_remote_code: Run modelling code that comes with the checkpoint, as Huginn's and Ouro's do.

    Raises:
        ValueError: There is no model of that name, or none as safetensors.
    """
    check_folder(name)
    import torch
    from transformers import AutoModelForCausalLM

    import vpo.looped  # noqa: F401 - registers looped models

    options = {"dtype": "auto", "trust_remote_code": trust_remote_code, "use_safetensors": True}
    try:
        model = AutoModelForCausalLM.from_pretrained(name, **options)
    except (OSError, ValueError) as error:
        if "safetensors" in str(error):
            raise ValueError(
                f"{name} has no weights as safetensors; other files are pickles, which are not read. If you trust it, "
                "load it once with transformers and save it again (save_pretrained writes safetensors)."
            ) from error
        raise ValueError(f"{name} cannot be loaded as a causal language model: {_first_line(error)}") from error
    return model.to("cuda" if torch.cuda.is_available() else "cpu")


def load_tokenizer(name: str) -> Any | None:
    """The model's tokenizer; None if it comes without one."""
    try:
        return require_tokenizer(name)
    except ValueError:
        return None


def require_tokenizer(name: str) -> Any:
    """The model's tokenizer.

    Raises:
        ValueError: There is none, or it cannot be loaded.
    """
    check_folder(name)
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{name} gives no tokenizer, and text is to be read: expected one beside the model ({_first_line(error)})."
        ) from error


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0]
