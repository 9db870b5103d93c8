"""Spectral normalisation of the core: every linear layer of it is divided by its largest singular value.

The strongest of the means against divergence, and the one that costs most quality; FPRM (arXiv 2606.18206) has it in
its code and not in its configurations. It bounds each linear layer, not the core: attention multiplies what they yield,
a norm's weights rescale it, and residual connections add 1 a layer.

**Training.** In ``train`` mode each call of a layer does one step of PyTorch's power iteration, so weights move a
little between two loops of the same pass, and two passes differ. Run a training step (forward and backward) within
:func:`normalised_once`, which computes them once; with gradient checkpointing that is a must, as the second pass would
see other weights. In ``eval`` mode they stand still.

**Saving.** The state dictionary holds ``...parametrizations.weight.original`` where a plain model has ``...weight``:
call :func:`remove_spectral_norm` before ``save_pretrained``, or ``from_pretrained`` finds no weights for these layers.
To go on training from the raw dictionary instead, apply to the fresh model first and then load it with
``load_state_dict``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import _SpectralNorm, spectral_norm

from vpo.looped.pretrained import looped_policy


def apply_spectral_norm(model: Any, num_iterations: int = 1) -> list[str]:
    """Give the core's linear layers a largest singular value of 1, from now on through training.

    This changes the model: what a pretrained core computed with larger weights it computes no more. Layers that are
    normalised already are left alone. Make the optimizer afterwards: the parameters are other objects.

    Args:
        model: A looped model or its backbone.
        num_iterations: Steps of power iteration at each call in ``train`` mode; 15 run at once to begin with.

    Returns:
        Names of the layers within the core.

    Raises:
        ValueError: Not a looped model, or its core holds adapters, which would stay unbounded: merge them first.
    """
    core = _core(model)
    layers = {name: layer for name, layer in core.named_modules() if isinstance(layer, nn.Linear)}
    adapted = [name for name, layer in core.named_modules() if type(layer).__module__.startswith("peft.")]
    if adapted:
        raise ValueError(
            f"the core has adapters ({adapted[0]} and {len(adapted) - 1} more), whose share in the weights would not "
            "be bounded: call merge_and_unload() first, or train all of the core."
        )
    for layer in layers.values():
        if not _is_normalised(layer):
            spectral_norm(layer, "weight", n_power_iterations=num_iterations)
    return list(layers)


@contextmanager
def normalised_once(model: Any) -> Iterator[None]:
    """Within this context every normalised layer has one weight, computed on entry, whatever is run how often."""
    with parametrize.cached():
        for _, layer in _normalised(model):
            _ = layer.weight  # before any pass: within a checkpointed one, its graph would be the first pass's alone
        yield


def remove_spectral_norm(model: Any) -> list[str]:
    """Turn the normalised weights into plain ones, as they are; what the model computes in ``eval`` mode stays.

    Returns:
        Names of the layers that were normalised.
    """
    found = _normalised(model)
    for _, layer in found:
        was_training = layer.training
        layer.eval()  # or reading the weight once more would move it
        parametrize.remove_parametrizations(layer, "weight", leave_parametrized=True)
        layer.train(was_training)
    return [name for name, _ in found]


def _core(model: Any) -> nn.ModuleList:
    base = looped_policy(model)
    if base is None:
        raise ValueError(f"{type(model).__name__} is not a looped model: expected a LoopedForCausalLM or LoopedModel.")
    return getattr(base, "model", base).core


def _normalised(model: Any) -> list[tuple[str, nn.Module]]:
    return [(name, layer) for name, layer in _core(model).named_modules() if _is_normalised(layer)]


def _is_normalised(layer: nn.Module) -> bool:
    return parametrize.is_parametrized(layer, "weight") and any(
        isinstance(each, _SpectralNorm)
        for each in layer.parametrizations["weight"]  # type: ignore[index]
    )
