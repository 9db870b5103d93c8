"""The stages after training: pools of answers on held-out examples, and search with a policy."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from transformers import AutoModelForCausalLM, AutoTokenizer

from search.budget import Budget
from search.curves import best_so_far
from search.driver import run_search
from search.model_sampler import ModelSampler
from search.problem import Problem, TaskProblem
from search.procedures import BestOfN, Evolution, Procedure
from search.records import Request, Sampling
from search.seeds import request_seed
from vpo.cli.study.settings import Settings
from vpo.cli.study.training import finish, quiet, say


def policy_folder(run: Path, policy: str) -> Path:
    """Where a policy's model lies: ``base`` is the warm start."""
    return (run / "warm_start" if policy == "base" else run / "arms" / policy) / "model"


def draw_pools(run: Path, settings: Settings, policy: str) -> None:
    """Draw ``pool_answers`` answers of a policy for every held-out example; leaves ``pools/POLICY/*.npz``.

    Drawn again with shuffled prompts: the policy is shown another example, and what it still earns, it earns without
    reading. The base answers in both forms, single and in sets, so that neither arm is compared with the wrong one.
    """
    quiet()
    source = policy_folder(run, policy)
    sampler = ModelSampler(
        AutoModelForCausalLM.from_pretrained(source, use_safetensors=True),
        AutoTokenizer.from_pretrained(source),
        batch_size=512,
    )
    own = settings.num_answers if policy == "base" else settings.arm(policy).num_answers
    variants = [(own, False), (own, True), *([(1, False)] if policy == "base" else [])]
    folder = run / "pools" / policy
    folder.mkdir(parents=True, exist_ok=True)
    for done, (num_answers, shuffled) in enumerate(variants):
        rewards, answers = draw_pool(settings, sampler, policy, num_answers, shuffled)
        np.savez_compressed(pool_file(run, policy, num_answers, shuffled), rewards=rewards, answers=answers)
        say(done + 1, len(variants))
    finish(folder, {})


def draw_pool(
    settings: Settings, sampler: ModelSampler, policy: str, num_answers: int, shuffled: bool
) -> tuple[np.ndarray, np.ndarray]:
    """(P, C, M, D) reward vectors and (P, C, M) texts of the answers to every held-out example."""
    task = settings.task
    examples = list(islice(task.examples("test"), settings.eval_examples))
    rows = [task.row(example, num_answers) for example in examples]
    shown = [*examples[1:], examples[0]] if shuffled else examples
    completions = settings.pool_answers // num_answers
    answer_format = task.answer_format(num_answers)
    requests = [
        Request(
            id=i * completions + c,
            prompt=task.prompt(example, num_answers),
            seed=request_seed(settings.seed, f"pool-{policy}-{i}", c),
            max_new_tokens=task.completion_tokens(num_answers),
        )
        for i, example in enumerate(shown)
        for c in range(completions)
    ]
    rewards = np.zeros((len(examples), completions, num_answers, len(task.components)))
    texts = np.full((len(examples), completions, num_answers), "", dtype=object)
    for generation in sampler.sample(requests):
        i, c = divmod(generation.request_id, completions)
        for j, answer in enumerate(answer_format.parse(generation.text).answers):
            rewards[i, c, j] = task.score(answer, rows[i])
            texts[i, c, j] = answer
    return rewards, texts.astype(str)


def pool_file(run: Path, policy: str, num_answers: int, shuffled: bool) -> Path:
    """Where a pool lies."""
    return run / "pools" / policy / f"m{num_answers}{'-shuffled' if shuffled else ''}.npz"


def run_searches(run: Path, settings: Settings, policy: str) -> None:
    """Best-of-n and evolution with one policy at the same token budget; leaves ``search/POLICY/*.jsonl`` and curves."""
    quiet()
    task, source = settings.task, policy_folder(run, policy)
    num_answers = settings.num_answers if policy == "base" else settings.arm(policy).num_answers
    examples = list(islice(task.examples("test"), settings.search_examples))
    answer_format = task.answer_format(num_answers)
    problems = [TaskProblem(task, task.row(example, num_answers), answer_format) for example in examples]
    model = AutoModelForCausalLM.from_pretrained(source, use_safetensors=True)
    model.config.name_or_path = policy  # names it in the ledger; a run that is moved must still be able to continue
    sampler = ModelSampler(model, AutoTokenizer.from_pretrained(source), batch_size=512)
    procedures: dict[str, Callable[[Problem], Procedure]] = {
        "best-of-n": lambda problem: BestOfN(),
        "evolution": lambda problem: Evolution(problem.vary),
    }
    folder = run / "search" / policy
    folder.mkdir(parents=True, exist_ok=True)
    # Before 4% of the budget the first completion may still be on its way.
    grid = np.linspace(0.04 * settings.search_tokens, settings.search_tokens, 49)
    curves = {}
    for done, (name, make) in enumerate(procedures.items()):
        results = run_search(
            problems,
            make,
            sampler,
            Budget(max_completion_tokens=settings.search_tokens),
            batch=max(1, 6 // num_answers),
            seed=settings.seed,
            sampling=Sampling(max_new_tokens=task.completion_tokens(num_answers)),
            ledger_path=folder / f"{name}.jsonl",
            progress=lambda p, done=done: say(  # type: ignore[misc]
                done + p.completion_tokens / (settings.search_tokens * len(problems)), len(procedures)
            ),
        )
        curves[name] = best_so_far(results, grid, "completion_tokens")
        answers_grid = np.arange(1, settings.search_tokens // 12)
        curves[f"{name} answers"] = best_so_far(results, answers_grid, "answers")
    arrays: dict[str, Any] = {"grid": grid, "answers_grid": answers_grid, **curves}
    np.savez_compressed(folder / "curves.npz", **arrays)
    finish(folder, {})
