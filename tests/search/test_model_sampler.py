import pytest
import torch
from scipy.stats import chisquare
from transformers import PreTrainedTokenizerFast

from search.budget import Budget
from search.driver import run_search
from search.model_sampler import ModelSampler, keep_nucleus
from search.procedures import Evolution
from search.records import Request, Sampling
from tests.search.tiny_policy import MESSAGES, WORDS, tiny_policy, tiny_tokenizer
from tests.search.toy_problem import ToyProblem

CHAT = f"{MESSAGES}{{% if add_generation_prompt %}}a{{% endif %}}{{% if loud %}} b b b{{% endif %}}"


@pytest.fixture(scope="module")
def tokenizer():
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = CHAT
    return tokenizer


@pytest.fixture(scope="module")
def model():
    return tiny_policy(attention_dropout=0.5)  # in training mode only


@pytest.fixture(scope="module")
def sampler(model, tokenizer):
    return ModelSampler(model, tokenizer, batch_size=5)


def request(id=0, prompt="a b c", seed=1, **options) -> Request:
    return Request(id=id, prompt=prompt, seed=seed, **{"max_new_tokens": 8, **options})


RAGGED = [
    request(id=i, prompt=" ".join(WORDS[: 1 + 3 * i % 11]), seed=100 + i, prefix="d e" if i % 3 == 0 else "")
    for i in range(13)
]


def test_rows_do_not_depend_on_batch_mates_padding_or_order(model, tokenizer, sampler):
    together = sampler.sample(RAGGED)
    assert [generation.request_id for generation in together] == list(range(13))
    alone = [ModelSampler(model, tokenizer, batch_size=1).sample([r])[0] for r in RAGGED]
    assert together == alone
    assert sampler.sample(RAGGED[::-1]) == together[::-1]
    assert len({generation.text for generation in together}) > 8


def test_completions_follow_the_seed_and_not_the_global_generator(sampler):
    torch.manual_seed(1)
    first = sampler.sample(RAGGED)
    state = torch.get_rng_state()
    assert sampler.sample(RAGGED) == first
    assert torch.equal(torch.get_rng_state(), state), "the caller's generator must be left alone"
    others = sampler.sample([request(id=i, seed=i) for i in range(20)])
    assert len({generation.text for generation in others}) > 15


def exact_next(model, tokenizer, text, temperature=1.0):
    ids = torch.tensor([tokenizer(text)["input_ids"]])
    with torch.no_grad():
        return (model(input_ids=ids).logits[0, -1].double() / temperature).softmax(-1)


def fits(counts, expected) -> bool:
    """Whether counts may have come of a distribution; cells with fewer than 10 expected are taken together."""
    rare = expected < 10
    cells = [torch.cat([each[~rare].double(), each[rare].double().sum()[None]]).numpy() for each in (counts, expected)]
    return bool(chisquare(*cells).pvalue > 1e-3)


