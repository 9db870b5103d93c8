"""What kind of text a sample is, in several categorical readings: the categories that a collapse monitor watches.

One label a sample in each reading, frozen on the reference, never by success. `default_facets` gives the standard list;
`eval.samples.Facet` is what one of your own has to have.
"""

from __future__ import annotations

from eval.facets.agreement import adjusted_information, agreement
from eval.facets.answer_channel import AnswerFacet
from eval.facets.cluster import ClusterFacet, Kind
from eval.facets.length import LengthFacet
from eval.facets.opening import OpeningFacet
from eval.facets.registry import STANDARD, default_facets, facet_states, restore_facets
from eval.facets.rule_labels import FormatFacet, TaskFacet
from eval.facets.written_rules import Rule, RuleError, WrittenRules, parse_rules, read_rules

__all__ = [
    "STANDARD",
    "AnswerFacet",
    "ClusterFacet",
    "FormatFacet",
    "Kind",
    "LengthFacet",
    "OpeningFacet",
    "Rule",
    "RuleError",
    "TaskFacet",
    "WrittenRules",
    "adjusted_information",
    "agreement",
    "default_facets",
    "facet_states",
    "parse_rules",
    "read_rules",
    "restore_facets",
]
