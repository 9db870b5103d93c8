"""What may not be averaged over is an error by name: file, line or step, column, and the cure."""

from __future__ import annotations

import gzip
import json
import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from eval.sources import DamagedFileError, SourceError, open_source
from tests.eval.sources.logs import generic_records, jsonl_text, samples_of, write_trl_step, write_verl

GOOD = {"step": 1, "prompt": "p", "completion": "t", "reward": 1.0}


def jsonl(tmp_path, *records, **options):
    path = tmp_path / "log.jsonl"
    path.write_bytes(b"".join(r if isinstance(r, bytes) else jsonl_text([r]) for r in records))
    return open_source(path, kind="jsonl", **options)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (b"{not json}\n", r"line 2 is no JSON in UTF-8 .*skip_damaged=True"),
        (b"\x00\x00\x00\n", "line 2 is no JSON"),
        (b'{"step": 1, "prompt": "p", "completion": "\xff\xfe", "reward": 1}\n', "line 2 is no JSON in UTF-8 .*0xff"),
        (b"[" * 100_000 + b"\n", "line 2 is no JSON"),
        (b'"text"\n', "line 2 is str: expected one JSON object a line"),
        ({**GOOD, "reward": "0.5"}, "line 2: 'reward' is '0.5', expected a finite number"),
        ({**GOOD, "reward": math.inf}, "line 2: 'reward' is inf, expected a finite number"),
        ({**GOOD, "reward": 10**400}, "line 2: 'reward' is 1000.*expected a finite number"),
        ({**GOOD, "rewards": {"a": 10**400}}, "line 2: 'a' is 1000.*expected a finite number"),
        ({**GOOD, "reward": [1.0]}, r"line 2: 'reward' is \[1.0\], expected a finite number"),
        ({**GOOD, "completion": None}, "line 2: 'completion' is None, expected text"),
        ({**GOOD, "completion": ["t"]}, r"line 2: 'completion' is \['t'\], expected text"),
        ({**GOOD, "prompt": 3}, "line 2: 'prompt' is 3, expected text, or a list of chat messages"),
        ({**GOOD, "prompt": []}, r"line 2: 'prompt' is \[\], expected text, or a list of chat messages"),
        ({**GOOD, "step": "1"}, "line 2: 'step' is '1', expected the number of optimizer steps"),
        ({**GOOD, "step": True}, "line 2: 'step' is True"),
        ({**GOOD, "step": -1}, "line 2: 'step' is -1"),
        ({**GOOD, "step": 1.5}, "line 2: 'step' is 1.5"),
        ({**GOOD, "step": math.nan}, "line 2: 'step' is nan"),
        ({k: v for k, v in GOOD.items() if k != "step"}, "line 2: 'step' is None.*on every line, or on none"),
        ({**GOOD, "step": 0}, "line 2 is of step 0, after step 1: expected ascending steps.*resumed run"),
        ({**GOOD, "rewards": 1.0}, "line 2: 'rewards' is 1.0, expected an object with one number a component"),
        ({**GOOD, "temperature": 0.7}, "line 2: 'temperature' is 0.7, but None at .*line 1 in the same step"),
    ],
)
def test_a_line_that_cannot_be_is_named_by_its_number(tmp_path, record, message):
    with pytest.raises(SourceError, match=message) as caught:
        list(jsonl(tmp_path, GOOD, record).read())
    assert str(tmp_path / "log.jsonl") in str(caught.value)


@pytest.mark.parametrize("record", [b"{not json}\n", b"\xff\xfe\n", b"3\n"])
def test_lines_that_are_no_record_are_left_out_on_request_and_named(tmp_path, record):
    source = jsonl(tmp_path, GOOD, record, GOOD, skip_damaged=True)
    assert [len(samples) for samples in source.read()] == [2]
    assert len(source.warnings) == 1 and "line 2" in source.warnings[0]


