"""Search over any sampler: procedures, budgets, and a ledger that makes every run resumable and replayable.

Names are loaded when they are first used, so ``import search`` brings neither torch nor transformers along.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vpo.first_use import on_first_use

if TYPE_CHECKING:
    from search.batching import DynamicBatcher as DynamicBatcher
    from search.budget import Budget as Budget
    from search.cascade import Cascade as Cascade
    from search.curves import best_so_far as best_so_far
    from search.curves import expected_best_so_far as expected_best_so_far
    from search.driver import GaveUpError as GaveUpError
    from search.driver import Progress as Progress
    from search.driver import SearchInterrupted as SearchInterrupted
    from search.driver import run_search as run_search
    from search.fold import Told as Told
    from search.keys import python_ast_key as python_ast_key
    from search.ledger import LedgerError as LedgerError
    from search.ledger import read_ledger as read_ledger
    from search.ledger import read_results as read_results
    from search.ledger import read_told as read_told
    from search.model_sampler import ModelSampler as ModelSampler
    from search.openai_sampler import OpenAISampler as OpenAISampler
    from search.problem import Problem as Problem
    from search.problem import TaskProblem as TaskProblem
    from search.procedures import PUCT as PUCT
    from search.procedures import Beam as Beam
    from search.procedures import BestOfN as BestOfN
    from search.procedures import DominatedNoveltySearch as DominatedNoveltySearch
    from search.procedures import Evolution as Evolution
    from search.procedures import LexicaseEvolution as LexicaseEvolution
    from search.procedures import MapElites as MapElites
    from search.procedures import ParetoEvolution as ParetoEvolution
    from search.procedures import Procedure as Procedure
    from search.procedures import Revision as Revision
    from search.procedures import SelfConsistency as SelfConsistency
    from search.procedures import SignatureIslands as SignatureIslands
    from search.procedures import get_procedure as get_procedure
    from search.ray_sampler import RaySampler as RaySampler
    from search.records import Candidate as Candidate
    from search.records import Evaluation as Evaluation
    from search.records import Generation as Generation
    from search.records import Proposal as Proposal
    from search.records import Request as Request
    from search.records import Result as Result
    from search.records import Sampling as Sampling
    from search.records import SearchResult as SearchResult
    from search.records import Variation as Variation
    from search.replay import replay_search as replay_search
    from search.retry import Backoff as Backoff
    from search.samplers import Sampler as Sampler
    from search.samplers import SamplerError as SamplerError
    from search.samplers import ScriptedSampler as ScriptedSampler
    from search.samplers import StreamingSampler as StreamingSampler
    from search.screening import Screening as Screening
    from search.seed_check import check_seeds as check_seeds
    from search.selection import complementary as complementary
    from search.selection import lexicase as lexicase
    from search.trainer_sampler import SearchDuringTraining as SearchDuringTraining
    from search.trainer_sampler import TrainerSampler as TrainerSampler
    from search.vllm_sampler import VLLMSampler as VLLMSampler

_HOME = {
    "DynamicBatcher": "search.batching",
    "Budget": "search.budget",
    "Cascade": "search.cascade",
    "best_so_far": "search.curves",
    "expected_best_so_far": "search.curves",
    "Progress": "search.driver",
    "GaveUpError": "search.driver",
    "SearchInterrupted": "search.driver",
    "run_search": "search.driver",
    "Told": "search.fold",
    "python_ast_key": "search.keys",
    "LedgerError": "search.ledger",
    "read_ledger": "search.ledger",
    "read_results": "search.ledger",
    "read_told": "search.ledger",
    "ModelSampler": "search.model_sampler",
    "OpenAISampler": "search.openai_sampler",
    "Problem": "search.problem",
    "TaskProblem": "search.problem",
    "BestOfN": "search.procedures",
    "Beam": "search.procedures",
    "DominatedNoveltySearch": "search.procedures",
    "LexicaseEvolution": "search.procedures",
    "MapElites": "search.procedures",
    "ParetoEvolution": "search.procedures",
    "PUCT": "search.procedures",
    "Revision": "search.procedures",
    "SelfConsistency": "search.procedures",
    "SignatureIslands": "search.procedures",
    "get_procedure": "search.procedures",
    "Evolution": "search.procedures",
    "Procedure": "search.procedures",
    "RaySampler": "search.ray_sampler",
    "Candidate": "search.records",
    "Evaluation": "search.records",
    "Generation": "search.records",
    "Proposal": "search.records",
    "Request": "search.records",
    "Result": "search.records",
    "Sampling": "search.records",
    "SearchResult": "search.records",
    "Variation": "search.records",
    "Backoff": "search.retry",
    "replay_search": "search.replay",
    "Sampler": "search.samplers",
    "SamplerError": "search.samplers",
    "ScriptedSampler": "search.samplers",
    "StreamingSampler": "search.samplers",
    "Screening": "search.screening.rules",
    "check_seeds": "search.seed_check",
    "complementary": "search.selection",
    "lexicase": "search.selection",
    "SearchDuringTraining": "search.trainer_sampler",
    "TrainerSampler": "search.trainer_sampler",
    "VLLMSampler": "search.vllm_sampler",
}

__all__ = sorted(_HOME)

__getattr__, __dir__ = on_first_use(__name__, _HOME)
