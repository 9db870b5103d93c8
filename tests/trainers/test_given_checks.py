"""What a recipe, its flags and its data get wrong is one message that names it, before a model is loaded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from datasets import Dataset

from trainers import VPOConfig
from trainers.given_checks import check_given, check_resume
from vpo.cli.app import main
from vpo.reward_values import reward_failed

ROWS = Dataset.from_list([{"prompt": "go", "target": "red"}])
RECIPE = {
    "model_name_or_path": "tiny",
    "dataset_name": "rows",
    "reward_funcs": ["rewards_to_check.hits", "rewards_to_check.short"],
    "output_dir": "out",
    "use_cpu": True,
    "bf16": False,
    "report_to": "none",
    "max_steps": 1,
}


@pytest.fixture
def settings(tmp_path):
    return lambda **changes: VPOConfig(str(tmp_path / "out"), use_cpu=True, bf16=False, **changes)


@pytest.mark.parametrize(
    ("changes", "train", "evaluation", "message"),
    [
        ({"reward_weights": [1.0, 2.0]}, ROWS, None, "reward_weights has 2 entries, and 1 reward function"),
        ({"report_to": "trackioo"}, ROWS, None, "report_to names 'trackioo': expected some of azure_ml"),
        ({}, Dataset.from_dict({"prompt": []}), None, "train_dataset has no rows"),
        (
            {},
            ROWS.rename_column("prompt", "question"),
            None,
            "columns question, target: .*rename_column.'question', 'prompt'",
        ),
        ({}, ROWS, {"hard": ROWS.remove_columns("prompt")}, r"eval_dataset\['hard'\] has the columns target"),
    ],
)
def test_what_a_trainer_cannot_begin_with_is_named(changes, train, evaluation, message, settings):
    args = settings(**changes)
    with pytest.raises(ValueError, match=message):
        check_given(args, [len], train, evaluation)
    if changes:
        check_given(settings(report_to="none"), [len], train, evaluation)


def test_a_tracker_that_is_not_installed_is_named_with_what_installs_it(settings, monkeypatch):
    from transformers.integrations import integration_utils

    monkeypatch.setattr(integration_utils, "get_available_reporting_integrations", lambda: [])
    with pytest.raises(ValueError, match=r"'trackio', which is not installed: .*pip install 'vpo\[trackio\]'"):
        check_given(settings(report_to="trackio"), len, ROWS, None)


def test_a_checkpoint_that_is_none_is_named_beside_the_newest(tmp_path):
    with pytest.raises(ValueError, match="holds no checkpoint"):
        check_resume(True, str(tmp_path))
    with pytest.raises(ValueError, match=r"'nope': expected the folder of a whole checkpoint.*Leave it out"):
        check_resume("nope", str(tmp_path))
    whole = tmp_path / "checkpoint-3"
    whole.mkdir()
    (whole / "trainer_state.json").write_text("{}")
    for wrong in (tmp_path, "true"):
        with pytest.raises(ValueError, match=r"The newest of this run is .*checkpoint-3"):
            check_resume(str(wrong), str(tmp_path))
    for right in (None, False, True, str(whole)):
        check_resume(right, str(tmp_path))


@pytest.mark.parametrize(
    ("error", "answers", "message"),
    [
        (TypeError("f() missing 1 required positional argument: 'target'"), ["a"], "called with completions, prompts"),
        (TypeError("string indices must be integers"), ["a"], "Each answer is text, as the prompts are"),
        (
            AttributeError("'list' object has no attribute 'strip'"),
            [[{"content": "a"}]],
            "a list with one chat message",
        ),
        (ZeroDivisionError("division by zero"), ["a"], "score it low.$"),
    ],
)
def test_a_reward_function_that_fails_on_the_kind_of_answer_is_told_the_kind(error, answers, message):
    import re

    assert re.search(message, str(reward_failed("f", error, {"completions": answers, "prompts": ["?"]})))


@pytest.fixture
def said(tmp_path, monkeypatch, capfd):
    """What `vpo train` says where it fails, in one line."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for name, row in (("rows", {"prompt": "go", "target": "red"}), ("other", {"question": "go"})):
        Path(name).mkdir()
        Path(name, "train.jsonl").write_text(json.dumps(row))
    Path("tiny").mkdir()
    Path("tiny/config.json").write_text('{"model_type": "llama"}')  # enough to be a model; no test here loads it
    Path("rewards_to_check.py").write_text("def hits(completions, **_): ...\ndef short(completions, **_): ...\n")

    def run(*words: str, **changes) -> str:
        Path("recipe.yaml").write_text(yaml.safe_dump(RECIPE | changes))
        assert main(["train", *words]) == 1
        errors = capfd.readouterr().err
        assert "Traceback" not in errors
        return " ".join(errors.split())

    return run


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dataset_name": "rowz"}, "dataset 'rowz' cannot be loaded (ConnectionError"),
        ({"dataset_name": "rows/train.jsonl"}, "dataset_name is the file rows/train.jsonl: expected a folder"),
        ({"dataset_train_split": "trian"}, "dataset_train_split is 'trian', and the dataset has the splits 'train'"),
        ({"dataset_name": "other"}, "train_dataset has the columns question: expected one named prompt"),
        ({"reward_weights": [1.0]}, "reward_weights has 1 entries, and 2 reward function(s)"),
        (
            {"resume_from_checkpoint": "out"},
            "resume_from_checkpoint is 'out': expected the folder of a whole checkpoin",
        ),
        ({"max_completion_length": 0}, "max_completion_length is 0: expected 1 or more tokens"),
    ],
)
def test_a_recipe_whose_parts_are_not_there_is_one_message(changes, message, said):
    assert message in said("recipe.yaml", **changes)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("recipe.yaml", "--learning_rat", "3"), "there is no option --learning_rat: did you mean --learning_rate?"),
        (("recipe.yaml", "extra"), "'extra' belongs to no option"),
        (("--dry_run", "recipe.yaml"), "the first word is the option --dry_run: expected the recipe there"),
    ],
)
def test_flags_that_are_cut_short_or_stand_in_the_wrong_place_are_refused(words, message, said):
    assert message in said(*words)


def test_a_value_of_a_flag_is_not_looked_for_in_the_file(said):
    found = said("recipe.yaml", "--num_answers", "0", num_answers=3)
    assert "num_answers is 0" in found and "(Set by flags: num_answers.)" in found and "in line" not in found
