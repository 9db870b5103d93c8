"""What changes in how samples are drawn is named, and chance likeness of prompts is not."""

from __future__ import annotations

import math
import random
from itertools import pairwise

import numpy as np
import pytest

from eval.samples import Samples
from eval.sources import PROMPT_TEMPLATE, SourceError, open_source, read_base, sampling_change
from eval.sources.templates import HOLE, TemplateWatch
from tests.eval.sources.logs import jsonl_text

WORDS = ["apple", "river", "stone", "quick", "seven", "lamp", "green", "under", "paper", "cloud", "night", "train"]


def samples(step=1, **sampling):
    return Samples(step, None, ["p"], ["t"], np.zeros((1, 0)), (), np.arange(1), sampling=sampling)


def questions(rng, num, kind="What is {}?"):
    return [kind.format(" ".join(rng.choices(WORDS, k=8))) for _ in range(num)]


def chat(question, system="You are a careful assistant that thinks step by step."):
    return f"<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n"


def watched(steps):
    watch = TemplateWatch()
    return [watch.see(prompts) for prompts in steps]


def num_changes(templates):
    seen = [each for each in templates if each is not None]
    return sum(one != other for one, other in pairwise(seen))


def test_a_changed_setting_is_named_with_both_values():
    sentence = sampling_change(samples(3, temperature=1.0, top_p=0.9), samples(4, temperature=0.7, top_p=0.9))
    assert sentence is not None and "between step 3 and step 4: temperature from 1.0 to 0.7." in sentence


@pytest.mark.parametrize("after", [{}, {"top_p": 0.9}, {"temperature": 1.0, "top_k": 4}])
def test_what_only_one_side_knows_is_no_change(after):
    assert sampling_change(samples(temperature=1.0), samples(2, **after)) is None


def test_settings_travel_with_the_samples_and_two_in_a_step_are_refused(tmp_path):
    path = tmp_path / "log.jsonl"
    record = {"step": 1, "prompt": "p", "completion": "t", "reward": 1, "temperature": 1.0, "template": "qwen"}
    path.write_bytes(jsonl_text([record, {**record, "step": 2, "temperature": 0.6}]))
    one, two = open_source(path).read()
    assert one.sampling == {"temperature": 1.0, "template": "qwen"}
    assert "temperature from 1.0 to 0.6" in sampling_change(one, two)
    with pytest.raises(SourceError, match=r"temperature from 1.0 to 0.6.*drawn in one way"):
        read_base(path)
    path.write_bytes(jsonl_text([record, {**record, "temperature": 0.6}]))
    with pytest.raises(SourceError, match=r"line 2: 'temperature' is 0.6, but 1.0 at .*line 1 in the same step"):
        list(open_source(path).read())


@pytest.mark.parametrize(("second", "known"), [(math.nan, {"top_p": 0.9}), (1.0, None)])
def test_a_setting_that_is_nan_is_not_known(tmp_path, second, known):
    """pandas writes NaN where it has no number, and one NaN is not equal to another."""
    columns = {"prompt": ["p", "q"], "completion": ["t", "u"], "top_p": [0.9, 0.9], "temperature": [math.nan, second]}
    records = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    (tmp_path / "log.jsonl").write_bytes(jsonl_text(records))
    if known is None:
        with pytest.raises(SourceError, match=r"'temperature' is 1.0, but None at .* in the same step"):
            list(open_source(tmp_path / "log.jsonl").read())
    else:
        (samples,) = open_source(tmp_path / "log.jsonl").read()
        assert samples.sampling == known


def test_the_template_is_what_prompts_share():
    (template,) = watched([[chat(q) for q in questions(random.Random(0), 16)]])
    head, _, tail = template.partition(HOLE)
    assert head.endswith("<|im_start|>user\nWhat is ") and tail.startswith("?<|im_end|>")


