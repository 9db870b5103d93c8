"""The report page without a browser: what it holds, what it escapes, what it leaves out, and that it survives JSON."""

from __future__ import annotations

import dataclasses
import math
import re
from html.parser import HTMLParser

import pytest

from eval.report import Curve, DemoReport, SearchCurve, TableRow, Verdict, render
from eval.report.words import GLOSSARY, MISSING, headline, number_text, price_sentence, time_text
from tests.eval.report_example import HOSTILE_NAMES, example_report, hostile_report

EMPTY = DemoReport(title="nothing yet", command="vpo demo", created="2026-01-01", seed=0, hardware="")


class Page(HTMLParser):
    """A page as tags with their attributes, and the text outside scripts and styles."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._inside: list[str] = []
        self.feed(source)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))
        if tag in ("script", "style"):
            self._inside.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self._inside and tag == self._inside[-1]:
            self._inside.pop()

    def handle_data(self, data: str) -> None:
        if not self._inside:
            self.text += data

    def count(self, tag: str) -> int:
        return sum(found == tag for found, _ in self.tags)


@pytest.fixture(scope="module")
def example() -> Page:
    return Page(render(example_report()))


@pytest.fixture(scope="module")
def hostile() -> Page:
    return Page(render(hostile_report()))


@pytest.fixture(scope="module")
def empty() -> Page:
    return Page(render(EMPTY))


# --- one file, no network ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["example", "hostile", "empty"])
def test_the_page_loads_nothing_from_elsewhere(which: str, request: pytest.FixtureRequest) -> None:
    page: Page = request.getfixturevalue(which)
    loading = {"src", "href", "srcset", "data", "action", "poster", "xlink:href"}
    addresses = [value for _, attributes in page.tags for name, value in attributes.items() if name in loading]
    assert addresses, "the search must see the links it is about"
    assert [address for address in addresses if not (address or "").startswith(("#", "data:,"))] == []
    assert page.count("iframe") == page.count("object") == page.count("base") == 0


def test_the_page_forbids_itself_every_request(example: Page) -> None:
    (policy,) = [attributes["content"] for _, attributes in example.tags if "http-equiv" in attributes]
    assert policy is not None
    assert "default-src 'none'" in policy
    assert "http" not in policy


def test_a_page_without_charts_does_not_carry_the_chart_library(empty: Page) -> None:
    assert len(render(EMPTY)) < 100_000 < len(render(example_report()))
    assert empty.count("script") == 0


# --- escaping ---------------------------------------------------------------------------------------------------------


def test_hostile_names_stay_text(example: Page, hostile: Page) -> None:
    assert hostile.count("script") == example.count("script")
    assert hostile.count("img") == hostile.count("b") - example.count("b") == 0
    for name in HOSTILE_NAMES:
        assert hostile.text.count(name) >= 5


# --- empty sections ---------------------------------------------------------------------------------------------------


def test_an_empty_report_says_what_is_missing_and_draws_no_empty_box(empty: Page) -> None:
    for what in (
        "best@k curves",
        "looks during training",
        "table of results",
        "search curves",
        "drawn mazes",
        "checks",
    ):
        assert re.search(rf"recorded no [a-z ]*{what}", empty.text), what
    classes = [name for _, attributes in empty.tags for name in (attributes.get("class") or "").split()]
    assert {"plot", "legend", "card", "cards", "meters", "panels"}.isdisjoint(classes)
    assert empty.count("table") == 0


def test_a_full_report_says_of_nothing_that_it_is_missing(example: Page) -> None:
    assert "recorded no" not in example.text


def test_curves_without_a_measured_value_count_as_missing() -> None:
    nothing = Curve([1, 2], [None, math.nan])
    page = Page(
        render(
            dataclasses.replace(EMPTY, best_at_k={"VPO": nothing}, search={"VPO / x": SearchCurve(nothing, nothing)})
        )
    )
    assert "recorded no best@k curves" in page.text
    assert "recorded no search curves" in page.text


def test_a_column_that_no_arm_has_is_left_out() -> None:
    rows = [TableRow("VPO", {"best@1": 0.5, "seconds": math.nan}), TableRow("GRPO", {"best@1": None, "extra": 1.0})]
    page = Page(render(dataclasses.replace(EMPTY, table=rows)))
    assert re.search(r"arm\s*best@1\s*extra\s*VPO", page.text)
    assert MISSING in page.text


# --- order and verdicts -----------------------------------------------------------------------------------------------


def test_sections_follow_the_story(example: Page) -> None:
    found = [attributes["id"] for tag, attributes in example.tags if tag == "section"]
    assert found == ["happened", "diversity", "price", "search", "gallery", "controls", "words", "made"]
    links = [attributes["href"] for tag, attributes in example.tags if tag == "a"]
    assert {f"#{name}" for name in found} <= set(links)


def test_checks_that_fell_short_stand_first_and_are_counted_at_the_top() -> None:
    verdicts = [Verdict("good one", "1", "0", ok=True), Verdict("bad one", "0", "1", ok=False)]
    text = Page(render(dataclasses.replace(EMPTY, verdicts=verdicts))).text
    assert "1 of 2 acceptance checks fell short" in text
    assert text.index("bad one") < text.index("good one")
    assert text.count("✗ short") == text.count("✓ met") == 1


# --- words ------------------------------------------------------------------------------------------------------------


def report_with(vpo: dict[str, float | None], grpo: dict[str, float | None]) -> DemoReport:
    return dataclasses.replace(EMPTY, table=[TableRow("VPO", vpo), TableRow("GRPO", grpo)])


def test_the_headline_follows_the_sign_of_the_figures() -> None:
    ahead = headline(report_with({"pool L1": 1.2, "best@1": 0.6}, {"pool L1": 0.3, "best@1": 0.66}))
    assert ahead == [
        "After training, VPO’s answers to one maze differ 4.0 times as much as GRPO’s.",
        "With a single try and the fixed taste, GRPO is ahead: VPO\u00a00.60, GRPO\u00a00.66.",
    ]
    behind = headline(report_with({"pool L1": 0.3, "E_w[best@3]": 0.5}, {"pool L1": 0.3, "E_w[best@3]": 0.7}))
    assert "no more than GRPO" in behind[0]
    assert "GRPO finds more" in behind[1]


def test_what_prints_alike_is_called_alike() -> None:
    assert "both do equally well" in headline(report_with({"best@1": 0.601}, {"best@1": 0.602}))[0]
    assert price_sentence(report_with({"best@1": 0.60001}, {"best@1": 0.6})) == "VPO against GRPO: best@1 ±0."


def test_without_both_arms_there_is_no_headline_claim() -> None:
    lone = dataclasses.replace(EMPTY, table=[TableRow("VPO", {"pool L1": 1.0, "best@1": 0.5, "seconds": 3.0})])
    assert headline(lone) == []
    assert price_sentence(lone) == ""
    assert headline(report_with({"pool L1": None}, {"pool L1": 1.0})) == []


def test_the_price_names_losses_and_ratios() -> None:
    report = report_with(
        {"best@1": 0.599, "completion share": 0.912, "seconds": 90.0},
        {"best@1": 0.659, "completion share": 0.974, "seconds": 60.0},
    )
    assert price_sentence(report) == "VPO against GRPO: best@1 −0.060, completion −6.2 points, training time × 1.50."


@pytest.mark.parametrize(
    ("metric", "value", "text"),
    [
        ("best@1", 0.5994, "0.599"),
        ("completion share", 0.912, "91.2 %"),
        ("distinct", 8.6, "8.6"),
        ("generated tokens", 418_000, "418 k"),
        ("generated tokens", 12.0, "12"),
        ("seconds", 93.2, "93 s"),
        ("best@1", None, MISSING),
        ("something of one's own", 123_456.0, "123,456"),
    ],
)
def test_a_figure_is_printed_in_its_unit(metric: str, value: float | None, text: str) -> None:
    assert number_text(metric, value) == text


def test_a_time_is_printed_for_people_and_other_words_as_they_are() -> None:
    assert time_text("2026-03-02T09:41:07+00:00") == "2026-03-02 09:41 UTC"
    assert time_text("yesterday") == "yesterday"


def test_every_known_column_and_control_has_a_definition(example: Page) -> None:
    defined = {term for term, _ in GLOSSARY}
    assert {"best@k", "E_w[best@k]", "pool L1", "set reward", "completion share", "blind", "oracle"} <= defined
    assert all(meaning in re.sub(r"\s+", " ", example.text) for _, meaning in GLOSSARY)
