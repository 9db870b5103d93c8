"""Rules of the halting laboratory: read off one long run they are the loop that does stop."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))  # where a benchmark finds its parts

from halting.block import LAYERS, Block, is_right, run, states
from halting.measuring import Curves, apply, auroc, cheapest, curves, score_of, settings, sweep
from halting.study import Sizes, by_group, choose, groups, is_done, rule_figures, study
from halting.tasks import Batch, tasks
from halting.training import Plan, Pool, residual, train, trm_cycle

from vpo.looped import ACT, Acceleration, FixedPoint, HaltReason, KLExit, LatentDifference, LearnedGate

CAP = 9
POLICIES = {  # rule -> (policy at a setting of the rule, recipe of a model that has it)
    "fixed point": (lambda s: FixedPoint(s, CAP, norm="max", reference="current", patience=0), "fprm"),
    "latent difference": (lambda s: LatentDifference(s, CAP), "fprm"),
    "acceleration": (lambda s: Acceleration(s, CAP), "fprm"),
    "KL": (lambda s: KLExit(s, CAP), "fprm"),
    "gate, post hoc": (lambda s: LearnedGate(1 - s, CAP), "posthoc"),
    "gate, entropy": (lambda s: LearnedGate(1 - s, CAP, rule="sigmoid"), "loopwm"),
    "ACT": (lambda s: ACT(CAP, epsilon=s), "act"),
}


@pytest.fixture(scope="module")
def maze(tmp_path_factory):
    return tasks(tmp_path_factory.mktemp("puzzles"), 8)["maze"]


@pytest.fixture(scope="module")
def model(maze) -> Block:
    torch.manual_seed(0)
    made = Block(maze, 16).double()
    for parameter in made.parameters():  # small weights make all instances alike
        torch.nn.init.normal_(parameter, std=0.3)
    torch.nn.init.constant_(made.gate.bias, -1.5)
    return made.eval()


@pytest.fixture(scope="module")
def batch(maze) -> Batch:
    return maze.draw("test", 24, 4, np.random.default_rng(1))


@pytest.mark.parametrize("rule", POLICIES)
@torch.no_grad()
def test_a_rule_read_off_a_long_run_is_the_loop_that_stops(rule, model, batch, maze):
    make, recipe = POLICIES[rule]
    curve, depths = curves(model, [batch], maze, recipe, CAP), set()
    tried = [s for s in settings(curve, rule, 12) if 0 < s < 1 or recipe == "fprm"]
    for setting in tried[1:-1]:
        out = run(model, batch, maze.sees(4), make(setting))
        below = score_of(curve, rule) < setting
        expected = np.where(below.any(0), below.argmax(0) + 1, CAP)
        assert out.depth.tolist() == expected.tolist()
        assert ((out.reason == HaltReason.CONVERGED).numpy() == below.any(0)).all()
        score = apply(curve, rule, setting)
        assert score.loops == pytest.approx(out.depth.double().mean().item())
        assert score.accuracy == pytest.approx(is_right(model.read(out.state), batch.labels).double().mean().item())
        depths |= set(expected.tolist())
    assert len(depths) > 2


@torch.no_grad()
def test_what_stands_beside_an_instance_changes_nothing(model, batch, maze):
    policy = FixedPoint(0.2, CAP, norm="max", reference="current", patience=2)
    whole, part = (run(model, each, maze.sees(4), policy) for each in (batch, batch.take(slice(3, 9))))
    assert torch.equal(whole.depth[3:9], part.depth)
    assert torch.allclose(whole.state[3:9], part.state, atol=1e-12)


def test_coupled_scales_settle_where_their_algebra_says(maze):
    """If every sublayer gave c, the fixed point is a1^(2L) x + c, whatever a2 is."""
    made, answer = Block(maze, 16).double(), torch.randn(16, dtype=torch.float64)

    class Constant(torch.nn.Module):
        def forward(self, hidden, sees):
            return answer.expand_as(hidden)

    made.subs = torch.nn.ModuleList([Constant() for _ in range(2 * LAYERS)])
    torch.nn.init.normal_(made.scales)
    signal = torch.randn(2, 5, 16, dtype=torch.float64)
    state = torch.zeros_like(signal)
    for _ in range(400):
        state = made.step(state, signal, torch.ones(4, 5, 5, dtype=torch.bool))
    a1 = made.scales.sigmoid()[0]
    assert torch.allclose(state, a1 ** (2 * LAYERS) * signal + answer, atol=1e-8)


def test_fprm_trm_and_act_models_have_as_many_weights(maze):
    counts = {sum(p.numel() for p in Block(maze, 16, wiring).parameters()) for wiring in ("coupled", "plain", "post")}
    assert len(counts) == 1


@torch.no_grad()
def test_a_trm_cycle_changes_the_answer_once_and_last(maze, batch):
    made = Block(maze, 16, "post")
    signal = made.signal(batch.ids)
    zero = torch.zeros_like(signal)
    each = list(trm_cycle(made, signal, zero, zero, maze.sees(4), 4))
    assert [bool((answer == 0).all()) for answer, _ in each] == [True, True, True, False]
    assert torch.equal(each[2][1], each[3][1]) and not torch.equal(each[0][1], each[1][1])


def test_a_new_instance_starts_without_the_state_of_the_one_before(maze):
    plan = Plan(batch=6, windows=3, width=16)
    pool = Pool(maze, 4, plan, np.random.default_rng(0))
    assert pool.age.tolist() == [0, 1, 2, 0, 1, 2]
    before, pool.state, pool.second = pool.batch, pool.state + 1, pool.second + 2
    pool.replace(torch.tensor([True, False, False, False, False, False]))
    fresh = torch.tensor([True, False, True, False, False, True])  # told to go, and those whose windows are used up
    assert (pool.state == 0).all((1, 2)).tolist() == (pool.second == 0).all((1, 2)).tolist() == fresh.tolist()
    assert (pool.batch.ids != before.ids).any(1).tolist() == fresh.tolist()
    assert pool.age.tolist() == [0, 2, 0, 1, 2, 0]


def test_the_residual_is_fprms_formula():
    old, new = torch.randn(3, 4, 5, dtype=torch.float64), torch.randn(3, 4, 5, dtype=torch.float64)
    each = (old - new).abs().amax(-1) / (new.abs().amax(-1) + 1e-8)
    assert torch.allclose(residual(old, new), each.amax(1))


def test_a_trained_model_is_read_back_and_another_plan_trains_anew(maze, tmp_path):
    plan = Plan(updates=4, batch=4, width=16, gate_updates=2, unrolled=4)
    first = train(maze, "posthoc", 0, plan, tmp_path)
    kept = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert set(kept) == {f"maze-{recipe}-0.pt" for recipe in ("trunk", "fprm", "posthoc")}
    again = train(maze, "posthoc", 0, plan, tmp_path)
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == kept
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    trunk = train(maze, "fprm", 0, plan, tmp_path)
    assert torch.equal(trunk.head.weight, first.head.weight) and not torch.equal(trunk.gate.weight, first.gate.weight)
    train(maze, "fprm", 0, Plan(updates=6, batch=4, width=16, gate_updates=2, unrolled=4), tmp_path)
    assert (tmp_path / "maze-fprm-0.pt").stat().st_mtime_ns != kept["maze-fprm-0.pt"]


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=12))
def test_auroc_is_the_share_of_pairs_in_order(pairs):
    values, right = np.array([v for v, _ in pairs]), np.array([r for _, r in pairs])
    wins = [(a > b) + 0.5 * (a == b) for a in values[right] for b in values[~right]]
    found = auroc(values, right)
    assert found == pytest.approx(np.mean(wins)) if wins else np.isnan(found)


def test_fixed_depths_and_oracles_by_hand():
    right = np.array([[0, 1, 0], [1, 1, 0], [1, 0, 0]], dtype=bool)  # (loops, instances)
    nats = np.array([[2.0, 0.1, 3.0], [0.1, 0.2, 2.0], [0.05, 1.0, 2.5]])
    curve = Curves(right, nats, {}, np.zeros(3))
    fixed = sweep(curve, "fixed depth")
    assert [(s.loops, s.accuracy) for s in fixed] == [(1, 1 / 3), (2, 2 / 3), (3, 1 / 3)]
    best = cheapest(fixed, 2 / 3)
    assert best is not None and best.loops == 2 and cheapest(fixed, 0.9) is None
    (first,) = sweep(curve, "oracle: first right")
    assert (first.loops, first.accuracy, first.stopped) == (2.0, 2 / 3, 2 / 3)
    least = sweep(curve, "oracle: argmin CE")[0]
    assert (least.loops, least.accuracy) == (2.0, 2 / 3)  # loops 3, 1, 2


@torch.no_grad()
def test_curves_come_back_from_disk(model, batch, maze, tmp_path):
    curve = curves(model, [batch], maze, "fprm", 3)
    np.savez(tmp_path / "kept.npz", **curve.arrays("test/"))
    back = Curves.of_arrays(np.load(tmp_path / "kept.npz"), "test/")
    assert all(np.array_equal(a, b) for a, b in zip(curve.arrays("").values(), back.arrays("").values(), strict=True))
    assert len(list(states(model, batch, maze.sees(4), 3))) == len(back.right)


def stopping_curve(right: np.ndarray, settled: np.ndarray) -> Curves:
    """The fixed point's score falls from 1 to 0 at the loop ``settled`` (N,), counted from 1."""
    loops = np.arange(1, len(right) + 1)[:, None]
    score = np.where(loops >= settled, 0.1, 1.0)
    return Curves(right, 1.0 - right, {"fixed point": score}, np.zeros(right.shape[1]))


