"""From GRPO to VPO with reward functions of your own: what is left to choose from after training?

A cook is asked for a dish, and three guests want different things of it: cheap, healthy, filling. GRPO writes one dish
a completion and is paid the sum; VPO writes three and is paid for the best of them under random weightings of the
three.

    python vpo_with_your_rewards.py    # under a minute on one core, in any folder

You should see GRPO end with the compromise, beans, for every guest, and VPO with sets that still hold all dishes, in
which each guest finds something better than beans.

With a real model: `"Qwen/Qwen3-0.6B"` in place of a cook, prompts as chat messages, and neither warm start nor
`processing_class`, `answer_tag` and `ask_for_answers`: VPOTrainer then asks for tagged answers by itself. Raise
`max_completion_length` to what three answers take. On a GPU leave CPU out.
"""

import os
import random
from statistics import mean

os.environ["TQDM_DISABLE"] = "1"  # before anything draws a progress bar
from datasets import Dataset
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, set_seed
from trl import GRPOConfig, GRPOTrainer, SFTConfig, SFTTrainer

from search import ModelSampler, Request
from trainers import VPOConfig, VPOTrainer
from vpo.answers import AnswerFormat
from vpo.tasks.word_tokenizer import word_tokenizer

SETS = AnswerFormat(num_answers=3, tag="dish")  # <dish_1> rice </dish_1> <dish_2> kale </dish_2> ...
DISHES = {  # how cheap, healthy and filling each is; anything else is no dish
    **{"rice": (0.9, 0.3, 0.6), "kale": (0.5, 1.0, 0.1), "steak": (0.0, 0.2, 1.0), "soup": (1.0, 0.6, 0.2)},
    **{"salmon": (0.1, 0.9, 0.6), "bread": (1.0, 0.1, 0.5), "beans": (0.7, 0.7, 0.7), "cake": (0.3, 0.0, 0.9)},
}
CPU = {"use_cpu": True, "bf16": False, "gradient_checkpointing": False}
QUIET = {"report_to": "none", "save_strategy": "no", "logging_steps": 50, **CPU}


def cheap(completions, **kwargs):  # ordinary TRL reward functions; VPOTrainer calls them on answers
    return [DISHES.get(dish.strip(), (0, 0, 0))[0] for dish in completions]


def healthy(completions, **kwargs):
    return [DISHES.get(dish.strip(), (0, 0, 0))[1] for dish in completions]


def filling(completions, **kwargs):
    return [DISHES.get(dish.strip(), (0, 0, 0))[2] for dish in completions]


def warm_start(tokenizer) -> None:
    """Saves a small model that writes dishes at random, one or three as it is asked to."""
    draw = random.Random(0)
    sets = [draw.choices(sorted(DISHES), k=3) for _ in range(2400)]
    rows = [{"prompt": "three", "completion": f" {SETS.render(dishes)}"} for dishes in sets[600:]]
    rows += [{"prompt": "one", "completion": f" {dishes[0]}"} for dishes in sets[:600]]
    sizes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2}
    cook = LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), pad_token_id=0, bos_token_id=1, **sizes))
    args = SFTConfig("runs/warm", max_steps=100, per_device_train_batch_size=32, learning_rate=3e-3, **QUIET)
    SFTTrainer(cook, args, train_dataset=Dataset.from_list(rows), processing_class=tokenizer).train()
    cook.save_pretrained("runs/cook")


def show(name: str, cook, tokenizer, prompt: str, answers: AnswerFormat) -> None:
    """How many of 120 dishes differ, and the best that each guest finds among three: a set, or three in a row."""
    requests = [Request(id=i, prompt=prompt, seed=i, max_new_tokens=10) for i in range(120 // answers.num_answers)]
    texts = [each.text for each in ModelSampler(cook, tokenizer).sample(requests)]
    dishes = [dish for text in texts for dish in [*answers.parse(text).answers, "", ""][: answers.num_answers]]
    best = [mean(max(reward(dishes[i : i + 3])) for i in range(0, 120, 3)) for reward in (cheap, healthy, filling)]
    print(f"{name:10}{len(set(dishes) & set(DISHES)):9}" + "".join(f"{each:9.2f}" for each in best))


if __name__ == "__main__":
    set_seed(0)
    tokenizer = word_tokenizer([*SETS.render(["", "", ""]).split(), *DISHES, "one", "three"])
    warm_start(tokenizer)
    one, three = (Dataset.from_dict({"prompt": [ask] * 1200}) for ask in ("one", "three"))
    same = {"max_steps": 150, "num_generations": 8, "per_device_train_batch_size": 64, "learning_rate": 1e-3, **QUIET}
    cooks = [AutoModelForCausalLM.from_pretrained("runs/cook") for _ in range(3)]
    rewards = [cheap, healthy, filling]
    args = GRPOConfig("runs/grpo", max_completion_length=2, **same)
    GRPOTrainer(cooks[1], rewards, args, one, processing_class=tokenizer).train()
    args = VPOConfig("runs/vpo", max_completion_length=10, answer_tag="dish", ask_for_answers=False, **same)
    VPOTrainer(cooks[2], rewards, args, three, processing_class=tokenizer).train()
    print(f"\n{'':10}different    cheap  healthy  filling")
    show("warm start", cooks[0], tokenizer, "one", AnswerFormat(1))
    show("GRPO", cooks[1], tokenizer, "one", AnswerFormat(1))
    show("VPO", cooks[2], tokenizer, "three", SETS)
