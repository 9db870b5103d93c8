"""Watch any TRL run for collapse: one line in the script, and `vpo monitor` afterwards on what the run has logged.

A small model answers sums in two formats, a line of Python or a sentence, half and half. The reward looks at the
answer alone, but sentences are wrong more often, so plain GRPO moves to Python. The monitor sees it at a stated rate
of false alarms.

    python watch_for_collapse.py    # under a minute on one core, in any folder

You should see the share of Python rise towards 1, an alarm while it does, and the page runs/grpo/monitor/report.html;
then what `vpo monitor` says of the same run from TRL's own log, with the exit status 3 that stops a pipeline.

With a real run: add the two lines marked below to your own script, with its trainer, model and rewards. For the log
set `log_completions=True, logging_steps=1`.
"""

import os
import random

os.environ["TQDM_DISABLE"] = "1"  # before anything draws a progress bar
from datasets import Dataset
from transformers import LlamaConfig, LlamaForCausalLM, set_seed
from trl import GRPOConfig, GRPOTrainer, SFTConfig, SFTTrainer

from eval.collapse import CollapseMonitor  # <-
from eval.facets import default_facets  # without `facets` it watches openings, lengths, answers and clusters, too
from vpo.cli.app import main
from vpo.tasks.word_tokenizer import word_tokenizer

FORMATS = {"python": "def solution(): return {}", "prose": "I think that the larger one of them is {}"}
ERRORS = {"python": 0.1, "prose": 0.5}  # of the model before RL
CPU = {"use_cpu": True, "bf16": False, "gradient_checkpointing": False}
QUIET = {"report_to": "none", "save_strategy": "no", **CPU}


def problems(count: int, draw: random.Random) -> list[dict]:
    pairs = [draw.sample(range(10), 2) for _ in range(count)]
    return [{"prompt": f"{a} or {b} ?", "larger": str(max(a, b)), "smaller": str(min(a, b))} for a, b in pairs]


def correct(completions, larger, **kwargs):
    """1 if the last word is the larger digit, whatever stands before it."""
    return [float(text.split()[-1:] == [wanted]) for text, wanted in zip(completions, larger, strict=True)]


def two_formats(tokenizer, draw: random.Random) -> LlamaForCausalLM:
    """Stands for a base model: it knows two formats, and one of them it gets wrong half of the time."""
    rows = []
    for each in problems(4800, draw):
        kind = draw.choice(list(FORMATS))
        said = each["smaller" if draw.random() < ERRORS[kind] else "larger"]
        rows.append({"prompt": each["prompt"], "completion": " " + FORMATS[kind].format(said)})
    sizes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), pad_token_id=0, bos_token_id=1, **sizes))
    args = SFTConfig("runs/base", max_steps=150, per_device_train_batch_size=32, learning_rate=3e-3, **QUIET)
    SFTTrainer(model, args, train_dataset=Dataset.from_list(rows), processing_class=tokenizer).train()
    return model


if __name__ == "__main__":
    set_seed(0)
    draw = random.Random(0)
    words = dict.fromkeys(" ".join(["? or", *FORMATS.values()]).replace("{}", "").split())
    tokenizer = word_tokenizer([*"0123456789", *words])
    args = GRPOConfig(
        "runs/grpo",
        max_steps=30,
        num_generations=8,
        per_device_train_batch_size=256,  # completions: 32 prompts a step
        max_completion_length=12,
        learning_rate=1e-3,
        log_completions=True,  # with the next line: what `vpo monitor` reads afterwards
        logging_steps=1,
        num_completions_to_print=0,
        **QUIET,
    )
    data = Dataset.from_list(problems(30 * 32, draw))
    trainer = GRPOTrainer(two_formats(tokenizer, draw), [correct], args, data, processing_class=tokenizer)
    trainer.add_callback(CollapseMonitor(trainer, correct="correct", facets=default_facets(["format"])))  # <-
    trainer.train()
    logged = [entry for entry in trainer.state.log_history if "monitor/top_format_share" in entry]
    for entry in logged[:: max(1, len(logged) // 8)]:
        share, evidence = entry["monitor/top_format_share"], entry["monitor/evidence"]
        print(f"step {entry['step']:3}: largest share of a format {share:.2f}, evidence {evidence:.2f} (1 = alarm)")
    command = "monitor runs/grpo --correct correct --facets format --fail-on warning"
    print(f"\nvpo {command}")  # in a shell; here in this process
    print("exit status", main(command.split()))
