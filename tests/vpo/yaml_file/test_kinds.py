"""A file that was given to another command than its own is named for what it is."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.checkout import ROOT
from vpo.cli.app import main
from vpo.cli.schema import KINDS, schema_of_file
from vpo.yaml_file.kinds import other_kind

SEARCH = {
    "problem": "maze",
    "sampler": "policy",
    "procedure": "best-of-n",
    "budget": {"max_answers": 8},
    "out": "runs/s",
}
COMPARE = {"problems": ["maze"], "policies": {"a": "a"}, "budget": 100}
PIPELINE, RECIPE, LAUNCH = "recipes/smollm2_cpu.yaml", "recipes/maze.yaml", "accelerate_config.yaml"
OWN = {"train": RECIPE, "pipeline": PIPELINE, "search": SEARCH, "search-compare": COMPARE}
COMMANDS = {
    "train": ["train"],
    "pipeline": ["pipeline"],
    "search": ["search", "run"],
    "search-compare": ["search", "compare"],
}


@pytest.mark.parametrize(
    ("command", "given"),
    [(command, given) for command in COMMANDS for given in (*OWN, "accelerate") if command != given],
)
def test_a_file_of_another_command_is_one_message_that_names_it(command, given, tmp_path, capfd, monkeypatch):
    content = LAUNCH if given == "accelerate" else OWN[given]
    if isinstance(content, str):
        content = yaml.safe_load((ROOT / content).read_text())
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(content))
    monkeypatch.chdir(tmp_path)
    assert main([*COMMANDS[command], str(path)]) == 1
    said = " ".join(capfd.readouterr().err.split())
    name = {"accelerate": "accelerate launch"}.get(given, " ".join(["vpo", *COMMANDS.get(given, ())]))
    assert f"mine.yaml is {'a configuration' if given == 'accelerate' else 'a '}" in said
    assert f"`{name}`" in said and "expected one of this command's" in said
    assert "there is no setting" not in said


RECIPES = [path for path in sorted(ROOT.glob("recipes/**/*.yaml")) if path.stem != "base"]  # a study's own


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_our_own_files_are_taken_for_what_they_are(path: Path):
    content = yaml.safe_load(path.read_text())
    seen = {kind for kind in KINDS if kind != "arms" and other_kind(content, schema_of_file(kind)) is None}
    if path.parent.name == "accelerate":
        assert not seen
    else:
        assert seen == {"pipeline" if "convert" in content else "train"}


def test_a_file_that_nobody_knows_is_none_of_them():
    assert other_kind({"a": 1}, schema_of_file("train")) is None
    assert other_kind(["a"], schema_of_file("train")) is None
    assert other_kind({"model_name_or_path": "a"}, schema_of_file("arms")) is None, "any name may be that of an arm"
