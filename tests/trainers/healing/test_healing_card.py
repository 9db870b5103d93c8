from __future__ import annotations

from huggingface_hub import ModelCard


def test_a_healed_model_has_a_card_with_its_teacher_and_its_loops(heal, tmp_path):
    trainer = heal(max_steps=1)
    trainer.train()
    trainer.save_model(str(tmp_path / "healed"))
    card = ModelCard.load(tmp_path / "healed" / "README.md")
    assert {"healing", "looped"} <= set(card.data.tags)
    assert "| teacher | LlamaForCausalLM |" in card.text and "| cap | 3 |" in card.text
    assert "| mean depth in training |" in card.text and "| cross\\_entropy |" in card.text
