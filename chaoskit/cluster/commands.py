"""`chaoskit cluster …`: the embedded cluster from the shell."""

from __future__ import annotations

import json
import os
import signal
import time
from dataclasses import asdict
from pathlib import Path
from typing import NoReturn

import click

from chaoskit.cluster import embedded, ownimage
from chaoskit.cluster.archives import image_names
from chaoskit.cluster.profile import ACCELERATED, PLATFORM_DEFAULTS
from chaoskit.cluster.state import Folder
from chaoskit.errors import ClusterError, UsageError

name_option = click.option("--name", default=embedded.DEFAULT_NAME, show_default=True, help="The cluster's name.")


@click.group()
def cluster() -> None:
    """A real Kubernetes cluster on this machine, for experiments and tests."""


@cluster.command()
@name_option
@click.option("--nodes", default=3, show_default=True, help="How many nodes, spread over three zones.")
@click.option("--platform-defaults", is_flag=True, help="Kubernetes' own timings instead of short ones.")
@click.option("--api-port", default=0, help="The API server's port on 127.0.0.1; 0 chooses a free one.")
@click.option("--prometheus-port", default=0, help="Prometheus' port on 127.0.0.1; 0 chooses a free one.")
@click.option("--audit", is_flag=True, help="Log who asks the API server for what: chaoskit cluster logs audit.")
def up(name: str, nodes: int, platform_defaults: bool, api_port: int, prometheus_port: int, audit: bool) -> None:
    """Start a cluster and wait until it is ready."""
    begun = time.monotonic()
    profile = PLATFORM_DEFAULTS if platform_defaults else ACCELERATED
    started = embedded.up(
        name,
        nodes=nodes,
        say=click.echo,
        profile=profile.name,
        api_port=api_port,
        prometheus_port=prometheus_port,
        audit=audit,
    )
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # It is up, and in a moment the exit code says so.
    click.echo(f"The cluster {name!r} is up after {time.monotonic() - begun:.1f} s.")
    click.echo(f"  export KUBECONFIG={started.kubeconfig}")
    click.echo(f"  Prometheus: {started.prometheus_url}")


@cluster.command()
@name_option
def down(name: str) -> None:
    """Stop a cluster; nothing of it stays."""
    there = Folder.of(name).path.exists()
    embedded.down(name)
    click.echo(f"The cluster {name!r} is down." if there else f"There is no cluster {name!r}.")


@cluster.command()
@name_option
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def status(name: str, as_json: bool) -> None:
    """What a cluster is and whether its nodes have power. Exit code 2 when it is not running."""
    running = _running(name)
    nodes = running.nodes_on()
    if as_json:
        facts = {
            **asdict(running),
            "state": str(running.state),
            "kubeconfig": str(running.kubeconfig),
            "nodes_on": nodes,
        }
        click.echo(json.dumps(facts, indent=1))
        return
    click.echo(f"{name}: running, profile {running.profile}")
    click.echo(f"  kubeconfig  {running.kubeconfig}")
    click.echo(f"  Prometheus  {running.prometheus_url}")
    for node, on in nodes.items():
        click.echo(f"  {node}  {'on' if on else 'switched off'}")


@cluster.command()
@name_option
def kubeconfig(name: str) -> None:
    """The path of the kubeconfig: export KUBECONFIG=$(chaoskit cluster kubeconfig)."""
    click.echo(_running(name).kubeconfig)


@cluster.command()
@name_option
@click.argument("server", required=False)
@click.option("--lines", default=50, show_default=True, help="How many lines from the end; 0 for all.")
def logs(name: str, server: str | None, lines: int) -> None:
    """The log of a server; without SERVER, which there are."""
    folder = Folder.of(name).logs
    known = sorted(path.stem for path in folder.glob("*.log"))
    if not known:
        raise ClusterError(f"there is no cluster {name!r}", fix=f"chaoskit cluster up --name {name}")
    if server is None:
        click.echo("\n".join(known))
        return
    if server not in known:
        raise UsageError(f"there is no server {server!r}", fix=f"one of: {', '.join(known)}")
    text = (folder / f"{server}.log").read_text(errors="replace").splitlines()
    click.echo("\n".join(text[-lines:] if lines else text))


@cluster.command()
@name_option
@click.argument("archive", nargs=-1, required=True, type=click.Path(path_type=Path))
def load(name: str, archive: tuple[Path, ...]) -> None:
    """Put images on the nodes, from archives as docker save and buildah push write them."""
    for each in archive:
        image_names(each)  # All are looked at before the first is loaded.
    running = _running(name)
    for each in archive:
        names, nodes = running.load(each)
        off = sorted(set(running.nodes) - set(nodes))
        later = f"; on {', '.join(off)} when there is power" if off else ""
        for image in names:
            click.echo(f"{image}: on {', '.join(nodes) or 'no node'}{later}")
            if image.endswith(":latest"):
                click.echo("  its pods need imagePullPolicy: IfNotPresent; with :latest Kubernetes would pull it")


@cluster.command()
def image() -> None:
    """The path of an archive with chaoskit's own image, made here without a registry (a minute and a half, once)."""
    click.echo(ownimage.ensure(lambda text: click.echo(text, err=True)))


@cluster.command(context_settings={"ignore_unknown_options": True})
@name_option
@click.option("--node", help="In this node instead of the control side.")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def shell(name: str, node: str | None, command: tuple[str, ...]) -> NoReturn:
    """A shell, or COMMAND, inside the cluster's namespaces, with kubectl and KUBECONFIG set."""
    running = _running(name)
    argv = list(command) or [os.environ.get("SHELL", "/bin/sh")]
    environment = {**os.environ, **_inside_environment(running)}
    os.execvpe("nsenter", running.enter(node, argv), environment)  # noqa: S606 (it becomes the shell)


def _inside_environment(running: embedded.EmbeddedCluster) -> dict[str, str]:
    programs = running.programs
    return {"KUBECONFIG": str(running.kubeconfig_inside), "PATH": f"{programs}{os.pathsep}{os.environ.get('PATH', '')}"}


def _running(name: str) -> embedded.EmbeddedCluster:
    found = embedded.find(name)
    if found is None:
        raise ClusterError(f"there is no cluster {name!r}", fix=f"chaoskit cluster up --name {name}")
    return found
