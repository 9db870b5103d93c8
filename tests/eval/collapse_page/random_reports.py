"""Reports of any content: hypothesis strategies that hold to the records' types and to nothing else."""

from __future__ import annotations

from hypothesis import strategies as st

from eval.collapse.records import Action, AlarmRecord, Effective, LookRecord, PassAtK, Quantity, Range, Verdict
from eval.collapse.run_report import CollapseReport, Example, Forecast, RunReport
from eval.report.collapse.wording import STRENGTHS, VERDICTS

VERDICT_NAMES: list[Verdict] = list(VERDICTS)
texts = st.text(max_size=12) | st.sampled_from(
    ["format", "<b>", "c:blue", "%{y}", "a|b", "``` \n", "$x_1$", "", "@all"]
)
labels = st.text(max_size=8) | st.sampled_from(["python", "prose", "<i>", "c:ink", "other"])
shares = st.floats(0, 1)
numbers = st.floats(-1e6, 1e6)
maybe = st.none() | numbers


@st.composite
def ranges(draw: st.DrawFn, values: st.SearchStrategy[float] = shares) -> Range:
    lo, est, hi = sorted(draw(st.lists(values, min_size=3, max_size=3)))
    return draw(st.sampled_from([Range(est), Range(est, lo, hi), Range(est, lo), Range(est, None, hi)]))


effective = st.builds(Effective, st.none() | st.floats(1, 30), st.none() | st.floats(1, 30), maybe, maybe, maybe)
passes = st.dictionaries(
    st.sampled_from(["1", "2", "4", "10", "64"]), st.builds(PassAtK, ranges(), st.none() | shares, st.none() | ranges())
)
facets = st.sampled_from(["format", "opening", "length"])
by_label = st.dictionaries(facets, st.dictionaries(labels, ranges(), max_size=16), max_size=2)


def look_records(number: int, step: int) -> st.SearchStrategy[LookRecord]:
    return st.builds(
        LookRecord,
        number=st.just(number),
        step=st.just(step),
        epoch=st.none() | st.floats(0, 9),
        num_prompts=st.integers(0, 500),
        num_samples=st.integers(0, 5000),
        shares=by_label,
        accuracy=by_label,
        effective=st.dictionaries(facets, effective, max_size=2),
        pass_at_k=passes,
        reward=st.dictionaries(texts, numbers, max_size=2),
        best_at_k=st.dictionaries(st.sampled_from(["1", "3"]), numbers),
        expected_best_at_k=st.dictionaries(st.sampled_from(["1", "3"]), numbers),
        pool_l1=maybe,
        hypervolume=maybe,
        distinct=maybe,
        vendi=maybe,
        truncated=st.none() | shares,
        tokens=maybe,
        entropy=maybe,
        depth=st.dictionaries(labels, numbers, max_size=2),
        settings=st.dictionaries(texts, texts | maybe, max_size=2),
        evidence=st.dictionaries(texts, numbers, max_size=3),
        log_evidence=maybe,
        log_threshold=st.none() | st.floats(0.1, 10),
        alarm=st.booleans(),
    )


actions = st.builds(
    Action,
    trainer=texts,
    changes=st.dictionaries(texts, st.lists(texts | maybe, max_size=2), max_size=2),
    reason=texts,
    strength=st.sampled_from(list(STRENGTHS)),
    source=texts,
    caution=texts,
)


@st.composite
def run_reports(draw: st.DrawFn) -> RunReport:
    steps = sorted(draw(st.lists(st.integers(0, 10_000), max_size=6)))
    looks = [draw(look_records(number, step)) for number, step in enumerate(steps, start=1)]
    alarms = [
        AlarmRecord(
            look.number,
            look.step,
            look.epoch,
            draw(st.sampled_from(["warning", "critical"])),
            draw(st.lists(texts, max_size=2)),
            draw(texts),
            draw(numbers),
            draw(numbers),
            draw(texts),
            draw(texts),
            draw(st.sampled_from(VERDICT_NAMES)),
            draw(texts),
            draw(st.lists(actions, max_size=2)),
        )
        for look in looks
        if draw(st.booleans())
    ]
    return RunReport(
        name=draw(texts),
        source=draw(texts),
        num_samples=draw(st.integers(0, 10**9)),
        reference=draw(st.sampled_from(["base model", "first look"])),
        correctness=draw(texts),
        prompts=draw(st.sampled_from(["fresh", "panel"])),
        base=draw(st.none() | look_records(0, 0)),
        looks=looks,
        quantities=draw(st.lists(st.builds(Quantity, texts, texts, shares, st.none() | shares, texts), max_size=3)),
        alarms=alarms,
        verdict=draw(st.sampled_from(VERDICT_NAMES)),
        why=draw(texts),
        forecast=draw(st.none() | st.builds(Forecast, labels, st.none() | labels, maybe, maybe, texts)),
        examples=draw(
            st.lists(
                st.builds(
                    Example,
                    kind=st.sampled_from(["medoid", "suppressed"]),
                    facet=facets,
                    label=labels,
                    when=st.sampled_from(["base", "alarm", "last"]),
                    step=st.integers(0, 99),
                    prompt=texts,
                    text=texts,
                    correct=st.none() | st.booleans(),
                ),
                max_size=3,
            )
        ),
        agreement=draw(maybe),
        prompt_information=draw(maybe),
        facets=draw(st.dictionaries(facets, texts, max_size=2)),
        guarantee=draw(texts),
        assumptions=draw(st.lists(texts, max_size=2)),
        warnings=draw(st.lists(texts, max_size=2)),
        settings=draw(st.dictionaries(texts, texts | maybe, max_size=2)),
    )


reports = st.builds(CollapseReport, texts, st.lists(run_reports(), min_size=1, max_size=3))
