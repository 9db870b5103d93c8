r"""A taxonomy that the user wrote: an ordered list of rules in YAML, the first that applies is the label.

```yaml
- label: sql                       # a name; several rules may give the same one
  pattern: 'SELECT\b.+\bFROM\b'     # one of pattern, all_of (a list), any_of (a list)
  flags: [ignorecase, dotall]      # ignorecase, dotall, ascii
- label: steps
  pattern: '\d+[.)]\s'
  lines: true                      # the match must begin a line, blanks aside
  least: 2                         # matches that each pattern needs
```

Texts that are empty, degenerate or truncated are told apart before any rule, and what no rule knows is ``other``:
labels are exhaustive whatever is written. Rules see the text only, so no label can depend on success. They see 8,192
characters of it, and a pattern that may take too long is refused when the file is read (`eval.facets.pattern_cost`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from eval.facets.pattern_cost import LONGEST, seen_by_rules, slow_text
from eval.formats import WITHOUT_FORMAT, format_is_missing, rules_fingerprint

OTHER = "other"
_FLAGS = {"ignorecase": re.IGNORECASE, "dotall": re.DOTALL, "ascii": re.ASCII}
_PATTERN_KEYS = ("pattern", "all_of", "any_of")
_KEYS = ("label", *_PATTERN_KEYS, "least", "flags", "lines")


class RuleError(ValueError):
    """A rule that cannot be used; the message names file, line and key."""


@dataclass(frozen=True)
class Rule:
    """One rule.

    Attributes:
        label: Label of a text that it applies to.
        patterns: What is sought.
        needs_all: Whether all patterns must be found, or any.
        least: Matches that a pattern needs to be found.
    """

    label: str
    patterns: tuple[re.Pattern[str], ...]
    needs_all: bool = True
    least: int = 1

    def applies(self, text: str) -> bool:
        """Whether the text shows what the rule asks for."""
        found = (self._shows(text, pattern) for pattern in self.patterns)
        return all(found) if self.needs_all else any(found)

    def _shows(self, text: str, pattern: re.Pattern[str]) -> bool:
        matches = pattern.finditer(text)
        return all(next(matches, None) is not None for _ in range(self.least))


class WrittenRules:
    """A taxonomy of rules, see the module and :class:`~eval.formats.Taxonomy`.

    Args:
        rules: In order of precedence.

    Attributes:
        labels: Every label, in order of precedence.
    """

    reads_text_only = True

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.rules = tuple(rules)
        self.labels = (*WITHOUT_FORMAT, *dict.fromkeys(rule.label for rule in self.rules), OTHER)

    @property
    def fingerprint(self) -> str:
        """Of the rules."""
        return rules_fingerprint((each.label, each.patterns, (each.needs_all, each.least)) for each in self.rules)

    def __call__(self, text: str, finish_reason: str = "stop", row: Mapping[str, Any] | None = None) -> str:
        """The one label of a text; ``row`` plays no part."""
        if without_format := format_is_missing(text, finish_reason):
            return without_format
        seen = seen_by_rules(text)
        return next((rule.label for rule in self.rules if rule.applies(seen)), OTHER)


def read_rules(path: str | Path) -> WrittenRules:
    """Read a file of rules.

    Raises:
        FileNotFoundError: There is no such file.
        RuleError: It is no YAML, or no list of rules, or a rule has a mistake in it.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(
            f"there is no file of rules at {path}: expected YAML with a list of rules. Write one as the docstring of "
            "eval/facets/written_rules.py shows, or leave it out for the built-in rules."
        )
    try:
        text = Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise RuleError(f"{path} is no text in UTF-8 ({error}): expected YAML. Save it as UTF-8.") from error
    return parse_rules(text, str(path))


def parse_rules(text: str, source: str = "rules") -> WrittenRules:
    """Rules from YAML.

    Args:
        text: The YAML.
        source: Named in errors.

    Raises:
        RuleError: As :func:`read_rules`.
    """
    try:
        return _parsed(text, source)
    except RuleError:
        raise
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # of the file, or of what a value stands for
        raise RuleError(
            f"{source} is no YAML that can be used: {error}. Put patterns in single quotes, without escapes, and leave "
            "out tags, dates and anchors."
        ) from error


def _parsed(text: str, source: str) -> WrittenRules:
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if not isinstance(root, yaml.SequenceNode) or not root.value:
        raise RuleError(
            f"{source} holds {_value(root)!r:.60}: expected a list of rules, at least one. Begin each with '- label:'."
        )
    return WrittenRules([_rule(node, f"{source}, line {node.start_mark.line + 1}", source) for node in root.value])


