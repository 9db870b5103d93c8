"""The whole measurement on loops whose numbers are known on paper: what is reported is what is true, and named so."""

from __future__ import annotations

import math
from functools import cache
from itertools import pairwise
from typing import ClassVar

import pytest
import torch

from eval.depth import AdaptedProbe, DepthReport, Passage, Plan, measure_depth, passage_batches
from tests.eval.depth_report.analytic_cores import VOCABULARY, Core, contraction, drift, normal, period_two, rotation

LOOPS = 8


def passages(count: int = 12) -> list[Passage]:
    generator = torch.Generator().manual_seed(0)
    return [
        Passage(torch.randint(VOCABULARY, (5 + i % 4,), generator=generator).tolist(), kind="odd" if i % 2 else "even")
        for i in range(count)
    ]


def measured(core: Core, **changes) -> DepthReport:
    plan = Plan(LOOPS, cap=4, tols=(0.01, 0.1, 0.3), jacobian_loops=(1, LOOPS), draws=200, **changes)
    return measure_depth(core.probe(), passage_batches(passages(), 4), plan)


@cache
def of(name: str) -> DepthReport:
    cores = {
        "contraction": contraction(0.5),
        "rotation": rotation(0.9, math.pi / 2),
        "growing pair": rotation(1.2, 2.0),
        "drift": drift(),
        "period two": period_two(),
    }
    return measured(cores[name])


def mean(report: DepthReport, name: str) -> list[float]:
    return [math.nan if value is None else value for value in report.series[name].mean]


def kinds(report: DepthReport) -> list[str]:
    return [each.kind for each in report.advice]


def test_a_contraction_shrinks_its_steps_by_its_factor_and_so_is_its_jacobian() -> None:
    report = of("contraction")
    assert mean(report, "contraction")[1:] == pytest.approx([0.5] * (LOOPS - 1), rel=1e-4)
    assert mean(report, "cosine")[1:] == pytest.approx([1.0] * (LOOPS - 1), abs=1e-4)
    steps = mean(report, "step_size")
    assert [b / a for a, b in pairwise(steps)] == pytest.approx([0.5] * (LOOPS - 1), rel=1e-4)
    for row in report.jacobian:
        assert (row.norm, row.radius, row.step_size) == pytest.approx((0.5, 0.5, 1.0), rel=1e-3)
    apart = mean(report, "fresh_start_distance")
    assert apart[-1] < apart[0] / 2 ** (LOOPS - 2)
    assert "settled" in kinds(report) and "contracts" in kinds(report)


def test_a_quarter_turn_is_orthogonal_step_by_step_and_its_complex_pair_has_its_modulus() -> None:
    report = of("rotation")
    assert mean(report, "cosine")[1:] == pytest.approx([0.0] * (LOOPS - 1), abs=1e-4)
    assert mean(report, "contraction")[1:] == pytest.approx([0.9] * (LOOPS - 1), rel=1e-4)
    assert mean(report, "norm_growth") == pytest.approx([0.9**t for t in range(LOOPS)], rel=1e-4)
    for row in report.jacobian:
        assert (row.norm, row.radius) == pytest.approx((0.9, 0.9), rel=1e-3)


def test_a_growing_complex_pair_is_unstable_and_the_damping_that_mends_it_is_named() -> None:
    report = of("growing pair")
    assert report.jacobian[-1].radius == pytest.approx(1.2, rel=1e-3)
    pair = complex(1.2 * math.cos(2.0), 1.2 * math.sin(2.0))
    bound = 2 * (1 - pair.real) / abs(1 - pair) ** 2  # |1 - eta + eta l| = 1
    assert report.jacobian[-1].step_size == pytest.approx(bound, rel=1e-3)
    assert {"oscillates", "unstable"} <= set(kinds(report))
    assert report.advice[0].kind == "oscillates"


def test_a_drift_moves_straight_on_while_its_residual_falls_like_one_over_t() -> None:
    report = of("drift")
    steps = mean(report, "step_size")
    assert steps == pytest.approx([steps[0]] * LOOPS, rel=1e-4)
    assert mean(report, "cosine")[1:] == pytest.approx([1.0] * (LOOPS - 1), abs=1e-4)
    residuals, visible = mean(report, "residual"), mean(report, "scale_free_residual")
    assert residuals[-1] * LOOPS == pytest.approx(residuals[3] * 4, rel=0.25)
    assert visible == sorted(visible, reverse=True) and visible[-1] < residuals[-1]
    growth = mean(report, "norm_growth")
    assert [b - a for a, b in pairwise(growth[3:])] == pytest.approx([growth[-1] - growth[-2]] * 4, rel=0.05)
    assert mean(report, "fresh_start_distance")[-1] > 0
    assert report.advice[0].kind == "drifts"
    assert report.tolerances[0].share_at_cap == 1.0, "no token settles, however small its residual looks"


