"""What does a procedure cost an answer when it has seen ten thousand?

Each procedure is asked and told in rounds of 8, without a driver, a sampler or an evaluator. Every answer is new and
so is its reward vector (16 continuous components), the worst case for every population: nothing is ever a duplicate,
nearly nobody is dominated. CPU milliseconds per answer, ask and tell together, over the last thousand answers. Lexicase
and Pareto also with a population that has no limit, so that ten thousand members are picked from.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from targets import Target, finish, parser

from search.procedures import PROCEDURES, Procedure, get_procedure
from search.records import Candidate, Generation, Proposal, Result, Variation

COMPONENTS, BATCH, MEASURED = 16, 8, 1000
GENERATION = Generation(request_id=0, text="", prompt_tokens=1, completion_tokens=1, finish_reason="stop")
VARIANTS: dict[str, dict[str, Any]] = {
    **{name: {} for name in PROCEDURES},
    "lexicase, no limit": {"capacity": None},
    "lexicase, no limit, semi-dynamic": {"capacity": None, "epsilon": "semi-dynamic"},
    "lexicase, 4 islands": {"num_islands": 4},
    "lexicase, dynamic": {"epsilon": "dynamic"},
    "pareto, no limit": {"capacity": None},
}


class Anything:
    """The part of a problem that a procedure takes."""

    def vary(self, parent: Candidate, inspirations: Sequence[Candidate], rng: random.Random) -> Variation:
        return Variation(prompt=parent.answer)


def answered(proposal: Proposal, number: int, vector: np.ndarray) -> Result:
    candidate = Candidate(
        id=number,
        answer=str(number),
        vector=tuple(vector.tolist()),
        scalar=float(vector.mean()),
        parents=proposal.parents,
        generation_id=number,
    )
    return Result(number=number, seed=0, proposal=proposal, generation=GENERATION, candidates=(candidate,))


def milliseconds(procedure: Procedure, num_answers: int) -> tuple[float, float]:
    """CPU milliseconds per answer of ask and of tell, over the last ``MEASURED`` answers."""
    vectors = np.random.default_rng(0).random((num_answers, COMPONENTS))
    asking = telling = 0.0
    for number in range(0, num_answers, BATCH):
        measured = number >= num_answers - MEASURED
        start = time.process_time()
        proposals = procedure.ask(BATCH, random.Random(number))
        asking += (time.process_time() - start) * measured
        results = [answered(proposal, number + i, vectors[number + i]) for i, proposal in enumerate(proposals)]
        start = time.process_time()
        procedure.tell(results)
        telling += (time.process_time() - start) * measured
    return 1e3 * asking / MEASURED, 1e3 * telling / MEASURED


def main() -> int:
    options = parser(__doc__ or "").parse_args()
    num_answers = 2000 if options.quick else 10_000
    print(f"after {num_answers} answers, {COMPONENTS} components, CPU ms per answer")
    print(f"{'':34}{'ask':>9}{'tell':>9}{'both':>9}")
    table = {}
    for variant, settings in VARIANTS.items():
        procedure = get_procedure(variant.split(",")[0], Anything(), **settings)  # type: ignore[arg-type]
        ask, tell = milliseconds(procedure, num_answers)
        table[variant] = {"ask_ms": ask, "tell_ms": tell, "both_ms": ask + tell}
        print(f"{variant:34}{ask:9.3f}{tell:9.3f}{ask + tell:9.3f}", flush=True)
    limited = {name: row for name, row in table.items() if "no limit" not in name}
    unlimited = [row["both_ms"] for name, row in table.items() if "no limit" in name]
    targets = [
        Target(
            "slowest procedure as it is by default, ms per answer",
            max(r["both_ms"] for r in limited.values()),
            1,
            False,
        ),
        Target("slowest population without a limit, ms per answer", max(unlimited), 1, False),
    ]
    facts = {"answers": num_answers, "components": COMPONENTS, "batch": BATCH, "measured_answers": MEASURED}
    return finish("procedure_overhead", options.quick, {**facts, "cpu_ms_per_answer": table}, targets)


if __name__ == "__main__":
    sys.exit(main())
