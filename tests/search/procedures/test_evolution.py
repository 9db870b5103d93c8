import copy
import random

import pytest

from search.procedures import BestOfN, Evolution
from search.records import Proposal, Variation
from tests.search.procedures.told_results import result as told

ITERATIONS = 400


def prefix_of(parent, inspirations, rng):
    return Variation(prefix=f"{parent.answer}|")


def test_best_of_n_asks_for_bare_prompts_only_whatever_it_is_told():
    procedure = BestOfN()
    procedure.tell([told(("a", (1.0,)))])
    assert procedure.ask(5, random.Random(0)) == [Proposal()] * 5


def test_first_batch_of_an_evolution_is_all_iid():
    assert Evolution(prefix_of).ask(6, random.Random(0)) == [Proposal()] * 6


def test_a_quarter_of_each_later_batch_is_iid():
    procedure = Evolution(prefix_of)
    procedure.tell([told(("a", (1.0, 0.0)), ("b", (0.0, 1.0)))])
    for seed in range(20):
        batch = procedure.ask(8, random.Random(seed))
        assert len(batch) == 8
        assert [proposal == Proposal() for proposal in batch] == [True, True] + [False] * 6


def test_iid_share_holds_on_average_in_batches_of_one():
    procedure = Evolution(prefix_of, iid_share=0.25)
    procedure.tell([told(("a", (1.0,)))])
    rng = random.Random(3)
    num_iid = sum(procedure.ask(1, rng) == [Proposal()] for _ in range(ITERATIONS))
    assert num_iid / ITERATIONS == pytest.approx(0.25, abs=4 * (0.25 * 0.75 / ITERATIONS) ** 0.5)


def test_parents_are_lexicase_choices_and_their_prefix_comes_from_vary():
    procedure = Evolution(prefix_of, iid_share=0.0)
    procedure.tell([told(("left", (1.0, 0.0)), ("right", (0.0, 1.0)), ("dominated", (0.0, 0.5)))])
    batch = procedure.ask(200, random.Random(0))
    assert {(p.parents, p.prefix) for p in batch} == {((0,), "left|"), ((1,), "right|")}


@pytest.mark.parametrize("nothing", [None, Variation()])
def test_parent_that_cannot_be_varied_gives_an_iid_draw(nothing):
    procedure = Evolution(lambda parent, inspirations, rng: nothing, iid_share=0.0)
    procedure.tell([told(("a", (1.0,)))])
    assert procedure.ask(3, random.Random(0)) == [Proposal()] * 3


def test_population_holds_the_shortest_answer_of_each_reward_vector():
    procedure = Evolution(prefix_of)
    procedure.tell([told(("long", (1.0, 0.0)), ("other", (0.0, 0.0)))])
    procedure.tell([told(("ab", (1.0, 0.0)), ("xy", (1.0, 0.0)), number=1, first_id=2)])
    assert {vector: c.id for vector, c in procedure.population.items()} == {(1.0, 0.0): 2, (0.0, 0.0): 1}


def test_invalid_answers_never_become_parents():
    procedure = Evolution(prefix_of)
    procedure.tell([told(("bad", (0.0,)), status="invalid")])
    assert procedure.population == {}


def test_ask_does_not_change_the_state():
    procedure = Evolution(prefix_of)
    procedure.tell([told(("a", (1.0, 0.0)), ("b", (0.0, 1.0)))])
    before = copy.deepcopy(procedure.population)
    first = procedure.ask(8, random.Random(5))
    assert procedure.population == before
    assert procedure.ask(8, random.Random(5)) == first


def test_state_does_not_depend_on_how_the_results_were_grouped():
    results = [told((f"{i:03d}", (float(i % 3), float(i % 2))), number=i, first_id=i) for i in range(12)]
    together, apart = Evolution(prefix_of), Evolution(prefix_of)
    together.tell(results)
    for result in results:
        apart.tell([result])
    assert together.population == apart.population


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_iid_share_outside_zero_to_one_is_refused(share):
    with pytest.raises(ValueError, match=r"expected a share in \[0, 1\]"):
        Evolution(prefix_of, iid_share=share)
