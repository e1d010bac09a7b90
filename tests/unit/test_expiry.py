"""Old runs are removed; never one of which something may be left to heal, or that may be under way."""

from __future__ import annotations

import os

import pytest
from stories import play, story

from chaoskit import expiry
from chaoskit.batch import PAGES
from chaoskit.errors import ChaoskitError
from chaoskit.session import judge

DAY = 86400.0


@pytest.fixture
def root(tmp_path):
    return tmp_path / "runs"


def played(folder):
    play(story(folder))
    judge(folder)
    return folder


def unhealed(journal):
    """A journal as a kill -9 leaves it before the run heals."""
    lines = journal.splitlines(keepends=True)
    return b"".join(lines[: next(i for i, line in enumerate(lines) if b'"kind":"healed"' in line)])


def later(folder, days):
    """The moment so many days after the run began."""
    return expiry._began(folder) + days * DAY


def test_what_is_older_goes_and_the_rest_stays(root):
    old = played(root / "a")
    assert expiry.remove(root, 2 * DAY, later(old, 1)) == expiry.Removal((), ())
    assert old.exists()
    assert expiry.remove(root, 2 * DAY, later(old, 3)) == expiry.Removal((old,), ())
    assert list(root.iterdir()) == []


def test_a_run_that_is_not_healed_stays_and_says_what_to_type(root):
    folder = root / "a"
    play(story(folder))
    journal = folder / "journal.jsonl"
    journal.write_bytes(unhealed(journal.read_bytes()))
    found = expiry.remove(root, DAY, later(folder, 30))
    assert found.removed == ()
    assert found.kept[0].fix.startswith(f"chaoskit heal {folder};")
    assert folder.exists()


def test_a_run_without_an_end_stays_while_it_may_write(root):
    folder = root / "a"
    folder.mkdir(parents=True)
    (folder / "journal.jsonl").write_bytes(b"")
    now = 2e9
    os.utime(folder / "journal.jsonl", (now - 60, now - 60))
    assert "may be under way" in expiry.remove(root, 1.0, now).kept[0].why
    os.utime(folder / "journal.jsonl", (now - 2 * DAY, now - 2 * DAY))
    assert expiry.remove(root, DAY, now).removed == (folder,)


def test_a_journal_that_was_changed_keeps_its_run(root):
    folder = played(root / "a")
    (folder / "journal.jsonl").write_text((folder / "journal.jsonl").read_text().replace("deploy", "destroy"))
    assert "cannot be read" in expiry.remove(root, DAY, later(folder, 30)).kept[0].why


def test_a_batch_goes_as_a_whole_or_stays_as_a_whole(root):
    folder = played(root / "night" / "a")
    other = played(root / "night" / "b")
    for name in PAGES:
        (root / "night" / name).touch()
    journal = folder / "journal.jsonl"
    whole = journal.read_bytes()
    journal.write_bytes(unhealed(whole))
    assert expiry.remove(root, DAY, later(other, 30)).removed == ()
    assert other.exists()
    journal.write_bytes(whole)
    assert expiry.remove(root, DAY, later(other, 30)).removed == (root / "night",)


def test_a_batch_that_is_named_itself_goes_as_a_whole_too(root):
    folder = played(root / "a")
    for name in PAGES:
        (root / name).touch()
    assert expiry.remove(root, DAY, later(folder, 30)).removed == (root,)
    assert not root.exists()


def test_what_is_no_run_is_never_touched(root):
    folder = played(root / "a")
    (root / "notes.txt").touch()
    (root / "photos").mkdir()
    expiry.remove(root, DAY, later(folder, 30))
    assert sorted(p.name for p in root.iterdir()) == ["notes.txt", "photos"]


def test_what_happened_is_told_line_by_line(tmp_path):
    a, b = tmp_path / "a", tmp_path / "b"
    lines = expiry.told(expiry.Removal((a,), (expiry.Kept(b, "not put back", "chaoskit heal b"),)))
    assert list(lines) == [f"removed {a}", f"kept {b}: not put back", "  next: chaoskit heal b"]


def test_a_folder_that_is_not_there_is_told(root):
    with pytest.raises(ChaoskitError):
        expiry.remove(root, DAY, 1e9)
