"""The README.md beside a trained model: what it says, that its code runs, and that nothing foreign breaks out of it."""

from __future__ import annotations

import json
import re

import pytest
import torch
from huggingface_hub import ModelCard
from trl import SFTConfig

from tests.trainers.healing.rows import KEPT, ROWS
from trainers import GateTrainer, VPOConfig, VPOTrainer
from trainers.card_facts import format_tables
from trainers.model_cards import card_of
from vpo.looped.depth import FixedPoint


def short(completions, **kwargs):
    return [1 - len(c.split()) / 20 for c in completions]


def hits(completions, target, **kwargs):
    return [float(t in c) for c, t in zip(completions, target, strict=True)]


@pytest.fixture
def trained(make_policy, tokenizer, prompts, arguments):
    policy = make_policy()
    policy.depth_policy = FixedPoint(tol=0.125, cap=3)
    settings = {"num_answers": 2, "num_generations": 4, "max_completion_length": 10, "max_steps": 2, "alpha": 0.5}
    args = VPOConfig(**(arguments | settings | {"per_device_train_batch_size": 8, "steps_per_generation": 1}))
    trainer = VPOTrainer(policy, [hits, short], args=args, train_dataset=prompts, processing_class=tokenizer)
    trainer.train()
    return trainer


def card_in(folder):
    """The card as the Hub reads it, and its tables: title -> {first cell: the others}."""
    card = ModelCard.load(folder / "README.md")
    tables = {}
    for title, body in re.findall(r"^## (.*)\n\n((?:\|.*\n)+)", card.text, re.M):
        rows = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in body.splitlines()]
        tables[title] = {row[0]: row[1:] for row in rows[2:]}
    return card, tables


def test_a_saved_model_has_a_card_that_says_how_it_was_made(trained, tmp_path):
    trained.save_model(str(tmp_path / "final"))
    card, tables = card_in(tmp_path / "final")
    assert card.data.library_name == "transformers" and card.data.pipeline_tag == "text-generation"
    assert {"trl", "vpo", "looped"} <= set(card.data.tags)
    assert card.data.base_model is None
    assert card.text.lstrip().startswith("# final")
    recipe = {name: cells[0] for name, cells in tables["Recipe"].items()}
    assert recipe["objective"] == "vpo"
    assert recipe["answers in a completion"] == "2" and recipe["completions of a prompt"] == "4"
    assert recipe["weightings"] == "dirichlet, 100 drawn (iid), centre uniform, alpha 0.5"
    assert int(recipe["completion tokens generated"]) == trained.token_budget.generated
    assert tables["Rewards"] == {"hits": ["-"], "short": ["-"]}  # no answer was ever read
    assert tables["Optimisation"]["steps"] == ["2"] and tables["Optimisation"]["learning rate"] == ["0.01"]
    assert tables["Training data"] == {"rows": ["4"], "columns": ["prompt, target"]}
    depth = tables["Depth"]
    assert depth["depth policy"] == ["FixedPoint"] and depth["cap"] == ["3"] and depth["tolerance"] == ["0.125"]
    logged = [entry["loops/mean_depth"] for entry in trained.state.log_history if "loops/mean_depth" in entry][-1]
    assert float(depth["mean depth of completion tokens"][0]) == pytest.approx(logged, rel=1e-3)
    values = tables["Last values of training"]
    assert float(values["set/answers"][0]) == pytest.approx(
        [entry["set/answers"] for entry in trained.state.log_history if "set/answers" in entry][-1], rel=1e-3
    )
    assert {"python", "vpo", "trl", "transformers", "torch"} <= tables["Versions"].keys()
    assert str(tmp_path) not in card.text, "a folder of this machine is nobody's business"


