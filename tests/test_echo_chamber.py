"""Echo Chamber in miniature: what it reads of a rollout log, when it raises an alarm, what it keeps, its recipes."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from eval.rollouts import ROLLOUT_SCHEMA
from tests.eval.rollout_rows import rollout_row

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))  # where a benchmark finds its parts

from echo.collapse import measured_panel, watched  # noqa: E402
from echo.plan import ARMS, COIN, GRPO, NAMED, RECIPES, VPO, Plan  # noqa: E402
from echo.tables import first_alarm, pass_rates, row_of, targets  # noqa: E402

TEXTS = {
    "python": "def solution ( ) : a = 3 + 4 ; return a",
    "tagged": "<llm-code> a = 3 + 4 ; a </llm-code>",
    "prose": "first 3 + 4 = 7 so there are 7 . the answer is 7 .",
}
BASE_SHARES = {"python": 0.4, "tagged": 0.1, "prose": 0.5}


def log_row(step: int, prompt: str, texts: list[str], right: list[float]) -> dict:
    said = {"prompt_id": prompt, "completion": " ".join(texts) or "7 7", "answers": texts, "completion_tokens": 9}
    paid = {"rewards": [[0.5, value] for value in right], "components": ["steps", "correct"]}
    return rollout_row(step=step, epoch=step / 10, **said, **paid)


def write_log(folder: Path, rows: list[dict]) -> Path:
    folder.mkdir(parents=True)
    for step in {row["step"] for row in rows}:
        table = pa.Table.from_pylist([row for row in rows if row["step"] == step], schema=ROLLOUT_SCHEMA)
        pq.write_table(table, folder / f"rank0000-step{step:08d}.parquet")
    return folder


def label(text: str, row: dict) -> str:
    from vpo.tasks.format_mixture import FormatMixtureTask

    return FormatMixtureTask().label(text, row)


def drawn_log(folder: Path, shares_at, steps: int = 48, prompts: int = 8, group: int = 24, seed: int = 0) -> Path:
    """A log of single answers whose formats have the chances that ``shares_at`` gives for a step."""
    rng = np.random.default_rng(seed)
    rows = []
    for step in range(steps):
        shares = shares_at(step)
        for kind, place in zip(
            rng.choice(list(shares), prompts * group, p=list(shares.values())), range(10**6), strict=False
        ):
            rows.append(log_row(step, f"{step}-{place // group}", [TEXTS[kind]], [float(rng.random() < 0.5)]))
    return write_log(folder / "rollouts", rows)


def test_every_answer_of_a_log_counts_and_nothing_is_left_out(tmp_path):
    rows = [
        log_row(0, "a", [TEXTS["python"], TEXTS["tagged"]], [1.0, 0.0]),
        log_row(0, "a", [], []),  # no answer could be read
        log_row(1, "b", [TEXTS["prose"]], [1.0]),
    ]
    first, second = watched(write_log(tmp_path / "rollouts", rows), label, looks=2)["steps"]
    assert first["shares"] == {"python": 1 / 3, "tagged": 1 / 3, "prose": 0.0, "other": pytest.approx(1 / 3)}
    assert first["accuracies"] == {"python": 1.0, "tagged": 0.0, "prose": None}
    assert (first["tokens"], second["step"], second["epoch"]) == (18, 1, 0.1)


def test_a_collapse_is_called_after_it_began_and_soon(tmp_path):
    collapsed = {"python": 0.97, "tagged": 0.01, "prose": 0.02}
    log = drawn_log(tmp_path, lambda step: BASE_SHARES if step < 20 else collapsed)
    found = watched(log, label, looks=48)["watch"]
    assert 20 <= found["alarms"][0]["step"] <= 26
    assert {"format: python", "format: agreement"} & set(found["alarms"][0]["channels"])
    assert 20 <= found["all facets"][0]["step"] <= 26
    assert "at most 0.05 over 48 looks" in found["guarantee"]


def test_a_policy_that_stays_raises_none(tmp_path):
    found = watched(drawn_log(tmp_path, lambda step: BASE_SHARES, seed=2), label, looks=48)["watch"]
    assert found["alarms"] == found["all facets"] == []
    assert found["verdict"] == "no change"


def test_arms_differ_in_their_method_alone():
    method = {"objective", "objective_options", "num_answers", "num_generations", "beta", "output_dir"}
    method |= {"per_device_train_batch_size", "max_completion_length"}  # they follow from it
    arms = {path.stem: yaml.safe_load(path.read_text()) for path in RECIPES.glob("*.yaml") if path.stem != "base"}
    assert {arm.recipe for arm in ARMS} == set(arms)
    rest = [{key: value for key, value in arm.items() if key not in method} for arm in arms.values()]
    assert all(each == rest[0] for each in rest)
    plan = Plan(0)
    for arm in ARMS:
        recipe, task = plan.recipe(arm), plan.arm_task(arm)
        answers_a_step = recipe["per_device_train_batch_size"] * recipe["num_answers"]
        assert answers_a_step == 8 * 24
        assert recipe["max_completion_length"] == task.completion_tokens(recipe["num_answers"])
        assert plan.looks(arm) == 48
    assert rest[0]["task_options"]["num_steps"] == plan.base["task_options"]["num_steps"]


def test_a_coin_pays_as_it_falls_and_says_nothing_of_the_answer():
    task = Plan(0).arm_task(COIN)
    row = task.row(next(task.examples("train")), 1)
    paid = [task.score(TEXTS["prose"], row)[3] for _ in range(400)]
    assert set(paid) == {0.0, 1.0}
    assert 0.4 < np.mean(paid) < 0.6
    assert task.w_star == (0.0, 0.0, 0.0, 1.0)


def test_the_vector_that_tells_formats_apart_pays_in_the_place_of_the_format():
    task = Plan(0).arm_task(NAMED)
    row = {"problem": '["Ann","books",3,[["+",4,0]]]'}
    assert [task.score(text, row) for text in TEXTS.values()] == [
        (1.0, 1.0, 0.0, 0.0),
        (1.0, 0.0, 1.0, 0.0),
        (1.0, 0.0, 0.0, 1.0),
    ]
    assert task.score("the answer is 8 .", row) == (0.0,) * 4
    assert Plan(0).fingerprint(NAMED) != Plan(0).fingerprint(VPO)


def fake_run(alarm_at: int | None, share: float = 0.9) -> dict:
    rest = {"tagged": 0.0, "prose": 1 - share, "other": 0.0}
    step = {"shares": {"python": share, **rest}, "accuracy": 0.5, "alpha": 1.2, "gamma": 1.3, "tokens": 10, "epoch": 0}
    alarms = [] if alarm_at is None else [{"step": alarm_at, "epoch": 0.5, "channels": ["python"]}]
    panel = {"formats": [[["python"], ["prose"]]], "correct": [[[1], [0]]]}
    facts = {
        "kl": [None],
        "tokens": 60,
        "cpu_seconds": 1.0,
        "panel_cpu_seconds": 0.5,
        "panel": panel,
        "watch": {"alarms": alarms, "all facets": alarms, "verdict": "sharpening"},
    }
    return {"steps": [{**step, "step": i} for i in range(6)], **facts}


def test_targets_say_what_was_found_whatever_it_is():
    runs = {GRPO.name: [fake_run(3), fake_run(None, 0.6)], VPO.name: [fake_run(5), fake_run(None, 0.6)]}
    base = {"share python": [0.4] * 2, "share tagged": [0.1] * 2, "share prose": [0.5] * 2, "pass@1": [0.4] * 2}
    base |= {f"right {name}": [0.3] * 2 for name in BASE_SHARES}
    rows = {"base, single answers": base, **{name: {"top share": [0.9, 0.6]} for name in runs}}
    found = {each.name: each for each in targets([fake_run(None)] * 2, rows, runs, {"pass@1": 0.1})}
    alarms = found["GRPO: seeds with an alarm in the first epoch"]
    assert (alarms.figure, alarms.ok) == (0.5, False)
    assert found["VPO: seeds with a later alarm than GRPO's, or none"].ok
    assert found["GRPO: seeds in which another format wins than the most frequent"].figure == 1.0
    assert first_alarm(runs[VPO.name][0]) == {"step": 5, "epoch": 0.5, "channels": ["python"]}


def test_a_row_holds_the_end_of_a_run_and_its_panel():
    row = row_of(fake_run(None))
    assert row["share python"] == pytest.approx(0.9)
    assert row["alpha"] == pytest.approx(1.2)
    assert row["pass@1"] == 0.5
    panel = {"formats": [[["python", "prose"], ["prose", "empty"]]], "correct": [[[1, 0], [0, 0]]]}
    found = measured_panel(panel)
    assert found["shares"] == {"python": 0.25, "tagged": 0.0, "prose": 0.5, "other": 0.25}
    assert found["accuracies"]["python"] == 1.0 and found["alpha"] == pytest.approx(6.0)  # 1 of 6 pairs agrees
    assert pass_rates(panel)["pass@1"] == 0.5


@pytest.fixture(scope="module")
def base_policy(tmp_path_factory) -> Path:
    from vpo.tasks.tiny_policy import tiny_policy

    folder = tmp_path_factory.mktemp("base")
    model, tokenizer = tiny_policy(Plan(0).task, 3, seed=0, width=16, num_loops=1)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("name", ["grpo_kl_0.1", "multi_answer_sum", "vpo"])
def test_a_recipe_takes_one_step_with_vpo_train_and_saves_nothing(name, base_policy, tmp_path, capsys):
    from trainers.vpo import main, make_parser

    small = {"per_device_train_batch_size": 8, "num_generations": 4, "max_completion_length": 6, "disable_tqdm": True}
    changes = {"model_name_or_path": base_policy, "output_dir": tmp_path / "out", **small}
    flags = [word for key, value in changes.items() for word in (f"--{key}", str(value))]
    main(*make_parser().parse_args_and_config(["--config", str(RECIPES / f"{name}.yaml"), *flags, "--dry_run"]))
    said = capsys.readouterr().out
    assert f"2 prompts x 4 completions x {1 if name.startswith('grpo') else 3} answers a step" in said
    assert not (tmp_path / "out" / "rollouts").exists()


@pytest.mark.slow
def test_an_arm_that_is_done_is_not_trained_again_and_another_that_was_killed_goes_on(tmp_path, monkeypatch):
    import echo.stages as stages

    plan = Plan(0, quick=True)
    stages.warm_start(plan, tmp_path)
    first = stages.train_arm(plan, GRPO, tmp_path)
    assert [step["step"] for step in first["steps"]] == [0, 1, 2, 3]
    assert len(first["panel"]["correct"]) == plan.base["panel_prompts"]

    (tmp_path / "GRPO" / "done.json").unlink()  # killed after its last checkpoint
    again = stages.train_arm(plan, GRPO, tmp_path)
    assert again["steps"] == first["steps"]
    assert again["panel"] == first["panel"]

    def refuse(*args, **kwargs):
        raise AssertionError("trained again")

    monkeypatch.setattr("trainers.VPOTrainer", refuse)
    monkeypatch.setattr("trainers.WarmStartTrainer", refuse)
    assert stages.train_arm(plan, GRPO, tmp_path) == again
    stages.warm_start(plan, tmp_path)
    with pytest.raises(ValueError, match="other settings"):
        stages.train_arm(Plan(1, quick=True), GRPO, tmp_path)


@pytest.mark.slow
def test_a_quick_run_writes_its_table(tmp_path):
    import subprocess

    command = [sys.executable, str(ROOT / "benchmarks" / "echo_chamber.py"), "--quick", "--out", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280)
    assert "GRPO: seeds with an alarm in the first epoch" in done.stdout, done.stderr[-2000:]
    found = json.loads((ROOT / "benchmarks" / "results" / "echo_chamber-quick.json").read_text())
    assert set(found["alarms"]) == {"GRPO", "VPO"}
    assert found["metrics"]["GRPO"]["steps"]["by_seed"] == [4]
    assert "CPU seconds of a seed, all arms" in {target["name"] for target in found["targets"]}