@pytest.mark.parametrize("skip_damaged", [False, True])
def test_damaged_compression_is_named_and_never_skipped_for_it_may_alter_texts(tmp_path, skip_damaged):
    rng = np.random.default_rng(0)
    texts = ["".join(map(chr, rng.integers(32, 127, 200))) for _ in range(3000)]
    whole = gzip.compress(jsonl_text([{**GOOD, "step": i, "completion": t} for i, t in enumerate(texts)]))
    data = bytearray(whole)
    data[len(data) // 2 : len(data) // 2 + 4000] = b"\xff" * 4000
    (tmp_path / "log.jsonl.gz").write_bytes(bytes(data))
    with pytest.raises(SourceError, match=r"log\.jsonl\.gz"):
        list(open_source(tmp_path / "log.jsonl.gz", skip_damaged=skip_damaged).read())
    data[len(data) // 2 : len(data) // 2 + 4000] = whole[len(data) // 2 : len(data) // 2 + 4000]
    data[-8] ^= 1  # of the checksum
    (tmp_path / "log.jsonl.gz").write_bytes(bytes(data))
    with pytest.raises(DamagedFileError, match=r"near line 3000: the compression is damaged \(CRC"):
        list(open_source(tmp_path / "log.jsonl.gz", skip_damaged=skip_damaged).read())


def test_bad_lines_of_a_file_are_one_warning(tmp_path):
    source = jsonl(tmp_path, GOOD, *[b"3\n", b"{\n"] * 250, skip_damaged=True)
    list(source.read())
    (warning,) = source.warnings
    assert warning.endswith("log.jsonl, line 2 is int: left out, and so is every later line of it that is none.")


def test_warnings_stop_at_a_hundred(tmp_path):
    source = jsonl(tmp_path)
    for i in range(500):
        source.warn(f"warning {i % 300}")
    assert len(source.warnings) == len(set(source.warnings)) == 100
    assert source.warnings[-2:] == ["warning 98", "There are more warnings than these."]


def test_a_second_step_after_a_gap_is_out_of_order(tmp_path):
    records = [{**GOOD, "step": step} for step in (1, 2, 1)]
    with pytest.raises(SourceError, match="line 3 is of step 1, after step 2"):
        list(jsonl(tmp_path, *records).read())


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ({"correct": 1}, "step 2 gains 'correct' and lacks 'reward'"),
        ({"reward": 1, "correct": 1}, "step 2 gains 'correct' against the reward components of step 1"),
        ({"reward": 1, "rewards": {"brevity": 1}}, "step 2 gains 'brevity'"),
        ({}, "step 2 lacks 'reward' .* not averaged"),
    ],
)
def test_components_that_change_in_a_run_are_an_error_with_step_and_names(tmp_path, second, message):
    with pytest.raises(SourceError, match=message):
        list(jsonl(tmp_path, GOOD, {"step": 2, "prompt": "p", "completion": "t", **second}).read())


def test_components_in_another_order_are_the_same(tmp_path):
    records = [
        {"step": 1, "prompt": "p", "completion": "t", "rewards": {"a": 1, "b": 2}},
        {"step": 2, "prompt": "p", "completion": "t", "rewards": {"b": 2, "a": 1}},
    ]
    one, two = jsonl(tmp_path, *records).read()
    assert one.components == two.components == ("a", "b")
    assert two.rewards.tolist() == [[1.0, 2.0]]


def test_a_component_that_some_samples_lack_does_not_apply_to_them(tmp_path):
    records = [{**GOOD, "rewards": {"a": True, "b": 2}}, {**GOOD, "reward": None, "rewards": {"a": False}}]
    (samples,) = jsonl(tmp_path, *records).read()
    assert samples.components == ("reward", "a", "b")
    np.testing.assert_equal(samples.rewards, [[1, 1, 2], [math.nan, 0, math.nan]])


