"""`vpo depth calibrate`: the curve of tolerance against loops and distance, and the point that was chosen."""

from __future__ import annotations

from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn
from rich.table import Table

from vpo.cli.console import Console, text_column
from vpo.cli.lessons import holds_lessons, lesson_batches, read_lessons
from vpo.cli.models import load_model, require_tokenizer, within_context
from vpo.cli.texts import read_texts, token_batches


def run_calibrate(
    model: str,
    text: Path,
    target_kl: float,
    cap: int,
    tols: list[float] | None,
    save: bool,
    length: int,
    batch_size: int,
    max_tokens: int,
) -> int:
    """Calibrate, print the curve, and with ``save`` write the policy into the model's configuration.

    Args:
        model: Folder or hub name.
        text: File with held-out text, or with rows of prompts and completions, of which the completions count.
        target_kl: Nats a token.
        cap: Most loops.
        tols: Tolerances; None for the usual ones.
        save: Write the policy into ``config.json``; the weights stay as they are.
        length: Longest sequence.
        batch_size: Sequences in a batch.
        max_tokens: Most tokens of the text.

    Returns:
        0 when a tolerance was found.

    Raises:
        ValueError: None was found, or an argument makes no sense.
    """
    if save and not Path(model).is_dir():
        raise ValueError(f"--save writes into the model's folder, but {model} is none: download the model first.")
    lessons = read_lessons(text) if holds_lessons(text) else None
    texts = read_texts(text) if lessons is None else []
    from vpo.looped.calibrate import TOLERANCES, calibrate

    looped, tokenizer = load_model(model), require_tokenizer(model)
    long, length = 0, within_context(looped, length)
    if lessons is None:
        batches = token_batches(texts, tokenizer, length, batch_size, max_tokens)
    else:
        batches, long = lesson_batches(lessons, tokenizer, length, batch_size, max_tokens)
        if not batches:
            raise ValueError(
                f"{text} has {len(lessons)} rows, and the prompts of {long} alone have {length} tokens or more: "
                "expected completions after them. Raise --length, and --max-tokens with it."
            )
    grid = sorted(set(tols or TOLERANCES))
    columns = (text_column("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("forward passes", total=len(batches) * (len(grid) + 1))
        found = calibrate(looped, batches, target_kl, cap, tols=grid, progress=lambda: bar.advance(task))
    table = Table("tol", "mean depth", "at the cap", "KL (nats/token)", "", title=f"{model}, cap {cap}")
    for row in found.curve:
        chosen = row.tol == found.tol
        cells = f"{row.tol:g}", f"{row.mean_depth:.2f}", f"{row.share_at_cap:.1%}", f"{row.kl:.2g} ± {row.kl_se:.1g}"
        table.add_row(*cells, "chosen" if chosen else "", style="bold" if chosen else None)
    console = Console()
    console.print(table)
    of = "sequences" if lessons is None else "completions, whose predictions alone count"
    console.print(
        f"Measured on {found.num_tokens} tokens of {found.num_sequences} {of}; ± is the standard error over sequences. "
        + (f"{long} rows were left out, as their prompts alone have {length} tokens. " if long else "")
        + f"The largest tolerance within {target_kl:g} nats is {found.tol:g}."
    )
    if save:
        looped.depth_policy = found.policy  # goes into the configuration as well
        looped.config.save_pretrained(model)
        console.print(f"Saved {found.policy} to {Path(model) / 'config.json'}.")
    return 0
