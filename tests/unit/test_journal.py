"""The journal: whole lines only, readable after any tear, and honest about what was changed."""

from __future__ import annotations

import json
import math
import resource

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaoskit.errors import ToolError, UsageError
from chaoskit.journal import FILE, Journal, check_end, end, read

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)
LINES = st.lists(
    st.tuples(st.sampled_from(["phase", "note", "intent"]), st.floats(0, 1e6), VALUES), min_size=1, max_size=8
)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("journal") / FILE


def written(path, lines) -> bytes:
    path.unlink(missing_ok=True)
    journal = Journal(path)
    for kind, at, value in lines:
        journal.write(kind, at, value=value)
    journal.close()
    return path.read_bytes()


@given(lines=LINES)
def test_what_was_written_is_read(path, lines):
    written(path, lines)
    assert [(e.n, e.kind, e.data["value"]) for e in read(path)] == [
        (n, kind, v) for n, (kind, _, v) in enumerate(lines)
    ]


@given(lines=LINES, data=st.data())
def test_a_tail_torn_anywhere_is_left_out(path, lines, data):
    whole = written(path, lines)
    torn = data.draw(st.integers(0, len(whole)))
    path.write_bytes(whole[:torn])
    assert len(read(path)) == whole[:torn].count(b"\n")


@given(lines=LINES, more=LINES, data=st.data())
def test_writing_goes_on_after_a_torn_tail(path, lines, more, data):
    whole = written(path, lines)
    torn = data.draw(st.integers(0, len(whole)))
    path.write_bytes(whole[:torn])
    kept = [(e.kind, e.data["value"]) for e in read(path)]
    journal = Journal(path)
    for kind, at, value in more:
        journal.write(kind, at, value=value)
    journal.close()
    assert [(e.kind, e.data["value"]) for e in read(path)] == kept + [(kind, value) for kind, _, value in more]


@given(lines=st.lists(LINES.map(lambda found: found[0]), min_size=2, max_size=6), data=st.data())
def test_a_changed_or_missing_line_before_the_last_is_noticed(path, lines, data):
    whole = written(path, lines).splitlines(keepends=True)
    at = data.draw(st.integers(0, len(whole) - 2))
    changed = whole[at].replace(b'"kind":"', b'"kind":"x', 1)
    for tampered in ([*whole[:at], changed, *whole[at + 1 :]], [*whole[:at], *whole[at + 1 :]]):
        path.write_bytes(b"".join(tampered))
        with pytest.raises(UsageError, match="changed after it was written"):
            read(path)


@given(
    lines=LINES,
    data=st.data(),
    junk=st.binary(min_size=1, max_size=40) | st.just(b"[" * 5000) | st.just(b'{"n":1e999}'),
)
def test_junk_in_the_middle_is_refused_with_its_line(path, lines, data, junk):
    whole = written(path, lines).splitlines(keepends=True)
    at = data.draw(st.integers(0, len(whole) - 1))
    path.write_bytes(b"".join([*whole[:at], junk + b"\n", *whole[at:]]))
    with pytest.raises(UsageError) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}:")


def test_a_journal_that_is_not_there_begins_at_zero(tmp_path):
    journal = Journal(tmp_path / FILE)
    assert journal.write("phase", 0.0, name="deploy").n == 0
    journal.close()


def test_texts_of_any_kind_are_kept(tmp_path):
    journal = Journal(tmp_path / FILE)
    journal.write("note", 1.0, text="a\nb\u2028c\udc80 ✓", number=math.pi)
    journal.close()
    (entry,) = read(tmp_path / FILE)
    assert entry.data == {"text": "a\nb\u2028c\udc80 ✓", "number": math.pi}
    assert len((tmp_path / FILE).read_bytes().splitlines()) == 1


def test_a_line_is_on_the_disk_when_write_returns(tmp_path):
    journal = Journal(tmp_path / FILE)
    journal.write("note", 1.0, text="x")
    assert json.loads((tmp_path / FILE).read_text())["data"] == {"text": "x"}
    journal.close()


def test_a_disk_that_is_full_leaves_no_half_line_behind(tmp_path):
    """A limit on the size of files says no in the middle of a line, as a full disk does."""
    journal = Journal(tmp_path / FILE)
    journal.write("note", 1.0, text="first")
    size = (tmp_path / FILE).stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 50, hard))
    try:
        with pytest.raises(ToolError, match="journal"):
            journal.write("note", 2.0, text="x" * 200)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    journal.write("note", 3.0, text="third")
    journal.close()
    assert [e.data["text"] for e in read(tmp_path / FILE)] == ["first", "third"]


def test_it_has_one_writer_at_a_time(tmp_path):
    path = tmp_path / "journal.jsonl"
    first = Journal(path)
    first.write("note", 0.0, text="a")
    with pytest.raises(UsageError, match="being written by its run"):
        Journal(path)
    first.write("note", 1.0, text="b")
    first.close()
    second = Journal(path)
    second.write("note", 2.0, text="c")
    second.close()
    assert [entry.data["text"] for entry in read(path)] == ["a", "b", "c"]


def test_a_changed_last_line_is_noticed_by_the_digest_that_was_kept(tmp_path):
    path = tmp_path / FILE
    journal = Journal(path)
    journal.write("note", 0.0, text="a")
    journal.write("note", 1.0, text="b")
    journal.close()
    kept = end(path)
    check_end(path, kept)
    check_end(path, "")
    path.write_text(path.read_text().replace('"b"', '"c"'))
    assert len(read(path)) == 2, "the chain alone does not show it"
    with pytest.raises(UsageError, match="changed after it was judged"):
        check_end(path, kept)


def test_what_is_healed_later_may_follow_the_line_that_was_the_last(tmp_path):
    path, ends = tmp_path / FILE, []
    for text in ("a", "b"):
        journal = Journal(path)
        journal.write("note", 0.0, text=text)
        journal.close()
        ends.append(end(path))
    check_end(path, ends[0])
