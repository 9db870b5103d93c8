"""Self-consistency, revision and beam."""

import random

import pytest

from search.procedures import Beam, Revision, SelfConsistency
from search.records import Proposal
from tests.search.procedures.told_results import Play, result, show


def number_of(answer):
    digits = "".join(symbol for symbol in answer if symbol.isdigit())
    return digits or None


def test_majority_counts_canonical_answers_and_names_the_first_of_them():
    procedure = SelfConsistency(number_of)
    assert procedure.elected is None
    procedure.tell([result(("it is 7", (0.0,)), ("42", (1.0,)))])
    procedure.tell([result(("x = 42", (0.0,)), ("no idea", (9.0,)), number=1, first_id=2)])
    assert procedure.votes == {"7": 1, "42": 2}
    assert procedure.elected.answer == "42"


def test_votes_do_not_look_at_rewards_and_ties_go_to_who_spoke_first():
    procedure = SelfConsistency()
    procedure.tell([result((" b", (0.0,)), ("a", (9.0,)), status="invalid")])
    assert procedure.elected.answer == " b"
    procedure.tell([result(("b ", (0.0,)), ("a", (9.0,)), ("a", (9.0,)), number=1, first_id=2)])
    assert (procedure.votes, procedure.elected.id) == ({"b": 2, "a": 3}, 1)


def test_answers_without_a_canonical_form_have_no_vote():
    procedure = SelfConsistency(number_of)
    procedure.tell([result(("none", (1.0,)))])
    assert procedure.elected is None


def test_revision_of_the_best_never_moves_down_and_keeps_the_earliest_of_equals():
    procedure = Revision(show)
    seen = []
    for number, value in enumerate([1.0, 3.0, 2.0, 3.0, 4.0]):
        procedure.tell([result((str(number), (value,)), number=number, first_id=number)])
        seen.append(procedure.current.id)
    assert seen == [0, 1, 1, 1, 4]
    assert [p.parents for p in procedure.ask(2, random.Random(0))] == [(4,), (4,)]


def test_revision_of_the_last_takes_the_newest_completion_and_the_best_of_its_answers():
    procedure = Revision(show, refine="last")
    procedure.tell([result(("a", (5.0,)))])
    procedure.tell([result(("b", (1.0,)), ("c", (2.0,)), ("d", (0.0,)), number=1, first_id=1)])
    assert procedure.current.answer == "c"
    procedure.tell([result(number=2), result(("e", (9.0,)), number=3, first_id=4, status="error")])
    assert procedure.current.answer == "c"  # nothing valid came


def level(procedure, *values, first, parents=None):
    procedure.tell(
        [
            result(
                (f"{first + i:02d}", (float(value),)),
                number=first + i,
                first_id=first + i,
                proposal=Proposal(parents=(parents[i],)) if parents else Proposal(),
            )
            for i, value in enumerate(values)
        ]
    )


def test_beam_keeps_the_best_of_all_children_and_of_itself():
    procedure = Beam(show, width=2, expand=2)
    level(procedure, 1, 5, 3, first=0)
    assert procedure.beam == []
    level(procedure, 2, first=3)
    assert [member.id for member in procedure.beam] == [1, 2]
    level(procedure, 4, 4, 0, 6, first=4, parents=[1, 1, 2, 2])
    assert [member.id for member in procedure.beam] == [7, 1]
    assert procedure.level == 2


def test_beam_without_its_parents_goes_on_with_children_alone():
    procedure = Beam(show, width=2, expand=1, keep_parents=False)
    level(procedure, 5, 6, first=0)
    level(procedure, 1, 2, first=2, parents=[0, 1])
    assert [member.id for member in procedure.beam] == [3, 2]
    procedure.tell([result(number=4), result(number=5)])  # no children at all
    assert [member.id for member in procedure.beam] == [3, 2]
    assert procedure.level == 3


def test_equal_answers_are_one_child_and_ties_go_to_the_shorter_answer():
    procedure = Beam(show, width=3, expand=1)
    told = [("long", (2.0,)), ("long", (2.0,)), ("ab", (2.0,))]
    procedure.tell([result(answer, number=i, first_id=i) for i, answer in enumerate(told)])
    assert [member.id for member in procedure.beam] == [2, 0]


def test_members_are_expanded_evenly_counting_what_is_on_its_way():
    procedure = Beam(show, width=2, expand=3)
    level(procedure, *range(6), first=0)
    assert [member.id for member in procedure.beam] == [5, 4]
    assert [p.parents for p in procedure.ask(4, random.Random(0))] == [(5,), (4,), (5,), (4,)]
    flying = [Proposal(parents=(5,)), Proposal(parents=(5,))]
    assert [p.parents for p in procedure.ask(3, random.Random(0), flying)] == [(4,), (4,), (5,)]
    level(procedure, 0, first=6, parents=[4])
    assert [p.parents for p in procedure.ask(3, random.Random(0), flying)] == [(4,), (5,), (4,)]


def test_beam_climbs():
    play = Play(Beam(show, width=2, expand=4), num_slots=8).rounds(40)
    assert play.procedure.beam[0].scalar >= 7


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Beam(show, width=0), "width is 0, expected an integer of at least 1"),
        (lambda: Beam(show, expand=1.5), "expand is 1.5, expected an integer of at least 1"),
        (lambda: Revision(show, refine="worst"), "refine is 'worst', expected one of 'best', 'last'"),
    ],
)
def test_options_outside_their_range_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
