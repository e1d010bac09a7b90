"""The experiments on releases, played on the double: every step lands, and each check tells the good app from the bad.

What a real cluster makes of them, `make gallery` shows; here it is seconds, and says at once when a file and the code
have grown apart.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from stories import NAMESPACE, RUN, Story, play

from chaoskit import plan, spec
from chaoskit.adapters.fake import NEVER, Behaviour, FakeWorld, manifests
from chaoskit.model import Verdict
from chaoskit.plan import Plan

EXPERIMENTS = Path(__file__).parent.parent.parent / "experiments"
KINDS = ("rollout", "switched", "share", "outage")
"""What requests and watch events decide; the double's Prometheus answers whatever it is told to."""
SURGE = {"maxSurge": 1, "maxUnavailable": 0}


def front(named="front", replicas=3, *, labels=(), env=(), rolling=SURGE):
    made = manifests.deployment(named, replicas, strategy={"type": "RollingUpdate", "rollingUpdate": dict(rolling)})
    pods = {"app.kubernetes.io/name": "front", **dict(labels)}
    made["spec"]["selector"] = {"matchLabels": pods}
    made["spec"]["template"]["metadata"]["labels"] = pods
    made["spec"]["template"]["spec"]["containers"][0]["env"] = [{"name": k, "value": v} for k, v in env]
    return made


def service(**labels):
    made = manifests.service("front", kind="LoadBalancer")
    made["spec"]["selector"].update(labels)
    return made


SHOP = (front(labels={"colour": "blue"}), service())
GREEN = front("front-green", 0, labels={"colour": "green"}, env={"VERSION": "2", "COLOUR": "green"}.items())
BLUE_GREEN = (front(labels={"colour": "blue"}), GREEN, service(colour="blue"))
B = front("front-b", 0, labels={"track": "b"}, env={"VERSION": "2"}.items())
SPLIT = (front(labels={"track": "a"}), B, service())
GOOD = {
    "rolling-update": SHOP,
    "rolling-update-under-fire": SHOP,
    "blue-green": BLUE_GREEN,
    "ab-split": SPLIT,
}


def judged(folder, named, shop, told=lambda world: None):
    """The findings of an experiment of the gallery on a shop of ours. Its conditions on PromQL hold."""
    experiment = spec.load(EXPERIMENTS / f"{named}.yaml")
    folder.mkdir(exist_ok=True)
    world = FakeWorld(7)
    for name, query in plan.queries(experiment, NAMESPACE, world.metrics.scrape_interval()).items():
        good = 0.0 if name in ("errors", "page_errors", "unreadable") else 50.0
        world.metrics.table[query] = lambda _at, good=good: good
    told(world)
    run = play(Story(world, Plan(experiment, RUN, NAMESPACE, 7, manifests=shop), folder))
    assert run.ending.error is None, run.ending.error
    assert run.ending.unhealed == ()
    found = [f for f in run.judged().findings if f.kind in (*KINDS, "precondition")]
    # The double's processes do not say goodbye: what is on a kept connection when one ends is lost.
    return [f for f in found if "kept connection" not in f.name]


@pytest.mark.parametrize("named", GOOD)
def test_a_good_app_passes(tmp_path, named):
    for finding in judged(tmp_path, named, GOOD[named]):
        assert finding.verdict is Verdict.PASSED, f"{finding.name}: {finding.reason}"


def failed(findings, kind):
    return [f.reason for f in findings if f.kind == kind and f.verdict is Verdict.FAILED]


@pytest.mark.parametrize("named", ["rolling-update", "rolling-update-under-fire"])
def test_a_strategy_that_lets_all_go_at_once_is_caught(tmp_path, named):
    shop = (front(rolling={"maxSurge": 0, "maxUnavailable": "100%"}), service())
    (reason,) = failed(judged(tmp_path, named, shop), "rollout")
    assert reason.startswith("fewer ready pods than asked for")


def test_traffic_that_is_switched_to_what_does_not_answer_yet_is_caught(tmp_path):
    unprobed = front("front-green", 0, labels={"colour": "green"}, env={"COLOUR": "green"}.items())
    del unprobed["spec"]["template"]["spec"]["containers"][0]["readinessProbe"]
    shop = (BLUE_GREEN[0], unprobed, BLUE_GREEN[2])
    slow = lambda world: world.cluster.behave("colour=green", Behaviour(boot_s=NEVER))  # noqa: E731
    assert any(
        "lost in this step" in reason for reason in failed(judged(tmp_path, "blue-green", shop, slow), "switched")
    )


def test_shares_that_do_not_follow_the_weights_are_caught(tmp_path):
    shop = (SPLIT[0], B, service(track="a"))
    assert failed(judged(tmp_path, "ab-split", shop), "share")