def test_nan_scores_are_unknown(tmp_path):
    (samples,) = jsonl(tmp_path, {**GOOD, "reward": math.nan}, GOOD).read()
    np.testing.assert_equal(samples.rewards, [[math.nan], [1.0]])


def test_components_are_those_that_the_user_names(tmp_path):
    record = {**GOOD, "rewards": {"a": 1}, "judge": 0.5}
    (samples,) = jsonl(tmp_path, record, components=("judge", "a")).read()
    assert samples.components == ("judge", "a") and samples.rewards.tolist() == [[0.5, 1.0]]
    assert samples.rows is None
    with pytest.raises(SourceError, match="no reward 'other': components= names it, the log has step, prompt"):
        list(jsonl(tmp_path, record, components=("other",)).read())


def test_no_reward_reaches_the_row_that_labels_see(tmp_path):
    (samples,) = jsonl(tmp_path, {**GOOD, "correct": True, "rewards": {"a": 1}, "topic": "sums", "level": 3}).read()
    assert list(samples.rows) == [{"topic": "sums", "level": 3}] == list(samples.rows[:])


def test_a_log_without_rewards_says_so(tmp_path):
    source = jsonl(tmp_path, {"prompt": "p", "completion": "t"})
    (samples,) = source.read()
    assert samples.step == 0 and samples.rewards.shape == (1, 0)
    assert "formats can be read, success cannot" in source.warnings[0]


def test_a_log_without_prompts_says_what_it_needs(tmp_path):
    with pytest.raises(SourceError, match="neither 'prompt' nor 'prompt_id'"):
        list(jsonl(tmp_path, {"step": 1, "completion": "t", "reward": 1}).read())


def test_ids_given_by_the_log_stand_for_prompts(tmp_path):
    (samples,) = jsonl(tmp_path, {**GOOD, "prompt_id": 17}, {**GOOD, "prompt": None, "prompt_id": "x"}).read()
    assert samples.prompt_ids == ["17", "x"] and samples.prompts is None


def test_what_the_log_knows_of_a_sample_is_kept(tmp_path):
    record = {**GOOD, "epoch": 0.5, "finish_reason": "length", "tokens": 9, "entropy": 0.25, "temperature": 0.7}
    (samples,) = jsonl(tmp_path, record, {**record, "finish_reason": "eos", "epoch": 0.75, "entropy": None}).read()
    assert samples.epoch == 0.75
    assert samples.finish_reasons == ["length", "stop"]
    assert samples.tokens.tolist() == [9, 9]
    np.testing.assert_equal(samples.entropies, [0.25, math.nan])
    assert samples.sampling == {"temperature": 0.7}


def test_half_a_surrogate_pair_becomes_a_replacement_character(tmp_path):
    raw = json.dumps({**GOOD, "completion": "a\ud800b \U0001f600"}).encode() + b"\n"
    (samples,) = jsonl(tmp_path, raw).read()
    assert samples.texts == ["a\ufffdb \U0001f600"]


@pytest.mark.parametrize("keep", [0, 3, 100, -8])
def test_a_cut_parquet_file_is_named_with_the_cure(tmp_path, keep):
    (tmp_path / "completions").mkdir()
    for step in (1, 2, 3):
        path = write_trl_step(tmp_path / "completions", step, ["p"], [f"t{step}"], {"r": [1.0]})
        if step == 2:
            path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DamagedFileError, match=r"completions_00002\.parquet cannot be read as Parquet.*skip_damaged"):
        list(open_source(tmp_path).read())
    source = open_source(tmp_path, skip_damaged=True)
    assert [samples.step for samples in source.read()] == [1, 3]
    assert any("completions_00002.parquet" in text and "left out" in text for text in source.warnings)


