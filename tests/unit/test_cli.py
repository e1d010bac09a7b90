"""The command line as a user meets it: exit codes, and what a mistake is answered with. No cluster is needed."""

from __future__ import annotations

import contextlib
import io
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from test_history import run

from chaoskit import cli, session  # noqa: F401 - loaded before pytester looks which modules it must forget again
from chaoskit.cli import worst_code

pytest_plugins = ["pytester"]

EXPERIMENT = """\
name: the shop survives losing a pod
load: {locustfile: users.py}
steps:
  - name: lose a pod
    kill_pod: {of: deployment/front}
expect:
  - outage: {of: lose a pod, at_most: 1s}
"""


@dataclass(frozen=True)
class Done:
    returncode: int
    stdout: str
    stderr: str


def chaoskit(folder: Path, *arguments: str) -> Done:
    """The whole program, in this process: another one would take longer to start than all that it does."""
    out, err = io.StringIO(), io.StringIO()
    code = 0
    with contextlib.chdir(folder), signals_kept(), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            cli.main(arguments)
        except SystemExit as ended:
            code = int(ended.code or 0)
    return Done(code, out.getvalue(), err.getvalue())


@contextlib.contextmanager
def signals_kept() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_it_is_a_program(tmp_path):
    command = [sys.executable, "-m", "chaoskit", "validate", "missing.yaml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "missing.yaml" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("expect:", "expct:", "my.yaml:6:1: unknown key 'expct'; did you mean 'expect'?"),
        ("kill_pod", "kil_pod", "my.yaml:5:5: unknown key 'kil_pod'; did you mean 'kill_pod'?"),
        ("at_most: 1s", "at_most: 1", "my.yaml:7:30: at_most: write a duration with its unit"),
        ("load: {locustfile: users.py}", "load: none", ""),
    ],
)
def test_validate_names_the_place_and_what_to_write(tmp_path, old, new, said):
    (tmp_path / "my.yaml").write_text(EXPERIMENT.replace("load: {locustfile: users.py}", "why: x").replace(old, new))
    done = chaoskit(tmp_path, "validate", "my.yaml")
    assert done.returncode == (2 if said else 0), done.stderr
    assert said in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["my.yaml"]


@pytest.mark.parametrize("command", ["validate", "plan", "run"])
def test_a_locustfile_that_does_not_import_is_told_with_its_line_before_anything_starts(tmp_path, command):
    (tmp_path / "my.yaml").write_text(EXPERIMENT)
    (tmp_path / "users.py").write_text("import locust\nimport no_such_module\n")
    done = chaoskit(tmp_path, command, "my.yaml")
    assert done.returncode == 2
    assert "users.py:2" in done.stderr
    assert "no_such_module" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "missing.yaml"),
        ("run", "."),
        ("validate", "."),
        ("judge", "."),
        ("heal", "no/such/folder"),
        ("run", "missing.yaml", "--nodes", "0"),
        ("heal", "--prometheus", "http://127.0.0.1:9"),
        ("run", "missing.yaml", "--stop-at", "never-ever"),
        ("runs", "nowhere"),
        ("runs", ".", "--max-age", "30"),
        ("runs", ".", "--max-age", "soon"),
        ("compare", ".", "."),
        ("no-such-command",),
    ],
)
def test_wrong_usage_is_two_and_leaves_nothing(tmp_path, arguments):
    done = chaoskit(tmp_path, *arguments)
    assert done.returncode == 2, done.stderr
    assert done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_address_for_metrics_needs_a_cluster_of_yours(tmp_path):
    (tmp_path / "a.yaml").write_text(EXPERIMENT.replace("load: {locustfile: users.py}", "load: {locustfile: none}"))
    done = chaoskit(tmp_path, "run", "a.yaml", "--metrics-address", "127.0.0.1:9464")
    assert done.returncode == 2
    assert "--metrics-address is of no use without --context" in done.stderr


def test_a_place_for_results_that_is_none_is_told_before_anything_runs(tmp_path):
    (tmp_path / "a.yaml").write_text(EXPERIMENT.replace("load: {locustfile: users.py}", "load: {locustfile: none}"))
    done = chaoskit(tmp_path, "run", "a.yaml", "--upload", "results/nights")
    assert done.returncode == 2
    assert "write it as in s3://BUCKET/nights" in done.stderr


@pytest.mark.parametrize(
    "command", ["run", "validate", "plan", "doctor", "judge", "heal", "runs", "compare", "schema", "cluster"]
)
def test_every_command_tells_what_it_does(tmp_path, command):
    done = chaoskit(tmp_path, command, "--help")
    assert done.returncode == 0
    assert "Usage:" in done.stdout


