from __future__ import annotations

import copy

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from tests.trainers.healing.rows import ROWS
from trainers import HealingTrainer, WarmStartTrainer
from vpo.looped import RandomDepth
from vpo.looped.convert import convert


@pytest.mark.parametrize("injection", ["gate", "diagonal", "concat"])
@pytest.mark.parametrize("kind", [HealingTrainer, WarmStartTrainer])
def test_nothing_that_holds_the_loop_stable_decays(source, settings, tokenizer, injection, kind):
    model = convert(source, 1, 2, 1, injection=injection)
    options = {"teacher": source} if kind is HealingTrainer else {}
    trainer = kind(
        model=model, args=settings(weight_decay=0.1), train_dataset=ROWS, processing_class=tokenizer, **options
    )
    trainer.create_optimizer()
    decayed, kept = ({id(p) for p in group["params"]} for group in trainer.optimizer.param_groups)
    loop = {id(p) for p in model.model.injection.parameters()}
    assert loop <= kept
    assert id(model.model.layers[0].mlp.up_proj.weight) in decayed


def test_a_teacher_that_cannot_teach_is_refused(heal, student, source, settings, tokenizer):
    with pytest.raises(ValueError, match="the teacher is missing"):
        HealingTrainer(model=student, args=settings(), train_dataset=ROWS, processing_class=tokenizer)
    with pytest.raises(ValueError, match="the teacher is the student itself"):
        heal(teacher=student)
    other = LlamaForCausalLM(LlamaConfig(**{**source.config.to_dict(), "vocab_size": 99}))
    with pytest.raises(ValueError, match="the teacher predicts 99 tokens and the student"):
        heal(teacher=other)
    with pytest.raises(ValueError, match="are for a teacher given by name"):
        heal(teacher_model_init_kwargs={"dtype": "float32"})


def test_a_model_without_a_loop_is_refused(heal, source):
    with pytest.raises(ValueError, match="LlamaForCausalLM has no loop"):
        heal(model=copy.deepcopy(source))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cap": 0}, "cap is 0"),
        ({"cap": 4, "max_loops": 3}, "expected 1 <= cap <= max_loops"),
        ({"ramp": "cosine"}, "ramp is 'cosine'"),
        ({"ramp_share": 1.5}, "ramp_share is 1.5"),
        ({"distill_temperature": 0.0}, "distill_temperature is 0.0"),
        ({"alpha": -1.0}, "alpha is -1.0"),
        ({"consistency_weight": float("nan")}, "consistency_weight is nan"),
        ({"depth_sampler": "normal"}, "sampler is 'normal'"),
        ({"grad_loops": 0}, "grad_loops is 0"),
        ({"loss_type": "dft"}, "healing has a loss of its own"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, options, message):
    with pytest.raises(ValueError, match=message):
        settings(**options)


def test_what_the_loss_would_leave_out_is_refused(student, source, settings, tokenizer):
    from peft import PromptTuningConfig

    common = {"teacher": source, "args": settings(), "train_dataset": ROWS, "processing_class": tokenizer}
    with pytest.raises(ValueError, match="virtual tokens"):
        sizes = {"token_dim": 16, "num_layers": 4, "num_attention_heads": 2, "num_transformer_submodules": 1}
        prompt = PromptTuningConfig(num_virtual_tokens=2, task_type="CAUSAL_LM", **sizes)
        HealingTrainer(model=student, peft_config=prompt, **common)
    with pytest.raises(ValueError, match="healing has a loss of its own"):
        HealingTrainer(model=student, compute_loss_func=lambda *args, **kwargs: 0, **common)


def test_depth_is_random_by_sequence(settings):
    assert isinstance(settings(cap=4).depth_at(1.0), RandomDepth)
    assert len(settings(cap=4).depth_at(1.0).draw(64, torch.device("cpu")).unique()) > 2
