"""Search procedures: pure ask/tell state machines, one file each, found by name through ``get_procedure``."""

from search.procedures.beam import Beam
from search.procedures.best_of_n import BestOfN
from search.procedures.dominated_novelty import DominatedNoveltySearch
from search.procedures.evolution import Evolution
from search.procedures.lexicase_evolution import LexicaseEvolution
from search.procedures.map_elites import MapElites
from search.procedures.pareto import ParetoEvolution
from search.procedures.protocol import Procedure, Vary
from search.procedures.puct import PUCT
from search.procedures.registry import PROCEDURES, get_procedure
from search.procedures.revision import Revision
from search.procedures.self_consistency import SelfConsistency
from search.procedures.signature_islands import SignatureIslands

__all__ = [
    "PROCEDURES",
    "PUCT",
    "Beam",
    "BestOfN",
    "DominatedNoveltySearch",
    "Evolution",
    "LexicaseEvolution",
    "MapElites",
    "ParetoEvolution",
    "Procedure",
    "Revision",
    "SelfConsistency",
    "SignatureIslands",
    "Vary",
    "get_procedure",
]
