"""The half of the supervisor that is PID 1 of the cluster's namespaces: it starts everything and watches it.

Its death is the cluster's end. Its other half (`keeper.py`) sweeps up after it; if that one is gone, it does so itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from chaoskit.cluster import addons, control_plane, images, monitoring, network, relay
from chaoskit.cluster.api import patiently
from chaoskit.cluster.cgroups import Cgroups
from chaoskit.cluster.control import Control
from chaoskit.cluster.janitor import Janitor
from chaoskit.cluster.keeper import Orders, clean
from chaoskit.cluster.load_balancer import COLLECTIONS, LoadBalancer, is_ready, ready_endpoints
from chaoskit.cluster.nodes import Node, Site
from chaoskit.cluster.patience import VARIABLE, allowed_s
from chaoskit.cluster.processes import Processes
from chaoskit.cluster.profile import named
from chaoskit.cluster.state import Folder, Record
from chaoskit.cluster.toolset import find
from chaoskit.cluster.upkeep import Upkeep
from chaoskit.cluster.volumes import Volumes
from chaoskit.cluster.watched import Watched
from chaoskit.errors import ChaoskitError, ClusterError

START_DEADLINE_S = 180.0
PROMETHEUS_TIMEOUT_S = 5.0


class Reports:
    """Lines of JSON to the command that waits for the start. When that command goes away early, so does the cluster."""

    def __init__(self, descriptor: int) -> None:
        self._socket: socket.socket | None = socket.socket(fileno=descriptor)
        self._begun = time.monotonic()
        self.phases: dict[str, float] = {}

    @property
    def socket(self) -> socket.socket | None:
        return self._socket

    def phase(self, name: str) -> None:
        self.phases[name] = round(time.monotonic() - self._begun, 3)
        self._send({"phase": name, "at": self.phases[name]})

    def failed(self, error: ChaoskitError) -> None:
        self._send({"failed": {"what": error.what, "where": error.where, "why": error.why, "fix": error.fix}})

    def ready(self) -> None:
        """From now on the cluster does not depend on the command any more. BrokenPipeError if that went away before."""
        if self._socket is not None:
            self._socket.sendall(json.dumps({"ready": True}).encode() + b"\n")
        self.close()

    def close(self) -> None:
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
            self._socket = None

    def _send(self, message: dict[str, Any]) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):  # Nobody listens any more; the reader of the socket's end notices.
                self._socket.sendall(json.dumps(message).encode() + b"\n")


class Supervisor:
    """One cluster, from its first process on."""

    def __init__(self, orders: Orders, reports: Reports, down: Callable[[], None]) -> None:
        toolset = find()
        if toolset is None:
            raise ClusterError("the cluster's servers are not built", fix="chaoskit cluster up")
        self._orders, self._reports = orders, reports
        self._folder = Folder(Path(orders.folder))
        self._programs = toolset.bin
        self._profile = named(orders.profile)
        self._processes = Processes(self._folder.logs)
        self._keys = control_plane.make_keys(self._folder, orders.api_port)
        count, cgroups = orders.nodes, Cgroups(self._folder.name)
        site = Site(self._folder, toolset, self._keys.authority, cgroups, self._profile, count)
        self._nodes = {network.node_name(i): Node(i, site, self._processes) for i in range(1, count + 1)}
        self._upkeep = Upkeep(self._processes, self._nodes)
        self._api = control_plane.admin_api(self._folder, self._keys)
        self._watched = Watched(self._api, COLLECTIONS)
        self._stop = threading.Event()
        self._down = down
        self._group = asyncio.TaskGroup()

    async def run(self, pid: int) -> None:
        """Start the cluster and keep it until something that it needs ends. Raises what ended it."""
        try:
            async with asyncio.TaskGroup() as self._group:
                await self._start_in_time()
                self._record(pid).write(self._folder.record)
                self._spawn(Janitor(self._api, self._processes, self._folder.name).run())
                self._reports.ready()
        except BaseExceptionGroup as group:
            raise _first(group) from group

    async def _start_in_time(self) -> None:
        deadline_s = allowed_s(START_DEADLINE_S)
        try:
            async with asyncio.timeout(deadline_s):
                await self._start()
        except TimeoutError as error:
            raise ClusterError(
                f"the cluster was not ready within {deadline_s:.0f} s",
                why=f"it came as far as: {', '.join(self._reports.phases)}",
                fix=f"a slow machine needs more patience: {VARIABLE}=5 chaoskit cluster up",
            ) from error

    async def _start(self) -> None:
        folder, programs = self._folder, self._programs
        await network.apply(self._processes, network.control_side(self._orders.nodes))
        network.set_kernel(network.CONTROL_SETTINGS)
        await images.copy_sparse(self._processes, Path(self._orders.seed), folder.etcd)
        self._reports.phase("network and keys")
        self._need(control_plane.etcd(programs, folder))
        audit = control_plane.auditing(folder) if self._orders.audit else ()
        self._need(control_plane.api_server(programs, folder, self._profile, store_prepared=True, more=audit))
        powered = [self._spawn(node.power_on()) for node in self._nodes.values()]
        await self._open_ports()
        await patiently(self._personalise, pause_s=0.03)
        self._reports.phase("API server")
        self._need(control_plane.scheduler(programs, folder))
        self._watched.start(self._stop)
        self._spawn(LoadBalancer(self._api, self._processes, self._watched).run())
        self._follow(Volumes(self._api, folder.volumes).run)
        self._spawn(self._start_controllers())
        await asyncio.gather(*powered)
        await asyncio.gather(
            self._phase("nodes", self._nodes_ready()),
            self._dns_then_prometheus(),
            self._phase("metrics", self._metrics_served()),
        )

    async def _start_controllers(self) -> None:
        """The controller manager looks once a second whether the API server is healthy: it is started when it is."""
        await patiently(lambda: self._api.get("/healthz")["text"] == "ok", pause_s=0.05)
        self._need(control_plane.controller_manager(self._programs, self._folder, self._profile))

    async def _open_ports(self) -> None:
        orders = self._orders
        ports = ((orders.api_listener, network.API_PORT), (orders.prometheus_listener, network.PROMETHEUS_PORT))
        for descriptor, port in ports:
            await relay.serve(socket.socket(fileno=descriptor), network.GATEWAY, port)
        control = Control(self._folder.control, self._nodes, self._upkeep, self._down)
        self._spawn(control.serve())

    def _need(self, server: control_plane.Server) -> None:
        """Start a server of the control side; the cluster ends with it, unless its end was ordered."""
        self._spawn(self._upkeep.keep(server, self._upkeep.start(server)))

    def _follow(self, run: Callable[[threading.Event], None]) -> None:
        threading.Thread(target=run, args=(self._stop,), daemon=True).start()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run work beside the rest; its failure is the cluster's."""
        return self._group.create_task(work)

    async def _phase(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        await work
        self._reports.phase(name)

    def _personalise(self) -> bool:
        addons.personalise(self._api, self._keys.authority)
        return True

    async def _nodes_ready(self) -> None:
        await self._watched.until(lambda: sum(map(is_ready, self._watched["nodes"])) == len(self._nodes))

    async def _dns_ready(self) -> None:
        await self._watched.until(lambda: bool(ready_endpoints("kube-system", "kube-dns", self._watched["slices"])))

    async def _dns_then_prometheus(self) -> None:
        """Prometheus asks everyone once a second: it waits until those who are still starting need the machine less."""
        await self._phase("DNS", self._dns_ready())
        self._need(monitoring.state_metrics(self._programs, self._folder))
        self._need(monitoring.prometheus(self._programs, self._folder))
        await self._phase("Prometheus", patiently(_prometheus_answers))

    async def _metrics_served(self) -> None:
        path = "/apis/metrics.k8s.io/v1beta1/nodes"
        await patiently(lambda: len(self._api.get(path)["items"]) == len(self._nodes))

    def _record(self, pid: int) -> Record:
        return Record(
            name=self._folder.name,
            pid=pid,
            api_port=self._orders.api_port,
            prometheus_port=self._orders.prometheus_port,
            gateway=network.GATEWAY,
            nodes=tuple(self._nodes),
            profile=self._profile.name,
            timings=self._profile.timings,
            phases=self._reports.phases,
        )


def _prometheus_answers() -> bool:
    timeout_s = allowed_s(PROMETHEUS_TIMEOUT_S)
    connection = http.client.HTTPConnection(network.GATEWAY, network.PROMETHEUS_PORT, timeout=timeout_s)
    try:
        connection.request("GET", "/-/ready")
        return connection.getresponse().status == 200
    finally:
        connection.close()


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error that ended the group; the others followed from it."""
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error


async def live(orders: Orders, tether: socket.socket, reports: Reports) -> int:
    """Run the cluster until it fails, is told to stop, or either the keeper or the waiting command goes away."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        pid = int(await asyncio.to_thread(_line, tether))
    except ValueError:
        return 1  # The keeper is gone already.
    _when_gone(tether, stop)
    if reports.socket is not None:
        _when_gone(reports.socket, stop)
    cluster = asyncio.create_task(Supervisor(orders, reports, stop.set).run(pid))
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait({cluster, stopped}, return_when=asyncio.FIRST_COMPLETED)
    if not cluster.done():
        return 0
    await cluster
    return 0


def _line(connection: socket.socket) -> str:
    with connection.makefile() as file:
        return file.readline()


def _when_gone(connection: socket.socket, stop: asyncio.Event) -> None:
    """Set `stop` when the other side of the connection is closed; nothing is ever sent on it from there."""
    loop = asyncio.get_running_loop()

    def look() -> None:
        loop.remove_reader(connection)
        stop.set()

    loop.add_reader(connection, look)


def _is_gone(connection: socket.socket) -> bool:
    try:
        return not connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True


def _end_all(cgroups: Cgroups) -> None:
    """Kill every other process of the PID namespace, and wait for the last one."""
    while True:
        with contextlib.suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)  # Each time: what was just being started is not hit by the first.
        cgroups.thaw_all()
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            time.sleep(0.01)


def main() -> None:
    orders = Orders.read(sys.argv[1])
    tether, reports = socket.socket(fileno=orders.tether), Reports(orders.reports)
    for descriptor in (*orders.descriptors, orders.tether):
        os.set_inheritable(descriptor, False)
    folder = Folder(Path(orders.folder))
    cgroups, code = Cgroups(folder.name), 1
    try:
        cgroups.join_control()
        code = asyncio.new_event_loop().run_until_complete(live(orders, tether, reports))
    except ChaoskitError as error:
        reports.failed(error)
    except Exception as error:  # The border of the process: whatever it was must be told to who waits.
        reports.failed(ClusterError("the supervisor crashed", why="".join(traceback.format_exception(error))))
    finally:
        if _is_gone(tether):
            _end_all(cgroups)
            cgroups.leave_control()
            clean(folder)
        os._exit(code)  # Threads may be waiting for servers; the kernel ends them, and everything else inside.


if __name__ == "__main__":
    main()
