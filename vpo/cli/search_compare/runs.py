"""The searches of a comparison, one ledger each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search.budget import Budget
from search.driver import Progress, run_search
from search.problem import Problem
from search.problems import get_problems
from search.procedures import get_procedure
from search.records import Sampling, SearchResult
from vpo.cli.search_compare.config import BEST_OF_N, Config, Policy, Problems, Search
from vpo.cli.search_compare.policies import LazySampler, open_policy


@dataclass(frozen=True)
class Run:
    """One policy with one procedure under one seed, on all problems."""

    policy: Policy
    search: Search
    seed: int
    ledger: Path

    @property
    def arm(self) -> str:
        """Its name in tables and charts; the colour is the policy's, dash and marker are the procedure's."""
        return arm_name(self.policy.name, self.search.name)


def arm_name(policy: str, procedure: str) -> str:
    """Name of a policy with a procedure."""
    return f"{policy} / {'best-of-n' if procedure == BEST_OF_N else procedure}"


def plan(config: Config) -> list[Run]:
    """All searches, seed by seed, so that an early look compares all arms."""
    return [
        Run(policy, search, seed, config.out / policy.name / search.name / f"seed{seed}.jsonl")
        for seed in config.seeds
        for policy in config.policies
        for search in config.procedures
    ]


def problems_of(config: Config, policy: Policy) -> list[Problem]:
    """The problems as a policy is asked them.

    Raises:
        ValueError: A source is unknown, has no such option, or has fewer problems than were asked for.
    """
    found: list[Problem] = []
    for source in config.problems:
        found += _problems(source, policy)
    return found


def _problems(source: Problems, policy: Policy) -> list[Problem]:
    from vpo.tasks import list_tasks

    options = {**source.options, **policy.problem_options}
    if source.count is not None and (source.name in list_tasks() or "." in source.name):
        options.setdefault("num_problems", source.count)  # a task has as many rows as it is asked for
    found = get_problems(source.name, **options)
    if source.count is not None and len(found) < source.count:
        raise ValueError(
            f"{source.name} has {len(found)} problems, expected {source.count}, its count: lower it, or change the "
            "source's options."
        )
    return found[: source.count]


def do_runs(config: Config, progress: Callable[[Run, Progress], None]) -> Iterator[tuple[Run, list[SearchResult]]]:
    """Do every search that the ledgers do not hold already, and give all in the order of :func:`plan`.

    A finished search is replayed from its ledger, which also checks that it is the same search; no model is loaded.

    Args:
        config: The comparison.
        progress: Called after each round.

    Raises:
        ValueError: A policy, procedure or source of problems is not what its name or options say.
        LedgerError: A ledger belongs to another comparison.
    """
    problems = {policy.name: problems_of(config, policy) for policy in config.policies}
    _check(config, problems)
    sampler: LazySampler | None = None
    of: tuple[str, int] | None = None
    for run in plan(config):
        if of != (run.policy.name, run.seed):
            sampler = None  # at most one model in memory
            sampler = open_policy(run.policy, run.seed, config.batch_size)
            of = (run.policy.name, run.seed)
        assert sampler is not None
        own = problems[run.policy.name]

        def make(problem: Problem, search: Search = run.search) -> Any:
            return get_procedure(search.procedure, problem, **search.options)

        results = run_search(
            own,
            make,
            sampler,
            Budget(max_completion_tokens=config.budget),
            batch=max(1, config.answers_per_round // max(problem.num_answers for problem in own)),
            seed=run.seed,
            sampling=Sampling(
                max_new_tokens=config.longest(run.policy), temperature=config.temperature, top_p=config.top_p
            ),
            ledger_path=run.ledger,
            progress=lambda state, run=run: progress(run, state),  # type: ignore[misc]
        )
        yield run, results


def _check(config: Config, problems: dict[str, list[Problem]]) -> None:
    """What would else be found out after hours of sampling."""
    counts = {name: len(found) for name, found in problems.items()}
    if len(set(counts.values())) > 1:
        raise ValueError(
            f"policies have different numbers of problems, {counts}: expected the same problems for all. Let "
            "problem_options change how a problem is asked, not which problems there are."
        )
    for policy in config.policies:
        open_policy(policy, config.seeds[0], config.batch_size)
        for seed in config.seeds[1:] if "{seed}" in policy.model else ():
            open_policy(policy, seed, config.batch_size)
        for search in config.procedures:
            get_procedure(search.procedure, problems[policy.name][0], **search.options)
