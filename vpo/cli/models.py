"""Loading models for commands, with messages for what a user gets wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vpo.model_folder import check_folder, not_to_be_had


def load_model(name: str, trust_remote_code: bool = False) -> Any:
    """The causal language model in a folder or on the hub, in the dtype it was saved in, on a GPU if there is one.

    Weights are read from safetensors alone: other files are pickles, which may hold anything.

    Args:
        name: Folder or hub name.
        trust_remote_code: Run modelling code that comes with the checkpoint, as Huginn's and Ouro's do.

    Raises:
        ValueError: There is no model of that name, none as safetensors, or one whose files are damaged, lie outside of
            its folder or lack weights.
    """
    check_folder(name)
    import torch
    from transformers import AutoModelForCausalLM

    import vpo.looped  # noqa: F401 - registers looped models
    from vpo.checkpoints import check_checkpoint

    options = {"dtype": "auto", "trust_remote_code": trust_remote_code, "use_safetensors": True}
    check_checkpoint(name)
    try:
        model, found = AutoModelForCausalLM.from_pretrained(name, **options, output_loading_info=True)
    # What is wrong in a checkpoint's files surfaces wherever transformers, PEFT or safetensors stumble over it
    except Exception as error:
        if isinstance(error, OSError) and not Path(name).is_dir() and "safetensors" not in str(error):
            raise ValueError(not_to_be_had(name, _first_line(error))) from error
        if "safetensors" in str(error) and isinstance(error, (OSError, ValueError)):
            raise ValueError(
                f"{name} has no weights as safetensors; other files are pickles, which are not read. If you trust it, "
                "load it once with transformers and save it again (save_pretrained writes safetensors)."
            ) from error
        raise ValueError(f"{name} cannot be loaded as a causal language model: {_first_line(error)}") from error
    if missing := sorted(found["missing_keys"]):
        raise ValueError(
            f"{name} lacks {len(missing)} of the model's weights, such as {missing[0]}: expected all of them, as they "
            "would be random otherwise. Copy the checkpoint again; or its config.json is another model's."
        )
    return model.to("cuda" if torch.cuda.is_available() else "cpu")


def within_context(model: Any, length: int) -> int:
    """``length`` in tokens, or the model's context where that is shorter."""
    context = getattr(model.config, "max_position_embeddings", None)
    return length if context is None else min(length, context)


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

    import vpo.looped  # noqa: F401 - registers looped models, without which a policy's configuration is warned about

    try:
        return AutoTokenizer.from_pretrained(name, trust_remote_code=False)
    except Exception as error:  # tokenizers raises its bare kind
        if isinstance(error, OSError) and not Path(name).is_dir():
            raise ValueError(not_to_be_had(name, _first_line(error))) from error
        raise ValueError(
            f"{name} gives no tokenizer, and text is to be read: expected one beside the model ({_first_line(error)})."
        ) from error


def _first_line(error: Exception) -> str:
    text = str(error).strip().split("\n")[0][:500]
    return text if isinstance(error, (OSError, ValueError)) and text else f"{type(error).__name__}: {text}"
