"""A tiny policy that learns word problems in three formats, and is trained on."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest

from tests.vpo.tasks.format_mixture.hand import TASK
from vpo.tasks.format_mixture import FormatMixtureTask
from vpo.tasks.format_mixture.reading import form_of
from vpo.tasks.format_mixture.solutions import FORMATS
from vpo.tasks.tiny_policy import tiny_policy, warm_start_rows


def test_a_tiny_policy_can_be_made_for_it():
    for num_answers in (1, 3):
        _, tokenizer = tiny_policy(TASK, num_answers, 0)
        for row in warm_start_rows(TASK, 8, 4, num_answers, 0):
            assert tokenizer.unk_token_id not in tokenizer(row["prompt"] + row["completion"])["input_ids"]


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("num_answers", "steps", "rate"), [(1, 250, 4e-3), (3, 400, 3e-3)])
def test_a_tiny_policy_learns_all_formats_and_is_right_often_enough_to_learn_from(num_answers, steps, rate, tmp_path):
    import torch
    from trl import SFTConfig

    from trainers import WarmStartTrainer

    task = FormatMixtureTask()
    model, tokenizer = tiny_policy(task, num_answers, seed=0)
    single_share = 1.0 if num_answers == 1 else 0.25
    rows = warm_start_rows(task, 32 * steps, 8000, num_answers, seed=0, single_share=single_share)
    arguments = SFTConfig(
        str(tmp_path), use_cpu=True, bf16=False, gradient_checkpointing=False, report_to="none", save_strategy="no",
        disable_tqdm=True, seed=0, per_device_train_batch_size=32, max_steps=steps, learning_rate=rate,
        lr_scheduler_type="cosine", warmup_steps=25, max_length=None,
    )  # fmt: skip
    WarmStartTrainer(model=model, args=arguments, train_dataset=rows, processing_class=tokenizer).train()
    problems = list(itertools.islice(task.examples("test"), 256))
    prompts = tokenizer([task.prompt(problem, num_answers) for problem in problems], return_tensors="pt", padding=True)
    prompts.pop("token_type_ids", None)
    count, right = Counter(), Counter()
    torch.manual_seed(0)
    for _ in range(3 if num_answers == 1 else 1):
        longest = task.completion_tokens(num_answers)
        out = model.eval().generate(**prompts, do_sample=True, top_k=0, max_new_tokens=longest)
        texts = tokenizer.batch_decode(out[:, prompts["input_ids"].shape[1] :], skip_special_tokens=True)
        for problem, text in zip(problems, texts, strict=True):
            for answer in task.answer_format(num_answers).parse(text).answers:
                count[form_of(answer)] += 1
                right[form_of(answer)] += task.score(answer, task.row(problem, num_answers))[0]
    total = count.total()
    for form in FORMATS:
        print(f"m = {num_answers}: {form} {count[form] / total:.3f}, of these right {right[form] / count[form]:.3f}")
    print(f"m = {num_answers}: all {right.total() / total:.3f} right, {total} answers")
    asked = len(problems) * (3 if num_answers == 1 else num_answers)
    assert total > 0.8 * asked  # some sets of answers are not closed, or numbered wrong
    assert 0.3 < right.total() / total < 0.85
    for form, share in task.mixture.items():
        assert count[form] / total == pytest.approx(share, abs=0.06)
    assert right["python"] / count["python"] > right["prose"] / count["prose"] > 0


@pytest.mark.parametrize(("objective", "num_answers"), [("grpo", 1), ("vpo", 3), ("multi_rlvr", 3)])
def test_it_is_trained_on_with_one_answer_and_with_several(objective, num_answers, tmp_path, capsys):
    from trainers.vpo import main, make_parser

    policy, tokenizer = tiny_policy(TASK, num_answers, 0)
    policy.save_pretrained(tmp_path / "policy")
    tokenizer.save_pretrained(tmp_path / "policy")
    flags = {
        "model_name_or_path": tmp_path / "policy", "output_dir": tmp_path / "out", "task": "format_mixture",
        "task_options": '{"num_steps": 3}', "num_answers": num_answers, "objective": objective, "use_cpu": True,
        "bf16": False, "ask_for_answers": False, "per_device_train_batch_size": 4, "num_generations": 4,
        "max_completion_length": 24, "disable_tqdm": True,
    }  # fmt: skip
    words = [word for name, value in flags.items() for word in (f"--{name}", str(value))]
    main(*make_parser().parse_args_and_config([*words, "--dry_run"]))
    assert "components correct, steps, compact" in capsys.readouterr().out
