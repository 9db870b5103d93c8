"""Settings of :class:`~trainers.VPOTrainer`: everything of TRL's ``GRPOConfig``, and what a set of answers adds."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from trl import GRPOConfig

from vpo.answers import AnswerFormat
from vpo.objective import VPO, Credit, Diversity, MultiRLVR, Objective, make_diversity, make_objective
from vpo.objective.credit import MOST_FOR_SHAPLEY
from vpo.objective.set_reward import MOST_FOR_HYPERVOLUME
from vpo.weightings import Corners, Dirichlet, Lexicase, Weighting


@dataclass
class VPOConfig(GRPOConfig):
    r"""Configuration of :class:`~trainers.VPOTrainer`.

    Only what ``GRPOConfig`` does not have is listed; every option of that class keeps its meaning. ``reward_weights``
    (one a reward function) is w*, the scalarisation of deployment.

    Parameters:
        objective (`str`, *optional*, defaults to `"vpo"`): `"vpo"`; `"multi_rlvr"` (several answers under w*);
            `"max_at_k"`, `"pass_at_k"` (the best of k completions); `"maxrl"`; and for single answers `"grpo"`,
            `"dr_grpo"`, `"gdpo"`, `"random_weighting"`.
        objective_options (`dict[str, Any]`, *optional*): Fields of the objective, as `{"aggregation": "max"}` or, for
            VPO, `{"coverage": 1.0, "anchor": 0.3, "utility": "chebyshev"}`; see :mod:`vpo.objective`.
        diversity (`str`, *optional*): A term on top of the objective: `"darling"`, `"batch_exploration"` or
            `"unlikeliness"`.
        diversity_options (`dict[str, Any]`, *optional*): Its fields, as `{"beta": 0.25}`.
        answer_credit (`str`, *optional*, defaults to `"set"`): What the tokens of an answer are paid: `"set"` (all
            tokens of a completion the same), `"marginal"`, `"to_go"`, `"gain"` or `"shapley"`
            (:mod:`vpo.objective.credit`).
            Tokens outside of answers keep their set's advantage.
        answer_credit_share (`float`, *optional*, defaults to `1.0`): Share of it in an answer's advantage; the rest is
            the set's.
        num_answers (`int`, *optional*, defaults to `3`): m, answers in one completion. With 1 the whole completion is
            the answer.
        answer_tag (`str`, *optional*, defaults to `"answer"`): Tags are `<answer_1> ... </answer_1>`.
        ask_for_answers (`bool`, *optional*, defaults to `True`): Append the request for `num_answers` tagged answers to
            every prompt. Switch off when the prompts ask for them already.
        deduplicate_answers (`bool`, *optional*, defaults to `False`): Drop answers equal to an earlier one of the set.
        num_weightings (`int`, *optional*, defaults to `100`): K, weightings drawn for each group and step.
        alpha (`float` or `str`, *optional*, defaults to `1.0`): Concentration of the Dirichlet they are drawn from, or
            `"1/d"`: so much by the number of components, so that a specialist's pay does not fade as they grow.
        weighting (`str`, *optional*, defaults to `"dirichlet"`): `"dirichlet"`, `"corners"` (one component decides)
            or `"lexicase"` (a random order of components decides).
        weighting_method (`str`, *optional*, defaults to `"iid"`): Of the Dirichlet: `"iid"`, `"sobol"` (less variance)
            or `"exact"` (none; two components and linear utilities only).
        weighting_center (`str`, *optional*, defaults to `"uniform"`): `"uniform"`, or `"w_star"`: their mean is the
            weights of deployment.
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

    _VALID_DICT_FIELDS = [*GRPOConfig._VALID_DICT_FIELDS, "objective_options", "diversity_options"]

    objective: str = field(default="vpo", metadata={"help": "Objective, as 'vpo', 'grpo' or 'max_at_k'."})
    objective_options: dict[str, Any] | str | None = field(
        default=None, metadata={"help": "Fields of the objective, as {'aggregation': 'max'}."}
    )
    diversity: str | None = field(
        default=None, metadata={"help": "Term on top: 'darling', 'batch_exploration' or 'unlikeliness'."}
    )
    diversity_options: dict[str, Any] | str | None = field(
        default=None, metadata={"help": "Fields of the diversity term, as {'beta': 0.25}."}
    )
    answer_credit: Credit = field(
        default="set", metadata={"help": "Pay of an answer's tokens: 'set', 'marginal', 'to_go', 'gain', 'shapley'."}
    )
    answer_credit_share: float = field(
        default=1.0, metadata={"help": "Share of an answer's own credit in its advantage; the rest is the set's."}
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
    alpha: float | str | None = field(  # None and str make the command line take text, such as 1/d
        default=1.0, metadata={"help": "Concentration of the Dirichlet over weightings; '1/d' divides by components."}
    )
    weighting: Literal["dirichlet", "corners", "lexicase"] = field(
        default="dirichlet", metadata={"help": "Law of the weightings: 'dirichlet', 'corners' or 'lexicase'."}
    )
    weighting_method: Literal["iid", "sobol", "exact"] = field(
        default="iid", metadata={"help": "How weightings are drawn: 'iid', 'sobol' or 'exact' (two components)."}
    )
    weighting_center: Literal["uniform", "w_star"] = field(
        default="uniform", metadata={"help": "Mean of the weightings: 'uniform', or 'w_star' of deployment."}
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
        if self.max_completion_length is not None and self.max_completion_length < 1:
            raise ValueError(
                f"max_completion_length is {self.max_completion_length}: expected 1 or more tokens, room for all "
                f"{self.num_answers} answers of a completion."
            )
        if self.num_weightings < 1:
            raise ValueError(f"num_weightings is {self.num_weightings}: expected 1 or more (the paper uses 100).")
        self.build_answer_format()
        self._check_payment()
        if self.expected_processes is not None and self.expected_processes != self.world_size:
            raise ValueError(
                f"{self.world_size} process(es) run, expected_processes is {self.expected_processes}: on CPUs "
                "`accelerate launch --num_processes N` starts only one, and with a configuration for FSDP as many as "
                "stand there. "
                f"Start with `torchrun --nproc_per_node {self.expected_processes} your_script.py`, or correct "
                "expected_processes."
            )

    def _check_payment(self) -> None:
        """Refuse an objective, weightings and terms that do not go together."""
        objective, diversity = self.build_objective(), self.build_diversity()
        self.build_weighting()
        if objective.pays_one_answer and self.num_answers != 1:
            raise ValueError(
                f"objective '{objective.name}' pays for a single answer, but num_answers is {self.num_answers}: set "
                "num_answers=1, or choose objective 'vpo', 'multi_rlvr' or 'max_at_k'."
            )
        if diversity is not None and not objective.paid_by_scores:
            raise ValueError(
                f"diversity '{diversity.name}' changes scores, but the advantages of objective '{objective.name}' are "
                "not taken from them: leave diversity out, or choose another objective."
            )
        if self.weighting_center not in ("uniform", "w_star"):
            raise ValueError(f"weighting_center is {self.weighting_center!r}: expected 'uniform' or 'w_star'.")
        is_linear_vpo = isinstance(objective, VPO) and objective.utility == "linear"
        if self.weighting_method == "exact" and not (is_linear_vpo and self.weighting == "dirichlet"):
            raise ValueError(
                "weighting_method='exact' integrates linear utilities over a Dirichlet: expected objective 'vpo' with "
                "utility 'linear' and weighting 'dirichlet'. Use weighting_method='sobol'."
            )
        if self.answer_credit not in get_args(Credit):
            raise ValueError(f"answer_credit is {self.answer_credit!r}: expected one of {', '.join(get_args(Credit))}.")
        if self.answer_credit != "set" and not (isinstance(objective, (VPO, MultiRLVR)) and self.num_answers > 1):
            raise ValueError(
                f"answer_credit={self.answer_credit!r} divides a set's pay among its answers: expected objective 'vpo' "
                "or 'multi_rlvr' and num_answers of at least 2. Use answer_credit='set'."
            )
        if self.answer_credit != "set" and diversity is not None:
            raise ValueError(
                f"answer_credit={self.answer_credit!r} with diversity '{diversity.name}': the term changes the pay of "
                "whole completions and would not reach the tokens of answers. Use answer_credit='set', or no diversity."
            )
        if self.answer_credit == "shapley" and self.num_answers > MOST_FOR_SHAPLEY:
            raise ValueError(
                f"answer_credit='shapley' scores all subsets of {self.num_answers} answers: expected at most "
                f"{MOST_FOR_SHAPLEY}. Use 'to_go' or 'marginal'."
            )
        if (
            isinstance(objective, VPO)
            and objective.utility == "hypervolume"
            and self.num_answers > MOST_FOR_HYPERVOLUME
        ):
            raise ValueError(
                f"utility='hypervolume' visits all subsets of {self.num_answers} answers: expected at most "
                f"{MOST_FOR_HYPERVOLUME}. Use utility='chebyshev', which pays for the same points."
            )
        k = getattr(objective, "k", None)
        if k is not None and k > self.num_generations:
            raise ValueError(
                f"objective '{objective.name}' takes the best of k = {k} completions, but num_generations is "
                f"{self.num_generations}: expected at most that. Lower k or sample more."
            )
        if not 0 <= self.answer_credit_share <= 1:
            raise ValueError(f"answer_credit_share is {self.answer_credit_share}: expected a share in [0, 1].")

    def build_answer_format(self) -> AnswerFormat:
        """How answers stand in a completion."""
        return AnswerFormat(self.num_answers, tag=self.answer_tag, deduplicate=self.deduplicate_answers)

    def build_weighting(self) -> Weighting:
        """The distribution that weightings are drawn from."""
        if self.weighting == "corners":
            return Corners()
        if self.weighting == "lexicase":
            return Lexicase()
        if self.weighting != "dirichlet":
            raise ValueError(f"weighting is {self.weighting!r}: expected 'dirichlet', 'corners' or 'lexicase'.")
        alpha = self.alpha
        if isinstance(alpha, str):  # the command line gives text
            with suppress(ValueError):
                alpha = float(alpha)
        is_exact = self.weighting_method == "exact"
        return Dirichlet(alpha, "iid" if is_exact else self.weighting_method)  # type: ignore[arg-type]

    def build_objective(self) -> Objective:
        """The objective, with its options."""
        return make_objective(self.objective, **_options("objective_options", self.objective_options))

    def build_diversity(self) -> Diversity | None:
        """The diversity term, with its options; None without one."""
        options = _options("diversity_options", self.diversity_options)
        if self.diversity is None:
            if options:
                raise ValueError(f"diversity_options is {options} without a diversity: name one, or leave them out.")
            return None
        return make_diversity(self.diversity, **options)


def _options(name: str, value: dict[str, Any] | str | None) -> dict[str, Any]:
    if isinstance(value, str):  # the command line's JSON was parsed before
        raise ValueError(f'{name} is {value!r}: expected a JSON object, as {{"aggregation": "max"}}.')
    return value or {}
