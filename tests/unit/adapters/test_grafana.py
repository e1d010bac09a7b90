"""Annotations, by a server that answers as Grafana's documents say, and by servers that do not."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from annotations import PATH, TOKEN, Annotations, serving
from hypothesis import given
from hypothesis import strategies as st
from stories import EXPERIMENT, Story, play, story

from chaoskit import journal
from chaoskit.adapters.grafana import VARIABLE, Follower, Grafana, following
from chaoskit.errors import ForbiddenError, NotFoundError, PortError, UsageError

DRAIN = EXPERIMENT.replace(
    "kill_pod: {of: deployment/front, mode: now}", "drain_node: {of: deployment/front, within: 20s}"
)


@pytest.fixture
def annotations() -> Annotations:
    return Annotations()


@pytest.fixture
def url(annotations: Annotations) -> Iterator[str]:
    with serving(annotations) as found:
        yield found


@pytest.fixture
def grafana(url: str) -> Grafana:
    return Grafana(url, TOKEN)


@pytest.fixture(scope="module")
def drained(tmp_path_factory: pytest.TempPathFactory) -> Story:
    """A finished run that drained a node, and made it take pods again."""
    return play(story(tmp_path_factory.mktemp("drained"), DRAIN))


def unix(at: float) -> float:
    return 1_000.0 + at


def follower(grafana: Grafana, told: Story, folder: Path | None = None) -> Follower:
    return Follower(grafana, told.plan, folder or told.folder, unix)


def moments(told: Story) -> dict[str, float]:
    """When the step's first act was ordered, its last landed, and it was put back; in seconds of the run."""
    step = [e for e in told.entries("intent") if e.data["step"]]
    numbers = {e.data["n"] for e in step if e.data["change"]}
    healed = [e.at for e in told.entries("healed") if e.data["n"] in numbers]
    return {"ordered": step[0].at, "landed": told.entries("landed")[-1].at, "healed": healed[-1]}


def ms(at: float) -> int:
    return round(unix(at) * 1000)


# ── as it should go ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_step_is_a_band_from_its_order_until_it_was_put_back(annotations, grafana, drained):
    follower(grafana, drained).look()
    ((_, shown),) = annotations.kept.items()
    when = moments(drained)
    assert (shown["time"], shown["timeEnd"]) == (ms(when["ordered"]), ms(when["healed"]))
    assert shown["tags"] == ["chaoskit", drained.plan.run, "lose a pod", "lose a pod", "drain_node"]
    assert shown["text"].startswith("lose a pod (drain_node)\nnode/")
    assert "put back after" in shown["text"]


def test_it_grows_with_the_run(annotations, grafana, drained, tmp_path):
    """Looked at after each line of the journal, as a run writes it."""
    growing = follower(grafana, drained, tmp_path)
    growing.look()
    for line in (drained.folder / journal.FILE).read_bytes().splitlines(keepends=True):
        with (tmp_path / journal.FILE).open("ab") as file:
            file.write(line)
        growing.look()
        assert growing.trouble is None
    when, states = moments(drained), [body for _, body in annotations.history]
    assert len(annotations.kept) == 1
    assert "timeEnd" not in states[0]
    ends = [body["timeEnd"] for body in states if "timeEnd" in body]
    assert ends == sorted(ends)
    assert ms(when["landed"]) in ends
    assert ends[-1] == ms(when["healed"])


@given(cuts=st.lists(st.integers(0, 200), max_size=6))
def test_whenever_it_looks_it_ends_with_the_same(drained, cuts):
    """And tells Grafana nothing twice."""
    lines = (drained.folder / journal.FILE).read_bytes().splitlines(keepends=True)
    took = Recorder()
    folder = drained.folder.parent / "looked-at"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    looking = Follower(took, drained.plan, folder, unix)  # type: ignore[arg-type]
    for cut in [*sorted(cuts), len(lines)]:
        (folder / journal.FILE).write_bytes(b"".join(lines[:cut]))
        looking.look()
    whole = Recorder()
    Follower(whole, drained.plan, drained.folder, unix).look()  # type: ignore[arg-type]
    assert took.shown == whole.shown
    assert len(took.told) == len({json.dumps(body, sort_keys=True) for body in took.told})


class Recorder:
    """The two calls of Grafana's that a follower makes, in memory."""

    def __init__(self) -> None:
        self.shown: dict[int, Any] = {}
        self.told: list[Any] = []

    def create(self, body: Any) -> int:
        self.change(len(self.shown), body)
        return len(self.shown) - 1

    def change(self, number: int, body: Any) -> None:
        self.shown[number] = body
        self.told.append(body)


