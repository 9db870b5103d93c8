import pytest

import search.procedures
from search.procedures import PROCEDURES, LexicaseEvolution, SelfConsistency, get_procedure
from tests.search.procedures.told_results import result
from tests.search.toy_problem import ToyProblem


@pytest.mark.parametrize("name", PROCEDURES)
def test_every_name_makes_a_procedure_that_calls_itself_so(name):
    procedure = get_procedure(name, ToyProblem("toy-0"))
    assert isinstance(procedure, PROCEDURES[name])
    assert procedure.describe()["name"] == name


def test_every_procedure_is_exported_and_has_a_name():
    exported = [getattr(search.procedures, name) for name in search.procedures.__all__]
    procedures = {thing for thing in exported if hasattr(thing, "ask")} - {search.procedures.Procedure}
    assert procedures == set(PROCEDURES.values())


def test_options_reach_the_procedure_and_new_ones_are_made_each_time():
    first, second = (get_procedure("lexicase", ToyProblem("toy-0"), num_islands=3) for _ in range(2))
    assert isinstance(first, LexicaseEvolution) and len(first.islands) == 3
    assert first.islands is not second.islands


def test_problem_says_which_answers_are_the_same_if_it_can():
    class Cased(ToyProblem):
        def canonical(self, answer):
            return answer.lower()

    procedure = get_procedure("self_consistency", Cased("toy-0"))
    assert isinstance(procedure, SelfConsistency)
    procedure.tell([result(("A", (1.0,)), ("a", (1.0,)))])
    assert procedure.votes == {"a": 2}
    plain = get_procedure("self_consistency", ToyProblem("toy-0"))
    plain.tell([result(("A", (1.0,)), ("a", (1.0,)))])
    assert plain.votes == {"A": 1, "a": 1}


def test_unknown_name_lists_what_there_is():
    with pytest.raises(ValueError, match=r"no procedure 'lexicas': expected one of best_of_n, .*mean 'lexicase'"):
        get_procedure("lexicas", ToyProblem("toy-0"))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("beam", {"widht": 3}, "procedure 'beam' has no option 'widht': expected some of width, expand, keep_parents"),
        ("best_of_n", {"name": "x"}, "procedure 'best_of_n' has no option 'name': it has none"),
        ("beam", {"problem": "x"}, "procedure 'beam' has no option 'problem': expected some of width"),
        ("best_of_n", {"n": 3}, "procedure 'best_of_n' has no option 'n': it has none"),
        ("puct", {"vary": None}, "procedure 'puct' has no option 'vary': expected some of exploration"),
        ("beam", {"width": 0}, "width is 0, expected an integer of at least 1"),
    ],
)
def test_options_are_checked_at_the_door(name, options, message):
    with pytest.raises(ValueError, match=message):
        get_procedure(name, ToyProblem("toy-0"), **options)
