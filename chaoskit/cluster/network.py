"""Addresses, and the wires between the control side and the nodes.

Everything is made by `ip -batch`, one process for each place, because starting programs is what takes the time.
Node `i` has 10.89.0.(10+i); its pods 10.244.i.0/24. The control side's bridge is the nodes' gateway;
there is no uplink.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from chaoskit.cluster.processes import Processes

GATEWAY = "10.89.0.1"
CONTROL_NET = "10.89.0.0/24"
POD_NET = "10.244.0.0/16"
SERVICE_NET = "10.96.0.0/16"
SERVICE_API = "10.96.0.1"
SERVICE_DNS = "10.96.0.10"
BALANCER_NET = "10.89.100.0/24"
API_PORT = 6443
PROMETHEUS_PORT = 9090
STATE_METRICS_PORT = 8080
PULSE_PORT = 9464
PROXY_HEALTH_PORT = 10256
BRIDGE = "ck0"
MOST_NODES = 99
FIRST_TABLE = 1000
"""Routing tables of the balancer: this plus a node's mark."""


def node_name(number: int) -> str:
    return f"node{number}"


def node_address(number: int) -> str:
    return f"10.89.0.{10 + number}"


def pod_subnet(number: int) -> str:
    return f"10.244.{number}.0/24"


def pod_gateway(number: int) -> str:
    return f"10.244.{number}.1"


def hardware_address(address: str) -> str:
    """That of the bridge with this address. A bridge without one of its own takes the lowest of those of its ports: it
    may change when a pod comes or goes, and the others go on for up to 45 s sending to the one that they know (RFC
    4861's reachable time, which the kernel keeps for IPv4, too)."""
    return ":".join(("02", "c4", *(f"{int(part):02x}" for part in address.split("."))))


def veth(number: int) -> str:
    return f"veth{number}"


def control_side(nodes: int) -> list[str]:
    """`ip` commands: the bridge, and the way to each node's pods."""
    return [
        "link set lo up",
        f"link add {BRIDGE} address {hardware_address(GATEWAY)} type bridge",
        f"addr add {GATEWAY}/24 dev {BRIDGE}",
        f"link set {BRIDGE} up",
        *(f"route add {pod_subnet(i)} via {node_address(i)}" for i in range(1, nodes + 1)),
        *(command for i in range(1, nodes + 1) for command in _marked_path(node_address(i))),
    ]


def _marked_path(node: str) -> list[str]:
    """The balancer's connections that carry a node's mark go to that node."""
    table = FIRST_TABLE + mark(node)
    return [
        f"rule add fwmark {mark(node)} lookup {table}",
        f"route add {BALANCER_NET} via {node} table {table}",
    ]


def wire(number: int, holder: int) -> list[str]:
    """`ip` commands on the control side: a cable from the bridge to the namespace of the process `holder`."""
    return [
        f"link add {veth(number)} type veth peer name eth0 netns {holder}",
        f"link set {veth(number)} master {BRIDGE} up",
    ]


def node_side(number: int, nodes: int) -> list[str]:
    """`ip` commands in a node: its own address, the bridge of its pods, and the ways to the others' pods."""
    others = (i for i in range(1, nodes + 1) if i != number)
    return [
        "link set lo up",
        f"addr add {node_address(number)}/24 dev eth0",
        "link set eth0 up",
        f"route add default via {GATEWAY}",
        f"link add cni0 address {hardware_address(pod_gateway(number))} type bridge",
        f"addr add {pod_gateway(number)}/24 dev cni0",
        "link set cni0 up",
        *(f"route add {pod_subnet(i)} via {node_address(i)}" for i in others),
    ]


# Pods of one node talk through the node's own stack and not across the bridge, else answers of a Service that chose a
# pod of the same node would go past the address translation. The node answers ARP for them (RFC 3069).
# Where the kernel has br_netfilter, it would translate addresses on the bridge already and go past the stack again.
NODE_SETTINGS = {
    "net/bridge/bridge-nf-call-iptables": "0",
    "net/ipv4/ip_forward": "1",
    "net/ipv4/conf/cni0/proxy_arp_pvlan": "1",
    "net/ipv4/conf/cni0/send_redirects": "0",
    "net/ipv4/conf/all/send_redirects": "0",
}

CONTROL_SETTINGS = {
    "net/ipv4/ip_forward": "1",
}


def mark(node: str) -> int:
    """What marks a connection as given to the node with this address: the last part of the address."""
    return int(node.rpartition(".")[2])


def balancer_route(address: str, nodes: Sequence[str]) -> str:
    """Without any node behind it an address is "unreachable" at once, instead of a hole that swallows packets."""
    return f"route replace {address}/32 dev {BRIDGE}" if nodes else f"route replace unreachable {address}/32"


def balancer_rules(paths: Mapping[str, Sequence[str]], lost: Iterable[str]) -> str:
    """`nft` commands: which nodes each LoadBalancer address leads over, with equal shares.

    A connection is given to a node when it begins, and stays with it for as long as it lives, whatever becomes of the
    Service, as with a cloud's load balancer. (Equal routes without memory do not do: since the kernel answers the last
    packets of a connection without its socket, their hash may lead to another node, and the connection is never closed
    at its other end.) Connections with a node that is lost are reset, and whoever begins anew gets another node.
    """
    dead = ", ".join(str(mark(node)) for node in lost)
    unchosen = ["ct mark 0", *([f"tcp flags & (syn | ack) == syn ct mark {{ {dead} }}"] if dead else [])]
    chosen = [_choice(address, nodes, when) for address, nodes in paths.items() if nodes for when in unchosen]
    reset = [f"ip daddr {BALANCER_NET} meta mark {{ {dead} }} meta l4proto tcp reject with tcp reset"] if dead else []
    return "\n".join(
        [
            "add table ip balancer",
            "delete table ip balancer",
            "table ip balancer {",
            " chain choose {",
            *chosen,
            "meta mark set ct mark",
            " }",
            f" chain sent {{ type route hook output priority mangle; ip daddr {BALANCER_NET} jump choose",
            " }",
            f" chain passed {{ type filter hook prerouting priority mangle; ip daddr {BALANCER_NET} jump choose",
            " }",
            " chain lost { type filter hook output priority filter",
            *reset,
            " }",
            "}\n",
        ]
    )


def _choice(address: str, nodes: Sequence[str], when: str) -> str:
    numbered = ", ".join(f"{number} : {mark(node)}" for number, node in enumerate(nodes))
    return f"ip daddr {address} {when} ct mark set numgen random mod {len(nodes)} map {{ {numbered} }}"


async def balance(processes: Processes, rules: str) -> None:
    """Put `balancer_rules` in the place of those before, all at once."""
    await processes.run("nft", ["nft", "-f", "-"], rules)


async def apply(processes: Processes, commands: Iterable[str], namespace_of: int | None = None) -> None:
    """Run `ip` commands here, or in the network namespace of a process."""
    enter = [] if namespace_of is None else ["nsenter", f"--net=/proc/{namespace_of}/ns/net"]
    await processes.run("ip", [*enter, "ip", "-batch", "-"], "".join(f"{command}\n" for command in commands))


def set_kernel(settings: dict[str, str], proc_sys: Path = Path("/proc/sys")) -> None:
    for name, value in settings.items():
        (proc_sys / name).write_text(value)
