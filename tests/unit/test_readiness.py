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


def pod(name="p1", reason="", message="", *, of="ReplicaSet", owner="o1", ready=True, phase="Running"):
    state = {"waiting": {"reason": reason, "message": message}} if reason else {"running": {}}
    owners = [{"kind": of, "uid": owner, "controller": True}] if of else []
    conditions = [{"type": "Ready", "status": "True" if ready and phase == "Running" and not reason else "False"}]
    status = {"phase": phase, "containerStatuses": [{"name": "c", "state": state}], "conditions": conditions}
    return {"metadata": meta(name, ownerReferences=owners), "spec": {}, "status": status}


def daemons(ready, wanted=3, *, seen=2):
    status = {"numberReady": ready, "desiredNumberScheduled": wanted, "observedGeneration": seen}
    return {"metadata": meta("agent", generation=2), "spec": {}, "status": status}


def replicas(ready, *, owner=""):
    owners = [{"kind": "Deployment", "uid": owner, "controller": True}] if owner else []
    return {
        "metadata": meta("old", ownerReferences=owners),
        "spec": {"replicas": 2},
        "status": {"readyReplicas": ready},
    }


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
        ({"daemonset": [daemons(3)]}, "", False),
        ({"daemonset": [daemons(1)]}, "daemonset/agent: 1 of 3 pods are ready", False),
        ({"daemonset": [daemons(0, 0, seen=0)]}, "daemonset/agent: its controller has not seen it yet", False),
        ({"replicaset": [replicas(1)]}, "replicaset/old: 1 of 2 pods are ready", False),
        ({"replicaset": [replicas(0, owner="d1")]}, "", False),
        ({"pod": [pod(), pod("bare", of="")]}, "", False),
        ({"pod": [pod(), pod("bare", of="", ready=False)]}, "pod/bare: it is not ready", False),
        ({"pod": [pod("bare", "CrashLoopBackOff", "back-off", of="")]}, "pod/bare: CrashLoopBackOff: back-off", False),
        ({"pod": [pod("bare", of="", phase="Succeeded")]}, "", False),
        ({"pod": [pod("bare", of="", phase="Failed")]}, "pod/bare: it has failed", True),
        ({"pod": [pod("job-1", of="Job", ready=False, phase="Pending")]}, "pod/job-1: it is not ready", False),
        ({"pod": [pod("job-1", of="Job")]}, "", False),
        ({"pod": [pod("job-1", of="Job", phase="Succeeded")]}, "", False),
        ({"pod": [pod("job-1", of="Job", phase="Failed")]}, "pod/job-1: it has failed", False),
        ({"pod": [pod("job-1", of="Job", phase="Failed"), pod("job-2", of="Job", phase="Succeeded")]}, "", False),
        (
            {"pod": [pod("a-1", of="Job", phase="Failed"), pod("b-1", of="Job", owner="o2")]},
            "pod/a-1: it has failed",
            False,
        ),
        ({"pod": [pod("old", phase="Failed")]}, "", False),
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
    ("own", "url"), [("10.96.0.7", "http://10.96.0.7:80"), ("fd00::7", "http://[fd00::7]:80"), ("None", ""), ("", "")]
)
def test_in_the_cluster_a_service_s_own_address_will_do(own, url):
    found = service(address="")
    found["spec"]["clusterIP"] = own
    if url:
        assert address_of(found, App(), inside=True) == url
    else:
        with pytest.raises(ClusterError, match="has no address"):
            address_of(found, App(), inside=True)
    with pytest.raises(ClusterError, match="has no address"):
        address_of(found, App())


def test_in_the_cluster_the_load_balancer_s_address_comes_first():
    found = service()
    found["spec"]["clusterIP"] = "10.96.0.7"
    assert address_of(found, App(), inside=True) == "http://10.89.100.1:80"


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
