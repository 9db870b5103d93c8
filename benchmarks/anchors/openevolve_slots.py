"""OpenEvolve on the slots: run by the interpreter of an environment that has it.

Arguments: answers, workers, a folder to work in. Prints one JSON object: answers evaluated, their rate from the tenth
to the last, so that the start of its processes is not counted, and the CPU seconds of all its processes. The scripted
model goes in by OpenEvolve's own hook for models (no HTTP), checkpoints and prompt logs are off: everything is set to
make it fast.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import resource
import sys
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import slots
from openevolve import run_evolution
from openevolve.config import Config, LLMModelConfig

WARM = 10
EVALUATOR = f"""
import sys, time
sys.path.insert(0, {str(Path(__file__).parent)!r})
import slots

def evaluate(program_path):
    time.sleep(slots.EVALUATE_S)
    with open(program_path) as file:
        rewards = slots.score(file.read())
    with open(LOG, "a") as log:
        log.write(f"{{time.time()}}\\n")
    return {{"combined_score": sum(rewards) / len(rewards), **{{f"slot_{{i}}": r for i, r in enumerate(rewards)}}}}
"""


class ScriptedModel:
    """Writes random programs."""

    def __init__(self, config: LLMModelConfig) -> None:
        self._rng = random.Random()

    async def generate(self, prompt: str, **options: object) -> str:
        return await self.generate_with_context("", [])

    async def generate_with_context(
        self, system_message: str, messages: list[dict[str, str]], **options: object
    ) -> str:
        await asyncio.sleep(slots.MODEL_S)
        return f"```python\n{slots.program(self._rng)}```"


def make_model(config: LLMModelConfig) -> ScriptedModel:
    return ScriptedModel(config)


def main() -> None:
    answers, workers, folder = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    log = folder / "evaluated.txt"
    evaluator = folder / "evaluator.py"
    evaluator.write_text(EVALUATOR.replace("LOG", repr(str(log))))
    program = folder / "program.py"
    program.write_text(slots.SEED_PROGRAM)
    config = Config()
    config.log_level = "ERROR"
    config.checkpoint_interval = 10**9
    config.diff_based_evolution = False
    config.llm.models = [LLMModelConfig(name="scripted", init_client=make_model)]
    config.llm.evaluator_models = config.llm.models
    config.database.log_prompts = False
    config.evaluator.cascade_evaluation = False
    config.evaluator.parallel_evaluations = workers
    logging.disable(logging.CRITICAL)
    run_evolution(
        str(program), str(evaluator), config, iterations=answers, output_dir=str(folder / "out"), cleanup=False
    )
    times = [float(line) for line in log.read_text().splitlines()]
    rate = (len(times) - 1 - WARM) / (times[-1] - times[WARM])
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    cpu_s = sum(each.ru_utime + each.ru_stime for each in usage)
    found = {"version": version("openevolve"), "answers": len(times), "answers_per_second": rate, "cpu_s": cpu_s}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
