"""A node: namespaces of its own with containerd, kubelet and kube-proxy in them, and what can befall it from outside.

The process `holder` (util-linux' unshare) holds the namespaces; its child is the node's PID 1 (`node_init.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chaoskit.cluster import archives, images, network
from chaoskit.cluster.certificates import Authority, kubeconfig, write_pair, write_private
from chaoskit.cluster.cgroups import Cgroups
from chaoskit.cluster.control_plane import MEMORY
from chaoskit.cluster.patience import allowed_s
from chaoskit.cluster.processes import Process, Processes
from chaoskit.cluster.profile import Profile
from chaoskit.cluster.state import Folder
from chaoskit.cluster.toolset import Toolset
from chaoskit.errors import ClusterError, UsageError

# Places inside a node.
CONFIG = "/opt/chaoskit/config"
PROGRAMS = "/opt/chaoskit/bin"
VOLUMES = "/opt/chaoskit/volumes"
ARCHIVES = "/opt/chaoskit/images"
CONTAINERD_SOCKET = "/run/containerd/containerd.sock"
NETWORK_CONFIG = "/opt/chaoskit/cni"
IMPORT_WITHIN_S = 120.0
SANDBOX_IMAGE = "localhost/chaoskit/pause:1"
ZONES = 3
NAMESPACES_DEADLINE_S = 5.0
SERVER_START_DEADLINE_S = 20.0


@dataclass(frozen=True)
class Site:
    """What all nodes of a cluster share."""

    folder: Folder
    toolset: Toolset
    authority: Authority
    cgroups: Cgroups
    profile: Profile
    count: int

    @property
    def api(self) -> str:
        return f"https://{network.GATEWAY}:{network.API_PORT}"


class Node:
    """One node and its power switch."""

    def __init__(self, number: int, site: Site, processes: Processes) -> None:
        self.number = number
        self.name = network.node_name(number)
        self._site = site
        self._processes = processes
        self._folder = site.folder.node(self.name)
        self._holder: Process | None = None

    @property
    def on(self) -> bool:
        return self._holder is not None and self._holder.running

    @property
    def holder(self) -> Process:
        if self._holder is None or not self._holder.running:
            raise ClusterError(f"{self.name} is switched off", fix=f"power it on: power_on({self.name!r})")
        return self._holder

    async def power_on(self) -> None:
        """Start the node; its kubelet registers a moment later."""
        if self.on:
            return
        await asyncio.to_thread(self._prepare)
        read_end, go = os.pipe()
        os.set_inheritable(read_end, True)
        init = [
            sys.executable,
            "-I",
            "-S",
            str(Path(__file__).with_name("node_init.py")),
            str(self._folder / "node.json"),
        ]
        isolate = ["unshare", "--mount", "--uts", "--ipc", "--net", "--pid", "--fork", "--kill-child"]
        self._holder = self._processes.start(self.name, [*isolate, *init], stdin=read_end)
        os.close(read_end)
        try:
            await self._connect(self._holder)
            os.write(go, b"go\n")
        finally:
            os.close(go)

    async def power_off(self) -> None:
        """What a power failure does: everything on the node ends at once, and nobody is told."""
        if not self.on:
            return
        holder = self.holder
        self.thaw()
        holder.kill()
        await holder.ended
        await asyncio.to_thread(self._site.cgroups.sweep_node, self.name)

    def freeze(self) -> None:
        """Stop every process of the node where it stands, as a hypervisor's pause does."""
        _ = self.holder
        self._site.cgroups.freeze(self.name, True)

    def thaw(self) -> None:
        _ = self.holder
        self._site.cgroups.freeze(self.name, False)

    async def unplug(self) -> None:
        """Pull the network cable; the node's processes go on."""
        _ = self.holder
        await network.apply(self._processes, [f"link set {network.veth(self.number)} down"])

    async def plug(self) -> None:
        _ = self.holder
        await network.apply(self._processes, [f"link set {network.veth(self.number)} up"])

    def kill_container(self, container: str, number: int = signal.SIGKILL) -> None:
        """Signal a container's first process from outside its PID namespace, where even SIGKILL is not ignored."""
        task = Path(f"/proc/{self.holder.pid}/root/run/containerd/io.containerd.runtime.v2.task/k8s.io") / container
        try:
            inside = int((task / "init.pid").read_text())
        except (FileNotFoundError, ValueError) as error:
            raise UsageError(
                f"no container {container} runs on {self.name}",
                fix="kubectl get pods -o wide, and the pod's status.containerStatuses[].containerID without containerd://",
            ) from error
        with contextlib.suppress(ProcessLookupError):  # It ended on its own meanwhile: that is as dead as killed.
            os.kill(_seen_from_here(inside, container), number)

    def server_pid(self, server: str) -> int:
        """The id, in our PID namespace, of a server of the node: the child of the node's first process."""
        first = children(self.holder.pid)
        found = [pid for init in first for pid in children(init) if program(pid) == server]
        if not found:
            raise ClusterError(f"{server} does not run on {self.name}", fix="kubectl describe node " + self.name)
        return found[0]

    def _prepare(self) -> None:
        """Everything that the node finds when it wakes up."""
        for part in ("config", "cni", "kubelet", "root", "pods"):
            (self._folder / part).mkdir(parents=True, exist_ok=True)
        images.take_over(self._site.toolset.template, self._folder / "containerd")
        self._site.cgroups.make(self.name)
        self._write_keys()
        config = self._folder / "config"
        (config / "kubelet.yaml").write_text(json.dumps(self._kubelet_config()))
        (config / "kube-proxy.yaml").write_text(json.dumps(self._proxy_config()))
        (config / "containerd.toml").write_text(self._containerd_config())
        (self._folder / "cni" / "10-bridge.conflist").write_text(json.dumps(self._pod_network()))
        (self._folder / "node.json").write_text(json.dumps(self._spec()))

    async def _connect(self, holder: Process) -> None:
        await _namespace_made(holder)
        cable = network.veth(self.number)
        if cable in {name for _, name in socket.if_nameindex()}:
            # What a dead node had still to send keeps its network, and the cable, for up to minutes.
            with contextlib.suppress(ClusterError):  # It went just now.
                await network.apply(self._processes, [f"link del {cable}"])
        await network.apply(self._processes, network.wire(self.number, holder.pid))
        await network.apply(self._processes, network.node_side(self.number, self._site.count), holder.pid)

    def _write_keys(self) -> None:
        config, issue = self._folder / "config", self._site.authority.issue
        authority = self._site.authority.pair.certificate
        (config / "ca.crt").write_bytes(authority)
        node = issue(f"system:node:{self.name}", ["system:nodes"])
        write_private(config / "kubelet.kubeconfig", kubeconfig(self._site.api, authority, self.name, node))
        proxy = issue("system:kube-proxy")
        write_private(config / "kube-proxy.kubeconfig", kubeconfig(self._site.api, authority, "kube-proxy", proxy))
        write_pair(config, "kubelet", issue(self.name, addresses=[self.name, network.node_address(self.number)]))

    def _kubelet_config(self) -> dict[str, Any]:
        profile = self._site.profile
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "failCgroupV1": False,  # From 1.35 on the kubelet refuses cgroup v1 unless told.
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": self._site.cgroups.kubelet_root(self.name),
            "authentication": {
                "x509": {"clientCAFile": f"{CONFIG}/ca.crt"},
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
            },
            "authorization": {"mode": "Webhook"},
            "tlsCertFile": f"{CONFIG}/kubelet.crt",
            "tlsPrivateKeyFile": f"{CONFIG}/kubelet.key",
            "clusterDNS": [network.SERVICE_DNS],
            "clusterDomain": "cluster.local",
            "resolvConf": "",
            "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}",
            "failSwapOn": False,
            "oomScoreAdj": 0,  # A lower one needs CAP_SYS_RESOURCE.
            "nodeStatusUpdateFrequency": f"{profile.node_status_update_frequency}s",
            "nodeLeaseDurationSeconds": profile.node_lease_duration,
            "crashLoopBackOff": {"maxContainerRestartPeriod": f"{profile.crash_loop_back_off_max}s"},
            # The disk is the host's own: its filling up must not evict pods as if it were the node's.
            "evictionHard": {
                "memory.available": "100Mi",
                "nodefs.available": "0%",
                "nodefs.inodesFree": "0%",
                "imagefs.available": "0%",
            },
            "imageGCHighThresholdPercent": 100,
            "kubeAPIQPS": 100,
            "kubeAPIBurst": 200,
        }

    def _proxy_config(self) -> dict[str, Any]:
        return {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "mode": "nftables",
            "clientConnection": {"kubeconfig": f"{CONFIG}/kube-proxy.kubeconfig"},
            "clusterCIDR": network.POD_NET,
            "hostnameOverride": self.name,
            "metricsBindAddress": "0.0.0.0:10249",
            # These are settings of the whole machine: leave them as they are.
            "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        }

    def _containerd_config(self) -> str:
        return f"""version = 3
root = "/var/lib/containerd"
state = "/run/containerd"
[grpc]
  address = "{CONTAINERD_SOCKET}"
[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = "{SANDBOX_IMAGE}"
[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = true
  # Otherwise each container's shim reads a dozen files once a second, for a number that nobody asks for: the kubelet
  # takes what pods use from cAdvisor.
  stats_collect_period = "24h"
  [plugins.'io.containerd.cri.v1.runtime'.cni]
    bin_dirs = ["{PROGRAMS}"]
    conf_dir = "{NETWORK_CONFIG}"
"""

    def _pod_network(self) -> dict[str, Any]:
        addresses = {
            "type": "host-local",
            "ranges": [[{"subnet": network.pod_subnet(self.number)}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        }
        bridge = {
            "type": "bridge",
            "bridge": "cni0",
            "isGateway": True,
            "ipMasq": False,
            "portIsolation": True,  # See network.NODE_SETTINGS.
            "ipam": addresses,
        }
        ports = {"type": "portmap", "capabilities": {"portMappings": True}}
        return {"cniVersion": "1.0.0", "name": "chaoskit", "plugins": [bridge, ports]}

    def _spec(self) -> dict[str, Any]:
        """What `node_init.py` is told."""
        folder, logs = self._folder, self._site.folder.logs
        return {
            "name": self.name,
            "root": str(folder / "root"),
            "cgroup_entries": [str(entry) for entry in self._site.cgroups.entries(self.name)],
            "path": f"{PROGRAMS}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "settings": network.NODE_SETTINGS,
            "server_start_deadline_s": allowed_s(SERVER_START_DEADLINE_S),
            "binds": {
                "/var/lib/containerd": str(folder / "containerd"),
                "/var/lib/kubelet": str(folder / "kubelet"),
                "/var/log/pods": str(folder / "pods"),
                VOLUMES: str(self._site.folder.volumes),
            },
            "read_only_binds": {
                CONFIG: str(folder / "config"),
                NETWORK_CONFIG: str(folder / "cni"),
                PROGRAMS: str(self._site.toolset.bin),
                ARCHIVES: str(self._site.folder.images),
                images.LAYERS: str(images.layers(self._site.toolset.template)),
            },
            "servers": [
                {**server, "env": MEMORY, "log": str(logs / f"{server['argv'][0]}-{self.name}.log")}
                for server in self._servers()
            ],
        }

    def _servers(self) -> list[dict[str, Any]]:
        """What each is started with, the path that it waits for, and the commands that are run before it."""
        kubelet = [
            "kubelet",
            f"--config={CONFIG}/kubelet.yaml",
            f"--kubeconfig={CONFIG}/kubelet.kubeconfig",
            f"--hostname-override={self.name}",
            f"--node-ip={network.node_address(self.number)}",
            f"--node-labels={','.join(f'{key}={value}' for key, value in own_labels(self.number).items())}",
            "--housekeeping-interval=1s",
        ]
        # What the user has loaded, before the kubelet may start a pod of it.
        loaded = [importing(kept.name) for kept in archives.kept_in(self._site.folder.images)]
        return [
            {"argv": ["containerd", f"--config={CONFIG}/containerd.toml"], "after": CONFIG, "first": []},
            {"argv": ["kube-proxy", f"--config={CONFIG}/kube-proxy.yaml"], "after": CONFIG, "first": []},
            {"argv": kubelet, "after": CONTAINERD_SOCKET, "first": loaded},
        ]


def importing(archive: str) -> list[str]:
    """The command that takes an archive of `ARCHIVES` into a node's image store, on that node."""
    ctr = [f"{PROGRAMS}/ctr", "--address", CONTAINERD_SOCKET, "--namespace", "k8s.io"]
    return [*ctr, "--timeout", f"{allowed_s(IMPORT_WITHIN_S):.0f}s", "images", "import", f"{ARCHIVES}/{archive}"]


def own_labels(number: int) -> dict[str, str]:
    """The labels that a kubelet is told to register with."""
    zone = f"zone-{(number - 1) % ZONES + 1}"
    return {"topology.kubernetes.io/zone": zone, "topology.kubernetes.io/region": "chaoskit"}


def node_labels(number: int) -> dict[str, str]:
    """All labels that decide where pods go."""
    return {**own_labels(number), "kubernetes.io/hostname": network.node_name(number)}


async def _namespace_made(holder: Process) -> None:
    """Wait until `unshare` has made the namespaces: its own network is then another one than ours."""
    deadline_s = allowed_s(NAMESPACES_DEADLINE_S)
    ours, end = Path("/proc/self/ns/net").readlink(), time.monotonic() + deadline_s
    while Path(f"/proc/{holder.pid}/ns/net").readlink() == ours:
        if time.monotonic() > end:
            raise ClusterError(f"the namespaces of {holder.name} were not made within {deadline_s:.0f} s")
        await asyncio.sleep(0.002)
        if not holder.running:
            raise holder.failure()


def children(pid: int) -> list[int]:
    """The processes whose parent it is (proc_pid_stat(5): the fourth field, the second after the name in brackets)."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                if int((process / "stat").read_text().rpartition(")")[2].split()[1]) == pid:
                    found.append(int(process.name))
    return found


def program(pid: int) -> str:
    """The name by which a process was started; empty for one that has ended."""
    try:
        return os.fsdecode(Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0]).rpartition("/")[2]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _seen_from_here(inside: int, container: str) -> int:
    """The id in our PID namespace of the process that has the id `inside` in its node's, and belongs to `container`."""
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and _is_member(process, inside, container):
            return int(process.name)
    raise ProcessLookupError(inside)


def _is_member(process: Path, inside: int, container: str) -> bool:
    try:
        if container not in (process / "cgroup").read_text():
            return False
        status = (process / "status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    ids = next(line.split()[1:] for line in status.splitlines() if line.startswith("NSpid:"))
    return len(ids) > 1 and int(ids[1]) == inside
