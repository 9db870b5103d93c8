"""Search with a policy behind an OpenAI-compatible server: a budget that holds, and a run that goes on after a stop.

A policy is served on this machine, as `vpo serve FOLDER` does. Evolution looks for twelve bits with as many ones as
there can be without two of them side by side. Half-way it is stopped, as Ctrl-C would stop it; the same call then goes
on from the ledger, where every completion and every score was written down as it came.

    python search_a_served_policy.py    # seconds on one core, in any folder; runs/bits is what it leaves

You should see the second session begin with what the first one found, the budget never exceeded, and a third session
give the same answers at once although the server is gone.

With a real model: start `vpo serve FOLDER --name policy`, or `vllm serve Qwen/Qwen3-1.7B`, in another terminal; give
OpenAISampler its address and name, and leave out `dialect` for vLLM. `FunctionProblem` itself, without `vary` below,
shows a parent and its scores in the prompt, which a chat model can read. `max_new_tokens` must hold an answer of
yours.
"""

import itertools
import logging
import random
from contextlib import suppress

from transformers import LlamaConfig, LlamaForCausalLM, set_seed

import search
from search.problems import FunctionProblem
from search.serve import serving
from vpo.tasks.word_tokenizer import word_tokenizer

logging.getLogger("httpx").setLevel(logging.WARNING)
LENGTH, BUDGET = 12, 4000
scored: list[str] = []


def policy():
    """An untrained model that writes zeros and ones: a search needs no good policy, only one that varies."""
    set_seed(0)
    tokenizer = word_tokenizer(["0", "1"])
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    return LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), pad_token_id=0, eos_token_id=2, **sizes)), tokenizer


def score(candidate: str) -> dict[str, float]:
    """Ones, as a share of the most that can stand apart; and the share of neighbours that are not both 1."""
    scored.append(candidate)
    bits = [bit for bit in candidate.split() if bit in "01"][:LENGTH]
    touching = sum(a == b == "1" for a, b in itertools.pairwise(bits))
    return {"many": min(1.0, bits.count("1") / (LENGTH // 2)), "apart": 1 - touching / (LENGTH - 1)}


class Bits(FunctionProblem):
    def vary(self, parent, inspirations, rng: random.Random):
        """A child begins as its parent does: this policy cannot read, but it can go on."""
        kept = parent.answer.split()[: rng.randrange(LENGTH)]
        return search.Variation(prefix=" ".join(kept)) if kept else None


def session(sampler: search.OpenAISampler, name: str, stop_after: int | None = None) -> None:
    """The whole search, or until so many answers are there."""
    scored.clear()

    def watch(now: search.Progress) -> None:
        if stop_after and now.num_answers >= stop_after:
            raise KeyboardInterrupt

    with suppress(search.SearchInterrupted, KeyboardInterrupt):
        search.run_search(
            [Bits(score, prompt="Bits:", w_star={"many": 0.5, "apart": 0.5}, id="bits")],
            lambda problem: search.Evolution(problem.vary),
            sampler,
            search.Budget(max_completion_tokens=BUDGET),
            sampling=search.Sampling(max_new_tokens=LENGTH),
            ledger_path="runs/bits/ledger.jsonl",
            progress=watch,
        )
    (found,) = search.read_results("runs/bits/ledger.jsonl")
    best = max(found.candidates, key=lambda candidate: candidate.scalar)
    spent = f"{found.completion_tokens[-1]} of {BUDGET} tokens, {len(found.candidates)} answers"
    print(f"{name}: {spent}, {len(scored)} scored in this session; best {best.scalar:.3f}: {best.answer}")


if __name__ == "__main__":
    with serving(search.DynamicBatcher(search.ModelSampler(*policy())), "policy") as url:
        sampler = search.OpenAISampler(url, "policy", dialect="vpo")
        session(sampler, "stopped half-way", stop_after=150)
        session(sampler, "gone on with")
    session(sampler, "without the server")
