"""Whatever moment the machine dies at, a log is read back as the commits that were whole."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chaoskit.refapp
from chaoskit.refapp.app.orderlog import DamagedError, LockedError, OrderLog, Record, decode, encode, recover

texts = st.text(max_size=20)
records = st.fixed_dictionaries({"id": texts, "order": st.dictionaries(texts, st.integers() | texts, max_size=3)})
commits = st.lists(st.lists(records, min_size=1, max_size=4), max_size=6)


def read(data: bytes) -> tuple[list[Record], int]:
    kept: list[Record] = []
    return kept, recover(data, kept.append)


@given(st.lists(records))
def test_a_commit_is_one_line_and_comes_back(batch):
    line = encode(batch)
    assert line.count(b"\n") == 1
    assert decode(line[:-1]) == batch


@given(commits, st.data())
def test_any_cut_keeps_the_whole_commits_and_drops_the_rest(batches, data):
    lines = [encode(batch) for batch in batches]
    log = b"".join(lines)
    cut = data.draw(st.integers(0, len(log)))
    kept, good = read(log[:cut])
    whole = 0
    while whole < len(lines) and len(b"".join(lines[: whole + 1])) <= cut:
        whole += 1
    assert kept == [record for batch in batches[:whole] for record in batch]
    assert good == len(b"".join(lines[:whole]))


@given(commits.filter(bool), st.data())
def test_a_last_write_that_reached_the_disk_in_part_is_dropped(batches, data):
    """A disk may have written the later block of a commit and not the earlier one: a hole of zeros."""
    lines = [encode(batch) for batch in batches]
    last = bytearray(lines[-1])
    start = data.draw(st.integers(0, len(last) - 2))
    end = data.draw(st.integers(start + 1, len(last) - 1))
    last[start:end] = bytes(end - start)
    kept, good = read(b"".join(lines[:-1]) + last)
    assert kept == [record for batch in batches[:-1] for record in batch]
    assert good == len(b"".join(lines[:-1]))


@given(commits.filter(lambda batches: len(batches) > 1), st.data())
def test_damage_before_the_last_commit_is_never_passed_over(batches, data):
    lines = [encode(batch) for batch in batches]
    log = bytearray(b"".join(lines))
    at = data.draw(st.integers(0, len(b"".join(lines[:-1])) - 1))
    log[at] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(DamagedError):
        read(bytes(log))


@given(st.binary(max_size=200))
def test_garbage_never_yields_a_record(garbage):
    try:
        kept, good = read(garbage)
    except DamagedError:
        return
    assert (kept, good) == ([], 0)


@settings(max_examples=20, deadline=None)
@given(commits, st.integers(1, 40))
def test_a_log_goes_on_after_a_crash(tmp_path_factory, batches, torn):
    folder = tmp_path_factory.mktemp("log")
    log = OrderLog(folder, lambda _: None)
    for batch in batches:
        log.append(batch)
    log.close()
    path = folder / "orders.log"
    size = path.stat().st_size
    with path.open("ab") as file:
        file.write(encode([{"id": "x" * 50}])[:torn])
    kept: list[Record] = []
    log = OrderLog(folder, kept.append)
    assert kept == [record for batch in batches for record in batch]
    assert (log.torn, log.size, path.stat().st_size) == (torn, size, size)
    log.append([{"id": "next"}])
    log.close()
    assert read(path.read_bytes())[0][-1] == {"id": "next"}


def test_it_has_one_writer(tmp_path):
    log = OrderLog(tmp_path, lambda _: None)
    with pytest.raises(LockedError):
        OrderLog(tmp_path, lambda _: None)
    log.close()
    OrderLog(tmp_path, lambda _: None).close()


FILL = """
import sys
from pathlib import Path
from app.orderlog import DiskFullError, OrderLog, recover

folder = Path(sys.argv[1])
log = OrderLog(folder, lambda _: None)
written = 0
try:
    while written < 100_000:
        log.append([{"id": str(written), "pad": "x" * 100}])
        written += 1
except DiskFullError:
    kept = []
    data = (folder / "orders.log").read_bytes()
    print(written, recover(data, kept.append), log.size, len(data), len(kept))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk takes root")
def test_a_full_disk_leaves_the_log_as_it_was(tmp_path):
    mount_then_run = 'mount -t tmpfs -o size=64k small "$0" && exec "$@" "$0"'
    command = ["unshare", "--mount", "sh", "-c", mount_then_run, str(tmp_path), sys.executable, "-c", FILL]
    root = Path(chaoskit.refapp.__file__).parent
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=60, check=True)
    written, recovered, size, length, kept = map(int, done.stdout.split())
    assert written == kept > 100
    assert recovered == size == length > 10_000