@pytest.mark.parametrize(
    ("codes", "worst"), [([], 0), ([0, 0], 0), ([0, 3], 3), ([3, 1], 1), ([1, 4], 4), ([4, 130], 130), ([130, 5, 0], 5)]
)
def test_of_several_runs_the_worst_exit_code_wins(codes, worst):
    assert worst_code(codes) == worst


def test_a_label_that_no_experiment_carries_is_a_mistake_and_not_a_pass(tmp_path):
    (tmp_path / "my.yaml").write_text(EXPERIMENT.replace("load: {locustfile: users.py}", "labels: {tier: nightly}"))
    done = chaoskit(tmp_path, "run", "my.yaml", "-l", "tier=weekly")
    assert done.returncode == 2
    assert "no experiment carries tier=weekly" in done.stderr


def test_the_doctor_tells_what_to_type_where_there_is_no_cluster(tmp_path):
    done = chaoskit(tmp_path, "doctor", "--cluster", "nowhere")
    assert done.returncode == 2
    assert done.stdout.startswith("✗ reach: ")
    assert "next: chaoskit cluster up --name nowhere" in done.stdout
    (tmp_path / "kubeconfig").write_text("apiVersion: v1\nkind: Config\n")
    done = chaoskit(tmp_path, "doctor", "--context", "staging", "--kubeconfig", "kubeconfig")
    assert done.returncode == 2, done.stderr
    assert "staging" in done.stdout + done.stderr


def test_past_runs_are_listed_compared_and_removed(tmp_path):
    for name, value in (("a", 1.0), ("b", 2.0)):
        run(tmp_path / "runs", name, value=value)
    (run(tmp_path / "runs", "c") / "result.json").unlink()
    listed = chaoskit(tmp_path, "runs")
    assert listed.returncode == 0, listed.stderr
    assert listed.stdout.count("2027-01-15") == 2
    assert "c: may be under way" in listed.stdout
    assert "2 s" in chaoskit(tmp_path, "runs", "--trend", "-e", "X").stdout
    compared = chaoskit(tmp_path, "compare", "runs/a", "runs/b")
    assert "by +1 s (worse)" in compared.stdout
    assert compared.returncode == 0
    assert chaoskit(tmp_path, "runs", "--max-age", "36500d").stdout == ""


def test_the_summary_goes_to_the_page_that_github_names(tmp_path, monkeypatch, capsys):
    (tmp_path / "summary.md").write_text("# ✓ all held\n")
    (tmp_path / "page.md").write_text("an earlier step's\n")
    for page in ("page.md", "no/such/folder/page.md"):
        monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / page))
        cli._tell_github(tmp_path / "summary.md")
    assert (tmp_path / "page.md").read_text() == "an earlier step's\n# ✓ all held\n\n"
    assert "the job's summary cannot be written" in capsys.readouterr().err


def test_another_app_is_named_by_its_manifests(tmp_path):
    (tmp_path / "my.yaml").write_text(EXPERIMENT.replace("load: {locustfile: users.py}", "app: {namespace: shop}"))
    experiment = cli._load(tmp_path / "my.yaml", tmp_path)
    assert (experiment.app.manifests, experiment.app.namespace) == (str(tmp_path), "")


def test_an_app_that_is_not_there_is_told(tmp_path):
    (tmp_path / "my.yaml").write_text(EXPERIMENT)
    done = chaoskit(tmp_path, "run", "my.yaml", "--app", "nowhere")
    assert done.returncode == 2
    assert "nowhere" in done.stderr


def test_a_folder_stands_for_the_experiments_in_it_the_same_for_pytest(pytester):
    good = EXPERIMENT.replace("load: {locustfile: users.py}", "why: x")
    files = {
        "a.yaml": good,
        "b.yml": good,
        "deep/c.yaml": good,
        "shop.yaml": "apiVersion: v1\nkind: Service\n",
        ".hidden/d.yaml": good,
        "runs/r1/experiment.yaml": good,
        "runs/r1/journal.jsonl": "",
        "notes.txt": good,
    }
    for name, text in files.items():
        (pytester.path / name).parent.mkdir(parents=True, exist_ok=True)
        (pytester.path / name).write_text(text)
    found = {line.split(":")[0] for line in chaoskit(pytester.path, "validate", ".").stdout.splitlines()}
    assert found == {"a.yaml", "b.yml", "deep/c.yaml"}
    collected = pytester.runpytest_inprocess("--collect-only", "-q").outlines
    assert {line.split("::")[0] for line in collected if "::" in line} == found
    by_name = chaoskit(pytester.path, "validate", "runs/r1/experiment.yaml")
    assert by_name.returncode == 0
    assert pytester.runpytest_inprocess("--collect-only", "runs/r1/experiment.yaml").ret == 0
