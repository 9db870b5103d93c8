"""Texts to heal on."""

from __future__ import annotations

import torch
from datasets import Dataset

ROWS = Dataset.from_dict(
    {
        "prompt": ["go red", "go blue", "now one two", "now"] * 4,
        "completion": [" red blue", " blue green red", " two one", " green"] * 4,
    }
)
KEPT = ("output_dir", "use_cpu", "bf16", "gradient_checkpointing", "report_to", "disable_tqdm", "save_strategy", "seed")


def batch() -> dict[str, torch.Tensor]:
    ids = torch.randint(3, 16, (5, 8), generator=torch.Generator().manual_seed(2))
    mask, labels = torch.ones_like(ids), ids.clone()
    mask[1, 5:] = mask[4, 6:] = 0
    labels[:, :3] = -100
    return {"input_ids": ids, "attention_mask": mask, "labels": labels.masked_fill(mask == 0, -100)}
