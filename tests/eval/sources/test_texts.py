"""Chat messages as a log holds them, as messages or as JSON: one id for a prompt, and no data taken for a chat."""

from __future__ import annotations

import json

import pytest
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st

from eval.sources import open_source
from eval.sources.texts import completion_text, prompt_id, prompt_text
from tests.eval.sources.logs import jsonl_text, rollout, write_rollouts
from vpo.weightings import prompt_key

ASKED = [{"role": "user", "content": "Hi"}]
SAID = [{"role": "assistant", "content": "Hello"}]
MESSAGES = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["system", "user", "assistant"]), "content": st.text(max_size=5) | st.none()},
        optional={"name": st.text(max_size=3) | st.none()},
    ),
    min_size=1,
    max_size=3,
)


@given(MESSAGES, st.booleans())
def test_a_prompt_has_one_id_as_messages_as_json_and_padded_by_a_dataset(messages, ascii_only):
    own = f"{prompt_key(messages):016x}"
    (padded,) = Dataset.from_dict({"prompt": [messages]})["prompt"]
    assert prompt_id(messages) == prompt_id(json.dumps(messages, ensure_ascii=ascii_only)) == prompt_id(padded) == own


def test_the_rollout_log_and_json_lines_agree_on_a_prompt_that_a_dataset_padded(tmp_path):
    (_, padded) = Dataset.from_dict({"prompt": [[{**ASKED[0], "name": "Ann"}], ASKED]})["prompt"]
    assert padded == [{**ASKED[0], "name": None}]  # which is what a trainer is handed
    write_rollouts(tmp_path, [rollout(0, prompt=padded) | {"prompt": json.dumps(padded)}])
    (logged,) = open_source(tmp_path).read()
    for prompt in (padded, ASKED, json.dumps(ASKED)):
        (tmp_path / "base.jsonl").write_bytes(jsonl_text([{"prompt": prompt, "completion": "t", "reward": 1.0}]))
        (base,) = open_source(tmp_path / "base.jsonl").read()
        assert set(base.prompt_ids) == set(logged.prompt_ids)


@pytest.mark.parametrize(
    "text", ['[{"role": "user"}]', '[{"content": "a"}]', '[{"role": 1, "content": "a"}]', '[{"a', "[]"]
)
def test_a_prompt_that_is_data_is_text(text):
    assert prompt_text(text) == text
    assert prompt_id(text) == f"{prompt_key(text):016x}"


@pytest.mark.parametrize(
    ("prompt", "completion", "text"),
    [
        (json.dumps(ASKED), json.dumps(SAID), "Hello"),
        (json.dumps(ASKED), '[{"role": "x", "content": null}, {"role": "y", "content": "z"}]', "z"),
        (json.dumps(ASKED), '[{"role": "x", "con', '[{"role": "x", "con'),  # bad JSON is what the policy wrote
        (json.dumps(ASKED), '[{"content": "a"}]', '[{"content": "a"}]'),
        (json.dumps(ASKED), '[{"role": "boss", "pay": 3}]', '[{"role": "boss", "pay": 3}]'),
        ("List the roles as JSON.", json.dumps(SAID), json.dumps(SAID)),
        (ASKED, json.dumps(SAID), json.dumps(SAID)),  # who logs prompts as messages logs completions so, too
        (None, json.dumps(SAID), json.dumps(SAID)),
        (ASKED, SAID, "Hello"),
    ],
)
def test_json_that_a_policy_writes_is_its_text_unless_the_log_holds_messages_so(tmp_path, prompt, completion, text):
    assert completion_text(completion, prompt) == text
    record = {"prompt": prompt, "prompt_id": "p", "completion": completion, "reward": 1.0}
    (tmp_path / "log.jsonl").write_bytes(jsonl_text([record]))
    (samples,) = open_source(tmp_path / "log.jsonl").read()
    assert samples.texts == [text]
