"""The monitor as a TRL callback: evidence at every step, alarms while there is still something to save.

::

    trainer = GRPOTrainer(model, [correct], GRPOConfig("out"), train_dataset=dataset)
    trainer.add_callback(CollapseMonitor(trainer, base="base_samples.jsonl"))

It works for every TRL trainer that samples (see `live`), takes the main process a few milliseconds a step, and cannot
end a run by failing, unless it is asked to.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from accelerate.utils import broadcast_object_list
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from eval.alarms import FalseAlarms
from eval.collapse.alerts import Sink, make_sinks, send
from eval.collapse.assemble import run_report
from eval.collapse.gallery import medoids
from eval.collapse.live import TrainerFeed
from eval.collapse.monitor import Monitor
from eval.collapse.quantities import Thresholds
from eval.collapse.records import AlarmRecord, Level, LookRecord
from eval.collapse.run_report import CollapseReport, Example
from eval.collapse.store import MonitorStore
from eval.facets import default_facets
from eval.report.collapse import write_report
from eval.samples import Facet, Samples
from eval.sources import open_source, read_base

logger = logging.getLogger("vpo.monitor")
OnAlarm = Literal["stop", "raise_kl"] | Callable[[AlarmRecord, Any], None]
_SETTINGS = ("beta", "epsilon", "epsilon_high", "entropy_coef", "num_generations", "num_answers", "objective")
_MOST_BETA = 0.1


class CollapseMonitor(TrainerCallback):
    """Follows formats, diversity and coverage of a run, and raises alarms whose rate of false ones is stated.

    Records go to ``<output_dir>/monitor``, ``report.html`` and its like beside them, at every epoch and at the end. A
    resumed run goes on where its checkpoint was.

    Args:
        trainer: The trainer that it is added to.
        base: The base model's samples: a log of any kind that `vpo monitor` reads, or samples. None takes the first
            batch, which the base model has drawn.
        correct: Component (name of a reward function) that says whether a sample is correct, as ``accuracy_reward`` or
            ``score>=0.5``; None guesses.
        facets: Categorical readings; None for the standard ones.
        w_star: Weights of deployment; None takes the trainer's reward weights.
        prompts: ``fresh`` or ``panel``, see :class:`~eval.collapse.monitor.Monitor`.
        every: Steps in a look.
        thresholds: Where changes matter.
        false_alarms: How often an alarm may be false.
        on_alarm: ``stop`` ends training at a critical alarm; ``raise_kl`` multiplies ``beta`` by ten at every alarm, up
            to .1; or a function of the alarm and the trainer, which the main process alone calls. None only tells.
        alerts: Where alarms go: ``console``, ``trackio``, ``wandb``, an address, or a function.
        folder: Instead of ``<output_dir>/monitor``.
        with_vendi: Whether Vendi scores are computed.
        strict: Whether an error of the monitor ends training; otherwise it is logged, and the monitor sleeps.

    Raises:
        TypeError: The trainer keeps no completions.
        ValueError: ``raise_kl`` without a KL term, or a setting is out of range.
    """

    def __init__(
        self,
        trainer: Any,
        base: str | Path | Samples | None = None,
        correct: str | None = None,
        facets: Sequence[Facet] | None = None,
        w_star: Sequence[float] | None = None,
        prompts: Literal["fresh", "panel"] = "fresh",
        every: int = 1,
        thresholds: Thresholds | None = None,
        false_alarms: FalseAlarms | None = None,
        on_alarm: OnAlarm | None = None,
        alerts: Sequence[str | Sink] = ("console",),
        folder: str | Path | None = None,
        with_vendi: bool = True,
        strict: bool = False,
    ) -> None:
        if on_alarm == "raise_kl" and not getattr(trainer, "beta", 0):
            raise ValueError(
                "on_alarm is 'raise_kl' and the trainer's beta is 0: without a KL term there is no reference model to "
                "be pulled to. Begin with a small beta, such as 0.001."
            )
        if isinstance(on_alarm, str) and on_alarm not in ("stop", "raise_kl"):
            raise ValueError(f"on_alarm is {on_alarm!r}: expected 'stop', 'raise_kl', a function, or None.")
        self.trainer = trainer
        self.feed = TrainerFeed(trainer)
        self.is_vpo = hasattr(trainer, "vector_reward")
        self.store = MonitorStore(folder or Path(trainer.args.output_dir) / "monitor")
        self.on_alarm = on_alarm
        self.sinks = make_sinks(alerts)
        self.strict = strict
        self.examples: list[Example] = []
        self.is_asleep = False
        samples = read_base(base) if isinstance(base, (str, Path)) else base
        self._options: dict[str, Any] = {
            "facets": list(facets) if facets is not None else default_facets(),
            "base": samples,
            "correct": correct,
            "w_star": w_star,
            "prompts": prompts,
            "every": every,
            "thresholds": thresholds,
            "false_alarms": false_alarms,
            "trainer": "vpo" if self.is_vpo else "trl",
            "with_vendi": with_vendi,
        }
        self.monitor = Monitor(**self._options)
        self._last_step = -1
        self._epoch = 0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Take up the looks of a run that is resumed; those at steps that it repeats are dropped."""
        if not state.is_world_process_zero:
            return
        self.store.drop_from(state.global_step)
        self.monitor = Monitor(**self._options)
        looks = self.store.looks()
        # Where the log can be read again, so are the steps of a look that was not complete.
        begun = state.global_step if state.global_step >= self.monitor.every else 0
        self._last_step, self._epoch = looks[-1].step if looks else begun - 1, int(state.epoch or 0)
        reference = self.store.reference(self.monitor.facets, self._rules())
        if reference is not None:
            self.monitor.w_star = self._w_star(reference.counted.samples.components)
            self.monitor.watch(reference)
            self.monitor.resume(looks, self.store.alarms())
            self.examples = self.store.examples()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Look at what was sampled for this step, and act on alarms: on every process alike."""
        alarms: list[AlarmRecord] = []
        if state.is_world_process_zero and not self.is_asleep:
            try:
                alarms = self._look(state.global_step, kwargs.get("lr_scheduler"))
            except Exception:
                if self.strict:
                    raise
                self.is_asleep = True
                logger.exception(
                    "the collapse monitor met an error and sleeps for the rest of this run; training goes on"
                )
        for level in self._agreed([alarm.level for alarm in alarms]):
            self._act(level, control)

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Pass over what an evaluation left in TRL's buffers: it is no training batch."""
        self.feed.new()

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Write the report, once an epoch."""
        if state.is_world_process_zero and int(state.epoch or 0) > self._epoch:
            self._epoch = int(state.epoch or 0)
            self._report()

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Close the last look and write the report."""
        if state.is_world_process_zero and not self.is_asleep:
            known = len(self.monitor.alarms)
            self._keep(self.monitor.finish(), self.monitor.alarms[known:])
        if state.is_world_process_zero:
            self._report()

    def _look(self, steps_done: int, scheduler: Any) -> list[AlarmRecord]:
        """Take in what was sampled; the alarms that it raised."""
        before = len(self.monitor.alarms)
        for samples in self._new(steps_done):
            self.monitor.w_star = self._w_star(samples.components)
            known = len(self.monitor.alarms)
            record = self.monitor.look(samples, self._settings(scheduler))
            self._keep(record, self.monitor.alarms[known:])
        return self.monitor.alarms[before:]

    def _new(self, steps_done: int) -> list[Samples]:
        """What was sampled since the last time."""
        if self.is_vpo and self.trainer.args.log_rollouts:
            source = open_source(self.trainer.args.output_dir)
            # A process that is ahead may have written files of the step to come already.
            found = [
                replace(samples, sampling=self.feed.sampling())
                for samples in source.read(self._last_step)
                if samples.step < steps_done
            ]
            self._last_step = steps_done - 1
            return found
        samples = self.feed.new()
        return [] if samples is None else [samples]

    def _w_star(self, components: Sequence[str]) -> Sequence[float] | None:
        """Those that were asked for, else the trainer's; None, which weighs all alike, where it has none for these."""
        if self._options["w_star"] is not None or not components:
            return self._options["w_star"]
        by_component = self.is_vpo and self.trainer.args.log_rollouts
        found = self.trainer.w_star(len(components)) if by_component else self.trainer.reward_weights
        weights = [float(weight) for weight in found]
        if len(weights) != len(components) or min(weights) < 0 or sum(weights) == 0:
            return None
        return [weight / sum(weights) for weight in weights]

    def _keep(self, record: LookRecord | None, alarms: Sequence[AlarmRecord]) -> None:
        if record is None:
            return
        if record.number == 1 and self.monitor.reference is not None:
            self.store.set_reference(self.monitor.reference, self.monitor.facets, self._rules())
        for alarm in alarms:
            self.store.add_alarm(alarm)
            self.examples += medoids(self.monitor.recent[-1], "alarm")
            self.store.set_examples(self.examples)
        self.store.add_look(record)
        self._log_metrics(record)
        for alarm in alarms:
            send(self.sinks, Path(self.trainer.args.output_dir).name, alarm)
            if callable(self.on_alarm):
                self.on_alarm(alarm, self.trainer)

    def _agreed(self, levels: list[Level]) -> list[Level]:
        """What the main process saw, on all of them: one that stopped by itself would leave the others waiting."""
        if not isinstance(self.on_alarm, str) or self.trainer.accelerator.num_processes == 1:
            return levels
        return list(broadcast_object_list([levels])[0])

    def _act(self, level: Level, control: TrainerControl) -> None:
        if self.on_alarm == "stop" and level == "critical":
            control.should_training_stop = control.should_save = True
        elif self.on_alarm == "raise_kl":
            before = self.trainer.beta
            self.trainer.beta = min(10 * before, max(_MOST_BETA, before))
            logger.warning("beta raised from %g to %g after an alarm", before, self.trainer.beta)

    def _log_metrics(self, record: LookRecord) -> None:
        """Into TRL's own metrics, which go to all of its trackers."""
        metrics = self.trainer._metrics["train"]
        shares = record.shares["format"]
        metrics["monitor/top_format_share"].append(max(each.est for each in shares.values()))
        if (alpha := record.effective["format"].alpha) is not None:
            metrics["monitor/effective_formats"].append(alpha)
        if record.log_evidence is not None and record.log_threshold is not None:
            metrics["monitor/evidence"].append(record.log_evidence / record.log_threshold)  # 1: alarm

    def _settings(self, scheduler: Any) -> dict[str, Any]:
        found = {name: getattr(self.trainer.args, name, None) for name in _SETTINGS}
        found["beta"] = getattr(self.trainer, "beta", found["beta"])
        if scheduler is not None and hasattr(scheduler, "get_last_lr"):
            found["learning_rate"] = float(scheduler.get_last_lr()[0])
        if entropies := self.trainer._metrics["train"].get("entropy"):
            found["entropy"] = float(entropies[-1])  # nats a token, of this step's batch
        return {name: value for name, value in found.items() if value is not None}

    def _rules(self) -> dict[str, Any]:
        """What must be the same when a run is resumed, for the evidence to count."""
        monitor = self.monitor
        return {
            "facets": [facet.name for facet in monitor.facets],
            "correct": monitor.correct,
            "prompts": monitor.prompts,
            "every": monitor.every,
            "thresholds": vars(monitor.thresholds),
            "false_alarms": vars(monitor.false_alarms),
        }

    def _report(self) -> None:
        if self.monitor.last is None:  # nothing new: the page of a run that is resumed at its end stays
            return
        name = Path(self.trainer.args.output_dir).name
        try:
            source = f"{type(self.trainer).__name__}, live"
            report = run_report(self.monitor, name, source, self.examples, settings=self._settings(None))
            write_report(CollapseReport(f"Format diversity of {name}", [report]), self.store.folder / "report.html")
        except Exception:
            if self.strict:
                raise
            logger.exception("the collapse report could not be written; its records are in %s", self.store.folder)
