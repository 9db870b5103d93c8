import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.ledger import Ledger, LedgerError, is_free, read_ledger, read_results, read_told
from search.outcomes import Judged, answer_key
from search.records import Evaluation, Generation, Proposal, Request
from search.rows import (
    abort_row,
    answers_of,
    evaluation_row,
    generation_of,
    generation_row,
    proposal_of,
    same_request,
)

CONFIG = {
    "seed": 0,
    "mode": "stream",
    "ordered": True,
    "target": None,
    "problems": [{"id": "p"}, {"id": "q"}],
    "batch": 4,
}
WALL = {"at": 0.5}
PROPOSAL = Proposal(parents=(3, 1), inspirations=(0,), prefix="x")


def generation(number: int = 0, text: str = "xa", tokens: int = 2) -> Generation:
    return Generation(request_id=number, text=text, prompt_tokens=4, completion_tokens=tokens, finish_reason="length")


def drawn(number: int = 0, text: str = "xa", problem: str = "p", proposal: Proposal = PROPOSAL, tokens: int = 2):
    request = Request(id=number, prompt="?", seed=2**62 + number, max_new_tokens=9)
    return generation_row(problem, number, proposal, request, generation(number, text, tokens), WALL)


def judged(answer: str = "a", vector: tuple[float, ...] = (0.1, 0.2), canonical: str | None = None) -> Judged:
    key = answer_key(answer if canonical is None else canonical)
    return Judged(answer, key, Evaluation(vector=vector, status="error", artifact="line 3: no such name"), sum(vector))


def scored(number: int = 0, answer: str = "a", problem: str = "p", **options):
    return evaluation_row(problem, number, [judged(answer, **options)], WALL)


def begin(path, num: int = 2) -> bytes:
    with Ledger(path, CONFIG) as ledger:
        for number in range(num):
            ledger.append(drawn(number))
    return path.read_bytes()


@given(
    answer=st.text(st.characters(codec=None, exclude_categories=())),
    vector=st.lists(st.floats(-1e300, 1e300), min_size=1, max_size=4).map(tuple),
    prefix=st.text(max_size=5),
    canonical=st.none() | st.text(max_size=3),
)
def test_completions_and_answers_survive_the_round_trip_through_their_lines(answer, vector, prefix, canonical):
    proposal = Proposal(parents=(3, 1), inspirations=(0,), prefix=prefix, island=2)
    row = json.loads(json.dumps(drawn(1, prefix + answer, proposal=proposal)))
    assert generation_of(row) == generation(1, prefix + answer)
    assert proposal_of(row) == proposal
    found = judged(answer, vector, canonical)
    assert answers_of(json.loads(json.dumps(evaluation_row("p", 1, [found], WALL)))) == (found,)


@pytest.mark.parametrize(
    "other",
    [
        Proposal(parents=(3,), inspirations=(0,), prefix="x"),
        Proposal(parents=(3, 1), prefix="x"),
        Proposal(parents=(3, 1), inspirations=(0,)),
        Proposal(parents=(3, 1), inspirations=(0,), prefix="x", island=1),
        Proposal(parents=(3, 1), inspirations=(0,), prefix="x", prompt="other"),
    ],
)
def test_row_answers_the_request_that_it_was_written_for_and_no_other(other):
    request = Request(id=0, prompt="?", seed=2**62, max_new_tokens=9)
    assert same_request(drawn(0), PROPOSAL, request)
    assert not same_request(drawn(0), other, request)
    assert not same_request(drawn(0), PROPOSAL, Request(id=0, prompt="?", seed=1, max_new_tokens=9))


def test_rows_come_back_in_order_after_reopening(tmp_path):
    path = tmp_path / "new folder" / "run.jsonl"
    begin(path)
    with Ledger(path, CONFIG) as ledger:
        assert [generation_of(row) for row in ledger.rows] == [generation(0), generation(1)]


def test_line_separators_and_lone_surrogates_stay_inside_their_line(tmp_path):
    odd = "xa\n\r\u2028\u0085\ud800\0é"
    with Ledger(tmp_path / "run.jsonl", CONFIG) as ledger:
        ledger.append(drawn(0, odd))
    _, rows = read_ledger(tmp_path / "run.jsonl")
    assert [generation_of(row) for row in rows] == [generation(0, odd)]


