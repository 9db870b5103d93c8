"""Which tokens belong to which answer, also where a tokenizer merges across tags, characters and spaces."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from trainers.answer_tokens import advantages_by_token, answer_tokens, batch_answer_tokens, unfinished_answers
from vpo.answers import AnswerFormat
from vpo.rewards import AnswerReward
from vpo.tasks.word_tokenizer import word_tokenizer

TWO = AnswerFormat(2)
TEXT = "so <answer_1>\nred été</answer_1><answer_2> 日本 </answer_2> ok"


def byte_level(vocab_size: int) -> PreTrainedTokenizerFast:
    """A byte-level BPE without any pre-split, trained on these very texts: it merges across tags and spaces."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=vocab_size, special_tokens=["<pad>", "<eos>"], initial_alphabet=alphabet)
    texts = [TEXT, "a</answer_1><answer_2>b", "blue</answer_2>", "<answer_1>x", "<answer_1>\ny</answer_1>\n"] * 20
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>")


FINE, COARSE = byte_level(260), byte_level(400)  # one token a byte; long merges


def owners_by_bytes(tokenizer, ids: list[int], text: str) -> list[set[int]]:
    """For each token the answers (1, 2; 0 for none) that it has a byte of, from the bytes that its pieces spell."""
    table = byte_of_char()
    raw = text.encode()
    found = TWO.parse(text)
    whole = [*found.elements, *([found.unfinished] if found.unfinished and len(found.answers) < 2 else [])]
    elements = [(len(text[:a].encode()), len(text[:b].encode())) for a, b in whole]
    owners, place = [], 0
    for piece in tokenizer.convert_ids_to_tokens(ids):
        size = 0 if piece in ("<pad>", "<eos>") else len([table[c] for c in piece])
        touched = {
            number
            for number, (a, b) in enumerate(elements, start=1)
            if any(a <= byte < b for byte in range(place, place + size))
        }
        owners.append(touched)
        place += size
    assert place == len(raw)
    return owners


