"""The bridge to reasoning-gym: every generator, the splits, what its scorers may see, and hand-computed rewards."""

from __future__ import annotations

import json
import os
import pickle
import random
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vpo.tasks import get_task
from vpo.tasks.check import check_task
from vpo.tasks.reasoning_gym.entries import HASHED, entries, in_test, pack, spread_seed, stream, unpack
from vpo.tasks.reasoning_gym.generators import known_generators, make_generator
from vpo.tasks.reasoning_gym.screening import SCREENED, check_screened, is_formula, is_literal, is_sum, may_be_scored

# 0.6 s an item, and a config without a default.
SLOW, NO_DEFAULT, REFUSED = {"knight_swap"}, {"composite"}, {"coin_flip", "game_of_life_halting"}
GENERATORS = [name for name in known_generators() if name not in SLOW | NO_DEFAULT | REFUSED]
WITHOUT_REFERENCE = {"boxnet", "graph_color", "propositional_logic", "rubiks_cube", "rush_hour"}
GARBAGE = [
    "", "garbage", "<answer></answer>", "<answer>garbage</answer>", "<answer>null</answer>", "<answer>0</answer>",
    "<answer>[[1, 2], {}]</answer>", "<answer>" + "9" * 5_000 + "</answer>", "<answer>" + "[" * 900 + "</answer>",
    "<answer>\ud800\x00</answer>", "<answer>1e999</answer>", "</answer><answer>", "<answer>-1/0</answer>",
]  # fmt: skip


def rows(name, size, **options):
    """Rows made in this process, which is faster than `dataset` where that takes another one."""
    task = get_task(f"reasoning_gym:{name}", **options)
    found = stream(name, task.config, "train", 0)
    return task, [
        {"answer": entry["answer"], "entry": pack(entry)} for entry, _ in zip(found, range(size), strict=False)
    ]


@pytest.mark.parametrize("name", GENERATORS)
def test_every_generator_gives_its_reference_the_most_and_survives_garbage(name):
    task, found = rows(name, 2)
    for row in found:
        reference = task.reference(row)
        assert (reference is None) == (name in WITHOUT_REFERENCE)
        if reference is not None:
            assert all(value in (1.0, None) for value in task.score(reference, row))
        for answer in GARBAGE:
            vector = task.score(answer, row)
            assert len(vector) == 6
            assert all(value is None or 0.0 <= value <= 1.0 for value in vector)
            assert vector[0] < 1.0 or row["answer"] in ("0", "null")
    assert "attempt" in dir(task) and task.score(task.attempt(found[0], random.Random(0)), found[0])


def test_the_parts_form_and_brevity_of_an_answer_by_hand():
    task = get_task("reasoning_gym:number_sorting", working_chars=100)
    entry = {"question": "q", "answer": "['1', '2', '3']", "metadata": {"direction": "ascending"}}
    row = {"answer": "1 2 3 4 5 6", "entry": pack({**entry, "answer": "1 2 3 4 5 6"})}
    # Thirds of the reference: 1 2 | 3 4 | 5 6; each has three pairs with its two ends. The scorer wants a list: 0.
    assert task.score("<answer>1 2 4 3 5 9</answer>", row) == (0.0, 1.0, 0.0, pytest.approx(1 / 3), 1.0, 0.0)
    assert task.score("<answer>1 2</answer>", row)[1:4] == (0.0, pytest.approx(2 * 1 / (2 + 3) * 0), 0.0)
    good = {"answer": entry["answer"], "entry": pack(entry)}
    assert task.score("<answer>['1', '2', '3']</answer>", good) == (1.0, 1.0, 1.0, 1.0, 1.0, 1.0)
    assert task.score("x" * 25 + "<answer>['1', '2', '3']</answer>", good) == (1.0, 1.0, 1.0, 1.0, 1.0, 0.75)
    assert task.score("<answer>['1', '2', '3']</answer>" + "x" * 25, good) == (1.0, 1.0, 1.0, 1.0, 0.0, 0.75)
    assert task.score("<answer>1</answer><answer>['1', '2', '3']</answer>", good)[0] == 1.0  # the last pair is read
    assert task.score("x" * 200 + "<answer>['1', '2', '3']</answer>", good)[-1] == 0.0
    for empty in ("['1', '2', '3']", "", "<answer>", "<answer> </answer>"):
        assert task.score(empty, good) == (0.0,) * 6


