import math
import random

import numpy as np
import pytest

from search.procedures import PUCT
from search.records import Proposal
from tests.search.procedures.told_results import Play, result, show


def tell(procedure, *completions):
    """Tell completions as (parent id or None, answer, scalar); ids run on."""
    first = procedure.told if hasattr(procedure, "told") else 0
    for parent, answer, scalar in completions:
        proposal = Proposal() if parent is None else Proposal(parents=(parent,))
        procedure.tell([result((answer, (scalar,)), number=first, first_id=first, proposal=proposal)])
        first += 1
    procedure.told = first
    return procedure


def scores(procedure):
    """Answer -> PUCT score, the root as None."""
    found = procedure._scores(procedure._stats.values[2], procedure.num_expansions)
    names = [None if node == 0 else procedure.nodes[node - 1].answer for node in procedure._members]
    return dict(zip(names, found, strict=True))


def test_scores_of_a_tree_worked_by_hand():
    # root -> a (0.2), b (0.5); a -> c (0.8). T = 3.
    procedure = tell(PUCT(show, exploration=2.0), (None, "a", 0.2), (None, "b", 0.5), (0, "c", 0.8))
    # Ranks: c 0, b 1, a 2, root 3; priors 4/10, 3/10, 2/10, 1/10. Scale .8 - .2. sqrt(1 + T) = 2.
    # n: root 3 (two draws and the one below it), a 1, b 0, c 0. Q: c .8, b .5, a its best child .8, root its best .5.
    factor = 2.0 * 0.6 * 2.0
    assert scores(procedure) == pytest.approx(
        {
            "c": 0.8 + factor * 0.4 / 1,
            "b": 0.5 + factor * 0.3 / 1,
            "a": 0.8 + factor * 0.2 / 2,
            None: 0.5 + factor * 0.1 / 4,
        }
    )


def test_quality_is_the_best_child_even_if_the_node_itself_is_better():
    procedure = tell(PUCT(show, exploration=0.0), (None, "a", 0.9), (0, "b", 0.1), (0, "c", 0.3))
    assert scores(procedure) == pytest.approx({"a": 0.3, "c": 0.3, "b": 0.1, None: 0.9})


def test_batch_never_holds_two_of_one_line_of_descent_while_there_are_other_lines():
    # root -> a -> c -> d, and root -> b
    procedure = tell(PUCT(show), (None, "a", 0.2), (None, "b", 0.5), (0, "c", 0.8), (2, "d", 0.9))
    batch = procedure.ask(3, random.Random(0))
    # d blocks c and a; b is free, and so is the bare prompt
    assert [p.parents for p in batch] == [(3,), (1,), ()]
    # when every line is taken it goes on, with the visits that it has made
    assert [p.parents for p in procedure.ask(4, random.Random(0))][:3] == [(3,), (1,), ()]


def test_what_is_on_its_way_counts_as_visited_and_blocks_its_line():
    procedure = tell(PUCT(show), (None, "a", 0.2), (None, "b", 0.5), (0, "c", 0.8))
    assert [p.parents for p in procedure.ask(1, random.Random(0))] == [(2,)]
    flying = [Proposal(parents=(2,))]
    assert [p.parents for p in procedure.ask(1, random.Random(0), flying)] == [(1,)]
    # c has been asked for so often that b is due even where no line is free
    flying = [Proposal(parents=(2,))] * 50 + [Proposal(parents=(1,)), Proposal()]
    assert [p.parents for p in procedure.ask(1, random.Random(0), flying)] != [(2,)]


def test_completion_without_a_valid_answer_counts_as_an_expansion():
    procedure = tell(PUCT(show), (None, "a", 0.2), (None, "b", 0.5))
    procedure.tell([result(number=2, proposal=Proposal(parents=(1,)))])
    assert procedure.num_expansions == 3
    assert procedure._stats.values[2].tolist() == [3, 0, 1]  # root, a, b
    assert scores(procedure)["b"] == pytest.approx(0.5 + 0.3 * (3 / 6) * 2 / 2)  # still its own value


def test_best_children_of_a_completion_become_nodes_and_known_answers_do_not():
    procedure = PUCT(show, children_kept=2)
    procedure.tell([result(("a", (1.0,)), ("b", (3.0,)), ("c", (2.0,)))])
    procedure.tell([result(("b", (3.0,)), ("a", (1.0,)), number=1, first_id=3)])
    assert [node.answer for node in procedure.nodes] == ["b", "c", "a"]