def test_a_run_is_followed_while_it_is_under_way(annotations, grafana, drained, tmp_path):
    said: list[str] = []
    whole = (drained.folder / journal.FILE).read_bytes().splitlines(keepends=True)
    ordered = next(i for i, e in enumerate(drained.entries()) if e.kind == "intent" and e.data["step"])
    with following(grafana, drained.plan, tmp_path, unix, said.append):
        (tmp_path / journal.FILE).write_bytes(b"".join(whole[: ordered + 1]))
        deadline = time.monotonic() + 20
        while not annotations.kept:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        (tmp_path / journal.FILE).write_bytes(b"".join(whole))
    ((_, shown),) = annotations.kept.items()
    assert shown["timeEnd"] == ms(moments(drained)["healed"])
    assert said == []


# ── as it should not ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_token_that_is_not_valid_is_told_once_and_never_shown(served, script, drained):
    said: list[str] = []
    served.on("POST", PATH, script.reply({"message": "Invalid API key"}, 401))
    with following(Grafana(served.url, "glsa_wrong"), drained.plan, drained.folder, unix, said.append):
        served.wait_asked(1, "POST", PATH)
    (warning,) = said
    assert "Grafana refuses with 401" in warning
    assert "Invalid API key" in warning
    assert VARIABLE in warning
    assert "glsa_wrong" not in warning
    assert len(served.asked("POST", PATH)) == 1, "a token does not become valid by waiting"


@pytest.mark.parametrize(
    ("answer", "error", "says"),
    [
        (lambda s: s.reply({"message": "Invalid API key"}, 401), ForbiddenError, "401"),
        (lambda s: s.reply({"message": "Access denied"}, 403), ForbiddenError, "Access denied"),
        (lambda s: s.reply({"message": "Not found"}, 404), NotFoundError, "with its path"),
        (lambda s: s.reply({"message": "Failed to save annotation"}, 500), PortError, "Failed to save annotation"),
        (lambda s: s.reply(b"<html>bad gateway</html>", 502), PortError, "bad gateway"),
        (lambda s: s.reply(b"", 302, {"Location": "/login"}), PortError, "302"),
        (lambda s: s.reply(b"<html>welcome</html>"), PortError, "no answer of Grafana's"),
        (lambda s: s.reply([]), PortError, "no answer of Grafana's"),
        (lambda s: s.drop(), PortError, "does not answer"),
        (lambda s: s.reply({"id": 1}, after_s=1.0), PortError, "does not answer"),
    ],
)
def test_whatever_else_it_answers_is_an_error_of_ours(served, script, answer, error, says):
    served.on("POST", PATH, answer(script))
    with pytest.raises(error, match=says) as raised:
        Grafana(served.url, TOKEN, within_s=0.3).create({"text": "x"})
    assert type(raised.value) is error
    assert TOKEN not in str(raised.value)


def test_what_was_not_taken_is_shown_by_the_next_look(served, script, drained):
    served.on(
        "POST",
        PATH,
        script.reply({"message": "down"}, 500),
        script.drop(),
        script.reply({"message": "Annotation added", "id": 7}),
    )
    following_ = follower(Grafana(served.url, TOKEN), drained)
    for _ in range(2):
        following_.look()
        assert following_.trouble is not None
        assert not following_.hopeless
    following_.look()
    assert following_.trouble is None


def test_one_that_somebody_deleted_is_made_anew(annotations, grafana, drained, tmp_path):
    growing = follower(grafana, drained, tmp_path)
    lines = (drained.folder / journal.FILE).read_bytes().splitlines(keepends=True)
    landed = next(i for i, e in enumerate(drained.entries()) if e.kind == "landed")
    (tmp_path / journal.FILE).write_bytes(b"".join(lines[: landed + 1]))
    growing.look()
    annotations.kept.clear()
    (tmp_path / journal.FILE).write_bytes(b"".join(lines))
    growing.look()
    assert growing.trouble is None
    ((_, shown),) = annotations.kept.items()
    assert shown["timeEnd"] == ms(moments(drained)["healed"])


def test_a_grafana_that_is_away_leaves_the_run_alone(drained):
    said: list[str] = []
    with following(Grafana("http://127.0.0.1:1", TOKEN), drained.plan, drained.folder, unix, said.append):
        pass
    (warning,) = said
    assert "not all of the run is shown in Grafana" in warning


def test_an_error_of_the_run_goes_its_own_way(annotations, grafana, drained):
    with pytest.raises(ZeroDivisionError), following(grafana, drained.plan, drained.folder, unix, pytest.fail):
        _ = 1 / 0
    assert len(annotations.kept) == 1


@pytest.mark.parametrize("url", ["", "grafana:3000", "ftp://grafana", "http://"])
def test_what_is_no_url_is_refused_at_once(url):
    with pytest.raises(UsageError, match="no URL of a Grafana"):
        Grafana(url, TOKEN)


def test_without_a_token_it_is_said_where_to_put_it():
    with pytest.raises(UsageError, match="no token") as raised:
        Grafana("http://127.0.0.1:3000", "")
    assert VARIABLE in raised.value.fix


@pytest.fixture(autouse=True)
def no_residue(drained: Story) -> Iterator[None]:
    yield
    shutil.rmtree(drained.folder.parent / "looked-at", ignore_errors=True)
