"""What the Cluster port sends to an API server, and what the server's refusals become."""

from __future__ import annotations

import time

import pytest

from chaoskit.adapters.kube import KubeCluster
from chaoskit.errors import (
    BudgetError,
    ClusterError,
    ConflictError,
    ForbiddenError,
    NotFoundError,
    PortError,
    UnreachableError,
    UsageError,
)
from chaoskit.model import ClusterInfo, Right

pytestmark = pytest.mark.slow

POD = "/api/v1/namespaces/shop/pods/front-1"
PODS = "/api/v1/namespaces/shop/pods"


@pytest.fixture
def cluster(served, write_kubeconfig):
    found = KubeCluster.connect(write_kubeconfig(served.url), None)
    yield found
    found.close()


# Reading


def test_the_servers_clock_is_read_from_its_answer(served, script, cluster):
    before = int(time.time())
    assert before <= cluster.clock_unix() <= time.time()
    served.on("GET", "/version", script.status(503, "starting"))
    with pytest.raises(UnreachableError):
        cluster.clock_unix()


def test_a_list_is_read_in_pages_and_its_objects_are_whole(served, script, cluster):
    served.on("GET", PODS, script.page([script.pod("a")], "5", cont="x"), script.page([script.pod("b")], "5"))
    pods = cluster.list("pod", "shop", "app=front")
    assert [(p["kind"], p["apiVersion"], p["metadata"]["name"]) for p in pods] == [
        ("Pod", "v1", "a"),
        ("Pod", "v1", "b"),
    ]
    assert all("managedFields" not in p["metadata"] for p in pods)
    assert [a.query for a in served.asked("GET", PODS)] == [
        {"limit": "500", "labelSelector": "app=front"},
        {"limit": "500", "labelSelector": "app=front", "continue": "x"},
    ]


def test_a_list_whose_pages_expire_is_read_again(served, script, cluster):
    expired = script.status(410, "The provided continue parameter is too old", "Expired")
    whole = script.page([script.pod("a"), script.pod("b")], "9")
    served.on("GET", PODS, script.page([script.pod("a")], "5", cont="x"), expired, whole)
    assert [p["metadata"]["name"] for p in cluster.list("pod", "shop")] == ["a", "b"]


def test_reads_survive_a_moment_of_trouble(served, script, cluster):
    busy = script.status(429, "too many requests", Retry_After="1")
    served.on("GET", POD, script.drop(), script.status(503, "starting"), busy, script.reply(script.pod("front-1")))
    assert cluster.get("pod", "front-1", "shop")["metadata"]["name"] == "front-1"
    asked = served.asked("GET", POD)
    assert len(asked) == 4
    assert asked[3].at - asked[2].at >= 1.0


def test_reads_give_up_with_the_reason(served, script, cluster):
    served.on("GET", POD, script.status(503, "etcdserver: no leader"))
    with pytest.raises(UnreachableError, match=r"(?s)cannot get pod/front-1 in shop.*etcdserver: no leader"):
        cluster.get("pod", "front-1", "shop")


def test_a_kind_outside_the_table_is_found_by_asking(served, script, cluster):
    groups = [{"name": "argoproj.io", "preferredVersion": {"groupVersion": "argoproj.io/v1"}}]
    served.on("GET", "/apis", script.reply({"groups": groups}))
    kinds = [
        {"name": "rollouts", "kind": "Rollout", "namespaced": True},
        {"name": "rollouts/status", "kind": "Rollout"},
    ]
    served.on("GET", "/apis/argoproj.io/v1", script.reply({"groupVersion": "argoproj.io/v1", "resources": kinds}))
    served.on("GET", "/apis/argoproj.io/v1/namespaces/shop/rollouts/front", script.reply({"metadata": {"uid": "u"}}))
    assert cluster.get("rollout", "front", "shop")["metadata"]["uid"] == "u"
    with pytest.raises(NotFoundError, match="knows no kind 'rolout'"):
        cluster.get("rolout", "front", "shop")


def test_logs_are_text(served, script, cluster):
    text = script.reply("ä 1\nb 2\n".encode(), 200, {"Content-Type": "text/plain"})
    served.on("GET", f"{POD}/log", text)
    assert cluster.logs("front-1", "shop", "web", previous=True, lines=2) == "ä 1\nb 2\n"
    assert served.asked("GET", f"{POD}/log")[0].query == {"tailLines": "2", "container": "web", "previous": "true"}


def test_allowed_asks_the_server(served, script, cluster):
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    served.on("POST", path, script.reply({"status": {"allowed": True}}), script.reply({"status": {}}))
    right = Right("create", "", "pods", "shop", "eviction")
    assert cluster.allowed(right)
    assert not cluster.allowed(right)
    asked = served.asked("POST", path)[0].json["spec"]["resourceAttributes"]
    assert asked == {"verb": "create", "resource": "pods", "subresource": "eviction", "namespace": "shop"}