def test_partial_credit_of_reasoning_gym_is_kept_and_a_wrong_answer_never_beats_a_right_one():
    task, (row,) = rows("countdown", 1)
    numbers = unpack(row["entry"])["metadata"]["numbers"]
    wrong = task.score("<answer>" + "+".join(map(str, numbers)) + "</answer>", row)
    assert wrong[0] == 0.05  # their word for the right numbers and the wrong sum
    worst_right = np.dot(task.w_star, [1.0, 1.0, 1.0, 1.0, 0.0, 0.0])
    best_wrong = np.dot(task.w_star, [0.05, 1.0, 1.0, 1.0, 1.0, 0.05])
    assert best_wrong < worst_right == pytest.approx(0.9)


def test_parts_do_not_apply_to_a_single_word_and_can_be_left_out():
    task, (row,) = rows("gcd", 1)
    assert task.score("<answer>no</answer>", row)[1:4] == (None, None, None)
    assert task.score(task.reference(row), row) == (1.0, None, None, None, 1.0, 1.0)
    bare = get_task("reasoning_gym:gcd", parts=0)
    assert bare.components == ("score", "form", "brief")
    assert bare.w_star == (0.9, 0.05, 0.05)
    assert bare.score(bare.reference(row), row) == (1.0, 1.0, 1.0)
    for parts in (0, 1, 3, 16):
        assert sum(get_task("reasoning_gym:gcd", parts=parts).w_star) == pytest.approx(1)


def test_a_task_is_found_by_its_generators_name_checked_and_given_to_a_trainer():
    task = get_task("reasoning_gym:word_sorting", config={"min_words": 3, "max_words": 4})
    assert task.name == "reasoning_gym:word_sorting"
    found = task.dataset("train", 4, 3)
    assert set(found.column_names) == {"prompt", "answer", "entry"}
    assert "<answer>final answer</answer>" in found[0]["prompt"][0]["content"]
    assert len(unpack(found[0]["entry"])["metadata"]["original_words"]) in (3, 4)
    report = check_task(task, list(found))
    assert report.failures == [] and report.num_references == (4, 4)
    (reward,) = task.reward_funcs
    assert reward.__name__ == "reasoning_gym_word_sorting_reward"
    assert reward.components == task.components


def test_rows_without_a_reference_have_a_column_for_it_nevertheless():
    found = get_task("reasoning_gym:rush_hour").dataset("train", 2, 1)
    assert list(found["answer"]) == [None, None]
    assert found.features["answer"].dtype == "string"


# --- splits and seeds ----------------------------------------------------------------------------------------------


def questions(name, split, size, seed):
    return [entry["question"] for entry in entries(name, {}, split, size, seed)]


def test_the_same_seed_gives_the_same_rows_another_gives_others_and_no_question_is_in_both_splits():
    train = questions("chain_sum", "train", 200, 0)
    assert train == questions("chain_sum", "train", 200, 0)
    assert train[:50] == questions("chain_sum", "train", 50, 0)
    assert len(set(train)) == 200
    other = questions("chain_sum", "train", 200, 1)
    assert len(set(train) & set(other)) < 5  # in reasoning-gym itself seeds 0 and 1 share 199 of 200
    for seed in (0, 1, 2):
        assert not set(questions("chain_sum", "test", 100, seed)) & {*train, *other}
    assert all(in_test(question) for question in questions("chain_sum", "test", 20, 3))


def test_seeds_of_the_splits_lie_in_ranges_that_do_not_meet():
    train = {spread_seed("gcd", "train", seed, chunk) for seed in range(50) for chunk in range(20)}
    test = {spread_seed("gcd", "test", seed, chunk) for seed in range(50) for chunk in range(20)}
    assert len(train) == len(test) == 1000
    assert max(train) + 64 <= 2**30 <= min(test)
    assert max(test) < 2**32 - 64  # numpy's largest seed


