from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from vpo.looped import FixedDepth
from vpo.looped.convert import convert


@pytest.mark.parametrize(("ramp", "middle"), [("linear", 2.5), ("1-sqrt", 1 + 3 * (1 - 0.5**0.5))])
def test_the_mean_depth_rises_from_one_to_the_cap_and_stays(settings, ramp, middle):
    args = settings(cap=4, ramp=ramp, ramp_share=0.6)
    assert args.mean_depth(0.0) == 1
    assert args.mean_depth(0.3) == pytest.approx(middle)
    assert args.mean_depth(0.6) == args.mean_depth(1.0) == 4
    means = [args.mean_depth(i / 50) for i in range(51)]
    assert means == sorted(means)
    assert settings(cap=4, ramp_share=0.0).mean_depth(0.0) == 4


@pytest.mark.parametrize("sampler", ["poisson", "lognormal_poisson", "uniform"])
def test_drawn_depths_have_the_mean_of_the_ramp_and_a_limit(settings, sampler):
    args = settings(cap=4, depth_sampler=sampler, ramp="linear", ramp_share=1.0, max_loops=12, grad_loops=2)
    torch.manual_seed(0)
    for progress, mean in ((0.0, 1), (2 / 3, 3), (1.0, 4)):
        policy = args.depth_at(progress)
        drawn = policy.draw(4000, torch.device("cpu")).float()
        assert drawn.mean().item() == pytest.approx(mean, abs=0.2)
        assert (policy.cap <= 12, policy.grad_loops, int(drawn.min())) == (True, 2, 1)


def test_training_follows_the_ramp_and_logs_it(heal):
    trainer = heal(max_steps=8, cap=4, ramp="linear", ramp_share=0.5, consistency_weight=0.1, max_loops=4)
    trainer.train()
    history = [entry for entry in trainer.state.log_history if "loss" in entry]
    assert history[0]["depth"] == pytest.approx(1, abs=0.05)
    assert sum(entry["depth"] for entry in history[4:]) / 4 > 2.3
    assert {"kl", "cross_entropy", "early_kl", "consistency", "entropy", "mean_token_accuracy"} <= history[-1].keys()


def test_the_models_own_depth_is_kept_and_saved(heal, student, tmp_path):
    student.depth_policy = FixedDepth(2)
    trainer = heal(save_strategy="steps", save_steps=2)
    trainer.train()
    assert student.depth_policy == FixedDepth(2)
    saved = AutoModelForCausalLM.from_pretrained(Path(trainer.args.output_dir) / "checkpoint-2")
    assert saved.depth_policy == FixedDepth(2)


@pytest.mark.parametrize("gradient_checkpointing", [False, True])
def test_a_resumed_run_is_the_run_that_was_not_interrupted(source, heal, tmp_path, gradient_checkpointing):
    def run(folder: str, resume: bool | str = False, stop: int | None = None) -> tuple[dict, list[float]]:
        trainer = heal(
            model=convert(source, 1, 2, 1, retention_init=0.5),
            output_dir=str(tmp_path / folder),
            max_steps=6,
            ramp="linear",
            consistency_weight=0.1,
            save_strategy="steps",
            save_steps=3,
            gradient_checkpointing=gradient_checkpointing,
        )
        if stop:
            step = trainer.training_step

            def training_step(*args, **kwargs):
                if trainer.state.global_step == stop:
                    raise KeyboardInterrupt
                return step(*args, **kwargs)

            trainer.training_step = training_step
            with pytest.raises(KeyboardInterrupt):
                trainer.train()
            return {}, []
        trainer.train(resume_from_checkpoint=resume)
        depths = [entry["depth"] for entry in trainer.state.log_history if "depth" in entry]
        return {k: v.detach().clone() for k, v in trainer.model.named_parameters()}, depths

    weights, depths = run("whole")
    run("broken", stop=4)  # lost: the step after the checkpoint
    resumed, resumed_depths = run("broken", resume=True)
    assert resumed_depths == depths
    assert len(set(depths)) > 2
    assert all(torch.allclose(value, resumed[name], atol=1e-6) for name, value in weights.items())
