from __future__ import annotations

import logging

import pytest
from trl import GRPOConfig, GRPOTrainer, RLOOConfig, RLOOTrainer

from eval.collapse import CollapseMonitor, FalseAlarms
from eval.collapse.store import MonitorStore
from eval.facets import default_facets
from eval.rollouts import read_rollouts
from tests.eval.collapse.scripted import collapsing, make, steady
from trainers import VPOConfig, VPOTrainer

pytestmark = pytest.mark.filterwarnings("ignore:You are using .rollout_func.:UserWarning")


def watched(folder, shares=collapsing, trainer=GRPOTrainer, config=GRPOConfig, monitor=None, **options):
    """A trainer with its monitor among the callbacks."""
    found = make(trainer, config, folder, shares, **options)
    callback = CollapseMonitor(found, strict=True, **(monitor or {}))
    found.add_callback(callback)
    return found, callback


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A GRPO run that collapses at step 3, watched."""
    folder = tmp_path_factory.mktemp("grpo") / "run"
    trainer, callback = watched(folder)
    trainer.train()
    return folder, trainer, callback


def test_a_grpo_run_that_collapses_raises_an_alarm_within_two_steps(run):
    _, _, callback = run
    assert [look.step for look in callback.monitor.looks] == list(range(7))
    assert callback.monitor.alarms[0].step in (3, 4)
    assert callback.monitor.reference.correctness.component == "even"
    assert all(look.num_samples == 128 for look in callback.monitor.looks)
    steps = [look.shares["format"]["python"].est for look in callback.monitor.looks]
    assert max(steps[:3]) < 0.6 and min(steps[3:]) > 0.9


def test_records_and_pages_lie_in_the_runs_folder(run):
    folder, _, callback = run
    store = MonitorStore(folder / "monitor")
    assert store.looks() == callback.monitor.looks
    assert store.alarms() == callback.monitor.alarms
    for name in ("report.html", "report.md", "report.json"):
        assert (folder / "monitor" / name).stat().st_size > 0


def test_trackers_get_the_monitors_numbers_through_trl(run):
    _, trainer, _ = run
    logs = [entry for entry in trainer.state.log_history if "monitor/top_format_share" in entry]
    assert len(logs) == 7
    assert logs[-1]["monitor/top_format_share"] > 0.9
    assert logs[-1]["monitor/effective_formats"] < 1.2
    assert logs[-1]["monitor/evidence"] > 1


def test_the_settings_of_the_trainer_stand_in_every_look(run):
    _, trainer, callback = run
    settings = callback.monitor.looks[0].settings
    assert settings["temperature"] == trainer.args.temperature
    assert settings["beta"] == 0.0 and settings["num_generations"] == 4
    assert 0 < callback.monitor.looks[1].settings["learning_rate"] <= 1e-3
    logged = [entry["entropy"] for entry in trainer.state.log_history if "entropy" in entry]
    assert [look.entropy for look in callback.monitor.looks] == pytest.approx(logged)


def test_a_steady_run_is_silent(tmp_path):
    trainer, callback = watched(tmp_path, steady)
    trainer.train()
    assert callback.monitor.alarms == []
    assert callback.monitor.verdict()[0] == "no change"


def test_a_batch_that_is_trained_on_several_times_is_looked_at_once(tmp_path):
    trainer, callback = watched(tmp_path, steady, num_iterations=2, max_steps=6)
    trainer.train()
    assert len(callback.monitor.looks) == 3


def test_what_an_evaluation_samples_is_no_look(tmp_path):
    options = {"num_iterations": 2, "max_steps": 6, "eval_strategy": "steps", "eval_steps": 1}
    trainer, callback = watched(tmp_path, steady, per_device_eval_batch_size=16, **options)
    trainer.train()
    assert len(callback.monitor.looks) == 3
    assert {look.num_samples for look in callback.monitor.looks} == {128}


def test_a_resumed_run_goes_on_with_the_evidence_that_it_had(tmp_path):
    whole, first = watched(tmp_path / "whole")
    whole.train()
    part, _ = watched(tmp_path / "part", save_strategy="steps", save_steps=4)
    part.args.max_steps = 7
    part.add_callback(_StopAt(5))  # one look after the checkpoint, which is made again
    part.train()
    again, callback = watched(tmp_path / "part", save_strategy="steps", save_steps=4)
    again.train(resume_from_checkpoint=str(tmp_path / "part" / "checkpoint-4"))
    mine, reference = (MonitorStore(tmp_path / name / "monitor").looks() for name in ("part", "whole"))
    assert [look.step for look in mine] == [look.step for look in reference] == list(range(7))
    assert [look.evidence for look in mine] == [look.evidence for look in reference]
    assert [alarm.step for alarm in callback.monitor.alarms] == [alarm.step for alarm in first.monitor.alarms]


def test_a_resumed_run_with_other_rules_is_refused(tmp_path):
    trainer, _ = watched(tmp_path, steady, max_steps=2, save_strategy="steps", save_steps=2)
    trainer.train()
    other, _ = watched(tmp_path, steady, monitor={"false_alarms": FalseAlarms(rate=0.5)})
    with pytest.raises(ValueError, match="begun with other settings"):
        other.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))


def test_stop_ends_training_at_a_critical_alarm_only(tmp_path):
    rules = {"on_alarm": "stop", "facets": default_facets(["format"])}
    trainer, callback = watched(tmp_path, monitor=rules)
    trainer.train()
    levels = [alarm.level for alarm in callback.monitor.alarms]
    assert levels[-1] == "critical" and set(levels[:-1]) <= {"warning"}
    assert trainer.state.global_step == callback.monitor.alarms[-1].step + 1 < 7


def test_raise_kl_pulls_ten_times_as_hard_up_to_a_tenth(tmp_path, caplog):
    trainer, callback = watched(tmp_path, monitor={"on_alarm": "raise_kl"}, beta=0.02)
    with caplog.at_level(logging.WARNING, "vpo.monitor"):
        trainer.train()
    assert callback.monitor.alarms
    assert trainer.beta == 0.1
    assert "beta raised from 0.02 to 0.1" in caplog.text
    assert callback.monitor.looks[-1].settings["beta"] == 0.1


def test_raise_kl_without_a_reference_model_is_refused_at_the_door(tmp_path):
    with pytest.raises(ValueError, match="trainer's beta is 0: without a KL term"):
        watched(tmp_path, monitor={"on_alarm": "raise_kl"})


def test_a_function_gets_every_alarm(tmp_path):
    told = []
    trainer, callback = watched(tmp_path, monitor={"on_alarm": lambda alarm, of: told.append((alarm.step, of))})
    trainer.train()
    assert told == [(alarm.step, trainer) for alarm in callback.monitor.alarms]


def test_an_error_in_the_monitor_does_not_end_training_unless_it_should(tmp_path, caplog):
    class Broken:
        name = "format"

        def fit(self, reference):
            raise RuntimeError("a bug")

    trainer = make(GRPOTrainer, GRPOConfig, tmp_path / "lenient", steady, max_steps=2)
    trainer.add_callback(CollapseMonitor(trainer, facets=[Broken()]))
    trainer.train()
    assert trainer.state.global_step == 2
    assert caplog.text.count("the collapse monitor met an error and sleeps") == 1
    strict, _ = watched(tmp_path / "strict", steady, monitor={"facets": [Broken()]}, max_steps=2)
    with pytest.raises(RuntimeError, match="a bug"):
        strict.train()


def test_answers_of_a_vpo_run_are_its_samples(tmp_path):
    trainer, callback = watched(tmp_path, trainer=VPOTrainer, config=VPOConfig, num_answers=2, ask_for_answers=False)
    trainer.train()
    assert [look.step for look in callback.monitor.looks] == list(range(7))
    assert callback.monitor.looks[0].num_samples == 256
    assert callback.monitor.looks[0].truncated == 0.0  # known from the log alone
    assert callback.monitor.alarms[0].step in (3, 4)
    rows = [row for _, step in read_rollouts(tmp_path / "rollouts") for row in step]
    texts = {answer.strip() for row in rows for answer in row["answers"]}
    assert {example.text.strip() for example in callback.examples} <= texts


def test_without_a_rollout_log_a_vpo_run_is_seen_through_trl(tmp_path):
    options = {"num_answers": 2, "ask_for_answers": False, "log_rollouts": False, "max_steps": 2}
    trainer, callback = watched(tmp_path, trainer=VPOTrainer, config=VPOConfig, **options)
    trainer.train()
    assert [look.num_samples for look in callback.monitor.looks] == [128, 128]


def test_rloo_is_watched_as_grpo_is(tmp_path):
    trainer, callback = watched(tmp_path, trainer=RLOOTrainer, config=RLOOConfig, max_steps=3)
    trainer.train()
    assert [look.num_samples for look in callback.monitor.looks] == [128] * 3


def test_a_trainer_that_keeps_no_completions_is_refused():
    with pytest.raises(TypeError, match="object keeps no completions that a callback can read"):
        CollapseMonitor(object())


class _StopAt:
    def __new__(cls, step):
        from transformers import TrainerCallback

        class Stop(TrainerCallback):
            def on_step_end(self, args, state, control, **kwargs):
                control.should_training_stop = state.global_step >= step

        return Stop()


def test_steps_of_a_look_that_a_kill_cut_short_are_read_again_from_the_rollout_log(tmp_path):
    vpo = {"trainer": VPOTrainer, "config": VPOConfig, "num_answers": 2, "ask_for_answers": False, "max_steps": 4}
    rules = {"every": 2, "facets": default_facets(["format"]), "with_vendi": False}
    part, _ = watched(tmp_path, steady, monitor=rules, save_strategy="steps", save_steps=1, **vpo)
    part.add_callback(_StopAt(3))  # in the middle of the second look
    part.train()
    MonitorStore(tmp_path / "monitor").drop_from(2)  # what the end of training closed, a kill would have left open
    again, callback = watched(tmp_path, steady, monitor=rules, save_strategy="steps", save_steps=1, **vpo)
    again.train(resume_from_checkpoint=str(tmp_path / "checkpoint-3"))
    assert [(look.step, look.num_samples) for look in callback.monitor.looks] == [(1, 512), (3, 512)]
    page = (tmp_path / "monitor" / "report.json").read_bytes()
    finished, _ = watched(tmp_path, steady, monitor=rules, save_strategy="steps", save_steps=1, **vpo)
    finished.train(resume_from_checkpoint=str(tmp_path / "checkpoint-4"))
    assert (tmp_path / "monitor" / "report.json").read_bytes() == page  # nothing new: what was said stays


def test_best_at_k_is_under_the_trainers_reward_weights(tmp_path):
    def other(completions, **kwargs):
        return [0.25] * len(completions)

    trainer = make(GRPOTrainer, GRPOConfig, tmp_path, steady, max_steps=1, reward_weights=[3.0, 1.0], more=[other])
    callback = CollapseMonitor(trainer, strict=True, facets=default_facets(["format"]), with_vendi=False)
    trainer.add_callback(callback)
    trainer.train()
    look = callback.monitor.looks[0]
    assert look.best_at_k["1"] == pytest.approx(0.75 * look.reward["even"] + 0.25 * 0.25)