def test_settings_come_from_the_other_half_and_the_rule_that_knows_needs_fewer_loops():
    rng = np.random.default_rng(0)
    needed = rng.integers(1, 9, size=400)
    right = np.arange(1, 11)[:, None] >= needed
    curve = stopping_curve(right, needed)
    each = dict.fromkeys(("train", "test", "shifted"), curve)
    figures = {rule: rule_figures(each, each, rule)["chosen"]["test"] for rule in ("fixed point", "fixed depth")}
    assert figures["fixed point"]["accuracy"] == figures["fixed depth"]["accuracy"] == 1.0
    assert figures["fixed point"]["loops"] == pytest.approx(needed.mean())
    assert figures["fixed depth"]["loops"] == 8.0


def test_a_rule_that_knows_nothing_gains_nothing_on_other_instances():
    """The blind control: a score that has nothing to do with the instance."""
    rng = np.random.default_rng(1)
    needed = rng.integers(1, 9, size=400)
    loops = np.arange(1, 11)[:, None]
    curve = stopping_curve(loops >= needed, needed)
    curve.scores["fixed point"] = rng.random(400) - 0.1 * loops
    each = dict.fromkeys(("train", "test", "shifted"), curve)
    blind, fixed = (rule_figures(each, each, rule)["chosen"]["test"] for rule in ("fixed point", "fixed depth"))
    assert blind["accuracy"] == pytest.approx(fixed["accuracy"], abs=0.02) and blind["loops"] > 0.98 * fixed["loops"]


