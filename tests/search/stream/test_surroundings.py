import asyncio
from itertools import pairwise

import pytest

from search.procedures import BestOfN
from search.records import Proposal
from tests.search.stream.searching import Clock, Single, search, timed
from tests.search.streaming import StreamingScript
from tests.search.toy_problem import ToyProblem, toy_sampler


def test_procedure_that_wants_nothing_now_is_asked_again_after_the_next_result():
    class Careful(BestOfN):
        asked = told = 0

        def ask(self, num, rng, pending=()):
            return [Proposal()] if self.told % 3 == 0 and self.told < 9 else []

        def tell(self, results):
            self.told += len(results)

    (result,) = search(problems=[Single()], make=lambda p: Careful(), batch=3)
    assert len(result.answers) == 1  # after one result it wants none, and none is open: that is the end

    class Pairs(BestOfN):
        told = 0

        def ask(self, num, rng, pending=()):
            return [Proposal()] * (num if self.told % 2 == 0 and self.told < 10 else 0)

        def tell(self, results):
            self.told += len(results)

    (result,) = search(problems=[Single()], make=lambda p: Pairs(), batch=2)
    assert len(result.answers) >= 10


def test_sampler_that_is_a_context_is_entered_and_left_even_after_an_error():
    class Opened(StreamingScript):
        steps = ()

        async def __aenter__(self):
            self.steps += ("entered",)
            return self

        async def __aexit__(self, *exc):
            self.steps += ("left",)

    sampler = Opened(toy_sampler(ToyProblem("toy-0")))
    search(sampler=sampler)
    assert sampler.steps == ("entered", "left")

    def before(request):
        raise OSError("gone")

    sampler = Opened(toy_sampler(ToyProblem("toy-0")), before=before)
    with pytest.raises(OSError, match="gone"):
        search(sampler=sampler)
    assert sampler.steps == ("entered", "left")


def test_search_runs_where_an_event_loop_runs_already():
    async def notebook():
        return search()

    assert asyncio.run(notebook()) == search()


def test_progress_says_what_was_found_and_spent_and_what_is_left(tmp_path):
    path, seen, clock = tmp_path / "run.jsonl", [], Clock()
    sampler = timed(ToyProblem("toy-0"), clock)
    results = search(sampler=sampler, path=path, progress=seen.append, clock=clock, num=2)
    first, last = seen[0], seen[-1]
    assert last.num_answers == sum(result.answers[-1] for result in results)
    assert last.completion_tokens == sum(result.completion_tokens[-1] for result in results)
    assert last.prompt_tokens == sum(result.prompt_tokens[-1] for result in results)
    assert last.best == max(result.best[-1] for result in results)
    assert (last.num_finished, last.num_problems, last.share_spent, last.seconds_left) == (2, 2, 1.0, 0.0)
    assert last.seconds == len(sampler.sent) == last.round
    assert first.seconds_left is None  # no pace yet
    # one request a second: by the pace since the first report, what is left takes as long as its share
    middle = seen[len(seen) // 2]
    pace = (middle.share_spent - first.share_spent) / (middle.seconds - first.seconds)
    assert middle.seconds_left == pytest.approx((1 - middle.share_spent) / pace)
    assert all(a.num_answers <= b.num_answers and a.share_spent <= b.share_spent for a, b in pairwise(seen))

    again = []
    search(path=path, progress=again.append, num=2)
    assert again[-1].num_replayed == last.round and again[-1].num_answers == last.num_answers


class Batches:
    def sample(self, requests):
        return []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "rounds"}, "mode is 'rounds', which needs a sampler with `sample`, and StreamingScript has none"),
        ({"mode": "fast"}, "mode is 'fast', expected 'auto', 'rounds' or 'stream'"),
        ({"overlap": True}, "overlap=True goes with rounds alone"),
        ({"ordered": False, "sampler": Batches()}, "ordered=False goes with a stream alone"),
        ({"mode": "stream", "sampler": Batches()}, "needs a sampler with `generate`, and Batches has none"),
        ({"sampler": object()}, "object has neither `sample` nor `generate`"),
        ({"max_in_flight": 0}, "max_in_flight is 0, expected at least 1"),
        ({"evaluators": 0}, "evaluators is 0, expected at least 1 or a pool"),
        ({"target": float("nan")}, "target is nan, expected a finite scalar"),
        ({"batch": 0}, "batch is 0, expected at least 1"),
    ],
)
def test_settings_that_make_no_sense_are_refused_before_anything_is_written(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        search(path=tmp_path / "run.jsonl", **options)
    assert list(tmp_path.iterdir()) == []