@pytest.mark.parametrize("num", [1, 3, 8, 64])
@pytest.mark.parametrize("seed", range(3))
def test_an_edited_system_prompt_is_one_change_at_any_batch_size(num, seed):
    rng = random.Random(seed)
    steps = [[chat(q) for q in questions(rng, num)] for _ in range(40)]
    steps += [[chat(q, "Answer with code only, nothing else.") for q in questions(rng, num)] for _ in range(40)]
    templates = watched(steps)
    assert num_changes(templates) == 1
    if num >= 8:
        assert templates[39] != templates[40]  # at the very step


@pytest.mark.parametrize(
    "edited", [lambda q: q + " Put the answer into \\boxed{}.", lambda q: "Solve this problem with code: " + q]
)
def test_an_added_instruction_is_a_change_and_so_is_one_taken_away(edited):
    rng = random.Random(1)
    steps = [questions(rng, 16) for _ in range(3)] + [[edited(q) for q in questions(rng, 16)] for _ in range(3)]
    assert num_changes(watched(steps)) == num_changes(watched(steps[::-1])) == 1


def test_a_template_that_is_put_back_is_a_second_change():
    rng = random.Random(2)
    systems = [
        *["You are a careful assistant."] * 3,
        *["Write code, and only code."] * 3,
        *["You are a careful assistant."] * 3,
    ]
    templates = watched([[chat(q, system) for q in questions(rng, 16)] for system in systems])
    assert [one != other for one, other in pairwise(templates)] == [
        False,
        False,
        True,
        False,
        False,
        True,
        False,
        False,
    ]


@pytest.mark.parametrize("num", [1, 2, 8, 32])
def test_a_mixture_of_tasks_is_no_change_of_template(num):
    """Two tasks with instructions of their own, drawn at random: batches of one task happen, and mean nothing."""
    kinds = ["Use the numbers {} to reach the target, each once.", "Find the way out of the maze with {} in it."]
    changes = 0
    for seed in range(20):
        rng = random.Random(seed)
        steps = [[questions(rng, 1, rng.choice(kinds))[0] for _ in range(num)] for _ in range(200)]
        changes += num_changes(watched(steps))
    assert changes <= 1  # of 4,000 steps


def test_prompts_without_a_template_never_change_theirs():
    rng = random.Random(3)
    steps = [[" ".join(rng.choices(WORDS, k=6)) for _ in range(8)] for _ in range(500)]
    assert num_changes(watched(steps)) == 0


def test_repeated_prompts_are_too_few_to_tell():
    assert watched([["What is it?"] * 64, ["How is it?"] * 64]) == [None, None]


def test_a_template_that_changes_in_a_log_is_named_from_the_samples(tmp_path):
    rng = random.Random(0)
    records = [
        {"step": step, "prompt": chat(q, system), "completion": "t", "reward": 1}
        for step, system in enumerate(["You solve puzzles in plain words."] * 2 + ["Write code, and only code."] * 2)
        for q in questions(rng, 10)
    ]
    path = tmp_path / "log.jsonl"
    path.write_bytes(jsonl_text(records))
    steps = list(open_source(path).read())
    assert sampling_change(steps[0], steps[1]) is None and sampling_change(steps[2], steps[3]) is None
    sentence = sampling_change(steps[1], steps[2])
    assert sentence.startswith("How samples are drawn changed between step 1 and step 2: template: prompts began with ")
    assert "You solve puzzles" in sentence and "Write code, and only" in sentence
    assert steps[0].sampling[PROMPT_TEMPLATE] == steps[1].sampling[PROMPT_TEMPLATE]


def test_a_log_and_base_samples_of_the_same_prompts_have_the_same_template_but_for_chance(tmp_path):
    rng = random.Random(0)
    base = [{"prompt": chat(q), "completion": "t", "reward": 1} for q in questions(rng, 300)]
    run = [{**record, "step": 7} for record in base[:9]]
    for name, records in (("base", base), ("run", run)):
        (tmp_path / f"{name}.jsonl").write_bytes(jsonl_text(records))
    (samples_of_run,) = open_source(tmp_path / "run.jsonl").read()
    assert sampling_change(read_base(tmp_path / "base.jsonl"), samples_of_run) is None
