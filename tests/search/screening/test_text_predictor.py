import random

import numpy as np
import pytest

from search.screening import TextPredictor, get_predictor
from search.screening.text_features import Texts, place_similarity, text_features

LETTERS = "abcd"


def lists(num, seed, length=10):
    rng = random.Random(seed)
    return [" ".join(rng.choices(LETTERS, k=length)) for _ in range(num)]


def slots(answers):
    """(N, 2) sums over places of a random value for each letter."""
    table = np.random.default_rng(5).normal(size=(2, 10, 4))
    rows = [[LETTERS.index(word) for word in answer.split()] for answer in answers]
    return np.array([[sum(part[i, letter] for i, letter in enumerate(row)) for part in table] for row in rows])


def points(num, seed):
    return [" ".join(f"{x:.4f}" for x in row) for row in np.random.default_rng(seed).random((num, 2))]


def hills(answers):
    values = np.array([[float(word) for word in answer.split()] for answer in answers])
    return np.stack([np.sin(5 * values[:, 0]) + values[:, 1], values.sum(axis=1)], axis=1)


@pytest.mark.parametrize(
    ("draw", "score", "num", "least"),
    [(lists, slots, 120, 0.8), (points, hills, 60, 0.9)],
    ids=["words by their place", "numbers"],
)
def test_it_learns_to_tell_good_answers_from_bad_ones_and_knows_how_well(draw, score, num, least):
    predictor, known, new = TextPredictor(), draw(num, 0), draw(200, 1)
    noise = 0.2 * np.random.default_rng(0).normal(size=(num + 200, 2)) * score(known).std(axis=0)
    predictor.update(None, known, score(known) + noise[:num])
    mean, spread = predictor.predict(None, new)
    real = score(new) + noise[num:]
    assert all(np.corrcoef(mean[:, d], real[:, d])[0, 1] > least for d in range(2))
    assert 0.6 < ((real - mean) / spread).std() < 1.6


def test_code_is_told_apart_by_what_it_says():
    good, bad = "def f(n):\n    return n * n  # {}\n", "def f(n):\n    while True: pass  # {}\n"
    predictor = TextPredictor()
    answers = [form.format(i) for i in range(12) for form in (good, bad)]
    predictor.update(None, answers, np.array([[1.0], [0.0]] * 12))
    mean, _ = predictor.predict(None, [good.format(99), bad.format(98)])
    assert mean[0, 0] > 0.8 and mean[1, 0] < 0.2


def test_predictions_depend_on_what_was_learned_and_not_on_how_and_on_what_was_asked_in_between():
    known, new = lists(40, 0), lists(5, 1)
    rewards = slots(known)
    at_once, one_by_one = TextPredictor(most=30), TextPredictor(most=30)
    at_once.update(None, known, rewards)
    for answer, row in zip(known, rewards, strict=True):
        one_by_one.update(None, [answer], row[None])
        one_by_one.predict(None, new[:1])
    for a, b in zip(at_once.predict(None, new), one_by_one.predict(None, new), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow  # for the import of scikit-learn
def test_it_foresees_what_the_gaussian_process_of_scikit_learn_does():
    gaussian_process = pytest.importorskip("sklearn.gaussian_process")
    known, new = points(30, 0), points(20, 1)
    rewards = hills(known)
    predictor = TextPredictor()
    predictor.update(None, known, rewards)
    mean, spread = predictor.predict(None, new)
    fit = predictor._fitted
    assert fit.kernel.view == "numbers"
    inputs, others = ((np.array([[float(w) for w in a.split()] for a in each])) for each in (known, new))
    kernel = gaussian_process.kernels.RBF(fit.kernel.length * np.sqrt(2), "fixed")  # ours is over the mean of squares
    theirs = gaussian_process.GaussianProcessRegressor(kernel, alpha=fit.noise + 1e-8, optimizer=None)
    theirs.fit((inputs - fit.centre) / fit.scale, rewards - rewards.mean(axis=0))
    foreseen, deviation = theirs.predict((others - fit.centre) / fit.scale, return_std=True)
    np.testing.assert_allclose(mean, foreseen + rewards.mean(axis=0), rtol=1e-6, atol=1e-8)
    with_noise = np.sqrt((deviation[:, 0] ** 2 + fit.noise)[:, None] * fit.variance)
    np.testing.assert_allclose(spread, with_noise, rtol=1e-4)


def test_constant_rewards_and_empty_texts_are_no_trouble():
    predictor = TextPredictor()
    predictor.update(None, ["", "a", "\ud800", "1 2 nan"], np.ones((4, 2)))
    mean, spread = predictor.predict(None, ["", "b"])
    np.testing.assert_allclose(mean, 1.0)
    assert np.isfinite(spread).all()


def test_similarity_by_place_is_the_share_of_equal_places():
    a, b = ["x y z", "x y", ""], ["x q z", "x y z w"]
    found = place_similarity(*(Texts.of([text_features(each) for each in side]) for side in (a, b)))
    np.testing.assert_allclose(found, [[2 / 3, 3 / 4], [1 / 3, 2 / 4], [0, 0]])


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("fish", {}, "there is no predictor 'fish': expected one of text"),
        ("tests.search.screening.predictors:fish", {}, "cannot be found: expected module:function"),
        ("text", {"depth": 3}, "has not these options"),
        ("text", {"most": 1}, "most is 1, expected a whole number, 2 at least"),
    ],
)
def test_mistakes_in_the_name_are_named(name, options, message):
    with pytest.raises(ValueError, match=message):
        get_predictor(name, None, **options)


def test_asking_before_anything_was_learned_is_an_error():
    with pytest.raises(ValueError, match="nothing was learned yet"):
        TextPredictor().predict(None, ["a"])
