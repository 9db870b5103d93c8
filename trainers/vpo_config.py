"""Settings of :class:`~trainers.VPOTrainer`: everything of TRL's ``GRPOConfig``, and what a set of answers adds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from trl import GRPOConfig

from vpo.answers import AnswerFormat
from vpo.objective import Objective, make_objective
from vpo.weightings import Dirichlet


@dataclass
class VPOConfig(GRPOConfig):
    r"""Configuration of :class:`~trainers.VPOTrainer`.

    Only what ``GRPOConfig`` does not have is listed; every option of that class keeps its meaning. ``reward_weights``
    (one a reward function) is w*, the scalarisation of deployment.

    Parameters:
        objective (`str`, *optional*, defaults to `"vpo"`): `"vpo"`, `"grpo"` or `"multi_rlvr"`.
        objective_options (`dict[str, Any]`, *optional*): Fields of the objective, as `{"aggregation": "max"}`.
        num_answers (`int`, *optional*, defaults to `3`): m, answers in one completion. With 1 the whole completion is
            the answer.
        answer_tag (`str`, *optional*, defaults to `"answer"`): Tags are `<answer_1> ... </answer_1>`.
        ask_for_answers (`bool`, *optional*, defaults to `True`): Append the request for `num_answers` tagged answers to
            every prompt. Switch off when the prompts ask for them already.
        deduplicate_answers (`bool`, *optional*, defaults to `False`): Drop answers equal to an earlier one of the set.
        num_weightings (`int`, *optional*, defaults to `100`): K, weightings drawn for each group and step.
        alpha (`float`, *optional*, defaults to `1.0`): Concentration of the Dirichlet they are drawn from.
        weighting_method (`str`, *optional*, defaults to `"iid"`): `"iid"` or `"sobol"`.
        component_weights (`list[float]`, *optional*): w* by component instead of by function, for functions that
            return several. Default: a function's weight in equal shares.
        depth_training (`str`, *optional*, defaults to `"replay"`): Depth at which a looped policy is trained:
            `"replay"` (the sampled one, token by token), `"fixed"` (the cap), `"live"` (decided anew), or `"sum"`
            (RLTT: every loop up to the sampled one).
        depth_sum_power (`float`, *optional*, defaults to `0.0`): With `"sum"`, loop t has weight `t ** power`.
        depth_drift_rows (`int`, *optional*, defaults to `4`): Rollouts kept back to log how many depths the updates
            have changed; 0 for none.
        log_rollouts (`bool`, *optional*, defaults to `True`): Write every rollout to `output_dir/rollouts`.
        max_generated_tokens (`int`, *optional*): Stop at the step that has generated so many completion tokens (all
            processes), so that runs compare at equal cost. `max_steps` and `num_train_epochs` still hold.
        expected_processes (`int`, *optional*): Fail at start-up unless exactly so many processes run. `accelerate
            launch` on CPUs silently starts one; use `torchrun --nproc_per_node N` there.
    """

    _VALID_DICT_FIELDS = [*GRPOConfig._VALID_DICT_FIELDS, "objective_options"]

    objective: str = field(default="vpo", metadata={"help": "Objective: 'vpo', 'grpo' or 'multi_rlvr'."})
    objective_options: dict[str, Any] | str | None = field(
        default=None, metadata={"help": "Fields of the objective, as {'aggregation': 'max'}."}
    )
    num_answers: int = field(default=3, metadata={"help": "Answers in one completion (m)."})
    answer_tag: str = field(default="answer", metadata={"help": "Name of the numbered tags around each answer."})
    ask_for_answers: bool = field(
        default=True, metadata={"help": "Append the request for tagged answers to every prompt."}
    )
    deduplicate_answers: bool = field(
        default=False, metadata={"help": "Drop answers equal to an earlier one of the same completion."}
    )
    num_weightings: int = field(default=100, metadata={"help": "Weightings drawn for each group and step (K)."})
    alpha: float = field(default=1.0, metadata={"help": "Concentration of the Dirichlet over weightings."})
    weighting_method: Literal["iid", "sobol"] = field(
        default="iid", metadata={"help": "How weightings are drawn: 'iid' or 'sobol'."}
    )
    component_weights: list[float] | None = field(
        default=None, metadata={"help": "w* by reward component; default: reward_weights in equal shares."}
    )
    depth_training: Literal["replay", "fixed", "live", "sum"] = field(
        default="replay", metadata={"help": "Depth a looped policy is trained at: 'replay', 'fixed', 'live' or 'sum'."}
    )
    depth_sum_power: float = field(
        default=0.0, metadata={"help": "With depth_training='sum', loop t has weight t ** power."}
    )
    depth_drift_rows: int = field(
        default=4, metadata={"help": "Rollouts kept back to log how many depths the updates have changed."}
    )
    log_rollouts: bool = field(default=True, metadata={"help": "Write every rollout to output_dir/rollouts (Parquet)."})
    max_generated_tokens: int | None = field(
        default=None, metadata={"help": "Stop at the step that has generated so many completion tokens."}
    )
    expected_processes: int | None = field(
        default=None, metadata={"help": "Fail at start-up unless exactly so many processes run."}
    )

    def __post_init__(self) -> None:
        """Check the options, TRL's first."""
        super().__post_init__()
        if self.multi_objective_aggregation != "sum_then_normalize":
            raise ValueError(
                f"multi_objective_aggregation is {self.multi_objective_aggregation!r}: the objective decides here how "
                "components are joined, so it would have no effect. Leave it out, or use GRPOTrainer."
            )
        if self.depth_training not in ("replay", "fixed", "live", "sum"):
            raise ValueError(f"depth_training is {self.depth_training!r}: expected 'replay', 'fixed', 'live' or 'sum'.")
        if self.depth_drift_rows < 0:
            raise ValueError(f"depth_drift_rows is {self.depth_drift_rows}: expected 0 (do not measure) or more.")
        self.build_answer_format()
        self.build_weighting()
        objective = self.build_objective()
        if self.num_weightings < 1:
            raise ValueError(f"num_weightings is {self.num_weightings}: expected 1 or more (the paper uses 100).")
        if objective.name == "grpo" and self.num_answers != 1:
            raise ValueError(
                f"objective 'grpo' pays for a single answer, but num_answers is {self.num_answers}: set num_answers=1, "
                "or choose objective 'vpo' or 'multi_rlvr'."
            )
        if self.expected_processes is not None and self.expected_processes != self.world_size:
            raise ValueError(
                f"{self.world_size} process(es) run, expected_processes is {self.expected_processes}: `accelerate "
                "launch` on CPUs starts only one without an MPI launcher. Start with `torchrun --nproc_per_node "
                f"{self.expected_processes} your_script.py`, or correct expected_processes."
            )

    def build_answer_format(self) -> AnswerFormat:
        """How answers stand in a completion."""
        return AnswerFormat(self.num_answers, tag=self.answer_tag, deduplicate=self.deduplicate_answers)

    def build_weighting(self) -> Dirichlet:
        """The distribution that weightings are drawn from."""
        return Dirichlet(self.alpha, self.weighting_method)

    def build_objective(self) -> Objective:
        """The objective, with its options."""
        options = self.objective_options or {}
        if isinstance(options, str):  # the command line's JSON was parsed before
            raise ValueError(f'objective_options is {options!r}: expected a JSON object, as {{"aggregation": "max"}}.')
        return make_objective(self.objective, **options)
