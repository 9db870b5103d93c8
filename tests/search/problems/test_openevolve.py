from __future__ import annotations

import random

import pytest

from search.problems import get_problems, openevolve_problem
from search.problems.openevolve_folder import keep_blocks, num_blocks, read_folder
from search.records import Candidate
from tests.search.problems.openevolve_folders import INITIAL, PLAIN_EVALUATOR, PLAIN_INITIAL, minimisation, plain
from vpo.sandbox import Limits

BETTER = INITIAL.replace("return 1.0, 1.0", "return 0.0, 0.5")


def test_a_folder_with_evaluation_results_runs_unchanged(tmp_path, box):
    problem = openevolve_problem(minimisation(tmp_path), sandbox=box)
    assert problem.components == ("combined_score", "value_score") and problem.w_star == (1.0, 0.0)
    assert problem.seed_metrics == {"combined_score": 0.9 / 4, "value_score": 1 / 4}
    (evaluation,) = problem.evaluate([BETTER])
    assert evaluation.vector == (0.9 / 1.5, 1 / 1.5) and problem.scalar(evaluation.vector) == 0.9 / 1.5
    assert "point: (0.0, 0.5)" in evaluation.artifact and "bytes: raw" in evaluation.artifact


def test_a_folder_of_two_files_whose_evaluator_starts_processes_runs_unchanged(tmp_path, box):
    (problem,) = get_problems("openevolve", folder=plain(tmp_path), minimize={"seconds": 60.0}, sandbox=box)
    assert problem.components == ("combined_score", "total", "seconds")
    good, bad = problem.evaluate(["def answer(): return [5]", "def answer(): return 1 / 0"])
    assert good.vector == (0.5, 5.0, -0.5)
    assert bad.vector == (0.0, 0.0, -9.0) and "ZeroDivisionError" in bad.artifact


def test_stages_are_gone_through_as_far_as_the_thresholds_let(tmp_path, box):
    problem = openevolve_problem(minimisation(tmp_path, cascade=True), sandbox=box)
    assert problem.components == ("combined_score", "runs_successfully", "value_score")
    far = INITIAL.replace("return 1.0, 1.0", "return 11.0, 0.0")
    gone = "x = 1"
    good, low, missing, broken = problem.evaluate([BETTER, far, gone, "def run_search(:"])
    assert good.vector == (0.9 / 1.5, 1.0, 1 / 1.5)
    assert low.vector == (0.1, 1.0, 0.0) and "stage1: not good enough for stage 2" in low.artifact
    assert missing.vector == (0.0, 0.0, 0.0) and "Missing run_search" in missing.artifact
    assert broken.status == "error" and "SyntaxError" in broken.artifact


def test_a_failure_in_a_later_stage_keeps_what_was_measured_before(tmp_path, box):
    folder = minimisation(tmp_path, cascade=True)
    text = (folder / "evaluator.py").read_text()
    (folder / "evaluator.py").write_text(
        text.replace(
            "def evaluate_stage2(program_path):", "def evaluate_stage2(program_path):\n    check(program_path)"
        )
        + "\n\ndef check(path):\n    if '7.5' in open(path).read():\n        raise OSError('disk of stage 2')\n"
    )
    problem = openevolve_problem(folder, sandbox=box)
    (evaluation,) = problem.evaluate([INITIAL.replace("return 1.0, 1.0", "return 7.5, 0.0")])
    assert (evaluation.status, evaluation.vector) == ("ok", (0.5, 1.0, 0.0))
    assert "disk of stage 2" in evaluation.artifact


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("while True: pass", "timeout"),
        ("import os; os._exit(0)", "error"),
        ("raise KeyError('x')", "ok"),  # the evaluator catches it and says 0
        ("return float('nan'), 0.0", "invalid"),
        ("return float('inf'), 0.0", "ok"),  # a value of infinity is a score of 0
    ],
)
def test_candidates_that_misbehave_earn_the_floor_and_the_next_is_scored(body, status, tmp_path, box):
    folder = minimisation(tmp_path)
    text = (folder / "evaluator.py").read_text().replace("run_with_timeout(program.run_search)", "program.run_search()")
    (folder / "evaluator.py").write_text(text)
    problem = openevolve_problem(folder, limits=Limits(seconds=2.0, processes=64), sandbox=box)
    bad, good = problem.evaluate([f"def run_search():\n    {body}", BETTER])
    assert (bad.status, bad.vector) == (status, (0.0, 0.0))
    assert good.vector == (0.9 / 1.5, 1 / 1.5)


