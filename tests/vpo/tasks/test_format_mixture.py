"""Word problems in three formats: the writer, the reader, the reward by hand, and a tiny policy that learns them."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eval.formats import RuleTaxonomy
from vpo.tasks import get_task
from vpo.tasks.check import check_task
from vpo.tasks.format_mixture import FormatMixtureTask, Problem
from vpo.tasks.format_mixture.arithmetic import compute
from vpo.tasks.format_mixture.problems import Step, problems
from vpo.tasks.format_mixture.reading import form_of, read
from vpo.tasks.format_mixture.solutions import FORMATS, mistaken_steps, write_mistaken_solution, write_solution
from vpo.tasks.hostile import hostile_answers
from vpo.tasks.tiny_policy import tiny_policy, warm_start_rows

# Ann has 8 apples, gets 4 more (12), keeps a third (4), loses 1 (3).
HAND = Problem("Ann", "apples", 8, (Step("+", 4, 0), Step("/", 3, 0), Step("-", 1, 1)))
TASK = FormatMixtureTask(num_steps=3)
ROW = TASK.row(HAND, 1)

SIZES = st.tuples(st.integers(1, 4), st.integers(10, 99), st.sampled_from(["+-", "*-", "+-*/", "-+/", "*-/"]))


def problem_of(sizes, seed):
    return next(problems(*sizes, seed=seed))


# --- problems and solutions ----------------------------------------------------------------------------------------


def test_a_problem_is_told_in_sentences_of_seven_words():
    assert HAND.values == (12, 4, 3)
    assert HAND.sentences() == [
        "at first Ann has 8 apples .",
        "Ann gets 4 more apples today .",
        "Ann splits 3 ways keeping one .",
        "Ann loses 1 of the apples .",
        "how many apples has Ann now ?",
    ]
    assert TASK.prompt(HAND, 3).endswith("now ?\nanswers 3\n")


def test_solutions_as_words_and_as_text():
    assert write_solution(HAND, "python") == "def solution ( ) : a = 8 + 4 ; b = a / 3 ; c = b - 1 ; return c"
    assert write_solution(HAND, "tagged", "text") == "<llm-code>\na = 8 + 4\nb = a / 3\nc = b - 1\nc\n</llm-code>"
    assert write_solution(HAND, "python", "text", is_compact=True) == (
        "def solution():\n    a = (8 + 4) / 3 - 1\n    return a"
    )
    assert write_solution(HAND, "prose") == (
        "first 8 + 4 = 12 so there are 12 . then 12 / 3 = 4 so there are 4 . then 4 - 1 = 3 so there are 3 . "
        "the answer is 3 ."
    )
    assert write_solution(HAND, "prose", "text", is_compact=True) == (
        "First ( 8 + 4 ) / 3 - 1 = 3 so there are 3. The answer is 3.".replace("( ", "(").replace(" )", ")")
    )


@given(SIZES, st.integers(0, 10**6), st.sampled_from(FORMATS), st.sampled_from(["words", "text"]), st.booleans())
@settings(max_examples=150, deadline=None)
def test_a_right_solution_is_read_as_right_and_a_mistaken_one_as_wrong_in_every_format(
    sizes, seed, form, layout, is_compact
):
    problem = problem_of(sizes, seed)
    assert all(1 <= value <= sizes[1] for value in problem.values)
    assert Problem.from_json(problem.to_json()) == problem
    right = read(write_solution(problem, form, layout, is_compact))
    assert right.form == form
    assert right.value == problem.values[-1]
    assert right.values == (problem.values[-1:] if is_compact else problem.values)
    wrong = read(write_mistaken_solution(problem, form, random.Random(seed), layout, is_compact))
    assert wrong.form == form
    assert wrong.value is not None and wrong.value != problem.values[-1]


@given(SIZES, st.integers(0, 10**6))
@settings(max_examples=100, deadline=None)
def test_a_mistake_is_one_operator_or_one_operand(sizes, seed):
    problem = problem_of(sizes, seed)
    changed = mistaken_steps(problem, random.Random(seed))
    pairs = zip(problem.steps, changed, strict=True)
    different = [(a, b) for a, b in pairs if (a.operator, a.operand) != (b.operator, b.operand)]
    ((before, after),) = different
    assert (before.operator == after.operator) != (before.operand == after.operand)


def test_the_formats_are_those_of_the_monitor():
    theirs = {"python": "python", "tool call": "tagged", "prose": "prose", "empty": "empty"}
    taxonomy, rng = RuleTaxonomy(), random.Random(0)
    for layout, number in itertools.product(("words", "text"), range(60)):
        problem = problem_of((1 + number % 4, 20, "+-*/"), number)
        for form, is_compact in itertools.product(FORMATS, (False, True)):
            for text in (
                write_solution(problem, form, layout, is_compact),
                write_mistaken_solution(problem, form, rng, layout, is_compact),
            ):
                assert theirs[taxonomy(text)] == form_of(text) == form
    assert form_of(" \n") == theirs[taxonomy(" \n")] == "empty"
    assert form_of("7 + 7") == "other"


def test_a_format_does_not_depend_on_what_can_be_read():
    assert form_of("def solution(: broken") == "python"
    assert form_of("<llm-code> a = ") == "tagged"
    assert form_of("we define it and know nothing") == "prose"  # the published classifier calls this code


# --- reading without running ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("program", "value", "values"),
    [
        ("7", 7, []),
        ("a = 2\na", 2, []),
        ("a = 8 + 4\nb = a / 3\nb", 4, [12, 4]),
        ("print(1 + 2 * 3)", 7, [7]),
        (
            'def solution():\n    """How many?"""\n    # a comment\n    x = 7 / 2\n    return x * 2',
            7,
            [Fraction(7, 2), 7],
        ),
        ("def f():\n    return 0.1 + 0.2\nprint(f())", Fraction(3, 10), [Fraction(3, 10)]),
        ("a = -3\n-a", 3, []),
        ("def solution ( ) : a = 3 + 4 ; return a", 7, [7]),
        ("return 5", 5, []),
        ("a = 1\nreturn a\nb = 1 / 0", 1, []),
    ],
)
def test_a_program_is_computed(program, value, values):
    found = compute(program)
    assert found.value == value
    assert list(found.values) == values


@pytest.mark.parametrize(
    "program",
    [
        "", "a = 3", "a", "1 / 0", "2 ** 3", "7 // 2", "7 % 2", "__import__('os').system('true')", "open('x')", "a.b",
        "[1][0]", "x = y = 1\nx", "a, b = 1, 2\na", "lambda: 1", "'text'", "True", "1j", "exec('1')", "print(1, 2)",
        "for i in range(9):\n    i\n1", "while True:\n    pass", "if 1:\n    1", "import os\n1", "1 == 1", "'\\d'",
        "def f(x):\n    return 1",
        "def f():\n    return 1\ndef g():\n    return 2", "@f\ndef f():\n    return 1", "def f():\n    return f()",
        "1\ndef f():\n    return 1", "a = 3 + ", "((((" * 400, "-" * 3000 + "1", "9" * 5000, "10**9", "[0] * 10",
        "a = 1000000\nb = a * a\nb * a", "\x00", "\ud800", "1 if 1 else 2", "a: int = 3\na", "return", "f'{1}'",
        "def solution(a=open('x')):\n    return 1", "def solution() -> open('x'):\n    return open('x')",
    ],
)  # fmt: skip
def test_what_is_not_plain_arithmetic_has_no_value(program):
    assert compute(program).value is None


def test_no_answer_is_ever_run(tmp_path):
    mark = tmp_path / "mark"
    for body in (f"open({str(mark)!r}, 'w')", f"__import__('pathlib').Path({str(mark)!r}).touch()"):
        for answer in (
            f"def solution():\n    {body}\n    return 3", f"<llm-code>\n{body}\n3\n</llm-code>",
            f"def solution(x={body}):\n    return 3", f"the answer is {body}",
        ):  # fmt: skip
            TASK.score(answer, ROW)
            assert not mark.exists()


@given(st.recursive(st.integers(0, 30), lambda e: st.tuples(e, st.sampled_from("+-*/"), e), max_leaves=6))
@settings(deadline=None)
def test_arithmetic_agrees_with_python_itself(tree):
    def written(node):
        return str(node) if isinstance(node, int) else f"({written(node[0])} {node[1]} {written(node[2])})"

    def exact(node):
        return f"Fraction({node})" if isinstance(node, int) else f"({exact(node[0])} {node[1]} {exact(node[2])})"

    try:
        expected = eval(exact(tree), {"Fraction": Fraction})  # of the test's own making
    except ZeroDivisionError:
        expected = None
    if expected is not None and max(abs(expected), expected.denominator) > 10**9:
        return  # near the limit of size, which numbers on the way may pass
    assert compute(written(tree)).value == expected


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("The answer is 14.", 14), ("so the Answer is: **14**", 14), ("answer is $14", 14), ("#### 14", 14),
        ("the answer is 3 . no , the answer is 4 .", 4), ("the answer is -2.5", Fraction(-5, 2)),
        ("the answer is unknown", None), ("14", None), ("the answer is " + "9" * 50, None), ("the answer is", None),
        ("der Preis ist 5 €, the answer IS 7", 7), ("the answer is ²", None),
        ("Here it is:\n```python\ndef solution():\n    a = 7 * 2\n    return a\n```\nIt prints 14.", 14),
        ("<llm-code>\nprint(7 * 2)\n</llm-code>\n<llm-code-output>\n15\n</llm-code-output>", 14),
        ("<llm-code>\n7 * 2", None),
    ],
)  # fmt: skip
def test_the_number_that_an_answer_ends_in(text, value):
    assert read(text).value == value


# --- the reward, by hand -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "vector"),
    [
        ("def solution ( ) : a = 8 + 4 ; b = a / 3 ; c = b - 1 ; return c", (1, 1, 0)),  # 12, 4, 3: all steps
        ("def solution ( ) : a = ( 8 + 4 ) / 3 - 1 ; return a", (1, 1 / 3, 1)),  # 3 alone
        ("<llm-code> a = ( 8 + 4 ) / 3 ; a - 1 </llm-code>", (1, 2 / 3, 0.5)),  # 4 and 3, in two expressions
        ("def solution ( ) : a = 8 + 4 ; b = a / 3 ; c = b + 1 ; return c", (0, 2 / 3, 0)),  # 12, 4, then 5
        ("first 8 + 4 = 12 . then 12 / 3 = 5 . the answer is 5 .", (0, 1 / 3, 0)),
        ("the answer is 3 .", (1, 0, 1)),  # right, and nothing shown
        ("the answer is 4 .", (0, 0, 0)),
        ("8 + 4 = 12 . 12 / 3 = 4 . 4 - 1 = 3 .", (0, 0, 0)),  # no answer is given
        ("4 = 4 , 12 = 12 , 3 = 3 . the answer is 3 .", (1, 2 / 3, 0)),  # out of order: 12 and 3, or 4 and 3
        ("def solution ( ) : return 3", (1, 0, 1)),
        (" ".join(f"0 + {i} = {i} ," for i in range(1, 30)) + " the answer is 3", (1, 1 / 29, 0)),  # 12 of 29; 4, 3 too
        ("", (0, 0, 0)),
        ("def solution ( ) : a = 8 + ; return a", (0, 0, 0)),
    ],
)  # fmt: skip
def test_rewards_by_hand(answer, vector):
    assert TASK.score(answer, ROW) == pytest.approx(vector)


def test_with_one_step_there_is_one_thing_to_earn():
    task = FormatMixtureTask(num_steps=1)
    problem = Problem("Ben", "pens", 5, (Step("-", 2, 0),))
    row = task.row(problem, 1)
    assert task.score(task.reference(row), row) == (1, 1, 1)
    assert task.score("the answer is 4", row) == (0, 0, 0)
    assert task.front(problem) == [(1, 1, 1)]
    assert TASK.reference(ROW) is None


@pytest.mark.parametrize("num_steps", [2, 3, 4])
def test_the_front_is_what_the_ways_of_grouping_steps_earn(num_steps):
    task = FormatMixtureTask(num_steps=num_steps)
    problem = next(task.examples("train"))
    row = task.row(problem, 1)
    start, operations = str(problem.start), [f"{step.operator} {step.operand}" for step in problem.steps]
    vectors = set()
    for cuts in itertools.product((False, True), repeat=num_steps - 1):  # after which steps an expression ends
        expression, body = start, []
        for operation, is_cut in zip(operations, (*cuts, True), strict=True):
            expression = f"( {expression} ) {operation}"
            if is_cut:
                body.append(f"x = {expression}")
                expression = "x"
        vectors.add(task.score("def solution ( ) : " + " ; ".join([*body, "return x"]), row))
    assert {tuple(map(float, v)) for v in task.front(problem)} == {tuple(map(float, v)) for v in vectors}


def test_the_reward_does_not_look_at_the_format():
    for number, (layout, is_compact) in enumerate(itertools.product(("words", "text"), (False, True))):
        problem = problem_of((3, 20, "+-*/"), number)
        row = TASK.row(problem, 1)
        assert len({TASK.score(write_solution(problem, form, layout, is_compact), row) for form in FORMATS}) == 1


@pytest.mark.parametrize("wording", ["words", "chat"])
def test_the_task_is_fit_and_survives_every_hostile_answer(wording):
    task = get_task("format_mixture", wording=wording, error_rates={"prose": 0.5, "python": 0.5, "tagged": 0.5})
    rows = list(task.dataset("train", 12, 1))
    report = check_task(task, rows)
    assert report.failures == [] and report.measured_on == "attempts"
    assert report.geometry.verdict == "vector"
    for answer in hostile_answers(task.tag, [write_solution(HAND, form) for form in FORMATS]).values():
        assert task.label(answer, rows[0]) in (*FORMATS, "empty", "other")


# --- the teacher ---------------------------------------------------------------------------------------------------


def test_the_teachers_formats_mistakes_and_compactness_have_the_shares_that_were_set():
    task = FormatMixtureTask(
        mixture={"python": 0.5, "tagged": 0.3, "prose": 0.2},
        error_rates={"python": 0.1, "prose": 0.6},
        compact_share=0.3,
    )
    rng, count, right, compact = random.Random(0), Counter(), Counter(), 0
    for problem in itertools.islice(task.examples("train"), 3000):
        answer = task.teacher_completion(problem, 1, rng)
        vector = task.score(answer, task.row(problem, 1))
        count[form_of(answer)] += 1
        right[form_of(answer)] += vector[0]
        compact += len(read(answer).values) == 1
    for form, share, accuracy in (("python", 0.5, 0.9), ("tagged", 0.3, 1.0), ("prose", 0.2, 0.4)):
        assert count[form] / 3000 == pytest.approx(share, abs=0.03)
        assert right[form] / count[form] == pytest.approx(accuracy, abs=0.06)
    assert compact / 3000 == pytest.approx(0.3, abs=0.03)


@pytest.mark.parametrize("num_steps", [1, 2, 3, 4])
def test_every_word_is_in_the_vocabulary_and_every_length_within_its_bound(num_steps):
    rates = dict.fromkeys(FORMATS, 0.5)
    task = FormatMixtureTask(num_steps=num_steps, largest=99, error_rates=rates)
    words, rng = set(task.vocabulary(3)), random.Random(0)
    longest = 0
    for problem in itertools.islice(task.examples("train"), 300):
        for count in (1, 3):
            prompt, completion = task.prompt(problem, count), task.teacher_completion(problem, count, rng)
            assert set(f"{prompt} {completion}".split()) <= words
            assert len(prompt.split()) == task.prompt_tokens
            assert len(completion.split()) + 1 <= task.completion_tokens(count)
            longest = max(longest, len(completion.split()) + 1) if count == 1 else longest
            assert len(task.answer_format(count).parse(completion).answers) == count
    assert longest == task.completion_tokens(1)


def test_splits_are_apart_and_the_same_seed_gives_the_same_rows():
    train = {problem.key() for problem in itertools.islice(TASK.examples("train"), 500)}
    assert train == {
        problem.key() for problem in itertools.islice(FormatMixtureTask(num_steps=3).examples("train"), 500)
    }
    for seed in (0, 1):
        assert not train & {problem.key() for problem in itertools.islice(TASK.examples("test", seed), 200)}
    assert train != {problem.key() for problem in itertools.islice(TASK.examples("train", 1), 500)}
    assert TASK.dataset("train", 2, 3)["prompt"] == FormatMixtureTask(num_steps=3).dataset("train", 2, 3)["prompt"]


def test_a_language_models_prompt_asks_for_a_solution_and_its_teacher_writes_lines():
    task = get_task("format_mixture", wording="chat", mixture={"python": 1.0})
    row = task.dataset("train", 1, 3)[0]
    (message,) = row["prompt"]
    assert message["content"].startswith("At first ") and "now?" in message["content"]
    assert "<llm-code>" in message["content"] and "answers 3" not in message["content"]
    assert task.attempt(row, random.Random(0)).startswith("def solution():\n    a = ")
    (reward,) = task.reward_funcs
    completion = [{"role": "assistant", "content": task.attempt(row, random.Random(0))}]
    assert reward(prompts=[row["prompt"]], completions=[completion], problem=[row["problem"]])[0][0] == 1.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_steps": 0}, "num_steps is 0: expected a whole number from 1 to 4"),
        ({"num_steps": 2.0}, "num_steps is 2.0"),
        ({"largest": 9}, "largest is 9: expected a whole number from 10 to 99"),
        ({"operators": "+"}, r"operators is '\+': expected some of"),
        ({"operators": "+/"}, "operators is"),
        ({"operators": "-^+"}, "operators is"),
        ({"mixture": {"python": 0.5}}, "sums to 0.5: expected shares that sum to 1"),
        ({"mixture": {"latex": 1.0}}, "mixture is .*expected a share in .* for some of python, tagged, prose"),
        ({"mixture": 3}, "mixture is 3"),
        ({"error_rates": {"prose": 1.5}}, "error_rates is"),
        ({"compact_share": -0.1}, "compact_share is -0.1"),
        ({"wording": "poem"}, "wording is 'poem'"),
    ],
)
def test_bad_options_are_refused_at_the_door(options, message):
    with pytest.raises(ValueError, match=message):
        get_task("format_mixture", **options)


# --- a policy ------------------------------------------------------------------------------------------------------


def test_a_tiny_policy_can_be_made_for_it():
    for num_answers in (1, 3):
        _, tokenizer = tiny_policy(TASK, num_answers, 0)
        for row in warm_start_rows(TASK, 8, 4, num_answers, 0):
            assert tokenizer.unk_token_id not in tokenizer(row["prompt"] + row["completion"])["input_ids"]


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("num_answers", "steps", "rate"), [(1, 250, 4e-3), (3, 400, 3e-3)])
def test_a_tiny_policy_learns_all_formats_and_is_right_often_enough_to_learn_from(num_answers, steps, rate, tmp_path):
    import torch
    from trl import SFTConfig

    from trainers import WarmStartTrainer

    task = FormatMixtureTask()
    model, tokenizer = tiny_policy(task, num_answers, seed=0)
    single_share = 1.0 if num_answers == 1 else 0.25
    rows = warm_start_rows(task, 32 * steps, 8000, num_answers, seed=0, single_share=single_share)
    arguments = SFTConfig(
        str(tmp_path), use_cpu=True, bf16=False, gradient_checkpointing=False, report_to="none", save_strategy="no",
        disable_tqdm=True, seed=0, per_device_train_batch_size=32, max_steps=steps, learning_rate=rate,
        lr_scheduler_type="cosine", warmup_steps=25, max_length=None,
    )  # fmt: skip
    WarmStartTrainer(model=model, args=arguments, train_dataset=rows, processing_class=tokenizer).train()
    problems = list(itertools.islice(task.examples("test"), 256))
    prompts = tokenizer([task.prompt(problem, num_answers) for problem in problems], return_tensors="pt", padding=True)
    prompts.pop("token_type_ids", None)
    count, right = Counter(), Counter()
    torch.manual_seed(0)
    for _ in range(3 if num_answers == 1 else 1):
        longest = task.completion_tokens(num_answers)
        out = model.eval().generate(**prompts, do_sample=True, top_k=0, max_new_tokens=longest)
        texts = tokenizer.batch_decode(out[:, prompts["input_ids"].shape[1] :], skip_special_tokens=True)
        for problem, text in zip(problems, texts, strict=True):
            for answer in task.answer_format(num_answers).parse(text).answers:
                count[form_of(answer)] += 1
                right[form_of(answer)] += task.score(answer, task.row(problem, num_answers))[0]
    total = count.total()
    for form in FORMATS:
        print(f"m = {num_answers}: {form} {count[form] / total:.3f}, of these right {right[form] / count[form]:.3f}")
    print(f"m = {num_answers}: all {right.total() / total:.3f} right, {total} answers")
    asked = len(problems) * (3 if num_answers == 1 else num_answers)
    assert total > 0.8 * asked  # some sets of answers are not closed, or numbered wrong
    assert 0.3 < right.total() / total < 0.85
    for form, share in task.mixture.items():
        assert count[form] / total == pytest.approx(share, abs=0.06)
    assert right["python"] / count["python"] > right["prose"] / count["prose"] > 0


@pytest.mark.parametrize(("objective", "num_answers"), [("grpo", 1), ("vpo", 3), ("multi_rlvr", 3)])
def test_it_is_trained_on_with_one_answer_and_with_several(objective, num_answers, tmp_path, capsys):
    from trainers.vpo import main, make_parser

    policy, tokenizer = tiny_policy(TASK, num_answers, 0)
    policy.save_pretrained(tmp_path / "policy")
    tokenizer.save_pretrained(tmp_path / "policy")
    flags = {
        "model_name_or_path": tmp_path / "policy", "output_dir": tmp_path / "out", "task": "format_mixture",
        "task_options": '{"num_steps": 3}', "num_answers": num_answers, "objective": objective, "use_cpu": True,
        "bf16": False, "ask_for_answers": False, "per_device_train_batch_size": 4, "num_generations": 4,
        "max_completion_length": 24, "disable_tqdm": True,
    }  # fmt: skip
    words = [word for name, value in flags.items() for word in (f"--{name}", str(value))]
    main(*make_parser().parse_args_and_config([*words, "--dry_run"]))
    assert "components correct, steps, compact" in capsys.readouterr().out