def test_a_period_of_two_turns_back_at_every_step_and_is_to_be_damped() -> None:
    report = of("period two")
    assert mean(report, "cosine")[1:] == pytest.approx([-1.0] * (LOOPS - 1), abs=1e-4)
    assert mean(report, "contraction")[1:] == pytest.approx([1.0] * (LOOPS - 1), rel=1e-4)
    losses = mean(report, "cross_entropy")
    assert losses[::2] == pytest.approx([losses[0]] * (LOOPS // 2), rel=1e-4)
    assert report.advice[0].kind == "oscillates"
    # Every step size below 1 leads to the centre: |1 - 2 eta| < 1.
    assert report.jacobian[-1].step_size == pytest.approx(1.0, rel=1e-3)


def test_a_loop_that_does_nothing_has_its_sweet_spot_at_one_loop_and_its_cap_can_go_there() -> None:
    report = measured(Core(lambda z: z))
    assert (report.sweet_spot.loop, report.sweet_spot.lo, report.sweet_spot.hi) == (1, 1, 1)
    assert report.advice[0].kind == "sweet_spot"
    assert report.advice[0].settings == {"num_steps": 1}
    assert all(row.kl == 0 for row in report.tolerances)
    assert all(row.mean_depth == 1 for row in report.tolerances)


def test_depths_by_kind_add_up_and_every_record_survives_json() -> None:
    report = of("contraction")
    assert set(report.groups) == {"position", "surprisal", "format", "difficulty"}
    for rows in report.groups.values():
        assert sum(row.num_tokens for row in rows) == report.num_tokens
        assert all(sum(row.shares) == pytest.approx(1) for row in rows)
    assert {row.name for row in report.groups["format"]} == {"odd", "even"}
    assert DepthReport.from_json(report.to_json()) == report


def test_a_map_that_is_far_from_normal_has_the_norm_and_the_radius_of_its_matrix() -> None:
    pair = torch.tensor([[0.5, 2.0], [0.0, 0.4]], dtype=torch.float64)
    matrix = torch.block_diag(pair, pair, pair)
    offset = normal(matrix.shape[0], seed=6)
    report = measured(Core(lambda z: z @ matrix.to(z.dtype).T + offset.to(z.dtype)))
    norm = float(torch.linalg.matrix_norm(pair, 2))
    assert norm > 2 > 0.5 == float(torch.linalg.eigvals(pair).abs().max())
    for row in report.jacobian:
        assert (row.norm, row.radius) == pytest.approx((norm, 0.5), rel=1e-2)
    assert "transient_growth" in kinds(report)


def test_passages_whose_difficulty_nobody_said_are_not_lost() -> None:
    rows = [Passage([1, 2, 3], difficulty="hard"), Passage([1, 2]), Passage([4, 5, 6, 1], difficulty="easy")]
    plan = Plan(2, cap=2, tols=(0.1,), draws=50)
    core = contraction(0.5)
    core.trained_loops = 2
    report = measure_depth(core.probe(), passage_batches(rows, 2), plan)
    assert [(row.name, row.num_tokens) for row in report.groups["difficulty"]] == [
        ("easy", 3),
        ("hard", 2),
        ("not said", 1),
    ]


@pytest.mark.parametrize("order", [1, -1])
def test_what_is_looked_at_closely_is_the_longest_passage(order: int) -> None:
    class Watching(AdaptedProbe):
        seen: ClassVar[list] = []

        def attention(self, ids, mask, loops):
            self.seen.append(mask.sum(1).tolist())

        def loop(self, ids, mask):
            self.seen.append(mask.sum(1).tolist())
            return super().loop(ids, mask)

    Watching.seen.clear()
    rows = [Passage([1] * length) for length in (9, 5, 7, 3, 8)]
    batches = passage_batches(rows, 3)[::order]
    probe = Watching(contraction(0.5).probe().mapping)
    measure_depth(probe, batches, Plan(4, cap=4, tols=(0.1,), jacobian_loops=(2,), draws=20))
    assert Watching.seen == [[9, 8], [9]]


def test_difficulties_stand_in_the_order_of_their_size() -> None:
    told = ["10", "9", "0", "0.5", "level 10", "level 2", "-1", ""]
    rows = [Passage([1, 2, 3], difficulty=each) for each in told]
    core = contraction(0.5)
    core.trained_loops = 2
    report = measure_depth(core.probe(), passage_batches(rows, 4), Plan(2, cap=2, tols=(0.1,), draws=20))
    ordered = ["-1", "0", "0.5", "9", "10", "level 2", "level 10", "not said"]
    assert [row.name for row in report.groups["difficulty"]] == ordered


def test_the_same_seed_gives_the_same_report() -> None:
    assert measured(contraction(0.5)).to_json() == of("contraction").to_json()


def test_answers_count_as_solved_where_every_prediction_is_right() -> None:
    core = Core(lambda z: z)
    core.head = torch.zeros_like(core.head)
    core.head[3, 0] = 1.0
    core.embedding = torch.zeros_like(core.embedding)
    core.embedding[:, 0] = 1.0  # always predicts token 3
    rows = [Passage([1, 3, 3]), Passage([1, 2, 3, 3], start=2), Passage([3, 3, 1]), Passage([3, 3, 3, 0])]
    plan = Plan(2, cap=2, tols=(0.1,), draws=50)
    core.trained_loops = 2
    report = measure_depth(core.probe(), passage_batches(rows, 4), plan, is_task=True)
    assert report.solved is not None
    assert report.solved.mean == [0.5, 0.5]
    assert report.num_tokens == 2 + 2 + 2 + 3


def test_more_loops_than_were_run_cannot_be_judged() -> None:
    core = contraction(0.5)
    core.trained_loops = 9
    with pytest.raises(ValueError, match="trained with 9"):
        measured(core)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"loops": 1, "cap": 1}, "expected 2 loops or more"),
        ({"cap": 9}, "a cap among them"),
        ({"tols": ()}, "expected one tolerance"),
        ({"tols": (0.2, 0.1)}, "ascending"),
        ({"jacobian_loops": (9,)}, "expected loops from 1 to 4"),
        ({"target_kl": 0.0}, "target_kl is 0.0"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(change: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Plan(**{"loops": 4, "cap": 4, "tols": (0.1,), **change})