def test_info_completes_what_is_known(served, script, write_kubeconfig):
    served.on("GET", "/api/v1/nodes", script.page([{"metadata": {"name": "n2"}}, {"metadata": {"name": "n1"}}], "1"))
    known = ClusterInfo("embedded", "", "", "", timings={"node-monitor-grace-period": 16.0})
    cluster = KubeCluster.connect(write_kubeconfig(served.url), None, info=known)
    info = cluster.info()
    cluster.close()
    assert (info.provider, info.context, info.server, info.version) == ("embedded", "here", served.url, "v1.37.2")
    assert (info.nodes, info.timings) == (("n1", "n2"), {"node-monitor-grace-period": 16.0})


# Writing


def test_delete_carries_uid_and_grace(served, script, cluster):
    served.on("DELETE", POD, script.reply({"kind": "Status", "status": "Success"}))
    cluster.delete("pod", "front-1", "shop", uid="u1", grace_s=0)
    body = served.asked("DELETE", POD)[0].json
    assert (body["preconditions"], body["gracePeriodSeconds"]) == ({"uid": "u1"}, 0)
    assert body["propagationPolicy"] == "Background"


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../../nodes/n1", "a%2fb"])
def test_no_name_can_turn_a_delete_of_one_into_a_delete_of_all(served, cluster, name):
    before = len(served.asked())
    with pytest.raises(PortError, match="cannot be the name of a pod"):
        cluster.delete("pod", name, "shop")
    assert len(served.asked()) == before


def test_a_namespaced_object_needs_its_namespace(served, cluster):
    with pytest.raises(PortError, match="lives in a namespace"):
        cluster.delete("pod", "front-1")


@pytest.mark.parametrize("failure", ["drop", "503"])
def test_writes_that_may_have_worked_are_not_sent_twice(served, script, cluster, failure):
    answer = script.drop() if failure == "drop" else script.status(503, "apiserver is shutting down")
    served.on("GET", POD, script.reply(script.pod("front-1", uid="u1")))
    for method, path in (("DELETE", POD), ("POST", PODS), ("PATCH", POD), ("POST", f"{POD}/eviction")):
        served.on(method, path, answer)
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "front-1"}}
    for write in (
        lambda: cluster.delete("pod", "front-1", "shop", uid="u1"),
        lambda: cluster.create(pod, "shop"),
        lambda: cluster.patch("pod", "front-1", {"metadata": {"labels": {"a": "b"}}}, "shop"),
        lambda: cluster.evict("front-1", "shop", uid="u1"),
    ):
        with pytest.raises(UnreachableError):
            write()
    assert len([a for a in served.asked() if a.method != "GET"]) == 4


def test_applies_may_be_sent_twice(served, script, cluster):
    path = "/api/v1/namespaces/shop/configmaps/c"
    served.on("PATCH", path, script.drop(), script.reply({"metadata": {"uid": "u"}}))
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "b"}}
    assert cluster.apply(manifest, "shop")["metadata"]["uid"] == "u"
    asked = served.asked("PATCH", path)[1]
    assert asked.headers["Content-Type"] == "application/apply-patch+yaml"
    assert asked.query == {"fieldManager": "chaoskit", "force": "true"}
    assert asked.json == manifest


def test_apply_asks_the_server_for_kinds_it_does_not_know_once(served, script, cluster):
    kinds = [{"name": "gadgets", "kind": "Gadget", "namespaced": False}]
    served.on("GET", "/apis/ex.io/v1", script.reply({"groupVersion": "ex.io/v1", "resources": kinds}))
    served.on("PATCH", "/apis/ex.io/v1/gadgets/g", script.reply({"metadata": {"uid": "u"}}))
    for _ in range(2):
        cluster.apply({"apiVersion": "ex.io/v1", "kind": "Gadget", "metadata": {"name": "g"}}, "shop")
    assert len(served.asked("GET", "/apis/ex.io/v1")) == 1
    with pytest.raises(NotFoundError, match=r"knows no kind Gizmo in ex\.io/v1"):
        cluster.apply({"apiVersion": "ex.io/v1", "kind": "Gizmo", "metadata": {"name": "g"}})


