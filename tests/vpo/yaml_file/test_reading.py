from __future__ import annotations

import re

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from vpo.yaml_file import read_yaml


@pytest.fixture
def write(tmp_path):
    def write(text: str):
        (tmp_path / "file.yaml").write_text(text, encoding="utf-8")
        return tmp_path / "file.yaml"

    return write


def test_every_key_and_item_has_its_line(write):
    file = read_yaml(write("seed: 0\n# a remark\nbudget:\n  max_answers: 3\nlist:\n  - a\n  - b: 1\n"))
    assert file.content == {"seed": 0, "budget": {"max_answers": 3}, "list": ["a", {"b": 1}]}
    assert file.lines == {
        ("seed",): 1,
        ("budget",): 3,
        ("budget", "max_answers"): 4,
        ("list",): 5,
        ("list", 0): 6,
        ("list", 1): 7,
        ("list", 1, "b"): 7,
    }
    assert file.where(("budget", "max_answers", "deeper")) == f"{file.path}, line 4"
    assert file.where() == str(file.path)


@pytest.mark.parametrize("text", ["seed: 0\nbatch: 1\nseed: 2\n", "a:\n  b: 1\n  b: 1\n", "a: [{b: 1, b: 2}]\n"])
def test_a_key_that_stands_there_twice_is_refused_with_both_lines(write, text):
    lines = [i for i, line in enumerate(text.splitlines(), 1) if re.search(r"\b(seed|b): ", line)]
    message = rf"line {lines[-1]}: the key '(seed|b)' stands there a second time, after line {lines[0]}"
    with pytest.raises(ValueError, match=message):
        read_yaml(write(text))


def test_a_merged_mapping_may_be_overridden(write):
    file = read_yaml(write("base: &base {a: 1, b: 2}\narm:\n  <<: *base\n  b: 3\n"))
    assert file.content["arm"] == {"a": 1, "b": 3}
    assert file.where(("arm", "a")).endswith("line 2")  # where the merge stands


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1\nb: 2\n", r"line 2: this is not YAML \(while parsing a flow sequence, expected"),
        ("a: !!python/object:os.system {}\n", r"line 1: this is not YAML \(could not determine a constructor"),
        ("? [a]\n: 1\n", r"line 1: this is not YAML \(while constructing a mapping, found unhashable key"),
        ("- a\n", "holds a list: expected keys and values"),
        ("", "holds nothing: expected keys and values"),
        ("a: 1\n---\nb: 2\n", "line 2: this is not YAML"),
        ("[" * 5000, "is not YAML"),
        ("a: 2020-99-99\n", "is not YAML: expected keys and values"),
    ],
)
def test_what_is_no_yaml_mapping_says_where_and_why(write, text, message):
    with pytest.raises(ValueError, match=message):
        read_yaml(write(text))


def test_other_encodings_are_refused(tmp_path):
    (tmp_path / "file.yaml").write_bytes("a: ä".encode("latin-1"))
    with pytest.raises(ValueError, match="is not UTF-8"):
        read_yaml(tmp_path / "file.yaml")


def test_aliases_of_aliases_take_neither_time_nor_memory(write):
    lines = ["a0: &a0 [x, x]", *[f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 60)]]
    with pytest.raises(ValueError, match="nested more than 32 levels deep"):
        read_yaml(write("\n".join(lines)))
    assert len(read_yaml(write("\n".join(lines[:12]))).content) == 12


keys = st.text("abc_é-", min_size=1, max_size=5)
plain = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text("ab: #'\n", max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(keys, plain, min_size=1, max_size=4))
def test_content_is_what_yaml_gives(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("yaml") / "file.yaml"
    path.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
    file = read_yaml(path)
    assert file.content == content
    first = {key: path.read_text(encoding="utf-8").splitlines()[file.lines[key,] - 1] for key in content}
    assert all(key in line for key, line in first.items())


def test_an_error_of_later_gets_the_lines_of_the_keys_that_it_names(write):
    file = read_yaml(write("seed: 0\nnum_answers: 3\nobjective: grpo\n"))
    error = file.placed(ValueError("objective 'grpo' pays for one answer, but num_answers is 3"))
    assert "(Set there: num_answers in line 2, objective in line 3.)" in str(error)
    assert str(file.placed(ValueError("num_answers_of_all is 3"))) == f"{file.path}: num_answers_of_all is 3"