def test_the_host_is_out_of_reach_of_candidates_and_evaluators(tmp_path, box):
    marker = tmp_path / "marker"
    marker.write_text("secret")
    problem = openevolve_problem(minimisation(tmp_path), sandbox=box)
    reading = f"def run_search():\n    open({str(marker)!r}).read()\n    return 0.0, 0.0"
    writing = f"def run_search():\n    open({str(tmp_path / 'new')!r}, 'w')\n    return 0.0, 0.0"
    for evaluation in problem.evaluate([reading, writing]):
        assert evaluation.vector == (0.0, 0.0) and "FileNotFoundError" in evaluation.artifact
    assert not (tmp_path / "new").exists()


def test_a_forged_report_is_read_as_plain_numbers_or_not_at_all(tmp_path, box):
    problem = openevolve_problem(minimisation(tmp_path), sandbox=box)
    forged = "import os\nos.write(3, b'{\"value\": %s}')\nos._exit(0)"
    for report in (b"7", b"[]", b'{"metrics": {"combined_score": [1]}, "artifacts": {}}', b'{"metrics": 1}'):
        (evaluation,) = problem.evaluate([forged % report.decode()])
        assert (evaluation.status, evaluation.vector) == ("invalid", (0.0, 0.0))
    (evaluation,) = problem.evaluate([forged % ('{"metrics": {"combined_score": %s}, "artifacts": {}}' % (10**400))])
    assert evaluation.status == "invalid"


def test_the_prompt_has_their_system_message_the_program_and_ends_in_our_request(tmp_path, box):
    folder = minimisation(tmp_path)
    problem = openevolve_problem(folder, num_answers=3, sandbox=box)
    system, user = problem.prompt
    assert system == {"role": "system", "content": "You are an expert in optimisation."}
    assert INITIAL.strip() in user["content"] and "combined_score = 0.225" in user["content"]
    assert "EVOLVE-BLOCK-START and EVOLVE-BLOCK-END" in user["content"].split("```")[2]
    assert user["content"].endswith(problem.answer_format.instruction())
    text = openevolve_problem(folder, chat=False, sandbox=box).prompt
    assert text.startswith("You are an expert in optimisation.\n\nImprove this program.")
    parent = Candidate(id=0, answer=INITIAL, vector=(0.2, 0.25), scalar=0.2, parents=(), generation_id=0, artifact="hm")
    varied = problem.vary(parent, (), random.Random(0)).prompt
    assert varied[0] == system and "combined_score = 0.2, value_score = 0.25" in varied[1]["content"]


def test_edits_outside_of_the_blocks_are_taken_back_if_so_configured(tmp_path, box):
    problem = openevolve_problem(minimisation(tmp_path), enforce_blocks=True, sandbox=box)
    cheat = BETTER.replace("return search_algorithm()", "return 0.0, 0.0")
    no_blocks = "def run_search():\n    return 0.0, 0.0"
    kept, refused = problem.evaluate([cheat, no_blocks])
    assert kept.vector == (0.9 / 1.5, 1 / 1.5)
    assert refused.status == "invalid" and "has 0 EVOLVE-BLOCKs: expected 1" in refused.artifact


def test_blocks_are_put_into_the_frame_of_the_initial_program():
    assert num_blocks(INITIAL) == 1 and num_blocks("x = 1") == 0
    assert keep_blocks(INITIAL, INITIAL) == INITIAL
    assert keep_blocks(INITIAL, BETTER + "\nimport os") == BETTER
    assert keep_blocks("x = 1", "y = 2") == "y = 2"
    two = "a\n# EVOLVE-BLOCK-START\nb\n# EVOLVE-BLOCK-END\nc\n// EVOLVE-BLOCK-START\nd\n// EVOLVE-BLOCK-END\ne"
    assert keep_blocks(two, two.replace("b", "B").replace("c", "X").replace("d", "D")) == (
        two.replace("\nb\n", "\nB\n").replace("\nd\n", "\nD\n")
    )
    with pytest.raises(ValueError, match="has 1 EVOLVE-BLOCKs: expected 2"):
        keep_blocks(two, INITIAL)