def test_a_kind_defined_just_now_is_waited_for(served, script, cluster):
    definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    served.on("PATCH", f"{definitions}/gadgets.ex.io", script.reply({"metadata": {}}))
    crd = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "gadgets.ex.io"},
        "spec": {"group": "ex.io"},
    }
    cluster.apply(crd)
    absent = script.status(404, "not found")
    there = script.reply({"groupVersion": "ex.io/v1", "resources": [{"name": "gadgets", "kind": "Gadget"}]})
    served.on("GET", "/apis/ex.io/v1", absent, absent, absent, there)
    served.on("PATCH", "/apis/ex.io/v1/gadgets/g", script.reply({"metadata": {"uid": "u"}}))
    assert cluster.apply({"apiVersion": "ex.io/v1", "kind": "Gadget", "metadata": {"name": "g"}})


@pytest.mark.parametrize("missing", ["apiVersion", "kind", "metadata"])
def test_an_incomplete_manifest_says_what_it_lacks(cluster, missing):
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}
    del manifest[missing]
    with pytest.raises(PortError, match=f"lacks its {missing}"):
        cluster.apply(manifest)


def test_a_name_can_be_left_to_the_server_when_creating_but_not_when_applying(served, script, cluster):
    served.on("POST", PODS, script.reply(script.pod("front-x7")))
    manifest = {"apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "front-"}}
    assert cluster.create(manifest, "shop")["metadata"]["name"] == "front-x7"
    with pytest.raises(PortError, match=r"lacks its metadata\.name"):
        cluster.apply(manifest, "shop")


def test_patch_removes_by_null_and_carries_the_uid(served, script, cluster):
    served.on("PATCH", POD, script.reply({"metadata": {}}))
    cluster.patch("pod", "front-1", {"metadata": {"annotations": {"a": None}}}, "shop", uid="u1")
    asked = served.asked("PATCH", POD)[0]
    assert asked.headers["Content-Type"] == "application/merge-patch+json"
    assert asked.json == {"metadata": {"annotations": {"a": None}, "uid": "u1"}}


def test_eviction_carries_uid_and_grace(served, script, cluster):
    served.on("GET", POD, script.reply(script.pod("front-1", uid="u1")))
    served.on("POST", f"{POD}/eviction", script.reply({"kind": "Status", "status": "Success"}, 201))
    cluster.evict("front-1", "shop", uid="u1", grace_s=5)
    body = served.asked("POST", f"{POD}/eviction")[0].json
    assert body["deleteOptions"] == {"preconditions": {"uid": "u1"}, "gracePeriodSeconds": 5}


def test_a_namesake_is_not_evicted_nor_counted_against_its_budget(served, script, cluster):
    served.on("GET", POD, script.reply(script.pod("front-1", uid="u2")))
    with pytest.raises(ConflictError, match="another pod now"):
        cluster.evict("front-1", "shop", uid="u1")
    assert not served.asked("POST", f"{POD}/eviction")


def test_signal_is_left_to_who_can_send_it_from_outside(served, write_kubeconfig):
    sent = []

    class Provider:
        def signal(self, pod, container, name):
            sent.append((pod["metadata"]["name"], container, name))

        def ended(self):
            return None

        def machine(self, node, order):
            sent.append((node, order))

    cluster = KubeCluster.connect(write_kubeconfig(served.url), None, provider=Provider())
    cluster.signal({"metadata": {"name": "front-1", "namespace": "shop"}}, "web", "KILL")
    cluster.machine("node1", "power_off")
    cluster.close()
    assert sent == [("front-1", "web", "KILL"), ("node1", "power_off")]


def test_a_machine_can_only_be_touched_by_who_made_it(cluster):
    with pytest.raises(UsageError, match="power off node1") as told:
        cluster.machine("node1", "power_off")
    assert "embedded cluster" in told.value.fix


def test_a_pod_is_asked_through_the_api_server(served, script, cluster):
    served.on("GET", f"{PODS}/front-1%3A8080/proxy/crash", script.reply({"ok": True}))
    assert cluster.ask("front-1", "shop", "/crash?code=1", 8080) == (200, '{"ok": true}')


# Refusals

BUDGET = {"reason": "DisruptionBudget", "message": "The disruption budget front needs 2 healthy pods and has 2"}
UID = {"reason": "FieldValueInvalid", "field": "metadata.uid", "message": "field is immutable"}


@pytest.mark.parametrize(
    ("code", "message", "causes", "error", "told"),
    [
        (404, 'pods "front-1" not found', (), NotFoundError, 'pods "front-1" not found'),
        (409, "the UID in the precondition does not match", (), ConflictError, "precondition"),
        (422, "Pod is invalid: metadata.uid: field is immutable", (UID,), ConflictError, "another object now"),
        (
            422,
            "Pod is invalid",
            ({"field": "spec.x", "message": "Required value"},),
            PortError,
            "spec.x: Required value",
        ),
        (400, "strict decoding error: unknown field", (), PortError, "unknown field"),
        (429, "Cannot evict pod", (BUDGET,), BudgetError, "needs 2 healthy pods"),
        (500, "This pod has more than one PodDisruptionBudget", (), PortError, "more than one"),
        (500, "etcdserver: request timed out", (), UnreachableError, "etcdserver"),
        (504, "timeout", (), UnreachableError, "HTTP 504"),
    ],
)
def test_each_refusal_becomes_one_error(served, script, cluster, code, message, causes, error, told):
    served.on("DELETE", POD, script.status(code, message, causes=causes))
    with pytest.raises(PortError) as raised:
        cluster.delete("pod", "front-1", "shop")
    assert type(raised.value) is error
    assert told in str(raised.value)
    assert "cannot delete pod/front-1 in shop" in str(raised.value)


def test_a_missing_right_is_named_with_the_command_that_checks_it(served, script, cluster):
    served.on("GET", POD, script.reply(script.pod("front-1", uid="u1")))
    message = 'pods "front-1" is forbidden: User "u" cannot create resource "pods/eviction" in API group ""'
    served.on("POST", f"{POD}/eviction", script.status(403, message))
    with pytest.raises(ForbiddenError) as raised:
        cluster.evict("front-1", "shop", uid="u1")
    assert "missing the right to create pods/eviction in shop" in str(raised.value)
    assert "kubectl --context here auth can-i create pods --subresource=eviction -n shop" in raised.value.fix


def test_what_an_admission_plugin_forbids_is_no_missing_right(served, script, cluster):
    served.on("POST", PODS, script.status(403, "exceeded quota: few, requested: pods=1, used: pods=3, limited: pods=3"))
    with pytest.raises(ForbiddenError) as raised:
        cluster.create({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "front-1"}}, "shop")
    assert "exceeded quota" in str(raised.value)
    assert "missing the right" not in str(raised.value)


