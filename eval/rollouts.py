"""Placeholder schema."""

import pyarrow as pa

ROLLOUT_SCHEMA = pa.schema(
    [
        ("step", pa.int64()),
        ("epoch", pa.float64()),
        ("rank", pa.int32()),
        ("prompt_id", pa.string()),
        ("prompt", pa.string()),
        ("completion", pa.string()),
        ("answers", pa.list_(pa.string())),
        ("rewards", pa.list_(pa.list_(pa.float64()))),
        ("components", pa.list_(pa.string())),
        ("set_reward", pa.float64()),
        ("advantage", pa.float64()),
        ("completion_tokens", pa.int32()),
        ("finish_reason", pa.string()),
        ("num_unclosed", pa.int32()),
        ("num_extra", pa.int32()),
        ("objective", pa.string()),
        ("metadata", pa.string()),
    ]
)
