"""From a kubeconfig and the name of a context to a client of the API server, or to an error that says what to type.

The kubernetes client reads the files; what it would swallow (a credential plugin that fails is only logged, and the
request then goes out without credentials) or say badly (its messages quote whole entries, tokens included) is
looked at here first.
"""

from __future__ import annotations

import difflib
import logging
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from chaoskit.adapters.urls import is_loopback
from chaoskit.errors import ClusterError
from chaoskit.model import IN_CLUSTER

if TYPE_CHECKING:
    from kubernetes.client import ApiClient, Configuration

CONNECTIONS = 32
"""Kept open at most: one for each kind watched, and some for calls. More are made and closed as needed."""
_KEEP_ALIVE = (5, 3, 3)
"""Seconds of silence before the kernel asks whether the other side is there, between questions, and their number: a
machine that vanished is noticed after 14 s, where client-go's values (30, 30, 9) take five minutes."""
KEEP_ALIVE_S = float(_KEEP_ALIVE[0] + _KEEP_ALIVE[1] * _KEEP_ALIVE[2])
_SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


def connect(kubeconfig: Path | None, context: str | None) -> tuple[ApiClient, str]:
    """A client, and the name of the context that it speaks to. Nothing is sent yet, except by a credential plugin."""
    from kubernetes.client import ApiClient, Configuration

    configuration = Configuration()
    files = _files(kubeconfig)
    if kubeconfig is None and _in_pod(files, context):
        name = _load_in_cluster(configuration)
    else:
        name = _load_files(configuration, files, context)
    _tune(configuration)
    try:
        return ApiClient(configuration), name
    except (OSError, ValueError) as error:
        raise ClusterError(f"cannot use context {name}", why=str(error)) from error


def _files(kubeconfig: Path | None) -> Sequence[Path]:
    """The files to read, as kubectl does: the one given, those in KUBECONFIG, or the one in the home directory."""
    if kubeconfig is not None:
        return (kubeconfig,)
    named = [Path(p).expanduser() for p in os.environ.get("KUBECONFIG", "").split(os.pathsep) if p]
    return named or (Path("~/.kube/config").expanduser(),)


def _in_pod(files: Sequence[Path], context: str | None) -> bool:
    """Whether to use the pod's own service account: asked for by name, or because there is no kubeconfig."""
    if "KUBERNETES_SERVICE_HOST" not in os.environ:
        return False
    return context == IN_CLUSTER or (not context and not any(f.exists() for f in files))


def _load_in_cluster(configuration: Configuration) -> str:
    from kubernetes import config
    from kubernetes.config.config_exception import ConfigException

    try:
        load: Any = config.load_incluster_config
        load(client_configuration=configuration)
    except ConfigException as error:
        raise ClusterError(
            "this runs in a pod, but its service account cannot be used",
            where=str(_SERVICE_ACCOUNT),
            why=str(error),
            fix="set automountServiceAccountToken: true on the pod, or give a kubeconfig",
        ) from error
    return IN_CLUSTER


def _load_files(configuration: Configuration, files: Sequence[Path], context: str | None) -> str:
    from kubernetes.config import kube_config
    from kubernetes.config.config_exception import ConfigException

    untyped: Any = kube_config
    shown = os.pathsep.join(map(str, files))
    _readable(files)
    try:
        merged = untyped.KubeConfigMerger(shown).config
        plain: Mapping[str, Any] = _plain(merged)
        name = _chosen(plain, context, shown)
        _plugin_installed(plain, name, shown)
        with _what_is_logged() as logged:
            untyped.KubeConfigLoader(merged, active_context=name, config_base_path=None).load_and_set(configuration)
    except ConfigException as error:
        # `from None`: the library's message may hold the whole entry, and a traceback would print it.
        raise ClusterError("the kubeconfig cannot be used", where=shown, why=str(error).partition("{")[0]) from None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, yaml.YAMLError) as error:
        raise ClusterError(
            "the kubeconfig cannot be read",
            where=shown,
            why=f"{type(error).__name__} in it: not the form that kubectl writes, or a certificate that is not base64",
            fix="kubectl config view",
        ) from None
    _plugin_answered(plain, name, configuration, logged, shown)
    if is_loopback(configuration.host) and not _cluster_of(plain, name).get("proxy-url"):
        configuration.proxy = None
    return name


