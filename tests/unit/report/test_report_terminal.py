"""What a terminal shows, on wide and narrow ones, without colours, and when nobody reads it any more."""

import io
import os
from dataclasses import dataclass, field, replace

import pytest
import story
from rich.console import Console

from chaoskit.model import Answer, Right, Series, Target
from chaoskit.report.terminal import LiveView, print_preview, print_verdict


def shown(told, width=110, **options):
    out = io.StringIO()
    print_verdict(told.result, told.record, Console(file=out, width=width), **options)
    return out.getvalue()


def test_one_line_for_each_expectation_with_measured_and_limit():
    lines = shown(story.passing()).splitlines()
    marked = [line for line in lines if line.startswith("✓  ")]
    assert len(marked) == 6
    assert "3.29 s ± 50 ms" in marked[0]
    assert "limit at most 12 s" in marked[0]


def test_reason_stands_under_what_did_not_hold_and_the_sentence_ends_it():
    text = shown(story.failing())
    assert "✗  outage after “lose a pod” at most 0.5 s (failed)" in text
    assert "81 of 1,500 requests lost" in text
    assert "beyond the limit" in " ".join(text.split())
    assert text.rstrip().endswith("(exit code 1)")


def test_recovery_in_one_line_with_its_longest_link():
    text = " ".join(shown(story.passing()).split())
    assert "front-6d5f7b9c4-x2x4z → front-6d5f7b9c4-k9qpl: endpoint removed +0.05 s" in text
    assert "longest: replacement started (1.89 s)" in text


def test_preconditions_only_where_not_in_order_or_asked_for():
    assert "kept up" not in shown(story.passing())
    assert "?  the load's own processes kept up" in shown(story.inconclusive())
    assert "✓  the load's own processes kept up" in shown(story.passing(), verbose=True)


def test_what_is_left_broken_is_loud():
    text = shown(story.unhealed())
    assert "NOT PUT BACK" in text
    assert "type: kubectl uncordon node-2" in text


@pytest.mark.parametrize("width", [20, 40, 79, 200])
@pytest.mark.parametrize("told", [story.failing, story.hostile, story.unstarted])
def test_no_line_is_wider_than_the_terminal(width, told):
    assert all(len(line) <= width for line in shown(told(), width).splitlines())


def test_nothing_commands_the_terminal():
    text = shown(story.hostile())
    assert not {c for c in text if ord(c) < 32 and c != "\n"}
    assert "\u202e" not in text


def test_the_verdict_is_told_without_the_record():
    out = io.StringIO()
    print_verdict(story.failing().result, None, Console(file=out, width=100))
    assert "(exit code 1)" in out.getvalue()


# ── live ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class State:
    now: float
    phase: str = "steady"
    since: float = 10.0
    waiting_for: str = "the steady state: holds so far"
    users: int = 20
    rate: float | None = 79.8
    failures: float | None = 0.004
    pulse_failures: float | None = 0.0
    pods_ready: int = 5
    pods: int = 6


def test_plain_lines_on_a_change_and_every_five_seconds():
    out = io.StringIO()
    with LiveView(Console(file=out, width=80)) as view:
        for tick in range(100, 221):
            view(State(tick / 10))
        view(State(22.05, phase="step: lose a pod", since=22.05))
    lines = out.getvalue().splitlines()
    assert [line.split(" s ")[0].strip() for line in lines] == ["10.0", "15.0", "20.0", "22.1"]
    assert "steady (for 5.0 s), waiting for the steady state: holds so far" in lines[1]
    assert "79.8/s good, 20 users" in lines[1]
    assert "failed 0.4 %" in lines[1]
    assert "pods 5 of 6 ready" in lines[1]


def test_what_is_not_known_yet_is_left_out():
    out = io.StringIO()
    with LiveView(Console(file=out)) as view:
        view(State(1.0, "deploy", 0.0, rate=None, failures=None, pulse_failures=None, pods=0))
    assert out.getvalue().strip() == "1.0 s  deploy (for 1.0 s), waiting for the steady state: holds so far"