def test_a_page_of_a_proxy_is_told_as_it_is(served, script, cluster):
    served.on("DELETE", POD, script.reply(b"<html>Bad Gateway</html>", 502, {"Content-Type": "text/html"}))
    with pytest.raises(UnreachableError, match="HTTP 502: <html>Bad Gateway</html>"):
        cluster.delete("pod", "front-1", "shop")


def test_no_answer_has_a_deadline_and_says_where(served, script, write_kubeconfig):
    cluster = KubeCluster.connect(write_kubeconfig(served.url), None)
    url = served.url
    served.on("GET", POD, script.drop())
    served.close()
    began = time.monotonic()
    with pytest.raises(UnreachableError, match=r"(?s)the request was not sent.*Connection refused") as raised:
        cluster.get("pod", "front-1", "shop")
    cluster.close()
    assert time.monotonic() - began < 8
    assert raised.value.where == url


def test_on_a_cluster_that_is_known_to_have_ended_there_is_nothing_any_more(served, script, write_kubeconfig):
    """So that what was broken on it counts as gone, and nobody waits for it."""

    class Provider:
        said = None

        def ended(self):
            return self.said

    cluster = KubeCluster.connect(write_kubeconfig(served.url), None, provider=Provider())
    served.on("GET", POD, script.drop())
    served.close()
    with pytest.raises(UnreachableError):
        cluster.get("pod", "front-1", "shop")
    Provider.said = ("the cluster has ended", "chaoskit cluster up")
    began = time.monotonic()
    with pytest.raises(NotFoundError, match=r"(?s)cannot get pod/front-1.*has ended.*next: chaoskit cluster up"):
        cluster.get("pod", "front-1", "shop")
    assert time.monotonic() - began < 0.1
    cluster.close()


def test_closing_ends_pauses(served, script, write_kubeconfig):
    cluster = KubeCluster.connect(write_kubeconfig(served.url), None)
    served.on("GET", POD, script.status(429, "too many requests", Retry_After="2"))
    cluster.close()
    began = time.monotonic()
    with pytest.raises(UnreachableError):
        cluster.get("pod", "front-1", "shop")
    assert time.monotonic() - began < 1


def test_a_cluster_that_never_answered_is_a_cluster_error(write_kubeconfig):
    with pytest.raises(ClusterError, match=r"(?s)context here does not answer.*Connection refused.*kubectl --context"):
        KubeCluster.connect(write_kubeconfig("http://127.0.0.1:1"), None)


def test_a_certificate_that_is_not_trusted_is_told_without_trying_again(secured, write_kubeconfig):
    with pytest.raises(ClusterError, match=r"(?s)does not answer.*self.signed certificate"):
        KubeCluster.connect(write_kubeconfig(secured.url), None)
    assert secured.handshakes == 1