def test_every_possible_tear_of_the_last_line_is_mended(tmp_path):
    path = tmp_path / "run.jsonl"
    whole = begin(path, 2)
    last = whole.rstrip(b"\n").rfind(b"\n") + 1
    for size in range(last, len(whole)):
        path.write_bytes(whole[:size])
        assert [generation_of(row) for row in read_ledger(path)[1]] == [generation(0)]
        assert path.stat().st_size == size, "reading must not write"
        with Ledger(path, CONFIG) as ledger:
            assert [generation_of(row) for row in ledger.rows] == [generation(0)]
            ledger.append(drawn(1))
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
    path.write_bytes(begin(path).replace(b'"format":2', b'"format":99'))
    with pytest.raises(LedgerError, match="ledger format 99, expected 2"):
        Ledger(path, CONFIG)


def test_second_writer_is_refused_until_the_first_has_closed(tmp_path):
    path = tmp_path / "run.jsonl"
    with Ledger(path, CONFIG), pytest.raises(LedgerError, match="held by another process"):
        Ledger(path, CONFIG)
    with Ledger(path, CONFIG) as ledger:
        assert ledger.rows == []


def test_non_finite_numbers_are_never_written(tmp_path):
    with Ledger(tmp_path / "run.jsonl", CONFIG) as ledger, pytest.raises(ValueError, match="JSON compliant"):
        ledger.append(scored(vector=(math.nan,)))


def told_numbers(path, rows, **config) -> list[list[int]]:
    with Ledger(path, CONFIG | config) as ledger:
        for row in rows:
            ledger.append(row)
    return [[result.number for result in told.results] for told in read_told(path)]


COMPLETED = [
    drawn(0),
    drawn(1),
    drawn(0, problem="q"),
    drawn(2),
    scored(2, "c"),
    scored(0, "a"),
    drawn(4),
    scored(4, "b", canonical="a"),
]


def test_ordered_stream_is_told_by_number_up_to_the_first_that_is_missing(tmp_path):
    assert told_numbers(tmp_path / "l", COMPLETED) == [[0], []]
    assert told_numbers(tmp_path / "m", [*COMPLETED, scored(1, "c")]) == [[0, 1, 2], []]
    assert told_numbers(tmp_path / "r", COMPLETED, mode="rounds") == [[0], []]


def test_stream_without_order_is_told_as_its_evaluations_stand_in_the_file(tmp_path):
    assert told_numbers(tmp_path / "l", COMPLETED, ordered=False) == [[2, 0, 4], []]
    first, _ = read_results(tmp_path / "l")
    assert [(c.id, c.answer, c.duplicate) for c in first.candidates] == [
        (0, "c", False),
        (1, "a", False),
        (2, "b", True),
    ]
    assert first.completion_tokens == (2, 4, 6) and first.prompt_tokens == (4, 8, 12)


def test_stream_ends_with_the_first_told_result_that_reaches_the_target(tmp_path):
    solver = scored(1, "s", vector=(1.0, 1.0))
    cut = [drawn(5, tokens=3), abort_row("p", [5, 6, 7], WALL)]  # 5 came back all the same
    assert told_numbers(tmp_path / "l", [*COMPLETED, solver, *cut], target=2.0) == [[0, 1], []]
    first, second = read_results(tmp_path / "l")
    assert (first.solved, first.num_aborted, first.aborted_tokens) == (True, 5, 2 + 2 + 3)
    assert (second.solved, second.num_aborted) == (False, 0)
    assert told_numbers(tmp_path / "m", [*COMPLETED, solver], target=2.0, mode="rounds") == [[0, 1, 2], []]


def test_reading_an_empty_file_says_that_it_holds_no_header(tmp_path):
    (tmp_path / "run.jsonl").touch()
    with pytest.raises(LedgerError, match="holds no header line"):
        read_ledger(tmp_path / "run.jsonl")


def test_only_a_ledger_without_rows_that_nobody_writes_is_free_for_another_run(tmp_path):
    path = tmp_path / "ledger.jsonl"
    assert is_free(path) and not path.exists()
    with Ledger(path, CONFIG), pytest.raises(LedgerError, match="held by another process"):
        is_free(path)
    assert is_free(path)
    with Ledger(path, CONFIG | {"seed": 1}) as ledger:
        ledger.append(drawn())
    assert read_ledger(path)[0]["config"]["seed"] == 1
    assert not is_free(path)
    with pytest.raises(LedgerError, match="another configuration"):
        Ledger(path, CONFIG)
