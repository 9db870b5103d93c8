"""Model cards of trained models: TRL's front matter, and a body that says what TRL's template has no place for.

TRL writes a card at every checkpoint and before a push. The mixin lets it, so that tags, links of trackers and whatever
TRL adds later stay, and puts our body below its front matter. It also writes one beside the weights that
``save_model`` leaves.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainers.card_facts import data_table, depth_tables, format_tables, last_values, versions_table
from trainers.card_recipes import recipe_tables
from vpo.looped import looped_policy
from vpo.model_card import Asking, Card, escaped


class ModelCards:
    """A mixin before one of TRL's trainers."""

    _name: str
    _paper: Mapping[str, str]

    def save_model(self: Any, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """As the trainer's; weights that a user asked for get a card beside them."""
        super().save_model(output_dir, _internal_call)  # type: ignore[misc]
        if not _internal_call:  # checkpoints and pushes have the card of the run's folder
            self.create_model_card(folder=output_dir)

    def create_model_card(
        self: Any,
        model_name: str | None = None,
        dataset_name: str | None = None,
        tags: str | list[str] | None = None,
        folder: str | None = None,
    ) -> None:
        """Write README.md; see TRL's ``create_model_card`` for the arguments.

        Args:
            model_name: Name of the model; the folder's by default.
            dataset_name: Data set on the Hub; by default the one of the recipe, if it was one.
            tags: Further tags.
            folder: Where the weights lie; ``args.output_dir`` by default.
        """
        if not self.is_world_process_zero():
            return
        from huggingface_hub import ModelCard

        if dataset_name is None or not _is_on_the_hub(dataset_name):  # a task or a folder is no data set to link to
            dataset_name = _data_set(self)
        hub = self.hub_model_id or self.args.hub_model_id
        name = model_name or (hub.split("/")[-1] if hub else Path(folder or self.args.output_dir).resolve().name)
        found = [tags] if isinstance(tags, str) else list(tags or [])
        looped = looped_policy(self.accelerator.unwrap_model(self.model))
        found += ["looped"] if looped is not None else []
        super().create_model_card(name, dataset_name, found)  # type: ignore[misc]
        written = Path(self.args.output_dir) / "README.md"
        front = ModelCard.load(written).data
        front.pipeline_tag = "text-generation"
        front.tags = sorted(set(front.tags or []))
        path = Path(folder or self.args.output_dir) / "README.md"
        os.makedirs(path.parent, exist_ok=True)
        card = card_of(self, name, hub or name)
        card.save(written, front)
        if path.resolve() != written.resolve():
            card.save(path, front)


def card_of(trainer: Any, name: str, place: str) -> Card:
    """What there is to say of a trainer's model.

    Args:
        trainer: A trainer of ours.
        name: Of the model.
        place: Where one loads it from.
    """
    model = trainer.accelerator.unwrap_model(trainer.model)
    base = base_of(model)
    adapted = getattr(model, "peft_config", None)
    origin = f"fine-tuned from {_named(base)}" if base else "whose initial weights were not loaded by a name"
    summary = (
        f"A causal language model, {origin}, trained for {trainer.state.global_step:,} steps with "
        f"`{type(trainer).__name__}` of vpo on TRL. What stands here was written by the trainer from its settings and "
        "its log; nobody has evaluated the model beyond that."
    )
    tables = [
        *recipe_tables(trainer),
        data_table(trainer),
        last_values(trainer),
        *format_tables(Path(trainer.args.output_dir)),
        *depth_tables(trainer, model),
        versions_table(),
    ]
    is_looped = looped_policy(model) is not None
    return Card(
        name=name,
        summary=summary,
        place=place,
        tables=tables,
        is_looped=is_looped,
        base_of_adapter=base if adapted else None,
        asking=_asking(trainer),
        citation=dict(getattr(trainer, "_paper", {})).get("citation", ""),
    )


def base_of(model: Any) -> str | None:
    """Hub id or folder that a model was loaded from; None for one that was made here."""
    return getattr(model.config, "_name_or_path", "") or None


def _named(base: str) -> str:
    """A Hub id as a link; of a folder its name alone, as the rest says something of a machine."""
    if _is_on_the_hub(base):
        return f"[{escaped(base)}](https://huggingface.co/{base})"
    return f"the local folder {escaped(Path(base).name)}"


def _is_on_the_hub(name: str) -> bool:
    from huggingface_hub.utils import HFValidationError, validate_repo_id

    if Path(name).exists():
        return False
    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return "/" in name


def _data_set(trainer: Any) -> str | None:
    script = getattr(getattr(trainer, "run_record", None), "more", {}).get("script") or {}
    name = script.get("dataset_name")
    return name if isinstance(name, str) and _is_on_the_hub(name) else None


def _asking(trainer: Any) -> Asking | None:
    args = trainer.args
    if not hasattr(args, "num_answers"):
        return None
    first: Any = next(iter(trainer.train_dataset), {}) if trainer.train_dataset is not None else {}
    sampling = {"max_new_tokens": args.max_completion_length, "temperature": args.temperature, "top_p": args.top_p}
    return Asking(
        args.num_answers,
        args.answer_tag,
        args.ask_for_answers,
        is_chat=not isinstance(first.get("prompt", ""), str),
        sampling=sampling | ({"top_k": args.top_k} if args.top_k else {}),
    )