def _rule(node: Any, place: str, source: str) -> Rule:
    if not isinstance(node, yaml.MappingNode):
        raise RuleError(f"{place}: a rule is {_value(node)!r:.60}: expected keys, at least label and pattern.")
    entries = {str(key.value): value for key, value in node.value}
    lines = {str(key.value): f"{source}, line {key.start_mark.line + 1}" for key, _ in node.value}
    if len(lines) < len(node.value):
        raise RuleError(f"{place}: a key stands twice in the rule: expected each once. Use all_of or any_of for more.")
    for key in entries.keys() - set(_KEYS):
        raise RuleError(f"{lines[key]}: unknown key {key!r}: expected some of {', '.join(_KEYS)}. Check the spelling.")
    given = [key for key in _PATTERN_KEYS if key in entries]
    if len(given) != 1:
        found = " and ".join(given) or "no pattern"
        raise RuleError(
            f"{place}: the rule has {found}: expected one of {', '.join(_PATTERN_KEYS)}. Write a rule each."
        )
    values = {key: _value(value) for key, value in entries.items()}
    label = values.get("label")
    if not isinstance(label, str) or not label.strip():
        raise RuleError(f"{lines.get('label', place)}: label is {label!r}: expected text. Put it in quotes.")
    if label in (*WITHOUT_FORMAT, OTHER):
        raise RuleError(
            f"{lines['label']}: label is {label!r}, which is told apart without rules: expected a name of your own, "
            f"other than {', '.join((*WITHOUT_FORMAT, OTHER))}. Rename it."
        )
    least = values.get("least", 1)
    if isinstance(least, bool) or not isinstance(least, int) or least < 1:
        raise RuleError(f"{lines['least']}: least is {least!r}: expected a whole number from 1. Leave it out for 1.")
    begins_a_line = values.get("lines", False)
    if not isinstance(begins_a_line, bool):
        raise RuleError(f"{lines['lines']}: lines is {begins_a_line!r}: expected true or false.")
    flags = _flags(values.get("flags", []), lines.get("flags", place))
    key = given[0]
    nodes = entries[key].value if isinstance(entries[key], yaml.SequenceNode) else [entries[key]]
    if (key == "pattern") == isinstance(entries[key], yaml.SequenceNode) or not nodes:
        wanted = "one pattern" if key == "pattern" else "a list of patterns, at least one"
        raise RuleError(
            f"{lines[key]}: {key} is {values[key]!r:.60}: expected {wanted}. Use pattern for one, all_of or any_of for "
            "more."
        )
    patterns = [
        _pattern(each, flags, begins_a_line, f"{source}, line {each.start_mark.line + 1}, key {key}") for each in nodes
    ]
    return Rule(label, tuple(patterns), key != "any_of", least)


def _pattern(node: Any, flags: re.RegexFlag, begins_a_line: bool, place: str) -> re.Pattern[str]:
    written = _value(node)
    if not isinstance(written, str) or not written:
        raise RuleError(f"{place}: the pattern is {written!r}: expected text. Put it in single quotes.")
    try:
        pattern = re.compile(written, flags | re.MULTILINE)
        if begins_a_line:
            pattern = re.compile(rf"^[ \t]*+(?:{written})", flags | re.MULTILINE)
    except (re.error, OverflowError, RecursionError) as error:
        raise RuleError(f"{place}: {written!r} is no regular expression: {error}. See Python's re module.") from error
    if pattern.search("") is not None:
        raise RuleError(
            f"{place}: {written!r} matches the empty text, and so any text: expected one that needs a character. Use + "
            "for *."
        )
    if slow := slow_text(pattern):
        raise RuleError(
            f"{place}: {written!r} takes {slow[1]:.2g} s on {slow[0]} characters, and would stop the monitor on "
            f"{LONGEST}: expected time that grows with the length or its square. Do not repeat what is repeated, as "
            "(a+)+ does, or make the inner one possessive: (?:a++)+."
        )
    return pattern


def _flags(given: Any, place: str) -> re.RegexFlag:
    names = [given] if isinstance(given, str) else given
    if not isinstance(names, list) or not all(isinstance(name, str) and name.lower() in _FLAGS for name in names):
        raise RuleError(f"{place}: flags is {given!r}: expected a list of some of {', '.join(_FLAGS)}.")
    flags = re.NOFLAG
    for name in names:
        flags |= _FLAGS[name.lower()]
    return flags


def _value(node: Any) -> Any:
    """What a node stands for, as `yaml.safe_load` would have it."""
    return None if node is None else yaml.safe_load(yaml.serialize(node, Dumper=yaml.SafeDumper))
