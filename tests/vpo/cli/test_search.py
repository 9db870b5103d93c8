from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from search.budget import Budget
from search.driver import run_search
from search.ledger import read_results
from search.procedures import Evolution
from search.records import Sampling, Variation
from tests.checkout import ROOT
from tests.search.cli_parts import digits
from tests.search.toy_problem import ToyProblem
from vpo.cli.app import main
from vpo.tasks import get_task
from vpo.tasks.tiny_policy import tiny_policy

TASK = """
from vpo.tasks import task

def rows(split):
    return [{"question": f"say {word}"} for word in ("one", "two", "three")]

@task(components=("zeros", "ones"), data=rows, prompt="question")
def count(answer, row):
    return answer.count("0") / 4, answer.count("1") / 4
"""


def write_config(folder: Path, **changes) -> Path:
    (folder / "count.py").write_text(TASK)
    content = {
        "problem": {"name": str(folder / "count.py"), "num_answers": 1},
        "sampler": "tests.search.cli_parts:digits",
        "procedure": "best_of_n",
        "budget": {"max_answers": 12},
        "sampling": {"max_new_tokens": 9},
        "out": str(folder / "out"),
    } | changes
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump({key: value for key, value in content.items() if value is not None}))
    return path


@pytest.mark.parametrize("batches", [False, True])
def test_search_runs_from_a_file_and_running_it_again_changes_nothing(tmp_path, capsys, batches):
    path = write_config(tmp_path, sampler={"name": "tests.search.cli_parts:digits", "batches": batches}, target=2.0)
    assert main(["search", "run", str(path)]) == 0
    said = capsys.readouterr()
    assert "best" in said.out and "12" in said.out and "12 answers" not in said.out
    assert "36 answers" in said.err
    results = read_results(tmp_path / "out" / "ledger.jsonl")
    assert [result.answers[-1] for result in results] == [12, 12, 12]
    before = (tmp_path / "out" / "ledger.jsonl").read_bytes()
    assert main(["search", "run", str(path)]) == 0
    assert main(["search", "resume", str(tmp_path / "out"), "--trust"]) == 0
    assert (tmp_path / "out" / "ledger.jsonl").read_bytes() == before


def test_search_that_was_stopped_says_how_to_go_on_and_does(tmp_path, capsys):
    whole = write_config(tmp_path, out=str(tmp_path / "whole"))
    assert main(["search", "run", str(whole)]) == 0
    path = write_config(tmp_path, sampler={"name": "tests.search.cli_parts:digits", "stop_at": 20})
    assert main(["search", "run", str(path)]) == 130
    said = " ".join(capsys.readouterr().err.split())
    assert "results; " in said and f"vpo search resume {tmp_path / 'out'} --trust" in said
    kept = tmp_path / "out" / "search.yaml"
    kept.write_text(kept.read_text().replace("stop_at: 20", "stop_at: null"))
    assert main(["search", "resume", str(tmp_path / "out"), "--trust"]) == 0
    ledgers = [tmp_path / name / "ledger.jsonl" for name in ("out", "whole")]
    assert read_results(ledgers[0]) == read_results(ledgers[1])


def test_resume_gives_more_time(tmp_path, capsys):
    path = write_config(tmp_path, budget={"max_answers": 12, "max_seconds": 1e-6})
    assert main(["search", "run", str(path)]) == 0
    ledger = tmp_path / "out" / "ledger.jsonl"
    assert [result.answers for result in read_results(ledger)] == [(), (), ()]
    assert main(["search", "resume", str(tmp_path / "out"), "--trust", "--max-seconds", "1000"]) == 0
    assert [result.answers[-1] for result in read_results(ledger)] == [12, 12, 12]


