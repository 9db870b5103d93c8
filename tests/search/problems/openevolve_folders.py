"""Small task folders in the form in which OpenEvolve's are published."""

from __future__ import annotations

from pathlib import Path

INITIAL = '''"""Minimise a function."""
import random


# EVOLVE-BLOCK-START
def search_algorithm(steps=50):
    return 1.0, 1.0


# EVOLVE-BLOCK-END


def run_search():
    return search_algorithm()
'''
# as in examples/function_minimization: the candidate is imported by path, with a time limit in a thread
EVALUATOR = """
import concurrent.futures
import importlib.util
import os
import time
import traceback

from openevolve.evaluation_result import EvaluationResult

HERE = os.path.dirname(os.path.abspath(__file__))
WEIGHT = float(open(os.path.join(HERE, "data", "weight.txt")).read())


def run_with_timeout(function, seconds=5):
    with concurrent.futures.ThreadPoolExecutor(max_workers=1) as executor:
        return executor.submit(function).result(timeout=seconds)


def load(program_path):
    spec = importlib.util.spec_from_file_location("program", program_path)
    program = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(program)
    return program


def evaluate(program_path):
    try:
        program = load(program_path)
        start = time.time()
        x, y = run_with_timeout(program.run_search)
        value = x * x + WEIGHT * y * y
        return EvaluationResult(
            metrics={"value_score": 1 / (1 + value), "runs": True, "combined_score": 0.9 / (1 + value)},
            artifacts={"point": f"({x}, {y})", "bytes": b"raw"},
        )
    except Exception as e:
        return EvaluationResult(
            metrics={"combined_score": 0.0, "error": str(e)},
            artifacts={"traceback": traceback.format_exc()},
        )


def evaluate_stage1(program_path):
    program = load(program_path)
    if not hasattr(program, "run_search"):
        return {"runs_successfully": 0.0, "error": "Missing run_search function"}
    x, y = program.run_search()
    return {"runs_successfully": 1.0, "combined_score": 0.5 if abs(x) < 10 else 0.1}


def evaluate_stage2(program_path):
    return evaluate(program_path)
"""
CONFIG = """
max_iterations: 100
llm:
  primary_model: some-model
prompt:
  system_message: "You are an expert in optimisation."
  num_top_programs: 3
database:
  population_size: 50
evaluator:
  timeout: 20
  cascade_evaluation: {cascade}
  cascade_thresholds: [0.3, 0.6]
diff_based_evolution: true
"""
# as in examples/circle_packing: the candidate runs in a process of its own, which writes a file
PLAIN_INITIAL = "def answer():\n    return [1, 2, 3]\n"
PLAIN_EVALUATOR = '''
import json
import subprocess
import sys
import tempfile


def evaluate(program_path):
    script = f"""
import importlib.util, json, sys
spec = importlib.util.spec_from_file_location("program", {program_path!r})
program = importlib.util.module_from_spec(spec)
spec.loader.exec_module(program)
print(json.dumps(program.answer()))
"""
    with tempfile.NamedTemporaryFile("w", suffix=".py", delete=False) as file:
        file.write(script)
    done = subprocess.run([sys.executable, file.name], capture_output=True, text=True, timeout=10)
    if done.returncode:
        return {"combined_score": 0.0, "total": 0.0, "seconds": 9.0, "error": done.stderr}
    total = float(sum(json.loads(done.stdout)))
    return {"combined_score": total / 10, "total": total, "seconds": 0.5}
'''


def minimisation(root: Path, cascade: bool = False) -> Path:
    """With `EvaluationResult`, artifacts, stages, configuration and a file of data."""
    folder = root / "function_minimization"
    (folder / "data").mkdir(parents=True)
    (folder / "openevolve_output" / "checkpoints").mkdir(parents=True)
    (folder / "openevolve_output" / "checkpoints" / "old.json").write_text("x" * 1000)
    (folder / "data" / "weight.txt").write_text("2.0")
    (folder / "initial_program.py").write_text(INITIAL)
    (folder / "evaluator.py").write_text(EVALUATOR)
    (folder / "config.yaml").write_text(CONFIG.format(cascade=str(cascade).lower()))
    return folder


def plain(root: Path) -> Path:
    """Two files, a dict of metrics, a candidate in a process of its own."""
    folder = root / "sum"
    folder.mkdir(parents=True)
    (folder / "initial_program.py").write_text(PLAIN_INITIAL)
    (folder / "evaluator.py").write_text(PLAIN_EVALUATOR)
    return folder