@pytest.mark.parametrize("name", ["list_functions", "pool_matrix", "knights_knaves", "arc_1d"])
def test_global_random_numbers_neither_decide_the_rows_nor_are_used_up(name):
    random.seed(1)
    np.random.seed(1)
    before = (random.getstate(), np.random.get_state()[1].tolist())
    found = entries(name, {}, "train", 3, 0)
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before
    random.seed(2)
    np.random.seed(2)
    assert [pack(entry) for entry in entries(name, {}, "train", 3, 0)] == [pack(entry) for entry in found]


def test_a_generator_that_walks_over_sets_gives_the_same_rows_in_every_process():
    script = (
        "from vpo.tasks.reasoning_gym.entries import entries\n"
        "print([entry['question'] for entry in entries('isomorphic_strings', {}, 'train', 2, 0)])"
    )
    run = [sys.executable, "-c", script]
    said = set()
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        said.add(subprocess.run(run, capture_output=True, text=True, check=True, env=environment).stdout)
    assert len(said) == 1 and "isomorphic" in said.pop()


FEW = {"min_terms": 2, "max_terms": 2, "min_digits": 1, "max_digits": 1}


def test_what_goes_wrong_where_entries_are_made_apart_is_one_message():
    with pytest.raises(ValueError, match=r"^reasoning-gym's composite gave \d+ different questions of the split"):
        entries("composite", {"datasets": [{"name": "chain_sum", "config": FEW}]}, "train", 5000, 0)


def test_a_generator_with_few_questions_says_so_instead_of_repeating_them():
    with pytest.raises(ValueError, match=r"gave \d+ different questions of the split 'train' and then none for 1000"):
        entries("chain_sum", FEW, "train", 5000, 0)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_no_generator_but_the_known_ones_depends_on_the_hash_seed():
    script = (
        "import hashlib, json, sys\n"
        "from itertools import islice\n"
        "from vpo.tasks.reasoning_gym.entries import pack, stream\n"
        "for name in sys.argv[1:]:\n"
        "    made = [pack(entry) for entry in islice(stream(name, {}, 'train', 0), 8)]\n"
        "    print(name, hashlib.md5(''.join(made).encode()).hexdigest(), flush=True)\n"
    )
    said = []
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run(
            [sys.executable, "-c", script, *GENERATORS], capture_output=True, text=True, check=True, env=environment
        )
        said.append(dict(line.split() for line in done.stdout.splitlines()))
    assert said[0].keys() == set(GENERATORS)
    assert {name for name in GENERATORS if said[0][name] != said[1][name]} <= HASHED


# --- entries in rows -----------------------------------------------------------------------------------------------


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text() | st.integers() | st.tuples(st.integers(), st.text()), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(VALUES)
def test_an_entry_survives_its_row(value):
    found = unpack(pack(value))
    assert found == value and type(found) is type(value)


def test_what_numpy_made_travels_as_pythons_own_and_what_cannot_is_named():
    assert unpack(pack({"a": np.int64(3), "b": np.array([[1, 2]]), "c": np.str_("x"), "d": {1}})) == {
        "a": 3, "b": [[1, 2]], "c": "x", "d": {1},
    }  # fmt: skip
    with pytest.raises(ValueError, match="an entry holds object: expected numbers, texts and collections"):
        pack({"a": object()})


# --- what a scorer may see -----------------------------------------------------------------------------------------


HARM = [
    "__import__('os').system('touch {path}')",
    "open('{path}', 'w')",
    "[open('{path}', 'w')]",
    "().__class__.__bases__[0].__subclasses__()",
    "exec(\"open('{path}', 'w')\")",
    "(lambda: open('{path}', 'w'))()",
    'f\'{{open("{path}", "w")}}\'',
    "[x for x in [open('{path}', 'w')]]",
    "S('open(1)')",
    "ｏｐｅｎ('{path}', 'w')",
]


