"""Whether an app is ready, and by which address its users reach it."""

from __future__ import annotations

import pytest

from chaoskit.errors import ClusterError
from chaoskit.objects import Objects
from chaoskit.readiness import address_of, unready
from chaoskit.spec import App

NS = "shop"


def meta(name, **more):
    return {"name": name, "namespace": NS, "uid": name, **more}


def deployment(ready, wanted=3, *, seen=2, generation=2):
    status = {"readyReplicas": ready, "observedGeneration": seen}
    return {"metadata": meta("front", generation=generation), "spec": {"replicas": wanted}, "status": status}


def pod(name="p1", reason="", message=""):
    state = {"waiting": {"reason": reason, "message": message}} if reason else {"running": {}}
    return {"metadata": meta(name), "spec": {}, "status": {"containerStatuses": [{"name": "c", "state": state}]}}


def service(kind="LoadBalancer", *, address="10.89.100.1", selector=True, port=80):
    ingress = [{"ip": address}] if address else []
    spec = {"type": kind, "selector": {"app": "front"} if selector else {}, "ports": [{"port": port}]}
    return {"metadata": meta("front"), "spec": spec, "status": {"loadBalancer": {"ingress": ingress}}}


def endpoints(ready=True):
    piece = {"conditions": {"ready": ready}, "targetRef": {"uid": "p1"}}
    return {"metadata": meta("front-x", labels={"kubernetes.io/service-name": "front"}), "endpoints": [piece]}


def app(**kinds):
    found = Objects()
    whole = {"deployment": [deployment(3)], "pod": [pod()], "service": [service()], "endpointslice": [endpoints()]}
    for kind, listed in {**whole, **kinds}.items():
        found.put(kind, listed)
    return found


@pytest.mark.parametrize(
    ("kinds", "says", "hopeless"),
    [
        ({}, "", False),
        ({"deployment": [deployment(2)]}, "deployment/front: 2 of 3 pods are ready", False),
        ({"deployment": [deployment(3, seen=1)]}, "deployment/front: its controller has not seen it yet", False),
        ({"deployment": [], "pod": []}, "there is no pod yet", False),
        ({"endpointslice": []}, "service/front: no endpoint is ready", False),
        ({"endpointslice": [endpoints(ready=False)]}, "service/front: no endpoint is ready", False),
        ({"service": [service(address="")]}, "service/front: its load balancer has no address yet", False),
        ({"service": [service(selector=False)], "endpointslice": []}, "", False),
        ({"service": [service("ClusterIP", address="")]}, "", False),
        ({"pod": [pod(reason="ErrImagePull", message="no such image")]}, "pod/p1: ErrImagePull: no such image", True),
        ({"pod": [pod(reason="ContainerCreating")]}, "", False),
        (
            {"deployment": [deployment(0)], "pod": [pod(reason="CrashLoopBackOff", message="back-off 10s")]},
            "deployment/front: 0 of 3 pods are ready (pod/p1: CrashLoopBackOff: back-off 10s)",
            False,
        ),
    ],
)
def test_what_is_not_ready_is_named(kinds, says, hopeless):
    assert unready(app(**kinds), NS) == (says, hopeless)


def test_other_namespaces_do_not_matter():
    assert unready(app(), "elsewhere") == ("there is no pod yet", False)


def test_the_load_balancer_s_address_is_the_app_s():
    assert address_of(service(), App()) == "http://10.89.100.1:80"
    assert address_of(service(port=8080), App(port=8080)) == "http://10.89.100.1:8080"


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (None, "there is no Service called front"),
        (service(port=81), "service/front has no port 80"),
        (service(address=""), "has no address that the load can reach"),
    ],
)
def test_an_app_without_an_address_says_what_to_do(found, says):
    with pytest.raises(ClusterError, match=says) as caught:
        address_of(found, App())
    assert "next:" in str(caught.value)
