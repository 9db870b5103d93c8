"""The stages after training: pools of answers on held-out mazes, and search with a policy."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np

from vpo.cli.study.settings import Settings
from vpo.cli.study.training import finish, quiet, say


def policy_folder(run: Path, policy: str) -> Path:
    """Where a policy's model lies: ``base`` is the warm start."""
    return (run / "warm_start" if policy == "base" else run / "arms" / policy) / "model"


def draw_pool(run: Path, settings: Settings, policy: str, num_answers: int, shuffled: bool) -> None:
    """Draw ``pool_answers`` answers for every held-out maze; leaves ``pools/NAME/pool.npz``.

    ``shuffled`` shows the policy another maze's prompt: what it then still earns, it earns without reading.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from search.model_sampler import ModelSampler
    from search.records import Request
    from search.seeds import request_seed

    quiet()
    task, source = settings.task, policy_folder(run, policy)
    mazes = list(islice(task.examples("test"), settings.eval_mazes))
    shown = [*mazes[1:], mazes[0]] if shuffled else mazes
    completions = settings.pool_answers // num_answers
    answer_format = task.answer_format(num_answers)
    sampler = ModelSampler(
        AutoModelForCausalLM.from_pretrained(source), AutoTokenizer.from_pretrained(source), batch_size=512
    )
    rewards = np.zeros((len(mazes), completions, num_answers, len(task.components)))
    texts = np.full((len(mazes), completions, num_answers), "", dtype=object)
    chunk = max(1, 512 // completions)
    tokens = 0
    for first in range(0, len(mazes), chunk):
        requests = [
            Request(
                id=i * completions + c,
                prompt=task.prompt(shown[i], num_answers),
                seed=request_seed(settings.seed, f"pool-{policy}-{i}", c),
                max_new_tokens=task.completion_tokens(num_answers),
            )
            for i in range(first, min(first + chunk, len(mazes)))
            for c in range(completions)
        ]
        for generation in sampler.sample(requests):
            i, c = divmod(generation.request_id, completions)
            tokens += generation.completion_tokens
            for j, answer in enumerate(answer_format.parse(generation.text).answers):
                rewards[i, c, j] = task.score(answer, {"maze": mazes[i].to_json()})
                texts[i, c, j] = answer
        say(min(first + chunk, len(mazes)), len(mazes))
    folder = run / "pools" / pool_name(policy, num_answers, shuffled)
    folder.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(folder / "pool.npz", rewards=rewards, answers=texts.astype(str))
    finish(folder, {"tokens": tokens})


def pool_name(policy: str, num_answers: int, shuffled: bool) -> str:
    """Folder of a pool."""
    return f"{policy}-m{num_answers}{'-shuffled' if shuffled else ''}"


def run_searches(run: Path, settings: Settings, policy: str, num_answers: int) -> None:
    """Best-of-n and evolution with one policy at the same token budget; leaves ``search/POLICY/*.jsonl`` and curves."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from search.budget import Budget
    from search.curves import best_so_far
    from search.driver import run_search
    from search.model_sampler import ModelSampler
    from search.problem import TaskProblem
    from search.procedures import BestOfN, Evolution
    from search.records import Sampling

    quiet()
    task, source = settings.task, policy_folder(run, policy)
    mazes = list(islice(task.examples("test"), settings.search_mazes))
    answer_format = task.answer_format(num_answers)
    problems = [TaskProblem(task, task.row(maze, num_answers), answer_format) for maze in mazes]
    sampler = ModelSampler(
        AutoModelForCausalLM.from_pretrained(source), AutoTokenizer.from_pretrained(source), batch_size=512
    )
    procedures = {"best-of-n": lambda p: BestOfN(), "evolution": lambda p: Evolution(p.mutate)}
    folder = run / "search" / policy
    folder.mkdir(parents=True, exist_ok=True)
    grid = np.linspace(0, settings.search_tokens, 41)[1:]
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
    np.savez_compressed(folder / "curves.npz", grid=grid, answers_grid=answers_grid, **curves)
    finish(folder, {})
