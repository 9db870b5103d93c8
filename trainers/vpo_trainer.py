"""VPOTrainer: TRL's GRPOTrainer, paid for sets of answers under a vector reward (VPO, arXiv 2605.22817).

Three touches, nothing of TRL copied: reward functions are wrapped so that TRL calls them on completions and they see
answers; ``_calculate_rewards`` gathers the reward vectors of all processes; ``_generate_and_score_completions`` puts
the objective's advantages in the place of TRL's. Loss, sampling, logging and distribution stay TRL's; two mixins add
exact depths (:mod:`trainers.depth_replay`) and an exact resume (:mod:`trainers.exact_resume`).

Shape letters: B completions of this process, N of all processes, G in a group, M answers a completion, D components,
K weightings.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import gather
from torch import Tensor
from trl import GRPOTrainer

import vpo.looped  # noqa: F401 - registers looped policies, so that model="a/saved/policy" loads
from trainers.answer_tokens import advantages_by_token, batch_answer_tokens, unfinished_answers
from trainers.collinearity_watch import CollinearityWatch
from trainers.depth_replay import DepthReplay
from trainers.diversity_inputs import answer_labels, mean_logps
from trainers.evaluation import evaluation_metrics
from trainers.exact_resume import ExactResume
from trainers.given_checks import check_given
from trainers.model_cards import ModelCards
from trainers.payment import Paid, Payment, deployment_weights
from trainers.reward_models import RewardModel, with_reward_models
from trainers.rollout_log import RolloutLog, rollout_rows
from trainers.run_record import RunRecord
from trainers.scored_batch import ScoredBatch, applicable, share_components
from trainers.set_metrics import set_metrics
from trainers.start_checks import check_policy, check_sampling
from trainers.stopping import stop_after_last_answer
from trainers.token_budget import StopsAtBudget, TokenBudget
from trainers.vllm_sampling import vllm_sampling
from trainers.vpo_config import VPOConfig
from vpo.checkpoints import check_checkpoint
from vpo.rewards import VectorReward
from vpo.weightings import prompt_key

logger = logging.getLogger(__name__)


class VPOTrainer(ModelCards, DepthReplay, ExactResume, StopsAtBudget, GRPOTrainer):
    """Trainer for Vector Policy Optimization and the baselines it is compared with.

    A script that uses ``GRPOTrainer(reward_funcs=[a, b, c])`` switches by changing the class name: each function
    becomes one component (or several, if it returns a list an answer) and is called on answers as TRL calls it on
    completions.

    Args:
        model: As for ``GRPOTrainer``; a looped policy is trained at its sampled depths (:mod:`trainers.depth_replay`).
        reward_funcs: A TRL reward function, reward model or model id, or a list of them; functions sync or async.
        args: Settings; objective, number of answers and weightings are chosen there.
        train_dataset: As for ``GRPOTrainer``, with a ``prompt`` column.
        eval_dataset: As for ``GRPOTrainer``.
        **kwargs: Everything else that ``GRPOTrainer`` takes.

    Raises:
        ValueError: The settings contradict each other or what is given, or TRL's training log-probabilities are not the
            model's own.
        TypeError: Something is no reward, or rewards come from an environment.
    """

    _tag_names = ["trl", "vpo"]
    _name = "VPO"
    _paper = {
        "title": "Vector Policy Optimization",
        "id": "2605.22817",
        "citation": "@article{vpo2026,\n    title = {Vector Policy Optimization},\n    eprint = {arXiv:2605.22817},\n}",
    }

    args: VPOConfig
    eos_token_ids: list[int]

    def __init__(
        self,
        model: Any,
        reward_funcs: Any,
        args: VPOConfig | None = None,
        train_dataset: Any = None,
        eval_dataset: Any = None,
        **kwargs: Any,
    ) -> None:
        if kwargs.get("environment_factory") is not None or kwargs.get("tools"):
            raise TypeError(
                "VPOTrainer scores the answers of single-turn completions: tools and environments are not supported. "
                "Use GRPOTrainer for them, or return the reward vector from a reward function."
            )
        args = args or VPOConfig("vpo-output")
        check_given(args, reward_funcs, train_dataset, eval_dataset)
        check_sampling(model, args)
        if isinstance(model, str):  # other files of weights are pickles
            check_checkpoint(model)
            args.model_init_kwargs = {"use_safetensors": True, **(args.model_init_kwargs or {})}
        self.answer_format = args.build_answer_format()
        self.payment = Payment(args)
        self._watch = CollinearityWatch(warns=args.objective == "vpo")
        tokenizers = kwargs.pop("reward_processing_classes", None)
        functions = with_reward_models(reward_funcs, tokenizers, args, self.answer_format)
        self.vector_reward = VectorReward(functions, self.answer_format)
        if args.ask_for_answers and args.num_answers > 1:
            train_dataset, eval_dataset = self._ask(train_dataset), self._ask(eval_dataset)
        self._scored: ScoredBatch | None = None
        self._generation_index: dict[str, tuple[int, int]] = {}
        self._warned = False
        with vllm_sampling(self, args):
            super().__init__(
                model=model,
                reward_funcs=list(self.vector_reward.adapters),
                args=args,
                train_dataset=train_dataset,
                eval_dataset=eval_dataset,
                **kwargs,
            )
        if args.num_answers > 1:
            stop_after_last_answer(self)
        check_policy(self)
        for reward in functions:
            if isinstance(reward, RewardModel):
                reward.prepare(self.accelerator, self.is_deepspeed_enabled)
        self.token_budget = TokenBudget(args.max_generated_tokens)
        self.add_callback(self.token_budget)
        self.run_record = RunRecord(self)
        self.add_callback(self.run_record)
        self._rollouts: dict[str, RolloutLog] = {}

    @property
    def rollout_folder(self) -> Path:
        """Where the rollout log of this run lies."""
        return Path(self.args.output_dir) / "rollouts"

    def _ask(self, dataset: Any) -> Any:
        """Append the request for tagged answers to every prompt."""
        if dataset is None:
            return None
        if isinstance(dataset, dict) and not hasattr(dataset, "map"):
            return {name: self._ask(part) for name, part in dataset.items()}
        return dataset.map(lambda row: {"prompt": self.answer_format.ask(row["prompt"])})

    def _calculate_rewards(
        self, inputs: list[dict[str, Any]], prompts: list[Any], completions: list[Any], completion_ids_list: list[Any]
    ) -> Tensor:
        rewards_per_func = super()._calculate_rewards(inputs, prompts, completions, completion_ids_list)
        share_components(self.vector_reward)
        rewards, mask = (tensor.to(self.accelerator.device) for tensor in self.vector_reward.collect())
        if not self._warned and (rewards < 0).any():  # NaN, which does not apply, is not
            self._warned = True
            logger.warning(
                "a negative reward came in: an answer set without an answer scores 0, which beats it. Shift the "
                "component so that its worst value is 0, or the policy learns to give no answer."
            )
        # A process whose completions held no answer has too few columns; all of them are masked.
        rewards = self.accelerator.pad_across_processes(rewards, dim=2)
        facts = [(prompt_key(p), len(ids)) for p, ids in zip(prompts, completion_ids_list, strict=True)]
        keys, lengths = gather(torch.tensor(facts, device=rewards.device)).unbind(dim=1)
        if self.model.training:
            self.token_budget.add(int(lengths.sum()))
        labels = answer_labels(self.vector_reward, mask) if self.payment.needs_labels else None
        batch = (prompts, completions, completion_ids_list, inputs, self._sampled)
        group_size = self.num_generations if self.model.training else self.num_generations_eval
        mask = gather(mask)
        rewards, applies = applicable(gather(rewards), mask, group_size)
        unfinished = gather(unfinished_answers(self.vector_reward.adapters[0]).to(mask.device))
        self._scored = ScoredBatch(rewards, mask, keys, labels, *batch, applies, unfinished)
        return rewards_per_func

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        output = super()._generate_and_score_completions(inputs)
        scored, self._scored = self._scored, None
        assert scored is not None  # super() always calls _calculate_rewards
        mode = "train" if self.model.training else "eval"
        group_size = self.num_generations if mode == "train" else self.num_generations_eval
        index = self._next_generation_index(mode)
        lengths = [len(ids) for ids in scored.completion_ids]
        logps = mean_logps(self, output, lengths) if self.payment.needs_logps else None
        paid = self.pay(scored, group_size, index, logps)
        size = len(scored.prompts)
        local = slice(self.accelerator.process_index * size, (self.accelerator.process_index + 1) * size)
        output["advantages"] = self._by_token(scored, paid, local, output).to(output["advantages"])
        self._replace_logs(mode, scored, paid.scores, paid.advantages, group_size)
        if self.args.log_rollouts:
            self._log_rollouts(mode, scored, paid.scores[local], paid.advantages[local], index)
        return output

    def _by_token(self, scored: ScoredBatch, paid: Paid, local: slice, output: dict[str, Any]) -> Tensor:
        """(B,) advantages of this process's completions, or (B, T) where answers have their own."""
        if paid.answer_advantages is None:
            return paid.advantages[local]
        ranges, lost = batch_answer_tokens(self._tokenizer, scored.completion_ids, self.vector_reward.adapters[0])
        share = gather(torch.tensor([lost], device=self.accelerator.device)).mean().item()
        self._metrics["train" if self.model.training else "eval"]["set/answers_not_in_tokens"].append(share)
        given = scored.mask if scored.unfinished is None else scored.mask | scored.unfinished
        own, length = paid.answer_advantages[local], output["completion_ids"].shape[1]
        return advantages_by_token(paid.advantages[local], own, given[local], ranges, length)

    def _next_generation_index(self, mode: str) -> int:
        """0 for the first batch generated at this optimizer step, 1 for the second...; the same after a resume.

        Evaluation counts on its own, from 2^15: it must not move the weightings of training.
        """
        step, index = self._generation_index.get(mode, (-1, 0))
        first = 0 if mode == "train" else 1 << 15
        index = index + 1 if step == self.state.global_step else first
        self._generation_index[mode] = (self.state.global_step, index)
        return index

    def pay(self, scored: ScoredBatch, group_size: int, index: int = 0, logps: Tensor | None = None) -> Paid:
        """Scores and advantages of completions under the objective.

        Args:
            scored: Reward vectors of all processes.
            group_size: G.
            index: Which generation batch of the current optimizer step this is.
            logps: (N,) mean log-probabilities of completions, for a diversity term that reads them.

        Returns:
            What they are paid. It depends on the run's seed, the step and the prompt, not on the number of processes.
        """
        if not scored.mask.any():  # nobody may know yet how many components there are
            nothing = torch.zeros_like(scored.rewards[:, 0, 0])
            credits = self.args.answer_credit != "set"
            return Paid(nothing, nothing, torch.zeros_like(scored.rewards[..., 0]) if credits else None)
        step = (self.state.global_step << 16) | index
        w_star = self.w_star(scored.rewards.shape[-1])
        groups = self.payment.groups(
            scored.rewards, scored.mask, scored.keys, w_star, group_size, step, scored.labels, logps, scored.applies
        )
        return self.payment.pay(groups, scored.unfinished)

    def w_star(self, num_components: int) -> Tensor:
        """(D,) weights of deployment: ``component_weights``, or ``reward_weights`` shared by a function's components.

        Raises:
            ValueError: ``component_weights`` has another length than the reward vectors.
        """
        by_function = list(zip(self.reward_weights.tolist(), self.vector_reward.adapters, strict=True))
        return deployment_weights(self.args.component_weights, num_components, by_function)

    def _replace_logs(
        self, mode: str, scored: ScoredBatch, scores: Tensor, advantages: Tensor, group_size: int
    ) -> None:
        """Make TRL's own reward metrics speak of the objective, and add those of a set."""
        logged = self._logs["advantages"]
        for _ in range(min(len(advantages), len(logged))):
            logged.pop()
        logged.extend(advantages.tolist())
        metrics = self._metrics[mode]
        groups = scores.view(-1, group_size)
        metrics["reward"][-1] = scores.mean().item()
        metrics["reward_std"][-1] = scores.std().item() if len(scores) > 1 else 0.0
        metrics["frac_reward_zero_std"][-1] = (groups == groups[:, :1]).all(dim=1).float().mean().item()
        metrics["generated_tokens"] = [float(self.token_budget.generated)]  # a running total, not a mean
        metrics["set/reward"].append(scores.mean().item())
        if mode == "eval" and scored.mask.any():  # before an answer is read, w* may not be known
            w_star = self.w_star(scored.rewards.shape[-1])
            found = evaluation_metrics(scored.rewards, scored.mask, group_size, w_star, scored.applies)
            for name, value in found.items():
                metrics[name].append(value)
        metrics["set/specialist_gain"].append(self._watch.see(scored.rewards, scored.mask, group_size))
        names = self.vector_reward.components
        for name, value in set_metrics(scored.rewards, scored.mask, group_size, names, scored.applies).items():
            metrics[name].append(value)

    def _log_rollouts(self, mode: str, scored: ScoredBatch, scores: Tensor, advantages: Tensor, index: int) -> None:
        if mode not in self._rollouts:
            folder = self.rollout_folder if mode == "train" else self.rollout_folder.with_name("rollouts-eval")
            self._rollouts[mode] = RolloutLog(folder, self.accelerator.process_index)
            self._rollouts[mode].drop_after(self.state.global_step - 1, self.accelerator.num_processes)
        batch = {
            "step": self.state.global_step,
            "epoch": float(self.state.epoch or 0.0),
            "rank": self.accelerator.process_index,
            "components": list(self.vector_reward.components or ()),
            "objective": self.payment.name,
        }
        rows = rollout_rows(
            batch,
            scored.prompts,
            scored.completions,
            scored.completion_ids,
            scored.rows,
            [adapter.last for adapter in self.vector_reward.adapters if adapter.last is not None],
            scores.tolist(),
            advantages.tolist(),
            stop_ids={*self.eos_token_ids, self._tokenizer.pad_token_id},
            depths=scored.depths,
        )
        self._rollouts[mode].write(self.state.global_step, index, rows)
