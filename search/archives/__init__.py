"""What a procedure remembers: populations that are folds over the answers it was told."""

from search.archives.cells import CellArchive, Descriptor, grid, strongest_two
from search.archives.clusters import Clusters
from search.archives.columns import Columns
from search.archives.novelty import NoveltyArchive
from search.archives.signatures import SignaturePopulation

__all__ = [
    "CellArchive",
    "Clusters",
    "Columns",
    "Descriptor",
    "NoveltyArchive",
    "SignaturePopulation",
    "grid",
    "strongest_two",
]
