"""YAML of settings from anybody: plain values, or one message."""

from __future__ import annotations

import time

import pytest

from vpo.yaml_file import read_yaml

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
MERGED = "a: &a {x: 1}\n" + "".join(
    f"{new}: &{new} {{<<: [{', '.join([f'*{old}'] * 9)}]}}\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


def test_plain_values_are_read_as_they_stand(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("a: 1\nb: [x, 2.5, true, null]\nc: {d: &d é, e: *d}\nf: {<<: {g: 1}, h: 2}\n", encoding="utf-8")
    expected = {"a": 1, "b": ["x", 2.5, True, None], "c": {"d": "é", "e": "é"}, "f": {"g": 1, "h": 2}}
    assert read_yaml(path).content == expected


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a: {b: 1, c: 2, b: 3}", "the key 'b' stands there a second time"),
        (BOMB.encode(), "stands for more than 50000 values"),
        (MERGED.encode(), "stands for more than 50000 values"),
        (b"a: &a [*a]", "or holds itself"),
        (b"a: &a {b: *a}", "or holds itself"),
        (b"a: " + b"[" * 40 + b"]" * 40, "more than 32 levels"),
        (b"a: " + b"[" * 50_000, "not YAML"),
        (b"a: !!python/object/apply:os.mkdir [trace]", "not YAML"),
        (b"a: !!python/name:os.system", "not YAML"),
        (b"a: [", "not YAML"),
        (b"a: \xff", "is not UTF-8"),
        (b"a: 2001-02-03", "holds a date"),
        (b"a: 2001-02-30", "not YAML"),
        (b"a: !!int x", "not YAML"),
        (b"a: !!int ''", "cannot be read"),
        (b"a: !!binary aGVsbG8=", "holds a bytes"),
        (b"a: !!set {x, y}", "holds a set"),
        (b"a: " + b"9" * 30, "of 100 bits"),
        (b"a: " + b"9" * 5000, "not YAML"),
        (b'a: "\\0"', "null characters"),
        (b'a: "\\uD800"', "half pairs"),
        (b"a: " + b"x" * 2**20, "is longer than"),
    ],
)
def test_what_is_no_setting_is_refused_at_once_and_named(tmp_path, monkeypatch, content, message):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "x.yaml"
    path.write_bytes(content)
    began = time.process_time()
    with pytest.raises(ValueError, match=message) as raised:
        read_yaml(path)
    assert str(raised.value).startswith(str(path)) and len(str(raised.value)) < 1000
    assert time.process_time() - began < 5
    assert [each.name for each in tmp_path.iterdir()] == ["x.yaml"]
