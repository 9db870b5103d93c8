"""The Markdown for a pull request: its lines as they follow by hand from a small report, and nothing that is markup."""

from __future__ import annotations

import dataclasses
import re

from eval.collapse.records import Action, AlarmRecord, Effective, LookRecord, PassAtK, Range
from eval.collapse.run_report import CollapseReport, RunReport
from eval.report.collapse import markdown
from tests.eval.collapse_page import sample
from tests.eval.collapse_page.made_run import GUARANTEE

BASE = LookRecord(
    number=0,
    step=0,
    epoch=None,
    num_prompts=10,
    num_samples=80,
    shares={"format": {"code": Range(0.25), "prose": Range(0.75)}},
    effective={"format": Effective(1.5, 1.6, 1.0667)},
    pass_at_k={"1": PassAtK(Range(0.4)), "8": PassAtK(Range(0.8))},
)
LAST = dataclasses.replace(
    BASE,
    number=1,
    step=100,
    epoch=0.5,
    shares={"format": {"code": Range(0.9), "prose": Range(0.1)}},
    effective={"format": Effective(1.1, 1.22, 1.109)},
    pass_at_k={"1": PassAtK(Range(0.6), 0.4), "8": PassAtK(Range(0.7), 0.8)},
)
ALARM = AlarmRecord(
    look=1,
    step=100,
    epoch=0.5,
    level="critical",
    quantities=["share of code"],
    sentence="The share of code is 90%.",
    log_evidence=4.0,
    log_threshold=3.0,
    guarantee="At most 5% of stable runs raise one.",
    assumption="Prompts are drawn at random.",
    verdict="costly collapse",
    why="pass@8 fell by 10 points.",
    actions=[Action("trl", {"beta": [0.001, 0.01], "num_iterations": [None, 1]}, "Keep near.", "moderate", "a paper")],
)
RUN = RunReport(
    name="run",
    source="TRL completions",
    num_samples=160,
    reference="base model",
    correctness="reward 1",
    prompts="fresh",
    base=BASE,
    looks=[LAST],
    quantities=[],
    alarms=[ALARM],
    verdict="costly collapse",
    why="pass@8 fell by 10 points.",
)
EXPECTED = """\
# GSM8K

❌ **Formats collapsed, and answers were lost with them** (costly collapse). pass@8 fell by 10 points.

**Alarms**

- **critical**, step 100, epoch 0.5, look 1: The share of code is 90%.

Guarantee: At most 5% of stable runs raise one. It rests on: Prompts are drawn at random.

|  | base | now | change |
| --- | ---: | ---: | ---: |
| share of code | 25.0% | 90.0% | +65.0 pts |
| share of prose | 75.0% | 10.0% | −65.0 pts |
| effective formats, alpha | 1.50 | 1.10 | −0.40 |
| effective formats, gamma | 1.60 | 1.22 | −0.38 |
| pass@1 | 40.0% | 60.0% | +20.0 pts |
| pass@8 | 80.0% | 70.0% | −10.0 pts |

**What may help** (nothing is changed by itself)

```diff
# trl: Keep near. (moderate evidence; a paper)
- beta: 0.001
+ beta: 0.01
- num_iterations: ?
+ num_iterations: 1
```

Everything else, with charts: `report.html`; all numbers: `report.json`.
"""


def test_the_comment_of_a_small_report() -> None:
    assert markdown(CollapseReport("GSM8K", [RUN])) == EXPECTED


def test_a_silent_run_says_so_with_its_guarantee() -> None:
    text = markdown(sample.healthy())
    assert "✅ **No change of formats was found**" in text
    assert "**No alarm** in 20 looks." in text
    assert f"Guarantee: {GUARANTEE}" in text
    assert "```diff" not in text


def test_several_runs_begin_with_one_table() -> None:
    text = markdown(sample.several())
    assert text.index("| run | verdict |") < text.index("## GRPO")
    assert "| VPO | no change | none |" in text


def test_the_comment_stays_short_whatever_the_run() -> None:
    for name in ("many", "very-long"):
        assert len(markdown(sample.SCENARIOS[name]()).splitlines()) < 60


def test_no_text_is_taken_as_markup_and_nobody_is_notified() -> None:
    text = markdown(sample.hostile())
    outside = re.sub(r"```diff\n.*?\n```\n", "", text, flags=re.DOTALL)
    assert re.findall(r"(?<!\\)[<>]", outside) == []
    rows = [line for line in outside.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {5}
    called = dataclasses.replace(RUN, why="ask @someone, not me@example")
    assert "@\u200bsomeone, not me@example" in markdown(CollapseReport("t", [called]))


def test_a_value_cannot_end_the_block_of_settings() -> None:
    action = Action("trl", {"key": ["```\n# not ours", "b"]}, "r", "weak", "s")
    alarm = dataclasses.replace(ALARM, actions=[action])
    text = markdown(CollapseReport("t", [dataclasses.replace(RUN, alarms=[alarm])]))
    assert "\n````diff\n" in text
    assert "\n- key: ``` # not ours\n" in text