def test_replay_agrees_with_the_run_and_names_what_is_scored_otherwise_now(tmp_path, capsys):
    assert main(["search", "run", str(write_config(tmp_path))]) == 0
    capsys.readouterr()
    assert main(["search", "replay", str(tmp_path / "out"), "--trust", "--evaluate"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "36 completions replayed" in said and "0 differences" in said
    ledger = tmp_path / "out" / "ledger.jsonl"
    lines = ledger.read_text().splitlines()
    index = next(i for i, line in enumerate(lines) if '"kind":"evaluation"' in line)
    row = json.loads(lines[index])
    row["answers"][0]["vector"], row["answers"][0]["scalar"] = [0.5, 0.5], 0.5
    lines[index] = json.dumps(row, separators=(",", ":"))
    ledger.write_text("\n".join(lines) + "\n")
    assert main(["search", "replay", str(tmp_path / "out"), "--trust"]) == 0
    capsys.readouterr()
    assert main(["search", "replay", str(tmp_path / "out"), "--trust", "--evaluate"]) == 1
    said = " ".join(capsys.readouterr().out.split())
    assert "1 differences" in said and "DIFFERS: " in said and "ok [0.5, 0.5] there" in said


class Lines(ToyProblem):
    """Answers of one digit a line; variations keep the first lines."""

    def parse(self, text):
        return [text]

    def vary(self, parent, inspirations, rng):
        lines = parent.answer.splitlines()
        return Variation(prefix="\n".join(lines[: rng.randrange(1, 4)]))


@pytest.fixture(scope="module")
def evolved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("evolved")
    problems = [Lines(f"toy-{i}", num_answers=1) for i in range(12)]
    options = {"batch": 4, "sampling": Sampling(max_new_tokens=9), "ledger_path": folder / "ledger.jsonl"}
    results = run_search(problems, lambda p: Evolution(p.vary), digits(), Budget(max_answers=60), **options)
    return folder, results


def test_show_lists_the_problems(evolved, capsys):
    assert main(["search", "show", str(evolved[0])]) == 0
    said = capsys.readouterr().out
    assert all(f"toy-{i}" in said for i in range(12))
    assert "scalar" not in said


def test_show_tells_how_the_best_answer_came_about_as_a_chain_of_differences(evolved, capsys):
    folder, results = evolved
    chains = []
    for number, result in enumerate(results):
        chain = [max(result.candidates, key=lambda c: c.scalar)]
        while chain[-1].parents:
            chain.append(result.candidates[chain[-1].parents[0]])
        chains.append((number, chain[::-1]))
    number, chain = max(chains, key=lambda each: len(each[1]))
    assert len(chain) > 1, "no best answer is a variation, so there is no chain to show"
    assert main(["search", "show", str(folder), "-p", str(number), "--best"]) == 0
    said = capsys.readouterr().out
    _, *steps = said.split("\n#")
    assert [int(step.split()[0]) for step in steps] == [c.id for c in chain]
    lines = [line.rstrip() for line in steps[0].splitlines()[2:]]
    assert [line for line in lines if line] == chain[0].answer.split()
    for step, parent, child in zip(steps[1:], chain, chain[1:], strict=False):
        assert f"of #{parent.id}" in step
        changes = [line.rstrip() for line in step.splitlines()[3:] if line.strip()]
        assert {line[0] for line in changes} <= set("+- ")
        whole = [line[1:] for line in changes if line[0] in "+ "]
        assert [each for each in whole if each.strip()] == child.answer.split()


def test_show_takes_an_answer_by_its_number_and_a_problem_by_its_place_or_beginning(evolved, capsys):
    folder, results = evolved
    assert main(["search", "show", str(folder), "-p", "2", "--id", "0"]) == 0
    said = capsys.readouterr().out
    assert "#0  scalar" in said and results[2].candidates[0].answer.strip() in said
    assert main(["search", "show", str(folder), "-p", "toy-11"]) == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-p", "toy"], "several problems begin with 'toy': expected one such as toy-0"),
        (["-p", "fish"], "no problem begins with 'fish'"),
        (["-p", "toy-0", "--id", "9999"], "toy-0 has no answer 9999: expected 0 to"),
        (["--id", "1"], "--id goes with a problem"),
        (["-p", "0", "--id", "1", "--best"], "--best and --id are both given"),
    ],
)
def test_show_says_what_there_is_instead(evolved, capsys, words, message):
    assert main(["search", "show", str(evolved[0]), *words]) == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"budgets": {}}, "there is no setting 'budgets': expected a known one. Did you mean budget?"),
        ({"problem": None}, "lacks problem"),
        ({"problem": 3}, "problem is 3: expected text or keys and values under it, as `name: ...`"),
        ({"problem": "fish"}, "'fish': known"),
        ({"budget": 3}, "budget is 3: expected keys and values under it"),
        (
            {"budget": {"answers": 3}},
            "there is no setting 'budget.answers': expected a known one. Did you mean max_answers",
        ),
        ({"budget": {"max_answers": "many"}}, "budget.max_answers is 'many': expected a whole number"),
        ({"sampling": {"top_p": "half"}}, "sampling.top_p is 'half': expected a number"),
        ({"seed": True}, "seed is true: expected a whole number"),
        ({"ordered": 1}, "ordered is 1: expected true or false"),
        ({"dedupe": "fuzzy"}, "dedupe is 'fuzzy': expected 'text' or 'python'"),
        ({"sampler": "fish"}, "there is no sampler 'fish': expected one of model, vllm, openai, or module:function"),
        ({"sampler": "tests.search.cli_parts:fish"}, "cannot be found: expected module:function"),
        ({"sampler": {"name": "tests.search.cli_parts:digits", "fish": 1}}, "has not these options"),
        ({"procedure": {"name": "fish"}}, "there is no procedure 'fish'"),
        ({"cascade": {"share": 0.5}}, "cascade lacks bar: expected a value"),
        ({"cascade": {"share": 0.5, "bar": 0.5}}, "has no evaluate_some and num_components"),
        ({"retry": {"max_retries": -1}}, "max_retries is -1, expected 0 or more"),
        ({"retry": {"times": 3}}, "there is no setting 'retry.times': expected max_retries, first_s"),
        ({"problem": {"name": "maze", "num_problems": 0}}, "gives no problems"),
        ({"overlap": True}, "overlap=True goes with rounds alone"),
    ],
)
def test_mistakes_in_the_file_are_named(tmp_path, capsys, changes, message):
    assert main(["search", "run", str(write_config(tmp_path, **changes))]) == 1
    assert message in " ".join(capsys.readouterr().err.split())


