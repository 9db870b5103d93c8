"""`vpo convert`: a pretrained model becomes a looped one, and the command says what became of which layer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rich.table import Table

from vpo.cli.console import Console
from vpo.cli.models import load_model, load_tokenizer, require_tokenizer
from vpo.cli.texts import read_texts, token_batches

if TYPE_CHECKING:
    from vpo.looped.parts import Parts


@dataclass(frozen=True)
class Conversion:
    """What the command was asked for; see its options.

    Args:
        model: Folder or hub name of the source.
        out: Folder of the looped model.
        parts: Prelude, core and coda as written; None where an option was left out.
        choose_core: Choose the core so large; None if the parts are given.
        text: What to choose it by.
        injection: How the prelude's output enters the loop.
        retention: Share of the state that it keeps.
        loops: Loops of the saved model.
        drop_rest: Leave out the layers in no part.
    """

    model: str
    out: Path
    parts: tuple[str | None, str | None, str | None]
    choose_core: int | None
    text: Path | None
    injection: Literal["gate", "diagonal", "concat", "add", "none"]
    retention: float
    loops: int
    drop_rest: bool


def run_convert(asked: Conversion) -> int:
    """Convert, save, and print what was done.

    Returns:
        0 when the model is saved.

    Raises:
        ValueError: The options contradict each other, ``out`` is in use, or the model cannot be converted.
    """
    from vpo.looped.convert import convert, logit_gap, probe_tokens
    from vpo.looped.influence import OUTSIZE, largest_update
    from vpo.looped.parts import read_parts, spell

    _check(asked)
    console, progress = Console(), Console(stderr=True)
    with progress.status(f"loading {asked.model}"):
        source, tokenizer = load_model(asked.model), load_tokenizer(asked.model)
    num_layers = source.config.get_text_config().num_hidden_layers
    if asked.choose_core is not None:
        parts = _choose(asked, source, console, progress)
    else:
        prelude, core, coda = (part or "" for part in asked.parts)
        parts = read_parts(prelude, core, coda, num_layers, asked.drop_rest)
    with progress.status("converting"):
        looped: Any = convert(
            source,
            *parts,
            injection=asked.injection,
            retention_init=asked.retention,
            num_loops=asked.loops,
            drop_rest=asked.drop_rest,
        )
        updates = largest_update(source, [probe_tokens(source)])
        looped.save_pretrained(asked.out)
        if tokenizer is not None:
            tokenizer.save_pretrained(asked.out)
        _write_card(asked, parts, num_layers)
    console.print(_table(looped, parts))
    dropped = spell(sorted(set(range(num_layers)) - set(parts.kept)))
    for loops in sorted({1, asked.loops}):
        gap, size = logit_gap(source, looped, num_loops=loops)
        console.print(
            f"at {loops} loop(s): largest logit difference to the source {gap:.2g}, of logits up to {size:.1f}"
        )
    if dropped != "none":
        gap, _ = logit_gap(source, looped, parts)
        console.print(f"at 1 loop(s): largest logit difference to the source without layers {dropped} {gap:.2g}")
    outsize = [i for i in parts.core if updates[i] > OUTSIZE]
    if outsize:
        console.print(
            f"Layer {outsize[0]} of the core multiplies a token's state by {updates[outsize[0]]:.0f}: such a "
            f"loop does not settle. Begin the core after it, or use --choose-core.",
            style="yellow",
        )
    console.print(
        f"Saved to {asked.out}. Next: heal it (trainers.HealingTrainer), then `vpo depth calibrate`.", soft_wrap=True
    )
    return 0


def _check(asked: Conversion) -> None:
    given = [part for part in asked.parts if part is not None]
    if asked.choose_core is None and len(given) < 3:
        raise ValueError(
            "which layers are looped was not said: expected --prelude, --core and --coda, or --choose-core with --text."
        )
    if asked.choose_core is not None and (given or asked.text is None):
        raise ValueError(
            f"--choose-core chooses all the parts by a text: expected it with --text and without "
            f"--prelude, --core and --coda, got {'no --text' if asked.text is None else given}."
        )
    if asked.out.exists() and (not asked.out.is_dir() or any(asked.out.iterdir())):
        raise ValueError(f"{asked.out} is there and not empty: choose another folder with --out.")


def _choose(asked: Conversion, source: Any, console: Console, progress: Console) -> Parts:
    from vpo.looped.influence import OUTSIZE, angular_distance, block_influence, largest_update, suggest_parts

    assert asked.choose_core is not None and asked.text is not None  # checked above
    tokenizer = require_tokenizer(asked.model)
    batches = token_batches(read_texts(asked.text), tokenizer, length=256, batch_size=4, max_tokens=8192)
    with progress.status(f"measuring {source.config.num_hidden_layers} layers on {asked.text}"):
        influence, angle = block_influence(source, batches), angular_distance(source, batches)
        update = largest_update(source, batches)
    outsize = [i for i in range(len(update)) if update[i] > OUTSIZE]
    parts = suggest_parts(influence, asked.choose_core, avoid=outsize)
    table = Table(
        "layer", "block influence", "angular distance", "largest update", "part", title="Layers of the source"
    )
    for i in range(len(influence)):
        name = next(name for name, layers in parts._asdict().items() if i in layers)
        style = "bold" if name == "core" else "yellow" if i in outsize else None
        table.add_row(str(i), f"{influence[i]:.3f}", f"{angle[i]:.3f}", f"{update[i]:.1f}", name, style=style)
    console.print(table)
    return parts


def _table(looped: Any, parts: Parts) -> Table:
    from vpo.looped.parts import spell

    model, config = looped.model, looped.config
    core = slice(len(parts.prelude), len(parts.prelude) + len(parts.core))
    head = "tied" if config.tie_word_embeddings else _millions(looped.lm_head)
    rows = [
        ("embeddings", "", _millions(model.embed_tokens)),
        ("prelude", spell(parts.prelude), _millions(*model.layers[: core.start])),
        ("core", spell(parts.core), _millions(*model.layers[core])),
        ("coda", spell(parts.coda), _millions(*model.layers[core.stop :])),
        ("injection", f"{config.injection}, retention {config.retention_init:g}", _millions(model.injection)),
        ("norm and head", "", f"{_millions(model.norm)} + {head}"),
        ("all", f"{len(parts.kept)} layers", _millions(looped)),
    ]
    table = Table("part", "layers of the source", "parameters (M)", title=type(looped).__name__)
    for row in rows:
        table.add_row(*row)
    return table


def _write_card(asked: Conversion, parts: Parts, num_layers: int) -> None:
    from huggingface_hub import ModelCardData

    from vpo.looped.parts import spell
    from vpo.model_card import Card, Table
    from vpo.record.surroundings import versions

    is_folder = Path(asked.model).exists()
    source = Path(asked.model).resolve().name if is_folder else asked.model
    dropped = spell(sorted(set(range(num_layers)) - set(parts.kept)))
    rows: list[list[Any]] = [
        ["source", source],
        *([name, f"layers {spell(layers)}"] for name, layers in parts._asdict().items()),
        ["left out", "none" if dropped == "none" else f"layers {dropped}"],
        ["injection", asked.injection],
        ["retention at the start", asked.retention],
        ["loops", asked.loops],
    ]
    note = "Depths are what `depth_policy` of its configuration says; `vpo depth calibrate` chooses a tolerance."
    card = Card(
        name=asked.out.resolve().name,
        summary=(
            "A looped model made from a pretrained one by `vpo convert`: its layers are prelude, core and coda, and "
            "the core may be run several times. At one loop it computes what its source does, as far as no layer was "
            "left out; it has not been trained at more, and needs healing (`trainers.HealingTrainer`) before it gains "
            "by them."
        ),
        place=asked.out.resolve().name,
        tables=[
            Table("Conversion", rows, (), note),
            Table("Versions", [list(each) for each in versions("python", "vpo", "transformers", "torch").items()]),
        ],
        is_looped=True,
    )
    front = ModelCardData(
        base_model=None if is_folder else asked.model,
        library_name="transformers",
        pipeline_tag="text-generation",
        tags=["looped", "vpo"],
    )
    card.save(asked.out / "README.md", front)


def _millions(*modules: Any) -> str:
    return f"{sum(p.numel() for module in modules for p in module.parameters()) / 1e6:.3f}"
