"""Reading YAML: YAML 1.2 scalars, places of every part, and nothing that grows, hangs or ends in a traceback."""

from __future__ import annotations

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from chaoskit import yamlfile
from chaoskit.errors import ExperimentError


def refusal(text: str) -> str:
    with pytest.raises(ExperimentError) as caught:
        yamlfile.loads(text, "x.yaml")
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on", "on"),
        ("yes", "yes"),
        ("1:30", "1:30"),
        ("2026-11-24", "2026-11-24"),
        ("true", True),
        ("null", None),
        ("", None),
        ("42", 42),
        ("-1.5e3", -1500.0),
        ("0x1f", "0x1f"),
        ("'42'", "42"),
        ('"true"', "true"),
        (".nan", ".nan"),
        ("50%", "50%"),
    ],
)
def test_scalars_mean_what_they_mean_in_yaml_1_2(text, value):
    assert yamlfile.loads(f"a: {text}").data == {"a": value}


def test_every_part_knows_its_place():
    document = yamlfile.loads("name: x\nsteps:\n  - name: y\n    watch: 3s\n", "x.yaml")
    assert document.place(("steps", 0, "watch")) == "x.yaml:4:5"
    assert document.place(("steps", 0)) == "x.yaml:3:5"
    assert document.place(("steps", 0, "no such key")) == "x.yaml:3:5"
    assert document.place(("elsewhere",)) == "x.yaml:1:1"


@pytest.mark.parametrize(
    ("text", "place", "says"),
    [
        ("a: 1\nb: [1", "x.yaml:3:1", "is no YAML"),
        ("a: 1\nb: 2\na: 3", "x.yaml:3:1", "second time"),
        ("a: &x 1\nb: *x", "x.yaml:1:4", "anchors and aliases"),
        ("a: !!python/object/apply:os.system [ls]", "x.yaml:1:4", "tag"),
        ("a: !!str 5", "x.yaml:1:4", "tag"),
        ("? [a]\n: 1", "x.yaml:1:3", "plain text"),
        ("a: 1\n---\nb: 2", "x.yaml:2:1", "single document"),
        ("a: 1\nb: \x07", "x.yaml:2:4", "not allowed"),
        ("a: 1\nb: \ud800", "x.yaml:2:4", "not allowed"),
        ('a: "\\ud800"', "x.yaml:1:", "is no YAML"),
        ('a: "\\U00110000"', "x.yaml:1:", "is no YAML"),
        ("%YAML " + "9" * 5000 + ".1\n---\na: 1", "x.yaml:1:", "is no YAML"),
        ("a:\n  b: 1\n c: 2", "x.yaml:3:2", "is no YAML"),
        ("a: " + "[" * 60, "x.yaml:1:43", "nested more than 40 deep"),
        ("\n".join(" " * i + "a:" for i in range(60)), "x.yaml:41:41", "nested more than 40 deep"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_place(text, place, says):
    message = refusal(text)
    assert message.startswith(place)
    assert says in message


def test_a_billion_laughs_are_refused_at_once():
    bomb = "a: &a [x,x,x]\n" + "".join(
        f"{chr(98 + i)}: &{chr(98 + i)} [*{chr(97 + i)},*{chr(97 + i)}]\n" for i in range(20)
    )
    assert "x.yaml:1:4" in refusal(bomb)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "{a: " * 30_000,
        "- " * 60_000,
        "a: '" + "x" * 130_000,
        "&a " * 40_000,
        "\n".join(f"k{i}: 1" for i in range(12_000)),
        "x" * (1 << 20),
        "? " * 60_000,
    ],
    ids=["brackets", "braces", "dashes", "quote", "anchors", "keys", "long", "questions"],
)
def test_hostile_sizes_end_soon(text):
    began = time.process_time()
    try:
        yamlfile.loads(text)
    except ExperimentError as error:
        assert str(error).startswith("experiment:1:")
    assert time.process_time() - began < 3


def test_a_file_that_is_not_there_or_not_text_is_named(tmp_path):
    with pytest.raises(ExperimentError, match="cannot be read"):
        yamlfile.load(tmp_path / "none.yaml")
    (tmp_path / "b.yaml").write_bytes(b"a: 1\nb: \xff")
    with pytest.raises(ExperimentError, match=r"b\.yaml:2:4: is not UTF-8"):
        yamlfile.load(tmp_path / "b.yaml")


@given(st.text(max_size=200) | st.text(alphabet="[]{}:-?&*!|>'\"%@` \n\tab1", max_size=60))
@example("\x00")
@example("%TAG ! tag:x:\n---\n!a b")
@example("a: |9\n b")
def test_any_text_is_read_or_refused_with_a_place(text):
    try:
        yamlfile.loads(text, "x.yaml")
    except ExperimentError as error:
        assert str(error).startswith("x.yaml:")
        assert [int(n) > 0 for n in str(error).split(":")[1:3]] == [True, True]


@given(data=st.binary(max_size=100))
def test_any_bytes_are_read_or_refused_with_a_place(data, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(data)
    try:
        yamlfile.load(path)
    except ExperimentError as error:
        line, column = str(error).removeprefix(f"{path}:").split(":")[:2]
        assert int(line) > 0
        assert int(column) > 0
