from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from vpo.yaml_file import YamlFile, check, mistakes, schema_of, schema_of_arguments


class Rhythm(enum.StrEnum):
    NO = "no"
    STEPS = "steps"


@dataclass
class Inner:
    """Something inside.

    Attributes:
        depth: How deep,
            in loops.
        low, high: Bounds.
    """

    depth: int
    low: float = 0.0
    high: float = 1.0


@dataclass
class Outer:
    name: str
    count: int = 3
    rate: float = field(default=0.1, metadata={"help": "Per step."})
    is_on: bool = False
    kind: Literal["red", "blue"] = "red"
    rhythm: Rhythm | str = Rhythm.NO
    limit: int | None = None
    words: list[str] | None = None
    inner: Inner | None = None
    options: dict[str, Any] | str | None = None
    shares: Mapping[str, float] = field(default_factory=dict)
    made: int = field(init=False, default=0)


STRICT, LOOSE = schema_of(Outer), schema_of(Outer, from_text=True)


def test_a_schema_says_what_the_fields_take():
    assert STRICT["required"] == ["name"]
    assert list(STRICT["properties"]) == [name for name in Outer.__dataclass_fields__ if name != "made"]
    assert STRICT["properties"]["rate"] == {"type": "number", "description": "Per step.", "default": 0.1}
    assert STRICT["properties"]["rhythm"] == {"enum": ["no", "steps"], "default": "no"}
    inner = STRICT["properties"]["inner"]["anyOf"][0]["properties"]
    assert inner["depth"]["description"] == "How deep, in loops."
    assert inner["low"]["description"] == inner["high"]["description"] == "Bounds."
    Draft202012Validator.check_schema(LOOSE)


def test_arguments_of_a_function_have_a_schema_too():
    def make(problem: Inner, *, share: float = 0.25, bar: float) -> None:
        """Make.

        Args:
            problem: One.
            share: Of it.
            bar: Above it.
        """

    found = schema_of_arguments(make, leave_out=["problem"])
    assert found["required"] == ["bar"]
    assert found["properties"] == {
        "share": {"type": "number", "description": "Of it."},
        "bar": {"type": "number", "description": "Above it."},
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cuont": 3}, "there is no setting 'cuont': expected a known one. Did you mean count?"),
        ({"fish": 3}, "there is no setting 'fish': expected name, count, rate"),
        ({"count": "many"}, "count is 'many': expected a whole number."),
        ({"count": 3.0}, "count is 3.0: expected a whole number."),
        ({"count": True}, "count is true: expected a whole number."),
        ({"count": None}, "count is empty: expected a whole number."),
        ({"rate": "fast"}, "rate is 'fast': expected a number."),
        ({"is_on": 1}, "is_on is 1: expected true or false."),
        ({"kind": "rad"}, "kind is 'rad': expected 'red' or 'blue'. Did you mean 'red'?"),
        ({"rhythm": False}, "rhythm is false: expected 'no' or 'steps'. Put it in quotes, as 'no': YAML takes"),
        ({"name": 3}, "name is 3: expected text. Put it in quotes."),
        ({"words": [1]}, "words[0] is 1: expected text. Put it in quotes."),
        ({"words": {"a": 1}}, "words is keys and values: expected a list, each text."),
        ({"inner": {}}, "inner lacks depth: expected a value. Add `depth: ...`."),
        ({"inner": {"depht": 3, "depth": 1}}, "there is no setting 'inner.depht': expected a known one. Did you mean"),
        ({"inner": 3}, "inner is 3: expected keys and values under it, as `depth: ...`."),
        ({"shares": {"a": "b"}}, "shares.a is 'b': expected a number."),
        ({1: 2}, "the key 1 is no text: expected a name. Put it in quotes."),
    ],
)
def test_a_mistake_says_what_was_wrong_and_what_was_expected(change, message):
    found = mistakes({"name": "a", **change}, STRICT)
    assert len(found) == 1
    assert found[0].startswith(f"settings: {message}")
    jsonschema_agrees = not Draft202012Validator(STRICT).is_valid({"name": "a", **change})
    assert jsonschema_agrees or change in ({"count": 3.0}, {1: 2})  # no difference, and no key, in JSON


def test_all_mistakes_are_named_at_once_with_their_lines(tmp_path):
    lines = {("cuont",): 4, ("rate",): 7}
    file = YamlFile(tmp_path / "f.yaml", {"cuont": 3, "rate": "fast"}, lines)
    with pytest.raises(ValueError) as raised:
        check(file, STRICT)
    first, second, third = str(raised.value).splitlines()
    assert first.startswith(f"{tmp_path}/f.yaml, line 4: ") and second.startswith(f"{tmp_path}/f.yaml, line 7: ")
    assert third == f"{tmp_path}/f.yaml: it lacks name: expected a value. Add `name: ...`."
    many = YamlFile(tmp_path / "f.yaml", {f"key{i}": 0 for i in range(15)})
    with pytest.raises(ValueError, match=r"\.\.\. and 6 more"):
        check(many, STRICT)


@pytest.mark.parametrize(
    "change",
    [{"rate": "1e-6"}, {"count": "64"}, {"is_on": "true"}, {"words": "one"}, {"options": '{"a": 1}'}, {"limit": "7"}],
)
def test_text_that_a_command_lines_parser_reads_will_do_where_one_reads_it(change):
    assert mistakes({"name": "a", **change}, LOOSE) == []
    assert (mistakes({"name": "a", **change}, STRICT) == []) == ("options" in change)


scalars = st.none() | st.booleans() | st.integers(-5, 5) | st.floats(allow_nan=False).filter(lambda x: x % 1)
scalars |= st.sampled_from(["red", "blue", "no", "steps", "1e-6", "12", "true", "fish", ""])
values = scalars | st.lists(scalars, max_size=2) | st.dictionaries(st.sampled_from(["depth", "low", "a"]), scalars)


@given(st.dictionaries(st.sampled_from([*Outer.__dataclass_fields__, "fish"]), values, max_size=5), st.booleans())
def test_we_and_jsonschema_allow_the_same(content, from_text):
    schema = LOOSE if from_text else STRICT
    assert (mistakes(content, schema) == []) == Draft202012Validator(schema).is_valid(content)