def byte_of_char() -> dict[str, int]:
    """The printable stand-ins that byte-level tokenizers use (GPT-2)."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    table = {chr(b): b for b in plain}
    extra = 0
    for b in range(256):
        if b not in plain:
            table[chr(256 + extra)] = b
            extra += 1
    return table


@pytest.mark.parametrize("tokenizer", [FINE, COARSE], ids=["bytes", "merges"])
@settings(deadline=None, max_examples=60)
@given(
    parts=st.lists(
        st.sampled_from(
            [
                "<answer_1>",
                "</answer_1>",
                "<answer_2>",
                "</answer_2>",
                "red",
                " ",
                "\n",
                "été",
                "日本",
                "🙂",
                "<eos>",
                "x",
            ]
        ),
        max_size=14,
    )
)
def test_every_token_belongs_to_the_answers_that_it_has_a_part_of(tokenizer, parts):
    ids = [i for part in "".join(parts).split("<eos>") for i in [*tokenizer(part)["input_ids"], 1]]
    text = tokenizer.decode(ids, skip_special_tokens=True)
    ranges = answer_tokens(tokenizer, ids, TWO)
    assert ranges is not None
    found = TWO.parse(text)
    is_cut = found.unfinished is not None and len(found.answers) < 2
    assert len(ranges) == len(found.answers) + is_cut
    assert not is_cut or ranges[-1][1] == len(ids), "the end of the text did not close it, either"
    got = [{n for n, (a, b) in enumerate(ranges, start=1) if a <= place < b} for place in range(len(ids))]
    for token, mine, expected in zip(ids, got, owners_by_bytes(tokenizer, ids, text), strict=True):
        assert mine == expected or (token == 1 and not expected)  # a token without text may stand within an answer


def test_a_tokenizer_that_merges_across_a_border_gives_the_shared_token_to_both():
    ids = COARSE(TEXT)["input_ids"]
    assert len(ids) < len(FINE(TEXT)["input_ids"])
    pieces = COARSE.convert_ids_to_tokens(ids)
    crossing = [p for p in pieces if "><" in p]
    assert crossing, pieces  # else this tests nothing
    (_, end), (start, _) = answer_tokens(COARSE, ids, TWO)
    assert start == end - 1


def test_words_and_tags_as_tokens():
    tokenizer = word_tokenizer(["go", "red", "blue", *[f"<{s}answer_{i}>" for i in (1, 2) for s in ("", "/")]])
    ids = tokenizer("go <answer_1> red blue </answer_1> go <answer_2> red </answer_2>")["input_ids"]
    assert answer_tokens(tokenizer, [*ids, tokenizer.eos_token_id], TWO) == [(1, 5), (6, 9)]
    assert answer_tokens(tokenizer, tokenizer("go red")["input_ids"], TWO) == []
    assert answer_tokens(tokenizer, ids, AnswerFormat(1)) == [(0, 9)]


def test_a_draft_in_the_thinking_is_not_taken_for_the_answer():
    tokenizer = word_tokenizer(["go", "red", "blue", *[f"<{s}answer_{i}>" for i in (1, 2) for s in ("", "/")]])
    thinking = "<answer_1> red </answer_1> go "
    ids = tokenizer(thinking + "<answer_1> blue </answer_1>")["input_ids"]
    reward = AnswerReward(lambda completions, **_: [1.0] * len(completions), TWO)
    reward(prompts=["p"], completions=["<answer_1> blue </answer_1>"])  # what a chat template's parser left of it
    assert batch_answer_tokens(tokenizer, [ids], reward) == ([[]], 1.0)
    reward(prompts=["p"], completions=[tokenizer.decode(ids)])
    assert batch_answer_tokens(tokenizer, [ids], reward) == ([[(0, 3)]], 0.0)


def test_an_answer_that_was_never_closed_has_the_rest_of_the_tokens_where_there_was_room_for_it():
    tokenizer = word_tokenizer(["go", "red", "blue", *[f"<{s}answer_{i}>" for i in (1, 2) for s in ("", "/")]])
    reward = AnswerReward(lambda completions, **_: [1.0] * len(completions), TWO)
    texts = [
        "go <answer_1> red </answer_1> go <answer_2> blue blue",
        "go <answer_2> red",
        "<answer_1> red </answer_1> <answer_2> red </answer_2> <answer_2> blue",
        "<answer_1> red </answer_1> go go",
    ]
    ids = [tokenizer(text)["input_ids"] for text in texts]
    ids[1].append(tokenizer.eos_token_id)
    reward(prompts=texts, completions=texts)
    ranges, lost = batch_answer_tokens(tokenizer, ids, reward)
    assert (ranges, lost) == ([[(1, 4), (5, 8)], [(1, 4)], [(0, 3), (3, 6)], [(0, 3)]], 0.0)
    assert unfinished_answers(reward).tolist() == [[False, True], [True, False], [False, False], [False, False]]
    closed = [text.removesuffix("<answer_2> blue blue") for text in texts]  # as a chat template's parser might
    reward(prompts=closed, completions=closed)
    assert batch_answer_tokens(tokenizer, ids, reward)[0][0] == []


def test_advantages_of_answers_stand_on_their_tokens_and_the_sets_elsewhere():
    got = advantages_by_token(
        torch.tensor([9.0, 8.0, 7.0]),
        torch.tensor([[1.0, 2.0], [0.0, 3.0], [5.0, 6.0]]),
        torch.tensor([[True, True], [False, True], [True, True]]),
        [[(1, 3), (2, 4)], [(0, 1)], []],
        5,
    )
    assert got.tolist() == [[9.0, 1.0, 1.5, 2.0, 9.0], [3.0, 8.0, 8.0, 8.0, 8.0], [7.0] * 5]