def test_overwritten_bytes_in_the_middle_of_parquet_are_damage_or_nothing(tmp_path):
    path = tmp_path / "log.parquet"
    pq.write_table(pa.Table.from_pylist(generic_records([(1, f"p{i}", f"t{i}" * 50, 1.0) for i in range(300)])), path)
    data = bytearray(path.read_bytes())
    data[50:400] = b"\xff" * 350
    path.write_bytes(bytes(data))
    with pytest.raises(DamagedFileError, match=r"log\.parquet cannot be read"):
        list(open_source(path).read())


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("step", [2, 1], "row 1 is of step 1, after step 2"),
        ("step", [1, None], "row 1: 'step' is None"),
        ("completion", ["t", None], "row 1: 'completion' is None"),
        ("completion", [b"t", b"u"], "row 0: 'completion' is b't'"),
        ("reward", ["a", "b"], "row 0: 'reward' is 'a'"),
        ("prompt", [1, 2], "row 0: 'prompt' is 1"),
    ],
)
def test_a_parquet_value_that_cannot_be_is_named_by_its_row(tmp_path, column, values, message):
    columns = {"step": [1, 1], "prompt": ["p", "p"], "completion": ["t", "t"], "reward": [1.0, 1.0], column: values}
    pq.write_table(pa.table(columns), tmp_path / "log.parquet")
    with pytest.raises(SourceError, match=message):
        list(open_source(tmp_path / "log.parquet").read())


def test_a_reward_function_that_joins_a_trl_run_is_an_error(tmp_path):
    (tmp_path / "completions").mkdir()
    write_trl_step(tmp_path / "completions", 1, ["p"], ["t"], {"r": [1.0]})
    write_trl_step(tmp_path / "completions", 2, ["p"], ["u"], {"r": [1.0], "brevity": [0.5]})
    with pytest.raises(SourceError, match=r"step 2 gains 'brevity' .*components="):
        list(open_source(tmp_path).read())
    assert len(list(open_source(tmp_path, components=["r"]).read())) == 2


def test_a_verl_score_that_joins_or_leaves_is_an_error(tmp_path):
    write_verl(tmp_path, [(1, "p", "t", 1.0), (2, "p", "u", 1.0)])
    record = {"input": "p", "output": "t", "gts": "g", "score": 1.0, "step": 3, "acc": True, "pred": "7"}
    (tmp_path / "3.jsonl").write_bytes(jsonl_text([record]))
    with pytest.raises(SourceError, match="step 3 gains 'acc' against the reward components of step 2"):
        list(open_source(tmp_path).read())


def test_verl_s_extras_are_components_if_they_are_numbers_and_rows_if_not(tmp_path):
    records = [
        {"input": "p", "output": "t", "gts": "g", "score": 1.0, "step": 3, "acc": True, "len": None, "pred": "7"},
        {"input": "p", "output": "t", "gts": "g", "score": 0.0, "step": 3, "acc": False, "len": 2, "pred": None},
    ]
    (tmp_path / "3.jsonl").write_bytes(jsonl_text(records))
    (tmp_path / "4.jsonl").write_bytes(jsonl_text([{**record, "step": 4, "len": None} for record in records]))
    three, four = open_source(tmp_path).read()
    assert three.components == four.components == ("score", "acc", "len")
    np.testing.assert_equal(three.rewards, [[1, 1, math.nan], [0, 0, 2]])
    assert list(three.rows) == [{"gts": "g", "pred": "7"}, {"gts": "g", "pred": None}]


def test_a_dump_under_the_name_of_another_step_is_named(tmp_path):
    write_verl(tmp_path, [(1, "p", "t", 1.0), (2, "p", "u", 1.0)])
    (tmp_path / "2.jsonl").rename(tmp_path / "5.jsonl")
    with pytest.raises(SourceError, match=r"5\.jsonl, line 1 is of step 2, expected 5"):
        list(open_source(tmp_path).read())


def test_samples_of_the_log_read_again_are_the_same(tmp_path):
    source = jsonl(tmp_path, GOOD, {**GOOD, "step": 2})
    assert samples_of(source.read()) == samples_of(source.read())
