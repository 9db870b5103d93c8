import pytest

from search.problems import get_problems
from search.procedures import BestOfN, Evolution, get_procedure
from tests.search.toy_problem import ToyProblem


def test_procedures_are_found_by_name_with_their_options():
    problem = ToyProblem("toy")
    assert isinstance(get_procedure("best_of_n", problem), BestOfN)
    found = get_procedure("evolution", problem, iid_share=0.5)
    assert isinstance(found, Evolution)
    assert found.iid_share == 0.5
    with pytest.raises(ValueError, match="there is no procedure 'gpo': expected one of best_of_n, evolution"):
        get_procedure("gpo", problem)
    with pytest.raises(ValueError, match="'evolution' has not these options"):
        get_procedure("evolution", problem, width=3)


def test_a_tasks_test_rows_are_problems():
    single, sets = (get_problems("maze", num_problems=3, num_answers=m) for m in (1, 3))
    assert len(single) == len(sets) == 3
    assert [p.num_answers for p in sets] == [3, 3, 3]
    assert single[0].prompt != sets[0].prompt
    with pytest.raises(ValueError, match="'maze' has not these options"):
        get_problems("maze", size=3)