def _readable(files: Sequence[Path]) -> None:
    if not any(f.exists() for f in files):
        raise ClusterError(
            "there is no such kubeconfig",
            where=os.pathsep.join(map(str, files)),
            fix="chaoskit cluster up, for a cluster of chaoskit's own; or name a kubeconfig with KUBECONFIG=FILE",
        )
    for f in files:
        if f.exists() and not (f.is_file() and os.access(f, os.R_OK)):
            raise ClusterError("the kubeconfig cannot be read", where=str(f), fix=f"ls -l {f}")


def _plain(merged: object) -> Mapping[str, Any]:
    """The merged file without the client's wrappers, for looking things up in it."""
    content = getattr(merged, "value", None)
    if not isinstance(content, dict):
        raise TypeError("no mapping")

    return {
        key: [getattr(entry, "value", entry) for entry in value] if isinstance(value, list) else value
        for key, value in content.items()
    }


def _entry(plain: Mapping[str, Any], section: str, name: object) -> Mapping[str, Any]:
    key = section.removesuffix("s")
    found = next((entry[key] for entry in plain.get(section) or () if entry.get("name") == name), None)
    return found or {}


def _chosen(plain: Mapping[str, Any], context: str | None, shown: str) -> str:
    """The name of the context to use, which is there and names a cluster that is there."""
    names = [str(entry["name"]) for entry in plain.get("contexts") or ()]
    there = f"contexts there: {', '.join(names)}" if names else "there are no contexts in it"
    name = context or str(plain.get("current-context") or "")
    if not name:
        raise ClusterError("no context is chosen", where=shown, why=there, fix="kubectl config use-context NAME")
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1)
        guess = f"did you mean {near[0]}?" if near else "kubectl config get-contexts"
        raise ClusterError(f"there is no context {name!r}", where=shown, why=there, fix=guess)
    if not _cluster_of(plain, name).get("server"):
        cluster = _entry(plain, "contexts", name).get("cluster")
        raise ClusterError(
            f"context {name!r} names the cluster {cluster!r}, which has no server",
            where=shown,
            fix=f"kubectl config set-cluster {cluster} --server=https://HOST:PORT",
        )
    return name


def _cluster_of(plain: Mapping[str, Any], context: str) -> Mapping[str, Any]:
    return _entry(plain, "clusters", _entry(plain, "contexts", context).get("cluster"))


def _plugin(plain: Mapping[str, Any], context: str) -> Mapping[str, Any]:
    """The entry of the credential plugin that the context's user has, or an empty mapping."""
    user = _entry(plain, "users", _entry(plain, "contexts", context).get("user"))
    found: Mapping[str, Any] = user.get("exec") or {}
    return found


def _plugin_installed(plain: Mapping[str, Any], context: str, shown: str) -> None:
    plugin = _plugin(plain, context)
    command = str(plugin.get("command") or "")
    # A command with a slash is relative to the file that names it, which the client knows and we do not.
    if not command or "/" in command or shutil.which(command):
        return
    raise ClusterError(
        f"the credential plugin {command!r} of context {context!r} is not installed",
        where=shown,
        why=f"{command} is not on PATH",
        fix=str(
            plugin.get("installHint") or f"install {command}, then try kubectl --context {context} version"
        ).strip(),
    )


def _plugin_answered(
    plain: Mapping[str, Any], context: str, configuration: Configuration, logged: Sequence[str], shown: str
) -> None:
    plugin = _plugin(plain, context)
    if plugin and not configuration.api_key and not configuration.cert_file:
        raise ClusterError(
            f"the credential plugin {plugin.get('command')!r} of context {context!r} gave no credentials",
            where=shown,
            why="; ".join(logged),
            fix=f"log in again, then try kubectl --context {context} auth whoami",
        )


@contextmanager
def _what_is_logged() -> Iterator[list[str]]:
    """Errors that the client logs instead of raising; they go nowhere else meanwhile than to the handlers there are."""
    messages: list[str] = []
    handler = logging.Handler(logging.ERROR)
    handler.emit = lambda record: messages.append(record.getMessage())  # type: ignore[method-assign]
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield messages
    finally:
        root.removeHandler(handler)


def _tune(configuration: Configuration) -> None:
    from kubernetes.utils.keepalive import tcp_keepalive_socket_options

    configuration.retries = False
    """The client's own retries would repeat a DELETE; `False` also hands out errors as they are."""
    configuration.connection_pool_maxsize = CONNECTIONS
    configuration.socket_options = tcp_keepalive_socket_options(*_KEEP_ALIVE)