@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_first_token_frequencies_match_the_softmax(model, tokenizer, temperature):
    num = 4000
    requests = [request(id=i, seed=i, max_new_tokens=1, temperature=temperature) for i in range(num)]
    # ragged company: half of the batch is longer, so the rows under test are padded
    company = [request(id=num + i, prompt="a b c d e f g", seed=i, max_new_tokens=1) for i in range(num // 4)]
    generations = ModelSampler(model, tokenizer, batch_size=num * 2).sample(requests + company)[:num]
    counts = torch.zeros(len(tokenizer))
    for generation in generations:
        # special tokens are not shown, except for the reason to stop
        name = "<eos>" if generation.finish_reason == "stop" else generation.text
        counts[tokenizer.convert_tokens_to_ids(name) if name else 0] += 1
    expected = exact_next(model, tokenizer, "a b c", temperature)
    expected[0] += expected[1] + expected[3]  # <pad>, <bos> and <unk> all read as nothing
    expected[[1, 3]] = 0
    assert counts[expected == 0].sum() == 0
    assert fits(counts, num * expected)


def test_second_token_frequencies_match_the_softmax_after_the_first(model, tokenizer):
    num = 3000
    generations = ModelSampler(model, tokenizer, batch_size=num).sample(
        [request(id=i, seed=i, max_new_tokens=2, prefix="d") for i in range(num)]
    )
    after = [g.text.split()[1:] for g in generations if g.finish_reason == "length" and len(g.text.split()) == 3]
    (first, _), *_ = sorted(after, key=lambda pair: -sum(pair[0] == other[0] for other in after))
    seconds = [pair[1] for pair in after if pair[0] == first]
    expected = exact_next(model, tokenizer, f"a b c d {first}")[-len(WORDS) :]
    expected = expected / expected.sum()  # those that are shown
    counts = torch.tensor([float(seconds.count(word)) for word in WORDS])
    assert len(seconds) > 200
    assert fits(counts, len(seconds) * expected)


def test_temperature_zero_is_greedy_also_beside_sampled_rows(model, tokenizer, sampler):
    greedy = [request(id=i, prompt=p, seed=i, temperature=0.0) for i, p in enumerate(["a b c", "d"])]
    sampled = [request(id=2 + i, seed=i) for i in range(3)]
    for generation in sampler.sample(greedy + sampled)[:2]:
        ids = tokenizer(greedy[generation.request_id].prompt)["input_ids"]
        output = model.generate(
            torch.tensor([ids]), do_sample=False, max_new_tokens=8, attention_mask=torch.ones(1, len(ids))
        )
        expected = tokenizer.decode(output[0, len(ids) :], skip_special_tokens=True)
        assert generation.text.strip() == expected


def test_nucleus_keeps_the_smallest_set_that_reaches_its_mass():
    scores = torch.log(torch.tensor([[0.5, 0.3, 0.15, 0.05]] * 4))
    kept = keep_nucleus(scores, torch.tensor([[0.4], [0.6], [0.9], [1.0]])).isfinite().sum(dim=1)
    assert kept.tolist() == [1, 2, 3, 4]


def test_top_p_is_applied_per_row(model, tokenizer):
    best = exact_next(model, tokenizer, "a b c").argmax()
    requests = [request(id=i, seed=i, max_new_tokens=1, top_p=1e-6 if i % 2 else 1.0) for i in range(200)]
    generations = ModelSampler(model, tokenizer, batch_size=200).sample(requests)
    assert {g.text for g in generations[1::2]} == {tokenizer.decode([int(best)], skip_special_tokens=True)}
    assert len({g.text for g in generations[::2]}) > 5


def test_prefix_leads_the_text_is_read_by_the_model_and_is_not_charged(sampler):
    (generation,) = sampler.sample([request(prefix="d e f", temperature=0.0)])
    (plain,) = sampler.sample([request(prompt="a b c d e f", temperature=0.0)])
    assert generation.text.startswith("d e f")
    assert generation.text[len("d e f") :].split() == plain.text.split()
    assert generation.completion_tokens == plain.completion_tokens
    assert generation.prompt_tokens == plain.prompt_tokens == 6


def test_prefix_keeps_its_own_characters(sampler):
    (generation,) = sampler.sample([request(prefix="d\n\te ")])
    assert generation.text.startswith("d\n\te ")


def test_completion_stops_at_its_end_token_and_counts_it(sampler):
    generations = sampler.sample([request(id=i, seed=i, max_new_tokens=12) for i in range(60)])
    stopped = [g for g in generations if g.finish_reason == "stop"]
    cut = [g for g in generations if g.finish_reason == "length"]
    assert stopped
    assert cut
    assert all(g.completion_tokens == 12 for g in cut)
    assert all("<eos>" not in g.text and "<pad>" not in g.text for g in generations)
    assert all(len(g.text.split()) < g.completion_tokens <= 12 for g in stopped)


def test_requests_of_different_length_limits_can_be_mixed(sampler):
    requests = [request(id=i, seed=i, max_new_tokens=1 + i % 4) for i in range(12)]
    generations = sampler.sample(requests)
    assert [g.request_id for g in generations] == list(range(12))
    assert all(g.completion_tokens <= r.max_new_tokens for g, r in zip(generations, requests, strict=True))
    assert generations[3] == sampler.sample([requests[3]])[0]


def test_chat_prompt_goes_through_the_template_with_its_options(model, tokenizer, sampler):
    chat = request(prompt=[{"role": "user", "content": "c d"}], temperature=0.0)
    (generation,) = sampler.sample([chat])
    (plain,) = sampler.sample([request(prompt="u c d a", temperature=0.0)])
    assert (generation.text, generation.prompt_tokens) == (plain.text, 4)
    loud = ModelSampler(model, tokenizer, chat_template_kwargs={"loud": True})
    assert loud.sample([chat])[0].prompt_tokens == 7
    assert loud.describe() != sampler.describe()


def test_generation_config_of_the_checkpoint_does_not_bend_the_distribution(model, tokenizer, sampler):
    expected = sampler.sample(RAGGED)
    kept = model.generation_config.to_dict()
    bent = {
        "do_sample": True,
        "temperature": 0.1,
        "top_k": 1,
        "top_p": 0.5,
        "repetition_penalty": 5.0,
        "min_new_tokens": 6,
    }
    try:
        model.generation_config.update(**bent)
        assert sampler.sample(RAGGED) == expected
    finally:
        model.generation_config.update(**kept)


def test_training_mode_is_left_as_it_was_found(model, tokenizer, sampler):
    expected = sampler.sample(RAGGED[:2])
    model.train()
    try:
        assert sampler.sample(RAGGED[:2]) == expected
        assert model.training
    finally:
        model.eval()


class AbortingModel:
    """Aborts requests when the sampler has computed so many tokens."""

    def __init__(self, sampler, model, ids, after):
        self.calls = 0

        def hook(*_):
            self.calls += 1
            if self.calls == after:
                for request_id in ids:
                    sampler.abort(request_id)

        self.handle = model.register_forward_hook(hook)


def test_an_aborted_request_leaves_its_mates_as_they_are_and_a_batch_of_them_ends(model, tokenizer):
    sampler = ModelSampler(model, tokenizer)
    requests = [request(id=i, seed=i, max_new_tokens=30) for i in range(6)]
    expected = sampler.sample(requests)
    for ids in ({1, 4}, set(range(6))):
        watched = AbortingModel(sampler, model, ids, after=3)
        found = sampler.sample(requests)
        watched.handle.remove()
        assert [g for g in found if g.request_id not in ids] == [g for g in expected if g.request_id not in ids]
    assert watched.calls == 3 < max(generation.completion_tokens for generation in expected)
    assert sampler.sample(requests) == expected, "an abort is of one call"


def test_no_requests_give_no_generations(sampler):
    assert sampler.sample([]) == []


def test_search_runs_on_a_model_and_resumes(tmp_path, sampler):
    def search(path):
        problem = ToyProblem("toy", num_answers=1, num_slots=4)
        problem.prompt, problem.target = "a b c", ["a", "b", "c", "d"]
        return run_search(
            [problem],
            lambda problem: Evolution(problem.vary),
            sampler,
            Budget(max_completion_tokens=120),
            batch=4,
            sampling=Sampling(max_new_tokens=6),
            ledger_path=path,
        )

    path = tmp_path / "run.jsonl"
    (result,) = search(path)
    assert 114 < result.completion_tokens[-1] <= 120
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[: len(lines) // 2]))
    assert search(path) == [result]


def test_prompt_that_does_not_fit_the_context_is_refused(sampler):
    with pytest.raises(ValueError, match="60 tokens and max_new_tokens = 8 do not fit together"):
        sampler.sample([request(prompt="a " * 60)])


def test_empty_prompt_is_refused(sampler):
    with pytest.raises(ValueError, match="a prompt has no tokens, expected at least one"):
        sampler.sample([request(prompt="")])


def test_bad_batch_size_and_missing_end_token_are_refused(model, tokenizer):
    with pytest.raises(ValueError, match="batch_size is 0, expected at least 1"):
        ModelSampler(model, tokenizer, batch_size=0)
    endless = PreTrainedTokenizerFast(tokenizer_object=tokenizer.backend_tokenizer, pad_token="<pad>")
    kept = model.generation_config.eos_token_id
    model.generation_config.eos_token_id = None
    try:
        with pytest.raises(ValueError, match="has an end-of-sequence token, expected one"):
            ModelSampler(model, endless)
    finally:
        model.generation_config.eos_token_id = kept
