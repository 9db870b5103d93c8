import pytest

from search.screening import get_predictor
from tests.search.screening.searching import toy


def test_problem_without_a_row_is_refused():
    with pytest.raises(ValueError, match="problem 'toy' has no row, expected that of a task"):
        get_predictor("world", toy(), model="nowhere")