def test_search_that_gives_up_says_why_and_how_to_go_on(tmp_path, capsys):
    path = write_config(tmp_path, retry={"max_retries": 1, "first_s": 0, "longest_s": 0})
    working = (tmp_path / "count.py").read_text()
    broken = (
        "    from vpo.infrastructure import InfrastructureError\n    raise InfrastructureError('no node is left.')\n"
    )
    (tmp_path / "count.py").write_text(working.replace("    return answer.count", broken + "    return answer.count"))
    assert main(["search", "run", str(path)]) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert "failed 2 times through no fault of the answers" in said and "no node is left" in said
    assert f"To go on: vpo search resume {tmp_path / 'out'} --trust" in said
    (tmp_path / "count.py").write_text(working)
    assert main(["search", "resume", str(tmp_path / "out"), "--trust"]) == 0
    assert [each.answers[-1] for each in read_results(tmp_path / "out" / "ledger.jsonl")] == [12, 12, 12]


def test_folder_of_another_search_is_refused_and_kept(tmp_path, capsys):
    assert main(["search", "run", str(write_config(tmp_path))]) == 0
    before = (tmp_path / "out" / "ledger.jsonl").read_bytes()
    assert main(["search", "run", str(write_config(tmp_path, seed=1))]) == 1
    assert "holds another search" in capsys.readouterr().err
    assert (tmp_path / "out" / "ledger.jsonl").read_bytes() == before


def test_file_that_was_mended_after_a_failed_start_is_run_in_the_same_folder(tmp_path, capsys):
    broken = {"name": "tests.search.cli_parts:digits", "fails": True}
    with pytest.raises(ValueError, match="does not fit"):
        main(["search", "run", str(write_config(tmp_path, sampler=broken, batch=2))])
    assert (tmp_path / "out" / "ledger.jsonl").read_bytes().count(b"\n") == 1
    assert main(["search", "run", str(write_config(tmp_path))]) == 0
    assert "holds another search" not in capsys.readouterr().err
    assert [each.answers[-1] for each in read_results(tmp_path / "out" / "ledger.jsonl")] == [12, 12, 12]


@pytest.mark.parametrize("command", ["resume", "replay", "show"])
def test_folder_without_a_search_is_refused(tmp_path, capsys, command):
    assert main(["search", command, str(tmp_path)]) == 1
    assert "is not there: expected the folder of a search" in capsys.readouterr().err


@pytest.mark.parametrize("dedupe", ["text", "python"])
def test_programs_that_differ_in_comments_are_evaluated_once_if_the_file_says_so(tmp_path, dedupe):
    sampler = {"name": "tests.search.cli_parts:digits", "only": "0\n1", "comments": True}
    assert main(["search", "run", str(write_config(tmp_path, sampler=sampler, dedupe=dedupe))]) == 0
    (first, *_) = read_results(tmp_path / "out" / "ledger.jsonl")
    assert len({candidate.answer for candidate in first.candidates}) == 12
    assert sum(candidate.duplicate for candidate in first.candidates) == (11 if dedupe == "python" else 0)


def test_the_search_of_the_guide_runs_with_the_policy_of_the_quickstart(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    policy, tokenizer = tiny_policy(get_task("maze"), num_answers=3, seed=0)
    policy.save_pretrained("tiny")
    tokenizer.save_pretrained("tiny")
    (guide,) = re.findall(r"```yaml\n# count.yaml\n(.*?)```", (ROOT / "docs/search_runs.md").read_text(), re.DOTALL)
    assert "model: tiny" in guide and "max_completion_tokens: 20000" in guide
    Path("count.yaml").write_text(guide.replace("max_completion_tokens: 20000", "max_completion_tokens: 100"))
    assert main(["search", "run", "count.yaml"]) == 0
    assert all(each.answers for each in read_results("runs/search/maze/ledger.jsonl"))