@pytest.mark.parametrize("name", SCREENED)
def test_no_answer_is_run_by_a_scorer(name, tmp_path):
    task, (row,) = rows(name, 1)
    mark = tmp_path / "mark"
    for harm in HARM:
        answer = harm.format(path=mark)
        assert not may_be_scored(name, answer)
        assert task.score(f"<answer>{answer}</answer>", row)[0] < 1.0
        assert not mark.exists()


def test_the_scorers_would_run_them_if_they_saw_them(tmp_path):
    # The reason for the screen: if this fails, reasoning-gym has mended it, and the screen can go.
    mark = tmp_path / "mark"
    generator = make_generator("string_insertion", {}, 0, 1)
    generator.score_answer(f"open('{mark}', 'w').close()", generator[0])
    assert mark.exists()


@pytest.mark.parametrize(
    "bomb", ["9**9**9**9", "(9**24)**24**24", "exp(exp(9.0))", "((x+1)**24+x)**24", "factorial(99999)", "99999!",
             "sin(sin(sin(x)))", "x**-99", "'a'*10**9", "[0]*10**9", "1 if x else 2", "x.y", "x[0]", "x@y", "~1", "1j"],
)  # fmt: skip
def test_formulas_that_would_never_end_are_not_begun(bomb):
    assert not is_sum(bomb) and not is_formula(bomb)


def test_formulas_that_are_asked_for_pass():
    for answer in ("49*(85 - 1)/14 - 42 - 73", "27*(-2 + (5 - 55 + 62)/2)", "4/1 + 10"):
        assert is_sum(answer)
    for answer in (
        "-9*x**8/10 + 3*x**4/2 + C", "2*(-10*x - 10)**(3/2)/3 + C", "3*x*atan(x) - 3*log(x**2 + 1)/2 + C",
        "exp(x)*sin(x) + C", "-cos(3*x - 10)**3/3 + C", "120384*z**7 + 64448*z**6", "sqrt(1 - 9*x**2)/3 + Abs(x)",
    ):  # fmt: skip
        assert is_formula(answer)
    for answer in ("ABC", "Q _ _\n_ Q _", "1 2 3", "[[1, 2], [3, 4]]", "['A', 'B']", ""):
        assert is_literal(answer)


@pytest.mark.parametrize("name", ["simple_integration", "intermediate_integration", "polynomial_multiplication"])
def test_a_right_formula_in_another_form_is_right(name):
    task, found = rows(name, 6)
    right = [
        task.score(f"<answer>0 + ({row['answer']})</answer>", row)[0]
        for row in found
        if "Integral" not in row["answer"]
    ]
    assert len(right) >= 2 and set(right) == {1.0}


