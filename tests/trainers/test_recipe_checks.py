"""A recipe's values are held against the fields that they are for, before anything is built of them."""

from __future__ import annotations

import os

import pytest
import yaml

from trainers.vpo import make_parser

RECIPE = {"model_name_or_path": "m", "task": "maze", "output_dir": "out", "use_cpu": True, "bf16": False}


def read(tmp_path, content):
    path = tmp_path / "recipe.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump({**RECIPE, **content}))
    return make_parser().parse_args_and_config(["--config", str(path)])


def test_values_of_their_fields_kinds_are_taken_and_text_is_read_as_a_flag_is(tmp_path):
    script, args, _, _ = read(
        tmp_path,
        "model_name_or_path: m\ntask: maze\ntask_options: {maze: {size: 5}}\nlearning_rate: 2e-6\nalpha: 1/d\n"
        f"output_dir: {tmp_path}/out\nuse_cpu: true\nbf16: false\nnum_generations: 4\nper_device_train_batch_size: 4\n"
        "objective_options: {coverage: 1.0}\nreport_to: none\nmonitor: watch\ncomponent_weights: [0.5, 0.5]\n",
    )
    assert script.task_options == {"maze": {"size": 5}} and script.monitor == "watch"
    assert args.learning_rate == 2e-6 and args.num_generations == 4 and args.component_weights == [0.5, 0.5]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"learning_rate": [1]}, "learning_rate"),
        ({"output_dir": ["x"]}, "output_dir"),
        ({"env": ["A"]}, "env"),
        ({"env": {"A=B": "x"}}, "env has the name 'A=B'"),
        ({"env": {"LD_PRELOAD": "x.so"}}, "env sets LD_PRELOAD, by which processes are made to load code"),
        ({"env": {"PYTHONPATH": "x"}}, "env sets PYTHONPATH"),
        ({"env": {"A": [1]}}, "A"),
    ],
)
def test_a_value_that_no_field_can_have_is_named_with_the_file_and_nothing_is_set(tmp_path, content, message):
    before = dict(os.environ)
    with pytest.raises(ValueError, match=message) as raised:
        read(tmp_path, content)
    assert str(tmp_path / "recipe.yaml") in str(raised.value)
    assert dict(os.environ) == before


@pytest.mark.parametrize("options", ["0x", "text", "[1]", "3", "[" * 5000])
def test_options_of_a_task_that_are_no_options_are_refused_in_one_message(tmp_path, options):
    from trainers.recipe_data import recipe_data

    content = {**RECIPE, "output_dir": f"{tmp_path}/out", "report_to": "none", "task_options": options}
    script, args, _, mixture = read(tmp_path, content)
    with pytest.raises(ValueError, match=r"task_options is .*: expected options by name"):
        recipe_data(script, args, mixture)
