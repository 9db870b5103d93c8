"""The teacher that a policy is pretrained by, and what the task refuses."""

from __future__ import annotations

import itertools
import random
from collections import Counter

import pytest

from tests.vpo.tasks.format_mixture.hand import TASK
from vpo.tasks import get_task
from vpo.tasks.format_mixture import FormatMixtureTask
from vpo.tasks.format_mixture.reading import form_of, read
from vpo.tasks.format_mixture.solutions import FORMATS


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
