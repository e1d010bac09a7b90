from __future__ import annotations

from typing import Any

from chaoskit.cluster.load_balancer import address_of, has_rules, is_balanced, is_usable, missing_addresses, paths

Object = dict[str, Any]


def service(name: str, address: str = "", created: str = "2026-01-01T00:00:00Z", **spec: str) -> Object:
    ingress = [{"ip": address}] if address else []
    return {
        "metadata": {"name": name, "namespace": "shop", "uid": f"uid-{name}", "creationTimestamp": created},
        "spec": {"type": "LoadBalancer", **spec},
        "status": {"loadBalancer": {"ingress": ingress}},
    }


def node(number: int, *, ready: str = "True", labels: dict[str, str] | None = None, cordoned: bool = False) -> Object:
    return {
        "metadata": {"name": f"node{number}", "labels": labels or {}},
        "spec": {"unschedulable": cordoned},
        "status": {
            "conditions": [{"type": "Ready", "status": ready}],
            "addresses": [
                {"type": "Hostname", "address": "x"},
                {"type": "InternalIP", "address": f"10.89.0.1{number}"},
            ],
        },
    }


def endpoints(of: str, *places: tuple[str, bool]) -> Object:
    return {
        "metadata": {"namespace": "shop", "labels": {"kubernetes.io/service-name": of}},
        "endpoints": [{"nodeName": name, "conditions": {"ready": ready}} for name, ready in places],
    }


def test_only_ready_nodes_are_in_the_path() -> None:
    assert [is_usable(item) for item in (node(1), node(2, ready="Unknown"), node(3, ready="False"))] == [
        True,
        False,
        False,
    ]


def test_a_cordoned_node_stays_as_with_a_cloud() -> None:
    assert is_usable(node(1, cordoned=True))
    assert paths(service("front"), [node(1, cordoned=True)], []) == ("10.89.0.11",)


def test_a_node_excluded_by_label_is_out() -> None:
    excluded = {"node.kubernetes.io/exclude-from-external-load-balancers": ""}
    assert not is_usable(node(1, labels=excluded))


def test_a_node_whose_proxy_does_not_answer_has_no_rules_yet() -> None:
    assert not has_rules("127.0.0.1")


def test_a_local_service_leads_only_to_nodes_with_a_ready_endpoint() -> None:
    nodes = [node(1), node(2), node(3)]
    slices = [endpoints("front", ("node1", True), ("node2", False)), endpoints("back", ("node3", True))]
    assert paths(service("front", externalTrafficPolicy="Local"), nodes, slices) == ("10.89.0.11",)
    assert len(paths(service("front", externalTrafficPolicy="Cluster"), nodes, slices)) == 3


def test_without_nodes_there_is_no_path() -> None:
    assert paths(service("front"), [], []) == ()


def test_the_oldest_waiting_service_gets_the_first_free_address() -> None:
    services = [
        service("young", created="2026-01-02T00:00:00Z"),
        service("old"),
        service("served", address="10.89.100.1"),
    ]
    given = [(item["metadata"]["name"], address) for item, address in missing_addresses(services, {})]
    assert given == [("old", "10.89.100.2"), ("young", "10.89.100.3")]


def test_an_address_is_not_given_twice_when_all_are_used() -> None:
    used = [service(f"s{i}", address=f"10.89.100.{i}") for i in range(1, 255)]
    assert missing_addresses([*used, service("late")], {}) == []


def test_what_another_service_had_is_given_again_when_nothing_else_is_left() -> None:
    """What is left of its connections would swallow the new one's."""
    had = {"yesterday/front": "10.89.100.2", "today/front": "10.89.100.1"}
    assert [address for _, address in missing_addresses([service("front")], had)] == ["10.89.100.3"]
    used = [service(f"s{i}", address=f"10.89.100.{i}") for i in range(3, 255)]
    assert [address for _, address in missing_addresses([*used, service("front")], had)] == ["10.89.100.2"]


def test_a_service_that_is_made_anew_has_its_address_back() -> None:
    had = {"shop/front": "10.89.100.7", "shop/other": "10.89.100.8"}
    assert [address for _, address in missing_addresses([service("front")], had)] == ["10.89.100.7"]
    taken = [service("front"), service("thief", address="10.89.100.7")]
    assert [address for _, address in missing_addresses(taken, had)] == ["10.89.100.1"]


def test_other_services_are_left_alone() -> None:
    assert is_balanced(service("front"))
    assert not is_balanced(service("front", type="ClusterIP"))
    assert not is_balanced(service("front", loadBalancerClass="example.com/other"))


def test_a_service_without_status_has_no_address() -> None:
    assert address_of({"status": {}}) == ""
