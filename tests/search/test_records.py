import math

import pytest

from search.records import Candidate, Generation, Proposal, Result, Sampling, SearchResult


def result(number: int, scalars: list[float], tokens: int, first_id: int) -> Result:
    return Result(
        number=number,
        seed=number,
        proposal=Proposal(),
        generation=Generation(
            request_id=number, text="", prompt_tokens=1, completion_tokens=tokens, finish_reason="stop"
        ),
        candidates=tuple(
            Candidate(id=first_id + i, answer=str(s), vector=(s,), scalar=s, parents=(), generation_id=number)
            for i, s in enumerate(scalars)
        ),
    )


def test_fold_accumulates_answers_and_tokens_and_keeps_the_best():
    told = [result(0, [], 5, 0), result(1, [0.25, 0.75], 7, 0), result(2, [0.5], 2, 2), result(3, [1.0], 1, 3)]
    report = SearchResult.from_results("p", told)
    # the completion without an answer is charged as one answer
    assert report.answers == (1, 3, 4, 5)
    assert report.completion_tokens == (5, 12, 14, 15)
    assert math.isnan(report.best[0])
    assert report.best[1:] == (0.75, 0.75, 1.0)
    assert [candidate.id for candidate in report.candidates] == [0, 1, 2, 3]


def test_best_of_negative_scalars_is_the_largest_of_them_and_not_zero():
    assert SearchResult.from_results("p", [result(0, [-2.0, -1.0], 1, 0)]).best == (-1.0,)


def test_status_of_a_result_says_whether_it_holds_an_answer():
    assert result(0, [], 1, 0).status == "unparsed"
    assert result(0, [0.0], 1, 0).status == "ok"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_new_tokens": 0}, "max_new_tokens is 0, expected at least 1"),
        ({"temperature": -0.1}, "temperature is -0.1, expected a finite number >= 0"),
        ({"temperature": math.nan}, "temperature is nan"),
        ({"top_p": 0.0}, r"top_p is 0.0, expected a share in \(0, 1\]"),
        ({"top_p": 1.5}, "top_p is 1.5"),
    ],
)
def test_sampling_settings_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Sampling(**options)