def test_a_generator_that_evaluates_text_and_is_not_known_is_refused(tmp_path, monkeypatch):
    (tmp_path / "careless.py").write_text(
        "class Careless:\n    def score_answer(self, a, e):\n        return eval(a)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    import careless

    with pytest.raises(ValueError, match="reasoning-gym's careless evaluates text in this version"):
        check_screened("careless", careless.Careless())


# --- at the door ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("count_down", {}, r"no generator 'count_down': expected one of its \d+.*Did you mean countdown"),
        ("countdown", {"config": {"min_number": 3}}, r"no option 'min_number'.*Did you mean 'min_numbers'\?"),
        ("countdown", {"config": {"min_numbers": 1}}, "refuses config .*min_numbers must be greater than 1"),
        ("countdown", {"config": {"min_numbers": "many"}}, "refuses config .*TypeError"),
        ("countdown", {"config": {"seed": 3}}, "config holds 'seed': expected it outside"),
        ("countdown", {"config": {"size": 3}}, "config holds 'size': expected it outside"),
        ("countdown", {"config": [3]}, r"config is \[3\]: expected a mapping"),
        ("countdown", {"parts": 17}, "parts is 17: expected a whole number from 0 to 16"),
        ("countdown", {"working_chars": 0}, "working_chars is 0"),
        ("countdown", {"seed": "x"}, "seed is 'x'"),
        ("countdown", {"generator": "gcd"}, "expected it in the name"),
        ("countdown", {"colour": 1}, "has not these options"),
        ("game_of_life_halting", {}, "gives any text, which .* full marks"),
        ("coin_flip", {}, "gives '0', the beginning of every chance below 1, full marks"),
        ("composite", {}, "datasets of composite is None: expected a list"),
        ("composite", {"config": {"datasets": [{"weight": 1}]}}, "expected its name, weight and config"),
        ("composite", {"config": {"datasets": [{"name": "gcd", "config": {"x": 1}}]}}, "gcd has no option 'x'"),
        ("composite", {"config": {"datasets": [{"name": "game_of_life_halting"}]}}, "Leave it out"),
        ("composite", {"config": {"datasets": [{"name": "composite"}]}}, "composite itself"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_at_the_door(name, options, message):
    with pytest.raises(ValueError, match=message):
        get_task(f"reasoning_gym:{name}", **options)


@pytest.mark.parametrize(("name", "text"), [("coin_flip", "0"), ("game_of_life_halting", "[]")])
def test_the_refused_scorers_do_what_they_are_refused_for(name, text):
    # If this fails, reasoning-gym has mended it, and the generator can be let in.
    generator = make_generator(name, {}, 0, 100)
    assert sum(generator.score_answer(text, generator[i]) for i in range(100)) > 85  # a chance can be 1
    assert len({generator[i]["answer"] for i in range(100)}) > 1


def test_a_formula_that_sympy_does_not_finish_is_judged_as_none_and_the_next_one_as_ever():
    task, (row, *_) = rows("simple_integration", 1)
    variable = unpack(row["entry"])["metadata"]["variable"]
    endless = f"cos((((exp(4)/sin({variable})))**12+({variable}+((36.29-C)+({variable}/{variable})))))"
    assert may_be_scored("simple_integration", endless)
    assert task.score(f"<answer>{endless}</answer>", row)[0] == 0.0
    assert task.score(f"<answer>{row['answer']} + 7</answer>", row)[0] == 1.0
    task._referee._child.kill()  # as the kernel would, for memory
    task._referee._child.wait()
    assert task.score(f"<answer>{row['answer']} - 7</answer>", row)[0] == 1.0
    task._referee.close()


def test_a_task_can_be_sent_to_another_process():
    task = get_task("reasoning_gym:gcd", parts=1)
    _ = task.reward_funcs, task._judge
    sent = pickle.loads(pickle.dumps(task))
    assert sent == task and sent.components == task.components


def test_without_a_generator_the_task_can_be_listed_and_nothing_else():
    task = get_task("reasoning_gym")
    assert task.components[0] == "score"
    with pytest.raises(ValueError, match="no generator is named: expected reasoning_gym:NAME"):
        task.dataset("train", 1, 1)
    with pytest.raises(ValueError, match="config without a generator"):
        get_task("reasoning_gym", config={"min_numbers": 3})
    with pytest.raises(ValueError, match="there is no task 'reasoning_gym:'"):
        get_task("reasoning_gym:")
    with pytest.raises(ValueError, match="size is 0"):
        get_task("reasoning_gym:gcd").dataset("train", 0, 1)


def test_without_the_package_the_message_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "reasoning_gym", None)
    with pytest.raises(ValueError, match=r"cannot be imported .*pip install 'vpo\[reasoning-gym\]'"):
        get_task("reasoning_gym:countdown")
    assert get_task("reasoning_gym").name == "reasoning_gym"


def test_a_mixture_of_generators_is_one_task_and_lists_stand_for_tuples():
    parts = [{"name": "gcd"}, {"name": "countdown", "weight": 2, "config": {"operators": ["+", "-"], "max_numbers": 4}}]
    task, found = rows("composite", 12, config={"datasets": json.loads(json.dumps(parts))})
    assert {unpack(row["entry"])["metadata"]["source_dataset"] for row in found} == {"gcd", "countdown"}
    for row in found:
        assert task.score(task.reference(row), row)[0] == 1.0
        assert task.score("<answer>9**9**9**9</answer>", row)[0] < 0.1  # the screen of the part that it came from
        assert not {"*", "/"} & set(row["answer"])
