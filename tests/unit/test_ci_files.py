"""The files for CI services: their commands exist, and what one step leaves is where the next one looks."""

from __future__ import annotations

import re
import shlex

import pytest
import yaml
from test_docs import ROOT, parse

from chaoskit import batch

FOLDER = ROOT / "deploy" / "ci"
GITHUB, GITLAB = (FOLDER / name for name in ("github.yaml", "gitlab.yaml"))
TEXT = re.compile(r"\$\{\{.*?\}\}|\$\w+")


def loaded(file):
    """As YAML 1.2 reads it, in which `on` is a word."""
    return yaml.load(file.read_text(), Loader=yaml.BaseLoader)  # noqa: S506 - texts only


def scripts(file):
    """The lines that are typed, by job."""
    jobs = loaded(file)["jobs"] if file == GITHUB else {k: v for k, v in loaded(file).items() if "script" in v}
    for name, job in jobs.items():
        if file == GITHUB:
            yield name, [line for step in job["steps"] for line in step.get("run", "").splitlines()]
        else:
            yield name, [line for part in ("before_script", "script", "after_script") for line in job.get(part, ())]


@pytest.mark.parametrize("file", [GITHUB, GITLAB], ids=lambda file: file.stem)
def test_each_job_looks_at_the_cluster_runs_the_night_and_every_command_exists(file):
    found = dict(scripts(file))
    assert set(found) == {"embedded", "kind"}
    for lines in found.values():
        typed = [line for line in lines if line.startswith("chaoskit ")]
        assert any(line.startswith("chaoskit doctor") for line in typed)
        assert any("-l tier=nightly" in line for line in typed)
        for line in typed:
            words = shlex.split(TEXT.sub("x", line))[1:]
            made = {"experiments/": str(ROOT / "experiments"), "nights": str(ROOT)}
            parse([made.get(word, word) for word in words])


def test_gitlab_reads_the_file_that_a_batch_leaves():
    artifacts = loaded(GITLAB)[".night"]["artifacts"]
    assert artifacts["reports"]["junit"] == f"results/{batch.JUNIT}"
    for _, lines in scripts(GITLAB):
        assert any(line.endswith("--out results") for line in lines)


def test_github_keeps_what_a_batch_leaves_whatever_came_of_it():
    for name, job in loaded(GITHUB)["jobs"].items():
        upload = job["steps"][-1]
        assert upload["if"] == "always()"
        (run,) = [line for line in dict(scripts(GITHUB))[name] if line.startswith("chaoskit run ")]
        out = shlex.split(run)[-1]
        for shell, expression in (("$GITHUB_RUN_ID", "github.run_id"), ("$GITHUB_RUN_ATTEMPT", "github.run_attempt")):
            out = out.replace(shell, f"${{{{ {expression} }}}}")
        assert upload["with"]["path"] == out


def test_the_page_on_nights_names_the_files():
    page = (ROOT / "docs" / "nightly.md").read_text()
    for file in FOLDER.iterdir():
        assert f"(../deploy/ci/{file.name})" in page, file.name
