"""What a run is refused for before it has a folder, and how signals reach it. Runs themselves are in tests/cluster."""

from __future__ import annotations

import os
import re
import signal

import pytest
from stories import EXPERIMENT, NAMESPACE, RUN, SHOP, play, story

from chaoskit import heal, journal, notices, spec
from chaoskit.adapters.clock import SystemClock
from chaoskit.adapters.fake import FakeWorld, manifests
from chaoskit.errors import ClusterError, PortError, UnreachableError, UsageError
from chaoskit.model import Right
from chaoskit.plan import Plan
from chaoskit.ports import Signalled
from chaoskit.session import Options, Session, check_rights, check_usable, judge, listening


def planned(text: str = EXPERIMENT) -> Plan:
    return Plan(spec.loads(text), RUN, NAMESPACE, 7, manifests=SHOP)


def test_a_namespace_that_is_there_already_is_told_before_anything_is_made():
    world = FakeWorld(3)
    world.cluster.create(manifests.namespace(NAMESPACE))
    before = len(world.cluster.acts)
    with pytest.raises(ClusterError, match=f"namespace {NAMESPACE} is there already") as raised:
        check_usable(world.cluster, world.metrics, planned())
    assert raised.value.exit_code == 2
    assert len(world.cluster.acts) == before


def test_a_prometheus_that_does_not_answer_is_told_with_the_cause():
    world = FakeWorld(3)
    world.metrics.error = "Connection refused"
    with pytest.raises(ClusterError, match="Prometheus does not answer") as raised:
        check_usable(world.cluster, world.metrics, planned())
    assert raised.value.exit_code == 2
    assert raised.value.why == "Connection refused"


def test_an_experiment_that_asks_nothing_needs_no_prometheus():
    world = FakeWorld(3)
    world.metrics.error = "Connection refused"
    text = EXPERIMENT.replace('metrics: {ready: "ready_fronts"}\n', "").replace(", ready >= 3]", "]")
    text = text.replace("  - metric: {holds: ready >= 3, of: lose a pod, when: at the end}\n", "")
    check_usable(world.cluster, world.metrics, planned(text))


def test_each_right_that_is_missing_is_told_before_anything_is_made():
    needed = set(heal.rights(planned())) - set(notices.rights(planned()))
    assert len(needed) > 20
    for right in needed:
        world = FakeWorld(3)
        check_rights(world.cluster, planned())
        world.cluster.deny(right)
        with pytest.raises(UsageError, match=re.escape(f"lacks a right that the run or its healing needs: {right}")):
            check_rights(world.cluster, planned())
        assert world.cluster.acts == []


def test_several_missing_rights_are_told_together():
    world = FakeWorld(3)
    for verb in ("patch", "delete"):
        world.cluster.deny(Right(verb, "coordination.k8s.io", "leases"))
    with pytest.raises(UsageError, match=r"lacks 2 rights .*: patch leases.*, delete leases") as raised:
        check_rights(world.cluster, planned())
    assert "chaoskit rbac" in raised.value.fix


class Answering:
    """A cluster that answers every question about a right in one way."""

    def __init__(self, error: PortError) -> None:
        self.error = error

    def allowed(self, right: Right) -> bool:
        raise self.error


def test_a_right_that_cannot_be_asked_for_is_not_taken_for_missing():
    check_rights(Answering(PortError("the webhook failed")), planned())
    with pytest.raises(UnreachableError):
        check_rights(Answering(UnreachableError("no answer")), planned())


def test_a_run_goes_without_the_events_that_it_may_not_write():
    world = FakeWorld(3)
    for right in notices.rights(planned()):
        world.cluster.deny(right)
    check_rights(world.cluster, planned())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_reaches_the_run_and_its_user_is_known_to_want_out(number):
    clock, before = SystemClock(), signal.getsignal(number)
    with listening(clock) as heard:
        os.kill(os.getpid(), number)
        assert clock.wait(5.0) == Signalled(number.name)
    assert heard == [number.name]
    assert signal.getsignal(number) is before


def test_without_a_prometheus_none_is_asked_and_whoever_asks_is_told_what_to_give():
    metrics = Session(Options(context="mine"), print).metrics()
    assert "--prometheus" in metrics.instant("up", 0.0).error
    assert metrics.scrape_interval() > 0


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (Options(push_gateway="gateway:9091"), "no URL of a Pushgateway"),
        (Options(grafana="grafana:3000"), "no URL of a Grafana"),
        (Options(grafana="http://127.0.0.1:3000"), "no token for Grafana"),
    ],
)
def test_who_cannot_be_told_of_the_runs_is_known_before_a_cluster_is_started(options, says, monkeypatch):
    monkeypatch.delenv("CHAOSKIT_GRAFANA_TOKEN", raising=False)
    with pytest.raises(UsageError, match=says), Session(options, pytest.fail):
        pytest.fail("it has begun")


@pytest.mark.parametrize("address", ["", "127.0.0.1:9464"])
def test_on_a_cluster_of_yours_metrics_are_served_only_where_you_say(address):
    session = Session(Options(context="staging", metrics_address=address), pytest.fail)
    text = EXPERIMENT.replace("name: lose a pod\n", "name: lose a pod\napp: {namespace: shop}\n", 1)
    text = text.replace('metrics: {ready: "ready_fronts"}\n', "").replace(", ready >= 3]", "]")
    text = text.replace("  - metric: {holds: ready >= 3, of: lose a pod, when: at the end}\n", "")
    assert session.plan(spec.loads(text)).metrics_address == address


def test_a_folder_is_judged_again_only_with_the_journal_that_was_judged(tmp_path):
    told = play(story(tmp_path / "run"))
    first = judge(told.folder)
    assert judge(told.folder).result == first.result
    assert first.result.journal
    path = told.folder / journal.FILE
    path.write_text(path.read_text().replace('"how":"complete"', '"how":"compIete"'))
    with pytest.raises(UsageError, match="changed after it was judged"):
        judge(told.folder)
