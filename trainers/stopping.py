"""A completion ends at the closing tag of its last answer, whichever engine samples it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trainers.vpo_trainer import VPOTrainer


def stop_after_last_answer(trainer: VPOTrainer) -> None:
    """End completions at the closing tag of answer m, where that tag is one token; else change nothing.

    What follows the last answer earns nothing and costs nothing, so nothing keeps a policy from rambling on there:
    without this, four completions in ten of a small policy ran into the length limit after a hundred steps.

    The tag joins TRL's ``eos_token_ids``, so a completion that ends with it is not cut off: not counted so, and not
    masked by ``mask_truncated_completions``. The engine hears of it in its own way: transformers in the generation
    configuration; vLLM, which reads that from the disk, in the sampling parameters of every request (colocate and
    server mode alike).
    """
    closing = trainer._tokenizer(f"</{trainer.answer_format.tag}_{trainer.args.num_answers}>", add_special_tokens=False)
    ids = closing["input_ids"]
    if len(ids) != 1 or ids[0] == trainer._tokenizer.unk_token_id:
        return
    trainer.eos_token_ids = [*trainer.eos_token_ids, ids[0]]
    model = trainer.accelerator.unwrap_model(trainer.model)
    model.generation_config.eos_token_id = trainer.eos_token_ids  # saved with the policy: it samples as it was trained
    if trainer.use_vllm:
        options = trainer.vllm_generation.generation_kwargs  # the dictionary of args: saved with them, so not changed
        stops = [*(options.get("stop_token_ids") or []), ids[0]]
        trainer.vllm_generation.generation_kwargs = {**options, "stop_token_ids": stops}
    else:
        trainer.generation_config.eos_token_id = trainer.eos_token_ids
