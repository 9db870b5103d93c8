import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.ledger import Ledger, LedgerError, read_ledger, read_results, result_of, row_of
from search.records import Candidate, Generation, Proposal, Result, SearchResult

CONFIG = {"seed": 0, "problems": [{"id": "p"}, {"id": "q"}], "batch": 4}
WALL = {"sample_s": 0.5}


def result(number: int = 0, answer: str = "a", vector: tuple[float, ...] = (0.1, 0.2), prefix: str = "") -> Result:
    return Result(
        number=number,
        seed=2**62 + number,
        proposal=Proposal(parents=(3, 1), inspirations=(0,), prefix=prefix),
        generation=Generation(
            request_id=number, text=prefix + answer, prompt_tokens=4, completion_tokens=2, finish_reason="length"
        ),
        candidates=(
            Candidate(
                id=number,
                answer=answer,
                vector=vector,
                scalar=sum(vector),
                parents=(3, 1),
                generation_id=number,
                status="error",
                artifact="line 3: no such name",
                duplicate=number > 0,
            ),
        ),
    )


def begin(path, num: int = 2) -> bytes:
    with Ledger(path, CONFIG) as ledger:
        for number in range(num):
            ledger.append(row_of("p", 0, result(number), WALL))
    return path.read_bytes()


@given(
    answer=st.text(st.characters(codec=None, exclude_categories=())),
    vector=st.lists(st.floats(-1e300, 1e300), min_size=1, max_size=4).map(tuple),
    prefix=st.text(max_size=5),
)
def test_every_result_survives_the_round_trip_through_its_line(answer, vector, prefix):
    original = result(1, answer, vector, prefix)
    line = json.dumps(row_of("p", 0, original, WALL))
    assert result_of(json.loads(line)) == original


def test_rows_come_back_in_order_after_reopening(tmp_path):
    path = tmp_path / "new folder" / "run.jsonl"
    begin(path)
    with Ledger(path, CONFIG) as ledger:
        assert [result_of(row) for row in ledger.rows] == [result(0), result(1)]


def test_line_separators_and_lone_surrogates_stay_inside_their_line(tmp_path):
    odd = result(0, "a\n\r\u2028\u0085\ud800\0é")
    with Ledger(tmp_path / "run.jsonl", CONFIG) as ledger:
        ledger.append(row_of("p", 0, odd, WALL))
    _, rows = read_ledger(tmp_path / "run.jsonl")
    assert [result_of(row) for row in rows] == [odd]


def test_every_possible_tear_of_the_last_line_is_mended(tmp_path):
    path = tmp_path / "run.jsonl"
    whole = begin(path, 2)
    last = whole.rstrip(b"\n").rfind(b"\n") + 1
    for size in range(last, len(whole)):
        path.write_bytes(whole[:size])
        assert [result_of(row) for row in read_ledger(path)[1]] == [result(0)]
        assert path.stat().st_size == size, "reading must not write"
        with Ledger(path, CONFIG) as ledger:
            assert [result_of(row) for row in ledger.rows] == [result(0)]
            ledger.append(row_of("p", 0, result(1), WALL))
        assert path.read_bytes() == whole


def test_garbled_last_line_is_dropped(tmp_path):
    path = tmp_path / "run.jsonl"
    whole = begin(path, 1)
    path.write_bytes(whole + b"\0\0\0\0\n")
    with Ledger(path, CONFIG) as ledger:
        assert len(ledger.rows) == 1
    assert path.read_bytes() == whole


def test_torn_header_is_begun_anew(tmp_path):
    path = tmp_path / "run.jsonl"
    whole = begin(path, 0)
    for size in (0, 3, len(whole) - 1):
        path.write_bytes(whole[:size])
        with Ledger(path, CONFIG) as ledger:
            assert ledger.rows == []
        assert path.read_bytes() == whole


def test_damage_before_the_last_line_is_an_error_and_nothing_is_changed(tmp_path):
    path = tmp_path / "run.jsonl"
    lines = begin(path, 3).split(b"\n")
    lines[2] = lines[2][:10]
    path.write_bytes(b"\n".join(lines))
    before = path.read_bytes()
    with pytest.raises(LedgerError, match="line 3 of 4: not JSON, expected one record"):
        Ledger(path, CONFIG)
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"my thesis", b"my thesis\n", b'{"a": 1}', b'{"a": 1}\n{"b": 2}\n'])
def test_file_that_is_no_ledger_is_refused_and_kept(tmp_path, content):
    path = tmp_path / "run.jsonl"
    path.write_bytes(content)
    with pytest.raises(LedgerError, match="does not begin with a ledger header"):
        Ledger(path, CONFIG)
    assert path.read_bytes() == content


def test_another_configuration_is_refused_and_the_difference_named(tmp_path):
    path = tmp_path / "run.jsonl"
    begin(path)
    with pytest.raises(LedgerError, match=r"another configuration \(seed: 0 there, 1 now\)"):
        Ledger(path, {**CONFIG, "seed": 1})
    with pytest.raises(LedgerError, match="extra: null there, true now"):
        Ledger(path, {**CONFIG, "extra": True})
    assert len(read_ledger(path)[1]) == 2


def test_configuration_is_compared_as_it_is_written(tmp_path):
    with Ledger(tmp_path / "run.jsonl", {"sizes": (1, 2)}):
        pass
    with Ledger(tmp_path / "run.jsonl", {"sizes": [1, 2]}) as ledger:
        assert ledger.rows == []


def test_ledger_of_another_format_is_refused(tmp_path):
    path = tmp_path / "run.jsonl"
    path.write_bytes(begin(path).replace(b'"format":1', b'"format":99'))
    with pytest.raises(LedgerError, match="ledger format 99, expected 1"):
        Ledger(path, CONFIG)


def test_second_writer_is_refused_until_the_first_has_closed(tmp_path):
    path = tmp_path / "run.jsonl"
    with Ledger(path, CONFIG), pytest.raises(LedgerError, match="held by another process"):
        Ledger(path, CONFIG)
    with Ledger(path, CONFIG) as ledger:
        assert ledger.rows == []


def test_non_finite_numbers_are_never_written(tmp_path):
    with Ledger(tmp_path / "run.jsonl", CONFIG) as ledger, pytest.raises(ValueError, match="JSON compliant"):
        ledger.append(row_of("p", 0, result(0, vector=(math.nan,)), WALL))


def test_results_are_folded_from_the_file_alone_with_every_problem_of_the_header(tmp_path):
    begin(tmp_path / "run.jsonl")
    assert read_results(tmp_path / "run.jsonl") == [
        SearchResult.from_results("p", [result(0), result(1)]),
        SearchResult.from_results("q", []),
    ]


def test_reading_an_empty_file_says_that_it_holds_no_header(tmp_path):
    (tmp_path / "run.jsonl").touch()
    with pytest.raises(LedgerError, match="holds no header line"):
        read_ledger(tmp_path / "run.jsonl")
