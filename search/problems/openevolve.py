"""OpenEvolve tasks in our search: the folder as it is, evaluator and candidate together in the sandbox.

What that protects: this machine. Evaluator and candidate run without network, without view of files, under limits, and
their results come out as plain JSON. What it cannot protect: the score. OpenEvolve's evaluators import the candidate
into their own process, so a candidate can change what they measure (replace functions, return NaN or objects that lie),
and every evaluation that reads a reported score can be gamed. NaN and infinity are caught here, nothing else is. Where
the score matters, write it with `search.problems.ProgramEvaluator`, which judges outside.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from search.each import raise_failures
from search.problems.function_problem import FunctionProblem
from search.problems.openevolve_folder import TaskFolder, keep_blocks, num_blocks, read_folder
from search.problems.search_prompt import clipped
from search.problems.shared_sandbox import SandboxFailure, failure, run_jobs
from search.records import Evaluation, Prompt, Status
from vpo.answers import AnswerFormat
from vpo.sandbox import Job, Limits, Result, Sandbox
from vpo.tasks.code.program import extract_program

_MOST_ARTIFACT = 1000  # characters of each
_SCORE = "combined_score"
_NO_SCORES = ("error", "timeout")  # what their code writes when something failed


@dataclass
class _Run:
    """What the stages of one candidate gave so far."""

    metrics: dict[str, Any] = field(default_factory=dict)
    artifacts: dict[str, str] = field(default_factory=dict)
    status: Status = "ok"
    done: bool = False
    failure: SandboxFailure | None = None


class FolderEvaluator:
    """Runs candidates through a folder's evaluator.

    Args:
        task: The folder.
        limits: Of one stage.
        sandbox: Where to run.
        enforce_blocks: Whether edits outside of the EVOLVE-BLOCKs are taken back.
    """

    def __init__(self, task: TaskFolder, limits: Limits, sandbox: Sandbox | None, enforce_blocks: bool) -> None:
        self._task, self._limits, self._sandbox, self._enforce = task, limits, sandbox, enforce_blocks
        self._source = files("search.problems").joinpath("openevolve_inside.py").read_text("utf-8")
        self.names: tuple[str, ...] = ()
        self.signs: dict[str, float] = {}
        self.floor: tuple[float, ...] = ()
        (found,) = self._stage([task.initial_program], "")
        if found.status != "ok":
            raise ValueError(
                f"the evaluator of {task.name} cannot be loaded in the sandbox ({found.status}): expected a module "
                f"that imports what is installed here, without network.\n{found.detail}\n{found.stderr}"
            )
        stages = found.value["stages"]
        self._uses_stages = task.thresholds is not None and "evaluate_stage1" in stages
        self._stages = [each for each in stages if each != "evaluate"] if self._uses_stages else ["evaluate"]
        if not self._uses_stages and "evaluate" not in stages:
            raise ValueError(f"the evaluator of {task.name} has no evaluate(program_path): expected that function.")

    def __call__(self, candidate: str) -> Evaluation:
        """Score one program."""
        return self.batch([candidate])[0]

    def batch(self, candidates: Sequence[str]) -> list[Evaluation]:
        """Score programs."""
        runs = self.runs(candidates)
        found = [None if run.failure else self._evaluation(run) for run in runs]
        raise_failures(found, [run.failure for run in runs])
        return [each for each in found if each is not None]

    def runs(self, candidates: Sequence[str]) -> list[_Run]:
        """Take programs through the stages, each stage for all that have come to it."""
        runs = [_Run() for _ in candidates]
        programs = list(candidates)
        if self._enforce:
            for i, candidate in enumerate(candidates):
                try:
                    programs[i] = keep_blocks(self._task.initial_program, candidate)
                except ValueError as error:
                    runs[i] = _Run(artifacts={"blocks": str(error)}, status="invalid", done=True)
        for number, stage in enumerate(self._stages):
            going = [i for i, run in enumerate(runs) if not run.done]
            for i, result in zip(going, self._stage([programs[i] for i in going], stage), strict=True):
                self._take(runs[i], result, number)
        return runs

    def _stage(self, programs: Sequence[str], stage: str) -> list[Result]:
        options = dict(self._task.evaluator_args) if stage == "evaluate" else {}
        given = [self._task.files, self._task.evaluator, f"program{self._task.suffix}"]
        jobs = [Job(self._source, [[*given, each, stage, options]], "run_stage", self._limits) for each in programs]
        return [results[0] for results in run_jobs(jobs, self._sandbox)]

    def _take(self, run: _Run, result: Result, number: int) -> None:
        """Add what a stage gave, and decide whether another one follows."""
        run.failure = failure([result])
        if run.failure is not None:
            run.done = True
            return
        what = f"stage{number + 1}" if self._uses_stages else "evaluate"
        found = result.value
        if result.status == "ok" and not _is_report(found):  # a candidate may have put anything in its place
            result = Result("invalid", detail="the evaluator's result is of no known form")
        if result.status != "ok":
            run.done = True
            run.artifacts[what] = f"{result.status}: {result.detail}\n{result.stderr}".strip()
            if number == 0:
                run.status = result.status  # type: ignore[assignment]  # "infra" is a failure
            return
        run.metrics.update(found["metrics"])
        run.artifacts.update(found["artifacts"])
        thresholds = self._task.thresholds or ()
        if number + 1 < len(self._stages) and (
            number >= len(thresholds) or not _passes(run.metrics, thresholds[number])
        ):
            run.done = True
            run.artifacts[what] = f"not good enough for stage {number + 2}"

    def _evaluation(self, run: _Run) -> Evaluation:
        artifact = "\n".join(f"{key}: {clipped(text, _MOST_ARTIFACT)}" for key, text in run.artifacts.items())
        if run.status != "ok":
            return Evaluation(vector=self.floor, status=run.status, artifact=artifact)
        vector = []
        for name, floor in zip(self.names, self.floor, strict=True):
            value = run.metrics.get(name)
            if isinstance(value, str):  # NaN or infinity: whatever it stands beside was not measured either
                return Evaluation(
                    vector=self.floor, status="invalid", artifact=f"{name} is {value}\n{artifact}".strip()
                )
            vector.append(floor if value is None else self.signs.get(name, 1.0) * float(value))
        return Evaluation(vector=tuple(vector), artifact=artifact)


class OpenEvolveProblem(FunctionProblem):
    """An OpenEvolve task; see `openevolve_problem`.

    Attributes:
        seed_program: The initial program.
        seed_metrics: What the evaluator said of it.
    """

    seed_program: str
    seed_metrics: dict[str, float]


def openevolve_problem(
    folder: str | Path,
    *,
    num_answers: int = 1,
    tag: str = "program",
    chat: bool = True,
    metrics: Sequence[str] | None = None,
    minimize: Mapping[str, float] | None = None,
    w_star: Mapping[str, float] | None = None,
    floor: float = 0.0,
    enforce_blocks: bool | None = None,
    initial_program: str | None = None,
    evaluator: str = "evaluator.py",
    config: str | None = None,
    limits: Limits | None = None,
    sandbox: Sandbox | None = None,
) -> OpenEvolveProblem:
    """An OpenEvolve task folder as a problem. The initial program is evaluated once, which names the metrics.

    Args:
        folder: With initial program, evaluator and, if there is one, ``config.yaml``, of which the system message, the
            evaluator's timeout, stages and arguments, and ``enforce_evolve_blocks`` are read.
        num_answers: m programs a completion.
        tag: Name of the tags around them.
        chat: Whether the prompt is chat messages, or plain text.
        metrics: Names of the components; by default ``combined_score`` and then all other numbers that the initial
            program earns. OpenEvolve does not say which metrics are better when they are larger: leave out or
            minimize those that are not, such as run times.
        minimize: Metrics of which less is better -> the worst value, which programs that fail get. They enter negated.
        w_star: Weights of the components; by default ``combined_score`` alone, and where there is none, all alike.
        floor: What failed programs get in the other components.
        enforce_blocks: Whether edits outside of EVOLVE-BLOCKs are taken back; None for what the configuration says.
        initial_program: Name of that file, if it is not ``initial_program.*``.
        evaluator: Name of that file.
        config: Name of the configuration, if it is not ``config.yaml``.
        limits: Of a stage; by default the configured timeout, 2 GiB of memory, 64 processes.
        sandbox: Where to run; by default one that all problems of this process share.

    Raises:
        ValueError: The folder is no task, or its evaluator does not work on its own initial program.
    """
    task = read_folder(folder, initial_program, evaluator, config)
    limits = limits or Limits(seconds=task.timeout, memory_mb=2048, output_kb=4096, processes=64, files_mb=256)
    enforce = task.enforce_blocks if enforce_blocks is None else enforce_blocks
    runner = FolderEvaluator(task, limits, sandbox, enforce)
    (run,) = runner.runs([task.initial_program])
    if run.failure is not None:
        raise run.failure
    seed = {k: float(v) for k, v in run.metrics.items() if not isinstance(v, (bool, str)) and k not in _NO_SCORES}
    worst = dict(minimize or {})
    names = tuple(metrics) if metrics is not None else tuple(sorted(seed, key=lambda name: name != _SCORE))
    if run.status != "ok" or not names:
        said = "\n".join(f"{key}: {text}" for key, text in run.artifacts.items())
        raise ValueError(
            f"the initial program of {task.name} has no score ({run.status}, {run.metrics}): expected the evaluator to "
            f"work on it.\n{said}"
        )
    if unknown := worst.keys() - set(names):
        raise ValueError(f"minimize names {sorted(unknown)}: expected metrics out of {', '.join(names)}.")
    runner.names = names
    runner.signs = dict.fromkeys(worst, -1.0)
    runner.floor = tuple(-worst[name] if name in worst else floor for name in names)
    if w_star is None and _SCORE in names:
        w_star = {name: float(name == _SCORE) for name in names}
    if w_star is not None:
        w_star = dict.fromkeys(names, 0.0) | dict(w_star)  # what is not named has no weight
    answer_format = AnswerFormat(num_answers=num_answers, tag=tag)
    language = "python" if task.suffix == ".py" else task.suffix.lstrip(".")
    problem = OpenEvolveProblem(
        runner,
        prompt=_prompt(task, seed, language, enforce, chat),
        components=names,
        w_star=w_star,
        answer_format=answer_format,
        parse=lambda completion: [extract_program(each) for each in answer_format.parse(completion).answers],
        floor=runner.floor,
        id=f"openevolve-{task.name}",
        language=language,
    )
    problem.seed_program, problem.seed_metrics = task.initial_program, seed
    return problem


def _prompt(task: TaskFolder, seed: Mapping[str, float], language: str, enforce: bool, chat: bool) -> Prompt:
    earned = ", ".join(f"{name} = {value!r}" for name, value in seed.items())
    blocks = ""
    if num_blocks(task.initial_program):
        only = "Only what stands between them is taken from yours." if enforce else "Change what stands between them."
        blocks = f" Keep the lines EVOLVE-BLOCK-START and EVOLVE-BLOCK-END where they are. {only}"
    text = (
        f"Improve this program. It earns {earned}.\n```{language}\n{task.initial_program.strip()}\n```\n\n"
        f"Write the whole program.{blocks} Reason first. Put the program into a ```{language} block."
    )
    if not chat:
        return f"{task.system_message}\n\n{text}".strip()
    system = [{"role": "system", "content": task.system_message}] if task.system_message else []
    return [*system, {"role": "user", "content": text}]


def _is_report(found: Any) -> bool:
    return (
        isinstance(found, dict)
        and isinstance(metrics := found.get("metrics"), dict)
        and isinstance(artifacts := found.get("artifacts"), dict)
        and all(
            isinstance(value, (float, str)) or (isinstance(value, int) and abs(value) < 1e300)
            for value in metrics.values()
        )
        and all(isinstance(value, str) for value in artifacts.values())
    )


def _passes(metrics: Mapping[str, Any], threshold: float) -> bool:
    """Their rule: the combined score, else the mean of all numbers."""
    numbers = {k: v for k, v in metrics.items() if isinstance(v, (int, float)) and not isinstance(v, bool)}
    if _SCORE in numbers:
        return float(numbers[_SCORE]) >= threshold
    values = [float(value) for name, value in numbers.items() if name != "error"]
    return bool(values) and math.fsum(values) / len(values) >= threshold
