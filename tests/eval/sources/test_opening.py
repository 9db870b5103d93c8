"""The kind of a log is found from what lies there, and where none fits the message says what was looked for."""

from __future__ import annotations

import numpy as np
import pytest

from eval.sources import KINDS, SourceError, open_source, read_base
from tests.eval.sources.logs import WRITERS, jsonl_text, rollout, samples_of, write_rollouts, write_trl_step

LOG = [(1, "p", "t", 1.0), (2, "q", "u", 0.0)]
NAMES = {
    "vpo": "VPO rollout log",
    "trl": "TRL completions",
    "verl": "verl rollouts",
    "openrlhf": "OpenRLHF samples",
    "jsonl": "JSONL",
    "gzip": "JSONL",
    "parquet": "Parquet table",
}


@pytest.mark.parametrize("form", WRITERS)
def test_each_kind_is_found(form, tmp_path):
    path = WRITERS[form](tmp_path, LOG)
    assert open_source(path).name == NAMES[form]
    assert open_source(str(path)).name == NAMES[form]


@pytest.mark.parametrize("form", ["vpo", "trl"])
def test_the_folder_of_the_log_does_as_well_as_that_of_the_run(form, tmp_path):
    run = WRITERS[form](tmp_path, LOG)
    inner = run / {"vpo": "rollouts", "trl": "completions"}[form]
    assert samples_of(open_source(inner).read()) == samples_of(open_source(run).read()) == LOG
    assert samples_of(open_source(inner, kind=form).read()) == LOG


def test_of_a_run_with_both_our_log_is_read_for_it_knows_answers(tmp_path):
    WRITERS["trl"](tmp_path, LOG)
    WRITERS["vpo"](tmp_path, LOG)
    assert open_source(tmp_path).name == "VPO rollout log"
    assert open_source(tmp_path, kind="trl").name == "TRL completions"


@pytest.mark.parametrize(("name", "kind"), [("rollouts", "VPO rollout log"), ("completions", "TRL completions")])
def test_a_run_that_has_only_begun_is_known_by_its_folder(name, kind, tmp_path):
    (tmp_path / name).mkdir()
    source = open_source(tmp_path)
    assert source.name == kind and list(source.read()) == []
    assert source.warnings == [f"{tmp_path / name} holds no samples."]
    (tmp_path / name / "notes.txt").write_text("x")
    with pytest.raises(SourceError, match=f"holds {name}: expected"):
        open_source(tmp_path)


@pytest.mark.parametrize("form", ["trl", "verl", "openrlhf"])
def test_one_file_of_a_folder_is_a_log_too(form, tmp_path):
    path = WRITERS[form](tmp_path, LOG)
    file = sorted(each for each in path.rglob("*") if each.is_file())[1]
    assert samples_of(open_source(file).read()) == LOG[1:]


def test_a_dump_by_another_name_says_its_step_itself(tmp_path):
    record = {"input": "p", "output": "t", "gts": None, "score": 1.0, "step": 30}
    (tmp_path / "qwen2.5-7b.jsonl").write_bytes(jsonl_text([record]))
    assert samples_of(open_source(tmp_path / "qwen2.5-7b.jsonl").read()) == [(30, "p", "t", 1.0)]


def test_a_log_that_is_still_to_come_needs_its_kind(tmp_path):
    for kind in KINDS:
        source = open_source(tmp_path / "run", kind=kind)
        assert list(source.poll()) == []
        with pytest.raises(FileNotFoundError):
            list(source.read())
    with pytest.raises(FileNotFoundError, match="name its kind with kind="):
        open_source(tmp_path / "run")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "holds nothing: expected a run's folder"),
        ({"a.txt": b"x", "b.bin": b"y"}, "holds a.txt, b.bin: expected a run's folder with rollouts/"),
        ({f"{i:02d}.txt": b"" for i in range(12)}, "07.txt and 4 more"),
        ({"x.jsonl": jsonl_text([{"question": "p"}])}, "x.jsonl: expected"),
    ],
)
def test_a_folder_that_is_no_log_is_described(files, message, tmp_path):
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    with pytest.raises(SourceError, match=message):
        open_source(tmp_path)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("log.jsonl", jsonl_text([{"question": "p", "answer": "t"}]), "records with question, answer: expected"),
        ("log.jsonl", b"\xff\xfe", "holds no record that could be read"),
        ("log.jsonl", b"", "holds no record that could be read"),
        ("log.csv", b"a,b\n", "holds no record that could be read"),
        (
            "iter.jsonl",
            jsonl_text([{"prompt": "p", "chosen": "t", "chosen_reward": 1}]),
            "prompt, chosen, chosen_reward",
        ),
    ],
)
def test_a_file_that_is_no_log_is_described(name, data, message, tmp_path):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(SourceError, match=message):
        open_source(tmp_path / name)


def test_an_unknown_kind_lists_those_there_are(tmp_path):
    with pytest.raises(ValueError, match="no kind of log 'tlr': expected one of vpo, trl, verl"):
        open_source(tmp_path, kind="tlr")