def test_a_setting_is_not_chosen_below_the_best_fixed_depth():
    right = np.array([[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0]], dtype=bool)
    curve = stopping_curve(right, np.array([1, 2, 3, 3]))
    assert apply(curve, "fixed point", choose(curve, curve, "fixed point")).accuracy == 0.75


def test_what_shows_beforehand_makes_groups_with_a_depth_each(batch):
    three = [batch.take(slice(0, 2)), Batch(5, batch.ids[:3], batch.labels[:3], batch.hardness[:3])]
    assert groups(three).tolist() == [4, 4, 5, 5, 5]
    quarters = groups([Batch(4, batch.ids[:8], batch.labels[:8], torch.arange(8))])
    assert quarters.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    right = np.arange(1, 7)[:, None] >= np.array([1, 1, 4, 4, 4])
    found = by_group(stopping_curve(right, np.ones(5)), np.array([0, 0, 1, 1, 1]))
    assert found == {"accuracy": 1.0, "loops": (2 * 1 + 3 * 4) / 5}


@pytest.mark.slow
def test_a_study_is_done_once_and_gives_the_same_again(tmp_path):
    plan = Plan(updates=4, batch=6, width=16, gate_updates=2, unrolled=4)
    job = ("addition", 0, plan, Sizes(20, 8, {"addition": 4}), tmp_path)
    assert not is_done(*job)
    first = study(*job)
    assert is_done(*job)
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    again = study(*job)
    assert repr(again) == repr(first)  # NaN is NaN
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()} == kept
    assert not is_done("addition", 1, *job[2:]) and not is_done(*job[:3], Sizes(40, 8, {"addition": 4}), tmp_path)
