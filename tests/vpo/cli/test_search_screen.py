"""A search with a screen, from its file to what `show` says of it."""

from __future__ import annotations

import pytest
import yaml

from search.ledger import read_ledger, read_results
from tests.vpo.cli.test_search import write_config
from vpo.cli.app import main
from vpo.cli.search.config import parse_config
from vpo.cli.search.parts import make_screen

SCREEN = {
    "share": 0.3,
    "audit": 0.5,
    "warm_up": 6,
    "trusted": True,
    "predictor": "tests.search.screening.predictors:SlotMeans",
}


def said(capsys):
    out = capsys.readouterr()
    return " ".join(out.out.split()), " ".join(out.err.split())


def test_search_with_a_screen_runs_shows_and_replays(tmp_path, capsys):
    path = write_config(tmp_path, screen=SCREEN, budget={"max_answers": 40})
    assert main(["search", "run", str(path)]) == 0
    out, err = said(capsys)
    ledger = tmp_path / "out" / "ledger.jsonl"
    dropped = [result.dropped[-1] for result in read_results(ledger)]
    assert sum(dropped) > 0 and f"{sum(dropped)} screened out" in err
    assert "screened out" in out and "audited would have beaten the best so far" in out
    before = ledger.read_bytes()
    assert main(["search", "resume", str(tmp_path / "out"), "--trust"]) == 0
    assert ledger.read_bytes() == before
    assert main(["search", "replay", str(tmp_path / "out"), "--trust", "--evaluate"]) == 0
    assert "0 differences" in said(capsys)[0]
    assert main(["search", "show", str(tmp_path / "out")]) == 0
    out, _ = said(capsys)
    judged = sum(len(row.get("screen", ())) for row in read_ledger(ledger)[1])
    assert judged > sum(dropped) and "tolerance 10%" in out


def test_screen_that_is_wrong_says_so_while_it_runs_and_when_it_is_shown(tmp_path, capsys):
    wrong = SCREEN | {"predictor": "tests.search.screening.predictors:backwards", "least_skill": 0.9}
    path = write_config(tmp_path, screen=wrong, budget={"max_answers": 100})
    assert main(["search", "run", str(path)]) == 0
    out, err = said(capsys)
    assert "switched off: " in err and "switched off after" in out
    assert {row["on"] for row in read_ledger(tmp_path / "out" / "ledger.jsonl")[1] if row["kind"] == "switch"} == {
        False
    }


def test_predictor_has_its_options_beside_its_name():
    content = yaml.safe_load(
        "{problem: maze, sampler: model, procedure: lexicase, budget: {max_answers: 5}, out: x,"
        " screen: {tolerance: 0.2, predictor: {name: text, most: 100}}}"
    )
    screen = make_screen(parse_config(content, "the file"))
    assert (screen.tolerance, screen.predictor, screen.options) == (0.2, "text", {"most": 100})
    assert make_screen(parse_config(content | {"screen": {}}, "the file")) is None


@pytest.mark.parametrize(
    ("screen", "message"),
    [
        (3, "screen is 3: expected keys and values under it"),
        ({"shares": 0.3}, "there is no setting 'screen.shares': expected a known one. Did you mean share"),
        ({"share": 2}, "share of the screen is 2, expected a number between 0 and 1"),
        ({"options": {}}, "there is no setting 'screen.options': expected"),
        ({"predictor": {"most": 3}}, "screen.predictor lacks name: expected a value"),
        ({"predictor": "fish"}, "there is no predictor 'fish': expected one of text, world"),
        (
            {"predictor": {"name": "text", "depth": 3}},
            "there is no setting 'screen.predictor.depth': expected name or most.",
        ),
    ],
)
def test_mistakes_under_screen_are_named_before_there_is_a_folder(tmp_path, capsys, screen, message):
    assert main(["search", "run", str(write_config(tmp_path, screen=screen))]) == 1
    assert message in said(capsys)[1]
    assert not (tmp_path / "out").exists()