def test_the_code_of_the_card_loads_the_model_and_reads_a_set(trained, tmp_path, monkeypatch, capsys):
    trained.save_model()
    card, _ = card_in(tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    load, sample = re.findall(r"```python\n(.*?)```", card.text, re.S)
    assert load.startswith("import vpo.looped")
    names: dict = {}
    torch.manual_seed(0)
    exec(load + sample.replace('"..."', '"go red"'), names)
    assert names["model"].depth_policy == FixedPoint(tol=0.125, cap=3)
    assert names["answers"].num_answers == 2 and isinstance(names["completion"], str)
    assert capsys.readouterr().out.startswith("(")


def test_checkpoints_and_pushes_write_the_same_card(trained, tmp_path):
    trained.create_model_card(model_name="mine", dataset_name="maze")  # what Trainer.push_to_hub calls
    card, tables = card_in(tmp_path / "run")
    assert "# mine" in card.text and "Recipe" in tables
    assert card.data.datasets is None, "a task is no data set of the Hub"
    trained.create_model_card(dataset_name="trl-lib/tldr", tags="extra")
    card, _ = card_in(tmp_path / "run")
    assert card.data.datasets == "trl-lib/tldr" or card.data.datasets == ["trl-lib/tldr"]
    assert "extra" in card.data.tags


def test_foreign_text_stays_text_and_secrets_are_left_out(trained, tmp_path, monkeypatch):
    monkeypatch.setenv("MY_TOKEN", "very-secret-value")
    options = {
        "source": "a|b\n## Owned <script>alert(1)</script> [x](http://evil) {{ 7 * 7 }} ![y](z) `c`",
        "api_key": "12345678",
        "note": "very-secret-value and hf_abcdefghijklmnopqrstuvwxyz",
    }
    trained.run_record.more = {"script": {"task": "maze", "task_options": options}}
    trained.save_model()
    card, tables = card_in(tmp_path / "run")
    text = card.text
    assert "very-secret-value" not in text and "12345678" not in text and "hf_abc" not in text
    assert "(left out: a secret)" in text
    assert "<script>" not in text and "\n## Owned" not in text and "](http://evil)" not in text.replace("\\](", "")
    assert "49" not in tables["Training data"]["option source"][0] and "{{ 7 \\* 7 }}" in text
    assert re.search(r"(?<!\\)`c", text) is None
    ModelCard(str(card))  # and the front matter is still the front matter


def test_a_watched_run_shows_its_formats_and_the_verdict(tmp_path):
    look = {"shares": {"format": {"code": {"est": 0.25}, "prose": {"est": 0.75}}}, "step": 0}
    last = {"shares": {"format": {"code": {"est": 1.0}}}, "step": 40}
    run = {
        "looks": [look, last],
        "base": None,
        "alarms": [{}],
        "verdict": "collapsing",
        "why": "Code | all.",
        "reference": "",
    }
    (tmp_path / "monitor").mkdir()
    (tmp_path / "monitor/report.json").write_text(json.dumps({"runs": [run]}))
    (table,) = format_tables(tmp_path)
    assert table.head == ["format", "share at step 0", "at step 40"]
    assert table.rows == [["code", "25%", "100%"], ["prose", "75%", "0%"]]
    assert "Verdict of the collapse monitor: collapsing. Code \\| all. 1 alarm in 2 looks" in table.note
    for broken in ("", "{}", '{"runs": []}', "[1]"):
        (tmp_path / "monitor/report.json").write_text(broken)
        assert format_tables(tmp_path) == []


def test_a_watched_run_has_them_in_its_card(trained, tmp_path):
    from eval.collapse import CollapseMonitor

    trained.add_callback(CollapseMonitor(trained, correct="hits"))
    trained.args.max_steps = 3
    trained.train()
    trained.save_model()
    _, tables = card_in(tmp_path / "run")
    assert tables["Formats of its answers"]
    assert "Verdict of the collapse monitor" in (tmp_path / "run" / "README.md").read_text()


def test_an_adapter_says_what_it_is_an_adapter_of(tokenizer, prompts, arguments, tmp_path):
    from peft import LoraConfig
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    LlamaForCausalLM(config).save_pretrained(tmp_path / "base")
    tokenizer.save_pretrained(tmp_path / "base")
    settings = {"num_answers": 1, "objective": "grpo", "num_generations": 4, "max_completion_length": 4, "max_steps": 1}
    args = VPOConfig(**(arguments | settings | {"per_device_train_batch_size": 4}))
    trainer = VPOTrainer(
        str(tmp_path / "base"),
        short,
        args=args,
        train_dataset=prompts,
        peft_config=LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM"),
    )
    trainer.train()
    trainer.save_model()
    card, tables = card_in(tmp_path / "run")
    assert "AutoPeftModelForCausalLM" in card.text and "import vpo.looped" not in card.text
    assert "fine-tuned from the local folder base" in card.text
    assert tables["Rewards"] == {"short": ["1"]}
    assert tables["Optimisation"]["adapter default"] == ["LORA, rank 2"]
    assert "Depth" not in tables and "weightings" not in tables["Recipe"]


def test_a_gate_and_a_healed_model_have_cards_of_their_own(make_policy, tokenizer, arguments, tmp_path):
    kept = {key: arguments[key] for key in KEPT}
    args = SFTConfig(**kept, max_steps=1, max_length=None)
    policy = make_policy(halt_gate=True)
    trainer = GateTrainer(model=policy, args=args, train_dataset=ROWS, processing_class=tokenizer, cap=3)
    trainer.train()
    trainer.save_model(str(tmp_path / "gate"))
    card, tables = card_in(tmp_path / "gate")
    assert tables["Recipe"]["method"] == ["posthoc"] and "Rewards" not in tables
    assert "halting-gate" in card.data.tags
    assert len(re.findall("```python", card.text)) == 1, "it is no policy to sample sets from"


def test_only_the_main_process_writes_a_card(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(trained, "is_world_process_zero", lambda: False)
    trained.create_model_card()
    assert not (tmp_path / "run" / "README.md").exists()
    assert card_of(trained, "a", "b").text().startswith("# a\n")


def test_a_checkpoint_folder_keeps_the_card_of_its_run(trained, tmp_path):
    trained.args.save_strategy, trained.args.max_steps = "steps", 3
    trained._save_checkpoint(trained.model, trial=None)
    assert (tmp_path / "run" / "README.md").is_file()
    assert list((tmp_path / "run").glob("checkpoint-*/model.safetensors"))
