"""The Cluster port on a real Kubernetes API server. Foreign libraries stop here and in the modules beside it.

Objects are read as raw JSON, requests carry deadlines, and whatever acts on one object can carry its UID, so that a
namesake that took its place is never hit.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from chaoskit import loadpods
from chaoskit.adapters import asking, loadpod, podexec
from chaoskit.adapters import kubeconfig as kubeconfigs
from chaoskit.adapters.apiserver import APPLY_PATCH, LONG_READ_S, MERGE_PATCH, ApiServer, Call
from chaoskit.adapters.kinds import KNOWN, Resource, in_discovery, of_manifest, segment
from chaoskit.adapters.reflector import PAGE, PATIENCE, Patience, Reflector, Reflectors, complete
from chaoskit.errors import ClusterError, ConflictError, ForbiddenError, NotFoundError, PortError, UsageError
from chaoskit.model import ClusterInfo, Raw, Reached, Right
from chaoskit.ports import LONGEST_FREEZE_S, MachineOrder, Post, Provider, ServerOrder

FIELD_MANAGER = "chaoskit"
_KILLS = (("kill",), ("/bin/kill",), ("busybox", "kill"))
_KILLED_WITH_IT = (137, 143)
"""The exit codes of a `kill` that died with the container that it ended."""
_NEW_KIND_S = 10.0
"""For how long a kind is waited for whose definition was applied just now: the API server serves it a little later."""


class KubeCluster:
    """The real Cluster. Safe to use from many threads."""

    def __init__(
        self,
        api: ApiServer,
        *,
        provider: Provider | None = None,
        info: ClusterInfo | None = None,
        now: Callable[[], float] = time.monotonic,
        patience: Patience = PATIENCE,
    ) -> None:
        self._api = api
        self._provider = provider
        self._info = info
        self._now = now
        self._patience = patience
        self._discovered: dict[str, list[Resource]] = {}
        self._defined: set[str] = set()
        """Groups of which a CustomResourceDefinition was applied."""
        self._closed = threading.Event()

    @classmethod
    def connect(
        cls,
        kubeconfig: Path | None,
        context: str | None,
        *,
        provider: Provider | None = None,
        info: ClusterInfo | None = None,
        now: Callable[[], float] = time.monotonic,
        patience: Patience = PATIENCE,
    ) -> KubeCluster:
        """A cluster that has answered once. Raises ClusterError, with the next command to type, if it does not.

        `now` stamps the events of watches: pass the run's clock.
        """
        client, name = kubeconfigs.connect(kubeconfig, context)
        api = ApiServer(client, name, provider.ended if provider else lambda: None)
        cluster = cls(api, provider=provider, info=info, now=now, patience=patience)
        try:
            cluster.version()
        except ForbiddenError as error:
            raise ClusterError(f"cannot use context {name}", where=error.where, why=error.why, fix=error.fix) from error
        except PortError as error:
            fix = f"kubectl --context {name} get --raw /readyz (a cluster of chaoskit's own: chaoskit cluster up)"
            raise ClusterError(
                f"the cluster of context {name} does not answer", where=error.where, why=error.why, fix=fix
            ) from error
        return cluster

    def close(self) -> None:
        self._closed.set()
        self._api.close()

    # Reading

    def version(self) -> str:
        found = self._api.json(Call("read the version", "GET", "/version", repeatable=True))
        return str(found.get("gitVersion", ""))

    def clock_unix(self) -> float:
        """The API server's own time, in whole seconds. Raises PortError."""
        call = Call("read the time", "GET", "/version", repeatable=True)
        outcome = self._api.once(call)
        if not outcome.ok:
            raise self._api.refusal(call, outcome) from outcome.error
        try:
            return parsedate_to_datetime(outcome.date).timestamp()
        except ValueError as error:
            raise PortError("the API server does not tell its time", where=self._api.shown) from error

    def info(self) -> ClusterInfo:
        """What was passed in, completed by what the server says. Timings cannot be read from outside: they are flags of
        servers, so a cluster that was not told them has none."""
        known = self._info or ClusterInfo("existing", "", "", "")
        return replace(
            known,
            context=known.context or self._api.context,
            server=known.server or self._api.shown,
            version=known.version or self.version(),
            nodes=known.nodes or self._nodes(),
        )

    def _nodes(self) -> tuple[str, ...]:
        """Without the right to list nodes there are none to name."""
        try:
            return tuple(sorted(str(node["metadata"]["name"]) for node in self.list("node")))
        except ForbiddenError:
            return ()

    def get(self, kind: str, name: str, namespace: str = "") -> Raw:
        call = self._on_object("get", "GET", self._resource(kind), name, namespace, repeatable=True)
        return _stripped(self._api.json(call))

    def list(self, kind: str, namespace: str = "", selector: str = "") -> Sequence[Raw]:
        resource = self._resource(kind)
        query = {"limit": str(PAGE)} | ({"labelSelector": selector} if selector else {})
        for _ in range(3):
            try:
                return self._pages(resource, namespace, query)
            except _ExpiredPageError:
                continue
        raise PortError(f"cannot list {resource.plural}", why="its pages expire faster than they can be read")

    def _pages(self, resource: Resource, namespace: str, query: Mapping[str, str]) -> Sequence[Raw]:
        found: list[Raw] = []
        token = ""
        while True:
            page = self._page(resource, namespace, {**query, "continue": token} if token else query)
            found += complete(page.get("items") or (), resource)
            token = str((page.get("metadata") or {}).get("continue") or "")
            if not token:
                return found

    def _page(self, resource: Resource, namespace: str, query: Mapping[str, str]) -> Raw:
        within = f" in {namespace}" if namespace and resource.namespaced else ""
        call = Call(
            f"list {resource.plural}{within}",
            "GET",
            resource.collection(namespace),
            query,
            read_s=LONG_READ_S,
            repeatable=True,
            right=_right("list", resource, namespace),
        )
        try:
            return self._api.json(call)
        except NotFoundError as error:
            if "continue" in query:  # HTTP 410: the version that the pages are of is no longer there.
                raise _ExpiredPageError from error
            raise

    def logs(self, pod: str, namespace: str, container: str = "", *, previous: bool = False, lines: int = 20) -> str:
        query = {"tailLines": str(lines)} | ({"container": container} if container else {})
        if previous:
            query["previous"] = "true"
        call = self._on_object("get", "GET", KNOWN["pod"], pod, namespace, subresource="log", repeatable=True)
        return self._api.body(replace(call, query=query)).decode("utf-8", "replace")

    def allowed(self, right: Right) -> bool:
        attributes = {
            "verb": right.verb,
            "group": right.group,
            "resource": right.resource,
            "subresource": right.subresource,
            "namespace": right.namespace,
        }
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {key: value for key, value in attributes.items() if value}},
        }
        path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        answer = self._api.json(Call(f"ask whether I may {right}", "POST", path, body=review, repeatable=True))
        return bool((answer.get("status") or {}).get("allowed"))

    def through_service(
        self, namespace: str, service: str, path: str, form: Mapping[str, str]
    ) -> tuple[int, str, bytes]:
        """A GET through the API server's proxy to a Service (`name:port`): status, content type, body."""
        proxy = f"{KNOWN['service'].collection(namespace)}/{segment(service, 'service')}/proxy/{path}"
        right = Right("get", "", "services", namespace, "proxy")
        call = Call(f"reach service/{service} in {namespace}", "GET", proxy, form, repeatable=True, right=right)
        outcome = self._api.once(call)
        if outcome.error is not None or outcome.status_object():
            raise self._api.refusal(call, outcome) from outcome.error
        return outcome.status, outcome.content_type, outcome.body

    # Writing

    def create(self, manifest: Raw, namespace: str = "") -> Raw:
        resource, name, within = self._placed(manifest, namespace, name_key="generateName")
        call = Call(
            f"create {_shown(resource, name, within)}",
            "POST",
            resource.collection(within),
            {"fieldManager": FIELD_MANAGER, "fieldValidation": "Strict"},
            body=manifest,
            right=_right("create", resource, within),
        )
        self._note_definition(manifest)
        return _stripped(self._api.json(call))

    def apply(self, manifest: Raw, namespace: str = "") -> Raw:
        resource, name, within = self._placed(manifest, namespace)
        call = self._on_object("patch", "PATCH", resource, name, within, repeatable=True)
        call = replace(
            call,
            what=f"apply {_shown(resource, name, within)}",
            query={"fieldManager": FIELD_MANAGER, "force": "true"},
            body=manifest,
            content_type=APPLY_PATCH,
            read_s=LONG_READ_S,
        )
        self._note_definition(manifest)
        return _stripped(self._api.json(call))

    def patch(self, kind: str, name: str, patch: Raw, namespace: str = "", *, uid: str = "") -> Raw:
        """A UID in the patch is the precondition: the server refuses to change it (422 on `metadata.uid`)."""
        body = {**patch, "metadata": {**(patch.get("metadata") or {}), "uid": uid}} if uid else patch
        call = self._on_object("patch", "PATCH", self._resource(kind), name, namespace)
        call = replace(call, query={"fieldManager": FIELD_MANAGER}, body=body, content_type=MERGE_PATCH)
        return _stripped(self._api.json(call))

    def delete(self, kind: str, name: str, namespace: str = "", *, uid: str = "", grace_s: int | None = None) -> None:
        # Without a policy some kinds (Jobs) would leave their pods behind.
        body = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        call = self._on_object("delete", "DELETE", self._resource(kind), name, namespace)
        self._api.body(replace(call, body={**body, **_options(uid, grace_s)}))

    def evict(self, name: str, namespace: str, *, uid: str, grace_s: int | None = None) -> None:
        """The UID is looked at first: the API server takes an eviction from the disruption budget before it compares
        the UID, and an eviction that then fails would use the budget up for two minutes (eviction.go)."""
        call = self._on_object("create", "POST", KNOWN["pod"], name, namespace, subresource="eviction")
        found = str(self.get("pod", name, namespace)["metadata"]["uid"])
        if found != uid:
            raise ConflictError(f"cannot evict pod/{name} in {namespace}", why=f"it is another pod now ({found})")
        eviction = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": name, "namespace": namespace},
            "deleteOptions": _options(uid, grace_s),
        }
        self._api.body(replace(call, what=f"evict pod/{name} in {namespace}", body=eviction))

    def signal(self, pod: Raw, container: str, signal: str) -> None:
        if self._provider is not None:
            self._provider.signal(pod, container, signal)
            return
        name, namespace = str(pod["metadata"]["name"]), str(pod["metadata"]["namespace"])
        for kill in _KILLS:
            argv = [*kill, f"-{signal}", "1"]
            ended = podexec.run(self._api.client.configuration, name, namespace, container, argv)
            if ended.code == 0 or ended.code in _KILLED_WITH_IT:
                return
            if not ended.absent:
                raise PortError(
                    f"cannot send SIG{signal} in pod/{name} in {namespace}",
                    why=f"{' '.join(argv)}: {ended.output.strip() or ended.why}",
                )
        raise PortError(
            f"cannot send SIG{signal} in pod/{name} in {namespace}",
            why=f"the image of container {container or 'the first one'!r} has neither kill nor busybox",
            fix="kill the whole pod (kill_pod), use an image with kill in it, or run this on the embedded cluster",
        )

    def talk(self, pod: str, namespace: str) -> podexec.Conversation:
        """Starts the load's command in one of its pods. Raises a PortError if that is refused."""
        return podexec.talk(self._api.client.configuration, pod, namespace, loadpods.CONTAINER, loadpod.ARGV)

    def machine(self, node: str, order: MachineOrder) -> None:
        self._made_by_us(f"{order.replace('_', ' ')} {node}").machine(node, order)

    def ended(self) -> tuple[str, str] | None:
        return self._provider.ended() if self._provider else None

    def server(self, name: str, order: ServerOrder, for_s: float = LONGEST_FREEZE_S) -> None:
        self._made_by_us(f"{order} {name}").server(name, order, for_s)

    def _made_by_us(self, what: str) -> Provider:
        if self._provider is None:
            raise UsageError(
                f"cannot {what} on {self._api.context}",
                why="a kubeconfig reaches the API, not the machines behind it",
                fix="run this experiment on the embedded cluster: leave --context out",
            )
        return self._provider

    def ask(self, pod: str, namespace: str, path: str, port: int, method: str = "GET") -> tuple[int, str]:
        route, _, query = path.lstrip("/").partition("?")
        proxy = f"{KNOWN['pod'].collection(namespace)}/{segment(f'{pod}:{port}', 'pod')}/proxy/{route}"
        right = Right("get" if method == "GET" else "create", "", "pods", namespace, "proxy")
        call = Call(f"ask pod/{pod} for {path}", method, proxy, dict(parse_qsl(query)), right=right)
        outcome = self._api.once(call)
        if outcome.error is not None or outcome.status_object():
            raise self._api.refusal(call, outcome) from outcome.error
        return outcome.status, outcome.body.decode("utf-8", "replace")

    def reach(self, url: str, times: int, timeout_s: float, pod: Raw | None = None) -> Sequence[Reached]:
        if pod is None:
            return asking.from_here(url, times, timeout_s, self._provider.inside if self._provider else list)
        return asking.from_pod(self._api.client.configuration, pod, url, times, timeout_s)

    # Watching

    def watch(self, kinds: Sequence[str], namespace: str, post: Post) -> Reflectors:
        resources = [self._resource(kind) for kind in kinds]
        reflectors = [Reflector(self._api, r, namespace, post, self._now, self._patience) for r in resources]
        return Reflectors(reflectors)

    # Kinds

    def _resource(self, kind: str) -> Resource:
        """A kind of the table, or one that the server serves in any of its groups."""
        if kind in KNOWN:
            return KNOWN[kind]
        groups = self._api.json(Call("list the API groups", "GET", "/apis", repeatable=True)).get("groups") or ()
        for group in groups:
            for resource in self._served(str(group["preferredVersion"]["groupVersion"])):
                if resource.singular == kind:
                    return resource
        raise NotFoundError(f"the cluster knows no kind {kind!r}", fix="kubectl api-resources")

    def _placed(self, manifest: Raw, namespace: str, *, name_key: str = "name") -> tuple[Resource, str, str]:
        """What a manifest is of, its name, and the namespace that it goes to. `name_key` may stand in for the name."""
        metadata = manifest.get("metadata") or {}
        api_version, kind = str(manifest.get("apiVersion") or ""), str(manifest.get("kind") or "")
        name = str(metadata.get("name") or metadata.get(name_key) or "")
        if not (api_version and kind and name):
            raise PortError(
                f"a manifest lacks its {'apiVersion' if not api_version else 'kind' if not kind else 'metadata.name'}",
                where=f"{kind or 'manifest'} {name}".strip(),
            )
        resource = of_manifest(api_version, kind) or self._discover(api_version, kind)
        within = str(metadata.get("namespace") or namespace or "default") if resource.namespaced else ""
        return resource, name, within

    def _discover(self, api_version: str, kind: str) -> Resource:
        deadline = time.monotonic() + (_NEW_KIND_S if api_version.rpartition("/")[0] in self._defined else 0)
        while True:
            for fresh in (False, True):
                for resource in self._served(api_version, fresh=fresh):
                    if resource.kind == kind:
                        return resource
            if time.monotonic() >= deadline or self._closed.wait(0.2):
                raise NotFoundError(
                    f"the cluster knows no kind {kind} in {api_version}",
                    fix="kubectl api-resources; apply its CRD first",
                )

    def _served(self, api_version: str, *, fresh: bool = False) -> Sequence[Resource]:
        """The kinds of one group and version; none if the server does not serve it."""
        if fresh or api_version not in self._discovered:
            root = "/apis" if "/" in api_version else "/api"
            call = Call(f"list the kinds of {api_version}", "GET", f"{root}/{api_version}", repeatable=True)
            try:
                self._discovered[api_version] = in_discovery(self._api.json(call))
            except NotFoundError:
                self._discovered[api_version] = []
        return self._discovered[api_version]

    def _note_definition(self, manifest: Raw) -> None:
        if manifest.get("kind") == "CustomResourceDefinition":
            self._defined.add(str((manifest.get("spec") or {}).get("group", "")))

    def _on_object(
        self,
        verb: str,
        method: str,
        resource: Resource,
        name: str,
        namespace: str,
        *,
        subresource: str = "",
        repeatable: bool = False,
    ) -> Call:
        return Call(
            f"{verb} {f'the {subresource} of ' if subresource else ''}{_shown(resource, name, namespace)}",
            method,
            resource.object(name, namespace, subresource),
            repeatable=repeatable,
            right=_right(verb, resource, namespace, subresource),
        )


class _ExpiredPageError(Exception):
    """A list has to be read again from its first page."""


def _shown(resource: Resource, name: str, namespace: str) -> str:
    within = f" in {namespace}" if namespace and resource.namespaced else ""
    return f"{resource.singular}/{name}{within}"


def _right(verb: str, resource: Resource, namespace: str, subresource: str = "") -> Right:
    return Right(verb, resource.group, resource.plural, namespace if resource.namespaced else "", subresource)


def _options(uid: str, grace_s: int | None) -> dict[str, Any]:
    """DeleteOptions' fields for a UID and a grace period."""
    options: dict[str, Any] = {}
    if uid:
        options["preconditions"] = {"uid": uid}
    if grace_s is not None:
        options["gracePeriodSeconds"] = grace_s
    return options


def _stripped(o: dict[str, Any]) -> Raw:
    o.get("metadata", {}).pop("managedFields", None)
    return o