@pytest.mark.parametrize("width", [10, 30, 120])
def test_a_panel_on_a_terminal_of_any_width(width):
    out = io.StringIO()
    console = Console(file=out, width=width, height=10, force_terminal=True, no_color=True)
    with LiveView(console) as view:
        for tick in range(100, 120):
            view(State(tick / 10))
    frames = out.getvalue().count("╭")
    assert 5 <= frames <= 12  # two seconds at no more than four a second, and the frames at start and stop
    assert "\x1b[3" not in out.getvalue()  # no colour


class Counting(io.StringIO):
    """An output that notes how often it was written to."""

    writes = 0

    def write(self, text):
        self.writes += 1
        return super().write(text)


def test_a_panel_is_drawn_at_most_four_times_a_second():
    out = Counting()
    with LiveView(Console(file=out, width=60, height=10, force_terminal=True)) as view:
        view(State(10.0))
        before = out.writes
        for hundredth in range(1001, 1025):
            view(State(hundredth / 100))
        assert out.writes == before
        view(State(10.25))
        assert out.writes > before


@pytest.mark.parametrize("terminal", [True, False])
def test_a_closed_output_silences_the_view_and_nothing_else(terminal):
    out = io.StringIO()
    with LiveView(Console(file=out, force_terminal=terminal)) as view:
        view(State(10.0))
        out.close()
        view(State(20.0))
        view(State(30.0, phase="after"))


def test_a_broken_pipe_does_not_end_the_run():
    read, write = os.pipe()
    os.close(read)
    kept = os.dup(1)
    try:
        with os.fdopen(write, "w") as out, LiveView(Console(file=out)) as view:
            view(State(10.0))
            view(State(20.0))
    except BrokenPipeError:
        pass  # from closing the file itself, after the view
    finally:
        # rich points descriptor 1 to the null device when a pipe breaks.
        os.dup2(kept, 1)
        os.close(kept)


# ── preview ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Planned:
    name: str = "lose a pod"
    verb: str = "kill_pod"
    targets: tuple = (Target("pod", "front-1", "shop", "u1", "node-2"),)
    undo: tuple = ("nothing: its controller replaces it",)
    why_not: str = ""


@dataclass(frozen=True)
class Plan:
    namespace: str = "shop"
    seed: int = 7


@dataclass(frozen=True)
class Preview:
    plan: Plan = Plan()
    steps: tuple = (Planned(),)
    rights: dict = field(default_factory=lambda: {Right("delete", "", "pods", "shop"): False})
    answers: dict = field(
        default_factory=lambda: {
            "errors": Answer("up[5s]", (Series({}, ((1.0, 0.25),)),)),
            "broken": Answer("up", (), (), "connection refused"),
            "buckets: a_bucket": Answer("count by (le) (a_bucket)", ()),
        }
    )
    warnings: tuple = ("p99 < 300ms: the limit lies between two boundaries",)


def test_a_preview_shows_targets_rights_queries_and_the_undo():
    out = io.StringIO()
    print_preview(Preview(), Console(file=out, width=100))
    text = out.getvalue()
    assert "hits pod/front-1 on node-2" in text
    assert "undo: nothing: its controller replaces it" in text
    assert "✗ missing: delete pods in shop" in text
    assert '{"apiGroups": [""], "resources": ["pods"], "verbs": ["delete"]}' in text
    assert "errors = 0.25" in text
    assert "up[5s]" in text  # brackets are no markup
    assert "broken = ? no answer: connection refused" in text
    assert "count by" not in text
    assert "Warnings\n  p99 < 300ms: the limit lies between two boundaries" in text


def test_a_refused_step_says_why():
    out = io.StringIO()
    refused = replace(Planned(), why_not="keep_ready: 2 would be left with 1", targets=())
    print_preview(Preview(steps=(refused,)), Console(file=out, width=100))
    assert "✗ refused: keep_ready: 2 would be left with 1" in out.getvalue()
