"""What each layer of a pretrained model does to the residual stream, to choose the layers that are looped.

A loop runs its layers again on their own output, so it suits layers whose input and output are alike. Three measures,
per layer, on the user's own text: *block influence*, 1 - cos(h_l, h_{l+1}) (ShortGPT, 2403.03853), and *angular
distance*, arccos(cos(h_l, h_{l+n})) / pi (2403.17887, which looks at each text's last token alone), both averaged over
tokens; and the *largest update* of any token, which finds what the averages hide: many models have a layer that writes
an activation hundreds of times larger than the rest into the first token (2402.17762). With it in the core (layer 11 of
SmolLM2-135M) the loop swings between two outputs even at a retention of 0.02; with it in the prelude it settles.

Shape letters: B sequences, T tokens, N real tokens, H width, L layers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from vpo.looped.parts import Parts, spell
from vpo.looped.pretrained import looped_policy

#: (B, T) tokens, or a mapping with ``input_ids`` and, where there is padding, ``attention_mask``, as a tokenizer's.
Batch = Tensor | Mapping[str, Any]

#: Updates that outgrow their input by this factor: SmolLM2's layer 11 has 172, those between 3 and 29 else at most 1.
OUTSIZE = 10.0


def block_influence(model: Any, batches: Iterable[Batch]) -> Tensor:
    """1 - cos between each layer's input and output, averaged over tokens.

    Args:
        model: A causal language model before conversion.
        batches: Text, tokenized. Padding does not count.

    Returns:
        (L,) in [0, 2]: 0 for a layer that only scales its input, 1 for an output at right angles to it.

    Raises:
        ValueError: The model is looped already or has no list of layers, or there is no token.
    """
    return 1 - _mean(model, batches, span=1, of=lambda cosine: cosine)


def angular_distance(model: Any, batches: Iterable[Batch], span: int = 1) -> Tensor:
    """Angle between the input of a layer and the output of the ``span``-th from it on, as a share of half a turn.

    Args:
        model: A causal language model before conversion.
        batches: Text, tokenized. Padding does not count.
        span: n, layers in between.

    Returns:
        (L - span + 1,) in [0, 1], averaged over tokens; one for each layer that ``span`` layers start at.

    Raises:
        ValueError: As for :func:`block_influence`, or ``span`` is not within 1..L.
    """
    return _mean(model, batches, span, of=lambda cosine: cosine.clamp(-1, 1).arccos() / math.pi)


def largest_update(model: Any, batches: Iterable[Batch]) -> Tensor:
    """The most that each layer changes any token: max ||h_{l+1} - h_l|| / ||h_l||.

    Args:
        model: A causal language model before conversion.
        batches: Text, tokenized. Padding does not count.

    Returns:
        (L,) 0 or more; above :data:`OUTSIZE` the layer is not to be looped.

    Raises:
        ValueError: As for :func:`block_influence`.
    """
    largest = None
    for states in _states(model, batches):
        ratios = [
            ((after - before).norm(dim=-1) / (before.norm(dim=-1) + 1e-8)).max().double().cpu()
            for before, after in pairwise(states)
        ]
        found = torch.stack(ratios)
        largest = found if largest is None else torch.maximum(largest, found)
    assert largest is not None  # _states has seen a token
    return largest


def suggest_parts(
    influence: Tensor, core_layers: int, min_prelude: int = 1, min_coda: int = 1, avoid: Collection[int] = ()
) -> Parts:
    """The window of layers with the least influence in total as the core, what lies before and after as the rest.

    Args:
        influence: (L,) from :func:`block_influence` or :func:`angular_distance`.
        core_layers: Layers of the core.
        min_prelude: Fewest layers before it. The first layer turns tokens into states and is never looped.
        min_coda: Fewest layers after it. The last one turns states into predictions and is never looped.
        avoid: Layers that the core must not hold, such as those with an outsize :func:`largest_update`.

    Returns:
        Prelude, core and coda, for :func:`~vpo.looped.convert.convert`; of equal windows the first.

    Raises:
        ValueError: Influence is not a finite vector, a minimum is below 1, or the core does not fit.
    """
    if influence.ndim != 1 or not bool(influence.isfinite().all()):
        raise ValueError(
            f"influence has shape {tuple(influence.shape)} and holds {influence.tolist()}: expected one finite number "
            "a layer, from block_influence."
        )
    if min_prelude < 1 or min_coda < 1:
        raise ValueError(
            f"min_prelude is {min_prelude} and min_coda {min_coda}: expected 1 or more, for the first and the last "
            "layer are never looped."
        )
    num_layers = len(influence)
    starts = [
        start
        for start in range(min_prelude, num_layers - min_coda - core_layers + 1)
        if core_layers >= 1 and not any(start <= layer < start + core_layers for layer in avoid)
    ]
    if not starts:
        without = f", without {spell(sorted(avoid))}" if avoid else ""
        raise ValueError(
            f"core_layers is {core_layers}: no such window fits into {num_layers} layers with {min_prelude} kept "
            f"before and {min_coda} after the core{without}. Ask for another number of core layers."
        )
    start = min(starts, key=lambda first: float(influence[first : first + core_layers].double().sum()))
    end = start + core_layers
    return Parts(tuple(range(start)), tuple(range(start, end)), tuple(range(end, num_layers)))


def split_batch(batch: Batch, device: torch.device) -> tuple[Tensor, Tensor]:
    """Tokens (B, T) and the bool mask (B, T) of the real ones.

    Raises:
        ValueError: Not two-dimensional, or a mask of another shape.
    """
    given = {"input_ids": batch} if isinstance(batch, Tensor) else batch
    ids = torch.as_tensor(given["input_ids"], device=device)
    mask = given.get("attention_mask")
    mask = torch.ones_like(ids, dtype=torch.bool) if mask is None else torch.as_tensor(mask, device=device).bool()
    if ids.ndim != 2 or mask.shape != ids.shape:
        raise ValueError(
            f"a batch has input_ids of shape {tuple(ids.shape)} and an attention_mask of {tuple(mask.shape)}: expected "
            "the same (B, T) for both, as tokenizer(texts, padding=True, return_tensors='pt') gives them."
        )
    return ids, mask


def _mean(model: Any, batches: Iterable[Batch], span: int, of: Callable[[Tensor], Tensor]) -> Tensor:
    """(L - span + 1,) mean over tokens of a function of the cosine, in fp64."""
    num_layers = len(_layers(model))
    if not 1 <= span <= num_layers:
        raise ValueError(f"span is {span}: expected 1 to {num_layers}, the layers of the model.")
    total = torch.zeros(num_layers - span + 1, dtype=torch.float64)
    count = 0
    for states in _states(model, batches):
        for i in range(len(total)):
            cosine = nn.functional.cosine_similarity(states[i], states[i + span], dim=-1)
            total[i] += of(cosine).double().sum().cpu()
        count += len(states[0])
    return total / count


@torch.no_grad()
def _states(model: Any, batches: Iterable[Batch]) -> Iterator[list[Tensor]]:
    """For each batch, the residual stream at the real tokens: L + 1 tensors (N, H) in fp32.

    Raises:
        ValueError: There is no token in any batch.
    """
    layers = _layers(model)
    was_training = model.training
    seen = False
    model.eval()
    try:
        for batch in batches:
            ids, mask = split_batch(batch, model.device)
            if not bool(mask.any()):
                continue
            seen = True
            with _recorded(layers, mask) as states:
                model.base_model(input_ids=ids, attention_mask=mask.long(), use_cache=False)
            yield states
    finally:
        model.train(was_training)
    if not seen:
        raise ValueError("the batches hold no token: expected text to measure on. Check the file and the mask.")


@contextmanager
def _recorded(layers: nn.ModuleList, mask: Tensor) -> Iterator[list[Tensor]]:
    states: list[Tensor] = []

    def before(_module: nn.Module, inputs: tuple[Any, ...]) -> None:
        states.append(inputs[0][mask].float())

    def after(_module: nn.Module, _inputs: Any, output: Any) -> None:
        states.append((output[0] if isinstance(output, tuple) else output)[mask].float())

    # Not ``output_hidden_states``: there the last state is the one after the final norm.
    hooks = [layers[0].register_forward_pre_hook(before), *(layer.register_forward_hook(after) for layer in layers)]
    try:
        yield states
    finally:
        for hook in hooks:
            hook.remove()


def _layers(model: Any) -> nn.ModuleList:
    if looped_policy(model) is not None:
        raise ValueError(f"{type(model).__name__} is looped already: measure the model that it is to be made from.")
    layers = getattr(getattr(model, "base_model", None), "layers", None)
    if not isinstance(layers, nn.ModuleList) or not len(layers):
        raise ValueError(f"{type(model).__name__} has no list of layers: expected a decoder built like Llama or Qwen.")
    return layers
