"""Reports of whole runs on the public fake, one for each kind of act."""

import io

import pytest
from rich.console import Console
from stories import EXPERIMENT, play, story

from chaoskit import record
from chaoskit.report import html, junit, markdown
from chaoskit.report.terminal import print_verdict

KILL = "kill_pod: {of: deployment/front, mode: now}"
RECOVERY = "recovery: {of: lose a pod, within: 5s}"


def reported(folder, text):
    told = play(story(folder, text))
    experiment, seen, _ = record.read(folder)
    result = told.judged()
    page = html.render(result, seen, experiment, {})
    out = io.StringIO()
    print_verdict(result, seen, Console(file=out, width=100))
    assert result.verdict.value in junit.render(result)
    assert result.verdict.value in markdown.render(result)
    assert f"(exit code {result.exit_code})" in out.getvalue()
    return page


def test_a_lost_pod_is_drawn_with_its_replacement(tmp_path):
    page = reported(tmp_path, EXPERIMENT)
    assert 'class="terminating"' in page
    assert "kill_pod front-" in page
    assert "the longest" in page
    assert "Recovery, link by link" in page


def test_a_killed_container_is_drawn_with_its_restart(tmp_path):
    text = EXPERIMENT.replace(KILL, "kill_container: {of: deployment/front}")
    page = reported(tmp_path, text.replace(RECOVERY, "restart: {of: lose a pod, within: 5s}"))
    assert "Restarted containers" in page
    assert "exit code 137 (Error)" in page
    assert 'class="mark restart"' in page


@pytest.mark.parametrize("act", ["cordon_node: {of: deployment/front}", "drain_node: {of: deployment/front}"])
def test_a_node_is_drawn_cordoned_until_it_was_healed(tmp_path, act):
    page = reported(tmp_path, EXPERIMENT.replace(KILL, act))
    assert 'class="cordoned"' in page
    assert "node1 ready: " in page