def test_only_the_best_answers_can_be_expanded_and_the_root():
    procedure = PUCT(show, capacity=2)
    for i, value in enumerate([0.1, 0.9, 0.5, 0.7]):
        tell(procedure, (None, str(i), value))
    assert set(scores(procedure)) == {"1", "3", None}


def test_a_search_spreads_over_lines_and_goes_deep():
    play = Play(PUCT(show), num_slots=8).rounds(40)
    depth: dict[int, int] = {}
    for told in play.results:
        for candidate in told.candidates:
            depth[candidate.id] = 1 + max((depth[parent] for parent in told.proposal.parents), default=0)
    assert max(depth.values()) >= 5
    roots = {r.proposal.parents for r in play.results[-40:]}
    assert len(roots) > 4


def test_exploration_finds_its_way_to_a_node_that_greed_leaves_alone():
    def asked_for(exploration):
        procedure = tell(PUCT(show, exploration=exploration), (None, "a", 0.4), (None, "b", 0.5))
        parents = set()
        for i in range(30):
            (proposal,) = procedure.ask(1, random.Random(0))
            parents.add(proposal.parents)
            procedure.tell([result(("b", (0.5,)), number=2 + i, first_id=2 + i, proposal=proposal)])
        return parents

    assert asked_for(0.0) == {(1,)}
    assert asked_for(1.0) >= {(0,), (1,)}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"exploration": -1}, "exploration is -1, expected a finite number >= 0"),
        ({"exploration": math.inf}, "exploration is inf, expected a finite number >= 0"),
        ({"capacity": 0}, "capacity is 0, expected an integer of at least 1"),
        ({"children_kept": 0}, "children_kept is 0, expected an integer of at least 1"),
    ],
)
def test_options_outside_their_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        PUCT(show, **options)


def test_priors_are_the_linear_ranks_of_the_paper():
    procedure = tell(PUCT(show, exploration=1.0), *((None, str(i), float(i)) for i in range(4)))
    bonus = np.array([scores(procedure)[str(i)] - i for i in range(4)])  # nobody but the root was expanded
    # weights N - rank with N = 5 and the root last: 5 4 3 2 for values 3 2 1 0; scale 3, sqrt(1 + 4)
    assert bonus == pytest.approx(3 * math.sqrt(5) * np.array([2, 3, 4, 5]) / 15)


@pytest.mark.parametrize("seed", range(5))
def test_scores_agree_with_the_formula_written_out_over_a_whole_search(seed):
    """Visits, best children and ranks from the list of results alone, in plain Python."""
    play = Play(PUCT(show, exploration=0.7), seed=seed, num_slots=6).rounds(12, batch=3)
    parent_of, value_of = {}, {}  # by answer, the root is None
    visits, best_child = {None: 0}, {}
    name_of: dict[int, str] = {}
    for told in play.results:
        expanded = name_of[told.proposal.parents[0]] if told.proposal.parents else None
        line = [expanded]
        while line[-1] is not None:
            line.append(parent_of[line[-1]])
        for name in line:
            visits[name] = visits.get(name, 0) + 1
        valid = [c for c in told.candidates if c.status == "ok"]
        for candidate in valid:
            best_child[expanded] = max(best_child.get(expanded, -math.inf), candidate.scalar)
        fresh = {}
        for candidate in sorted(valid, key=lambda c: -c.scalar):
            if candidate.answer not in value_of:
                fresh.setdefault(candidate.answer, candidate)
        for answer, candidate in list(fresh.items())[:2]:
            parent_of[answer], value_of[answer], name_of[candidate.id] = expanded, candidate.scalar, answer
    ranked = [*sorted(value_of, key=lambda answer: -value_of[answer]), None]  # stable: the earlier of equals first
    num, scale = len(ranked), max(value_of.values()) - min(value_of.values())
    expected = {
        name: best_child.get(name, value_of.get(name))
        + 0.7
        * scale
        * (num - rank)
        / (num * (num + 1) / 2)
        * math.sqrt(1 + len(play.results))
        / (1 + visits.get(name, 0))
        for rank, name in enumerate(ranked)
    }
    assert scores(play.procedure) == pytest.approx(expected)
