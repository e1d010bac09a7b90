"""The commit that an experiment is run from, told by the real git."""

import shutil
import subprocess

import pytest

from chaoskit.adapters.git import commit_of

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="no git is installed")


def git(folder, *argv):
    who = ("-c", "user.name=somebody", "-c", "user.email=somebody@example.com")
    return subprocess.run(["git", "-C", folder, *who, *argv], check=True, capture_output=True, text=True).stdout.strip()


def test_a_commit_and_whether_something_was_changed_since(tmp_path):
    git(tmp_path, "init")
    assert commit_of(tmp_path) == ""  # there is none yet
    (tmp_path / "experiment.yaml").write_text("name: x\n", encoding="utf-8")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "one")
    git(tmp_path, "tag", "v1")
    assert commit_of(tmp_path) == git(tmp_path, "rev-parse", "HEAD")[:12]
    (tmp_path / "experiment.yaml").write_text("name: y\n", encoding="utf-8")
    assert commit_of(tmp_path) == f"{git(tmp_path, 'rev-parse', 'HEAD')[:12]}-dirty"


def test_no_repository_no_commit(tmp_path):
    assert commit_of(tmp_path / "nowhere") == ""
