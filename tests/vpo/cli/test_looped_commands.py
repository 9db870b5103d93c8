"""`vpo convert` and `vpo depth calibrate`, on a model of a few thousand parameters."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig

from vpo.cli import app as cli
from vpo.cli.lessons import lesson_batches
from vpo.looped import FixedDepth, FixedPoint
from vpo.tasks.word_tokenizer import word_tokenizer

WORDS = ["go", "now", "red", "blue", "green", "one", "two"]


@pytest.fixture
def pretrained(tmp_path: Path) -> Path:
    tokenizer = word_tokenizer(WORDS)
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=16,
            intermediate_size=24,
            num_hidden_layers=6,
            num_attention_heads=2,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=2,
        )
    )
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.3)
    for layer in model.model.layers[3:5]:  # these do nothing, so that they are the ones to loop
        torch.nn.init.zeros_(layer.self_attn.o_proj.weight)
        torch.nn.init.zeros_(layer.mlp.down_proj.weight)
    folder = tmp_path / "pretrained"
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text("go red now blue\n\ngo green\ntwo one\n\nnow now now one two red")
    return path


def run(*words: object) -> int:
    return cli.main([str(word) for word in words])


def said(capsys: pytest.CaptureFixture[str]) -> str:
    return re.sub(r"\s+", " ", capsys.readouterr().out)  # a terminal breaks lines where it likes


# --- convert -------------------------------------------------------------------------------------------------------


def test_convert_saves_a_looped_model_and_says_what_became_of_the_layers(pretrained, tmp_path, capsys):
    out = tmp_path / "looped"
    assert run("convert", pretrained, "--out", out, "--prelude", 2, "--core", 3, "--coda", 1) == 0
    printed = said(capsys)
    for part in ("prelude │ 0-1", "core │ 2-4", "coda │ 5-5", "injection │ gate, retention 0.1", "at 1 loop(s)"):
        assert part in printed
    gap = float(re.search(r"at 1 loop\(s\): largest logit difference to the source (\S+),", printed)[1])
    assert gap <= 1e-5
    looped, source = (AutoModelForCausalLM.from_pretrained(folder) for folder in (out, pretrained))
    ids = torch.tensor([[3, 5, 4]])
    assert looped.depth_policy == FixedDepth(1)
    assert torch.allclose(looped(ids).logits, source(ids).logits, atol=1e-5)
    assert AutoTokenizer.from_pretrained(out)("go red") == AutoTokenizer.from_pretrained(pretrained)("go red")


def test_a_converted_model_has_a_card_that_says_what_became_of_the_layers(pretrained, tmp_path, monkeypatch):
    from huggingface_hub import ModelCard

    out = tmp_path / "looped"
    assert run("convert", pretrained, "--out", out, "--prelude", 2, "--core", 3, "--coda", 1) == 0
    card = ModelCard.load(out / "README.md")
    assert card.data.tags == ["looped", "vpo"] and card.data.base_model is None  # a folder is no name on the Hub
    assert f"| source | {pretrained.name} |" in card.text and str(tmp_path) not in card.text
    assert "| core | layers " in card.text
    (load,) = re.findall(r"```python\n(.*?)```", card.text, re.S)
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(load.replace("tokenizer =", "# "), names)
    assert type(names["model"]).__name__ == "LoopedForCausalLM"


def test_convert_passes_its_options_on(pretrained, tmp_path, capsys):
    out = tmp_path / "looped"
    options = ("--injection", "diagonal", "--retention", 0.3, "--loops", 3, "--drop-rest")
    assert run("convert", pretrained, "--out", out, "--prelude", "0-0", "--core", "2,4", "--coda", "5-5", *options) == 0
    config = json.loads((out / "config.json").read_text())
    assert (config["injection"], config["retention_init"], config["num_loops"]) == ("diagonal", 0.3, 3)
    assert config["layer_config"]["num_hidden_layers"] == 4
    printed = said(capsys)
    assert "at 3 loop(s)" in printed
    assert re.search(r"to the source without layers 1,3 \d", printed)


def test_convert_chooses_the_core_by_a_text(pretrained, text, tmp_path, capsys):
    out = tmp_path / "looped"
    assert run("convert", pretrained, "--out", out, "--choose-core", 2, "--text", text) == 0
    printed = said(capsys)
    assert "core │ 3-4" in printed
    assert "block influence" in printed
    assert AutoModelForCausalLM.from_pretrained(out).config.prelude_layers == 3


def test_convert_warns_of_a_layer_that_no_loop_settles_with(pretrained, tmp_path, capsys):
    model = AutoModelForCausalLM.from_pretrained(pretrained)
    with torch.no_grad():
        model.model.layers[2].mlp.down_proj.weight.mul_(300)
    model.save_pretrained(pretrained)
    arguments = ("convert", pretrained, "--out")
    assert run(*arguments, tmp_path / "in", "--prelude", 2, "--core", 3, "--coda", 1) == 0
    assert re.search(r"Layer 2 of the core multiplies a token's state by \d+", said(capsys))
    assert run(*arguments, tmp_path / "out", "--prelude", 3, "--core", 2, "--coda", 1) == 0
    assert "multiplies" not in said(capsys)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "which layers are looped was not said"),
        (("--prelude", 2), "which layers are looped was not said"),
        (("--choose-core", 2), "got no --text"),
        (("--prelude", 2, "--core", 2, "--coda", 1), r"5-5 are in no part.*--drop-rest"),
        (("--prelude", 2, "--core", "x", "--coda", 1), "core is 'x'"),
        (("--prelude", 2, "--core", 3, "--coda", 1, "--retention", 2), "retention_init is 2.0"),
    ],
)
def test_convert_says_what_was_wrong(pretrained, tmp_path, capsys, options, message):
    assert run("convert", pretrained, "--out", tmp_path / "looped", *options) == 1
    errors = capsys.readouterr().err
    assert re.search(message, errors)
    assert "Traceback" not in errors
    assert not (tmp_path / "looped").exists()


def test_convert_leaves_a_folder_in_use_alone(pretrained, capsys):
    assert run("convert", pretrained, "--out", pretrained, "--prelude", 2, "--core", 3, "--coda", 1) == 1
    assert "is there and not empty" in capsys.readouterr().err


def test_a_model_that_is_not_there_is_named(tmp_path, capsys):
    arguments = ("--out", tmp_path / "looped", "--prelude", 2, "--core", 3, "--coda", 1)
    assert run("convert", tmp_path / "nothing", *arguments) == 1
    assert "nothing is no folder" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert run("convert", tmp_path / "empty", *arguments) == 1
    assert "holds no model: expected config.json and weights" in capsys.readouterr().err


# --- depth calibrate -----------------------------------------------------------------------------------------------


@pytest.fixture
def looped(pretrained, tmp_path, capsys) -> Path:
    out = tmp_path / "looped"
    options = ("--prelude", 1, "--core", 4, "--coda", 1, "--retention", 0.3, "--loops", 2)
    assert run("convert", pretrained, "--out", out, *options) == 0
    capsys.readouterr()
    return out


def weights(folder: Path) -> dict[str, torch.Tensor]:
    with safe_open(folder / "model.safetensors", "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no dict


def test_calibrate_prints_the_curve_and_saves_nothing_unasked(looped, text, capsys):
    before = (looped / "config.json").read_text()
    options = ("--target-kl", 10, "--cap", 3, "--tol", 0.4, "--tol", 0.1)
    assert run("depth", "calibrate", looped, "--text", text, *options) == 0
    printed = said(capsys)
    rows = re.findall(r"│ (0\.\d) │ (\d\.\d\d) │ (\S+)% │ (\S+) ± (\S+) │", printed)
    assert [row[0] for row in rows] == ["0.1", "0.4"]
    assert "chosen" in printed
    assert "14 tokens of 3 sequences" in printed
    assert "The largest tolerance within 10 nats is 0.4" in printed
    assert (looped / "config.json").read_text() == before


def test_calibrate_saves_the_policy_and_leaves_the_weights(looped, text, capsys):
    before = weights(looped)
    assert run("depth", "calibrate", looped, "--text", text, "--target-kl", 10, "--cap", 3, "--save") == 0
    model = AutoModelForCausalLM.from_pretrained(looped)
    assert isinstance(model.depth_policy, FixedPoint)
    assert model.depth_policy == FixedPoint(tol=0.5, cap=3)
    assert model.config.architectures == ["LoopedForCausalLM"]
    assert all(torch.equal(value, before[name]) for name, value in weights(looped).items())
    assert "Saved FixedPoint(tol=0.5, cap=3" in said(capsys)


def test_calibrate_counts_completions_of_prompts_alone(looped, tmp_path, capsys):
    path = tmp_path / "pairs.jsonl"
    rows = [
        {"prompt": "go red now blue", "completion": "two one"},
        {"prompt": "now", "completion": "red red red", "id": 3},
        {"prompt": "go go go go go go", "completion": "now"},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = ("--target-kl", 10, "--cap", 3, "--tol", 0.4, "--length", 6)
    assert run("depth", "calibrate", looped, "--text", path, *options) == 0
    printed = said(capsys)
    # 4 + 2 words, of which 2 are predicted and the end is cut off; 1 + 3, and the end
    assert "Measured on 6 tokens of 2 completions, whose predictions alone count" in printed
    assert "1 rows were left out, as their prompts alone have 6 tokens" in printed
    assert run("depth", "calibrate", looped, "--text", path, "--length", 1) == 1
    assert "the prompts of 3 alone have 1 tokens or more: expected completions" in said_err(capsys)
    path.write_text(json.dumps(rows[0]) + "\n" + json.dumps({"prompt": "go"}) + "\n")
    assert run("depth", "calibrate", looped, "--text", path) == 1
    assert "line 2 has no prompt and completion: expected both in every row" in said_err(capsys)


def said_err(capsys) -> str:
    return " ".join(capsys.readouterr().err.split())


def test_lessons_are_tokenized_as_in_training_and_say_whose_token_each_is():
    tokenizer = word_tokenizer(WORDS)
    tokenizer.chat_template = (
        "{% for m in messages %}{% if m.role == 'assistant' %}now {{ m.content }} two{% else %}{{ m.content }} "
        "{% endif %}{% endfor %}{% if add_generation_prompt %}now {% endif %}"
    )
    user, answer = [{"role": "user", "content": "go red"}], [{"role": "assistant", "content": "blue"}]
    lessons = [("go red now", "blue two"), (user, answer), (user, "blue two"), ("go red now", answer)]
    batches, long = lesson_batches(lessons, tokenizer, length=20, batch_size=3, max_tokens=100)
    assert long == 0 and [len(batch["input_ids"]) for batch in batches] == [3, 1]
    for batch in batches:
        for ids, mask, theirs in zip(
            *(batch[n] for n in ("input_ids", "attention_mask", "completion_mask")), strict=True
        ):
            text = tokenizer.convert_ids_to_tokens(ids[mask.bool()].tolist())
            completion = tokenizer.convert_ids_to_tokens(ids[theirs.bool()].tolist())
            assert text[-len(completion) :] == completion and completion[0] == "blue"
            assert [each for each in text if each in WORDS][:3] == ["go", "red", "now"]


def test_calibrate_says_what_was_wrong(looped, pretrained, text, tmp_path, capsys):
    (tmp_path / "empty.txt").write_text("\n\n")
    for arguments, message in [
        ((looped, "--text", text, "--target-kl", 1e-9), "no tolerance keeps"),
        ((pretrained, "--text", text), "is no looped language model"),
        ((looped, "--text", tmp_path / "empty.txt"), "holds no text"),
        (("somebody/something", "--text", text, "--save"), "--save writes into the model's folder"),
    ]:
        assert run("depth", "calibrate", *arguments) == 1
        assert message in capsys.readouterr().err
    assert run("depth", "calibrate", looped) == 2


# --- both ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["convert", "depth"])
def test_help_loads_nothing_heavy(command):
    script = (
        f"import sys\nfrom vpo.cli.app import main\nmain([{command!r}, '--help'])\n"
        "print('LOADED', *sorted({name.split('.')[0] for name in sys.modules} & {'torch', 'transformers', 'trl'}))"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout.rstrip().endswith("LOADED")