@pytest.mark.parametrize(("kind", "message"), [("verl", "has no 'score'"), ("jsonl", "has no 'completion'")])
def test_a_kind_that_does_not_fit_names_what_is_missing(kind, message, tmp_path):
    path = tmp_path / "1.jsonl"
    path.write_bytes(jsonl_text([{"input": "p", "output": "t"}]))
    with pytest.raises(SourceError, match=message):
        list(open_source(path, kind=kind).read())


def test_two_dumps_of_one_step_are_refused(tmp_path):
    for name in ("generate_1.jsonl", "rm_1.jsonl"):
        (tmp_path / name).write_bytes(jsonl_text([{"input": "p", "output": "t"}]))
    with pytest.raises(SourceError, match=r"generate_1\.jsonl and rm_1\.jsonl are both of step 1"):
        list(open_source(tmp_path).read())


def test_a_dump_without_a_number_is_step_zero_beside_numbered_ones(tmp_path):
    for i, name in enumerate(["rm.jsonl", "rm_2.jsonl", "rm_10.jsonl"]):
        (tmp_path / name).write_bytes(jsonl_text([{"input": "p", "output": name, "reward": float(i)}]))
    (tmp_path / "dpo.jsonl").write_bytes(jsonl_text([{"prompt": "p", "chosen": "t", "rejected": "u"}]))
    source = open_source(tmp_path)
    found = [(0, "p", "rm.jsonl", 0.0), (2, "p", "rm_2.jsonl", 1.0), (10, "p", "rm_10.jsonl", 2.0)]
    assert samples_of(source.read()) == found
    assert source.warnings == [
        f"{tmp_path / 'dpo.jsonl'} begins with no sample and has no number in its name: left out."
    ]
    (tmp_path / "generate.jsonl").write_bytes(jsonl_text([{"input": "p", "output": "t"}]))
    with pytest.raises(SourceError, match=r"generate\.jsonl and rm\.jsonl are both of step 0"):
        list(source.read())


def test_base_samples_without_rewards_say_how_to_get_them(tmp_path):
    path = tmp_path / "generate.jsonl"
    path.write_bytes(jsonl_text([{"input": "p", "output": "t"}]))
    source = open_source(path)
    (samples,) = source.read()
    assert samples.step == 0 and samples.components == ()
    assert "--eval_task rm" in source.warnings[0]


def test_base_samples_are_needed(tmp_path):
    (tmp_path / "base.jsonl").write_bytes(b"")
    with pytest.raises(SourceError, match="holds no samples: expected those of the base model"):
        read_base(tmp_path / "base.jsonl", kind="jsonl")


def test_base_samples_of_an_answer_log_keep_which_completion_an_answer_stands_in(tmp_path):
    none = rollout(0, answers=[], rewards=[], components=[], completion="no answer")
    write_rollouts(tmp_path, [none, rollout(0), rollout(4), rollout(4)])
    base = read_base(tmp_path)
    assert base.step == 0 and base.completions.tolist() == [0, 1, 1, 2, 2, 3, 3]
    assert base.texts == ["no answer", "a", "b", "a", "b", "a", "b"]
    assert np.array_equal(base.rewards[0], [0, 0])


def test_chat_prompts_have_one_id_in_parquet_and_json_lines(tmp_path):
    """Parquet pads messages with nulls for keys that others have."""
    prompt = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi", "name": "Ann"}]
    completion = [{"role": "assistant", "content": "Hello"}]
    (tmp_path / "completions").mkdir()
    write_trl_step(tmp_path / "completions", 1, [prompt], [completion], {"r": [1.0]})
    (logged,) = open_source(tmp_path).read()
    (tmp_path / "base.jsonl").write_bytes(jsonl_text([{"prompt": prompt, "completion": completion, "reward": 1.0}]))
    base = read_base(tmp_path / "base.jsonl")
    assert logged.prompt_ids == base.prompt_ids == [rollout(prompt=prompt)["prompt_id"]]
    assert logged.texts == base.texts == ["Hello"]
    assert logged.prompts == base.prompts == ["system: Be brief.\nuser: Hi"]


def test_a_folder_of_runs_names_them(tmp_path):
    for run in ("arms/VPO/rollouts", "arms/GRPO/rollouts", "plain/completions"):
        (tmp_path / run).mkdir(parents=True)
    with pytest.raises(SourceError, match=r"runs in it, name one: \S+/arms/GRPO, \S+/arms/VPO, \S+/plain\.$"):
        open_source(tmp_path)
    for number in range(9):
        (tmp_path / f"run{number}" / "rollouts").mkdir(parents=True)
    with pytest.raises(SourceError, match=r"run2, \.\.\.\.$"):
        open_source(tmp_path)


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_a_kind_of_one_file_is_not_read_from_a_folder(kind, tmp_path):
    with pytest.raises(SourceError, match=f"is a folder: expected one file of the kind '{kind}'"):
        open_source(tmp_path, kind)


def test_a_rollout_log_is_a_folder(tmp_path):
    (tmp_path / "log.parquet").write_bytes(b"")
    with pytest.raises(SourceError, match="is a file: expected the folder of a rollout log"):
        open_source(tmp_path / "log.parquet", "vpo")
