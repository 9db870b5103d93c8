from search.records import Request
from search.samplers import ScriptedSampler


def complete(script, **options):
    request = Request(id=7, prompt="one two", seed=5, **{"max_new_tokens": 4, **options})
    (generation,) = ScriptedSampler(script).sample([request])
    return generation


def test_script_sees_prompt_prefix_and_seed_and_its_output_follows_the_prefix():
    generation = complete(lambda prompt, prefix, seed: f" {prompt} {seed}", prefix="so")
    assert generation.text == "so one two 5"
    # three words and an end; two words of prompt and one of prefix were read
    assert (generation.completion_tokens, generation.prompt_tokens) == (4, 3)
    assert generation.finish_reason == "stop"
    assert generation.request_id == 7


def test_long_output_is_cut_at_a_word():
    generation = complete(lambda prompt, prefix, seed: "a  b\nc d e f")
    assert (generation.text, generation.completion_tokens, generation.finish_reason) == ("a  b\nc d", 4, "length")


def test_silence_costs_one_token():
    generation = complete(lambda prompt, prefix, seed: "")
    assert (generation.text, generation.completion_tokens, generation.finish_reason) == ("", 1, "stop")


def test_chat_prompts_are_counted_by_their_contents():
    messages = [{"role": "user", "content": "one two three"}]
    request = Request(id=0, prompt=messages, seed=0, max_new_tokens=4)
    (generation,) = ScriptedSampler(lambda prompt, prefix, seed: prompt[0]["role"]).sample([request])
    assert (generation.text, generation.prompt_tokens) == ("user", 3)
