from __future__ import annotations

from ipaddress import ip_address, ip_network

from chaoskit.cluster import network


def test_every_node_has_addresses_of_its_own() -> None:
    numbers = range(1, network.MOST_NODES + 1)
    assert len({network.node_address(i) for i in numbers}) == network.MOST_NODES
    assert all(ip_address(network.node_address(i)) in ip_network(network.CONTROL_NET) for i in numbers)
    assert all(ip_network(network.pod_subnet(i)).subnet_of(ip_network(network.POD_NET)) for i in numbers)
    assert network.GATEWAY not in {network.node_address(i) for i in numbers}


def test_a_node_knows_the_way_to_every_other_node_s_pods() -> None:
    routes = [line for line in network.node_side(2, 3) if line.startswith("route add 10.244")]
    assert routes == ["route add 10.244.1.0/24 via 10.89.0.11", "route add 10.244.3.0/24 via 10.89.0.13"]


def test_a_balanced_address_leads_over_all_nodes_with_equal_shares() -> None:
    rules = network.balancer_rules({"10.89.100.1": ["10.89.0.11", "10.89.0.12"], "10.89.100.2": []}, [])
    assert "ip daddr 10.89.100.1 ct mark 0 ct mark set numgen random mod 2 map { 0 : 11, 1 : 12 }" in rules
    assert "10.89.100.2" not in rules
    assert "reject" not in rules


def test_connections_with_a_lost_node_are_reset_and_new_ones_get_another() -> None:
    rules = network.balancer_rules({"10.89.100.1": ["10.89.0.11"]}, ["10.89.0.12"])
    assert "meta mark { 12 } meta l4proto tcp reject" in rules
    assert "tcp flags & (syn | ack) == syn ct mark { 12 } ct mark set numgen random mod 1 map { 0 : 11 }" in rules


def test_an_address_without_a_path_is_refused_at_once_instead_of_swallowed() -> None:
    assert network.balancer_route("10.89.100.1", []) == "route replace unreachable 10.89.100.1/32"
    assert network.balancer_route("10.89.100.1", ["10.89.0.11"]) == "route replace 10.89.100.1/32 dev ck0"