def test_a_folder_is_read_as_it_is_without_its_outputs(tmp_path):
    task = read_folder(minimisation(tmp_path))
    assert sorted(task.files) == ["config.yaml", "data/weight.txt", "evaluator.py", "initial_program.py"]
    assert (task.timeout, task.thresholds, task.enforce_blocks) == (20.0, None, False)
    assert read_folder(plain(tmp_path)).thresholds == (0.5, 0.75, 0.9)
    (tmp_path / "sum" / "phase_1.yaml").write_text("evaluator: {timeout: 7}")
    assert read_folder(tmp_path / "sum", config="phase_1.yaml").timeout == 7.0
    with pytest.raises(ValueError, match=r"has no phase_2.yaml"):
        read_folder(tmp_path / "sum", config="phase_2.yaml")


def test_evaluator_arguments_are_passed_on(tmp_path, box):
    folder = plain(tmp_path)
    (folder / "evaluator.py").write_text("def evaluate(program_path, scale):\n    return {'combined_score': scale}\n")
    (folder / "config.yaml").write_text("evaluator:\n  evaluator_args:\n    scale: 4.5\n")
    assert openevolve_problem(folder, sandbox=box).seed_metrics == {"combined_score": 4.5}


def test_metrics_without_a_combined_score_count_alike(tmp_path, box):
    folder = plain(tmp_path)
    (folder / "evaluator.py").write_text("def evaluate(path):\n    return {'a': 1.0, 'b': 3, 'error': 0.0}\n")
    problem = openevolve_problem(folder, sandbox=box)
    assert problem.components == ("a", "b") and problem.w_star == (0.5, 0.5)


def break_folder(folder, what):
    match what:
        case "no evaluator":
            (folder / "evaluator.py").unlink()
        case "no program":
            (folder / "initial_program.py").unlink()
        case "bad config":
            (folder / "config.yaml").write_text("a: [")
        case "bad import":
            (folder / "evaluator.py").write_text("import not_installed_anywhere\n" + PLAIN_EVALUATOR)
        case "no function":
            (folder / "evaluator.py").write_text("x = 1")
        case "bad program":
            (folder / "evaluator.py").write_text("def evaluate(path):\n    raise OSError('no data')")
        case "no metrics":
            (folder / "evaluator.py").write_text("def evaluate(path):\n    return {}")
        case "too large":
            (folder / "weights.bin").write_bytes(b"0" * (9 << 20))


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("no evaluator", "has no evaluator.py"),
        ("no program", "expected one file initial_program.py"),
        ("bad config", "cannot be read"),
        ("bad import", "not_installed_anywhere"),
        ("no function", r"has no evaluate\(program_path\)"),
        ("bad program", "no data"),
        ("no metrics", "has no score"),
        ("too large", "9 MiB of files"),
    ],
)
def test_a_folder_that_cannot_work_is_refused_at_the_door(what, message, tmp_path, box):
    folder = plain(tmp_path)
    break_folder(folder, what)
    with pytest.raises(ValueError, match=message):
        openevolve_problem(folder, sandbox=box)


def test_wrong_options_are_refused(tmp_path, box):
    folder = plain(tmp_path)
    with pytest.raises(ValueError, match="expected metrics out of combined_score, total, seconds"):
        openevolve_problem(folder, minimize={"time": 1.0}, sandbox=box)
    with pytest.raises(ValueError, match="expected the same"):
        openevolve_problem(folder, w_star={"score": 1.0}, sandbox=box)
    with pytest.raises(ValueError, match="there is no folder"):
        openevolve_problem(folder / "nowhere", sandbox=box)
    with pytest.raises(ValueError, match=r"cannot be built: .*folder"):
        get_problems("openevolve", foldr=folder)
    assert PLAIN_INITIAL in openevolve_problem(folder, chat=False, sandbox=box).prompt
