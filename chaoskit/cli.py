"""The command line. Everything heavy is imported by the command that needs it."""

from __future__ import annotations

import os
import secrets
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from chaoskit import experimentfiles, units
from chaoskit.batch import INDEX, STOPS, SUMMARY, worst_code
from chaoskit.errors import (
    EXIT_INTERRUPTED,
    EXIT_UNHEALED,
    ChaoskitError,
    ClusterError,
    ExperimentError,
    PortError,
    UsageError,
)

if TYPE_CHECKING:
    from chaoskit.adapters.objectstore import ObjectStore
    from chaoskit.engine import Live
    from chaoskit.session import Options, Preview, Run, Session
    from chaoskit.spec import Experiment

EXIT_HELP = """Exit codes: 0 all held, 1 an expectation failed, 2 wrong usage or experiment, 3 inconclusive,
4 stopped by a safety limit, 5 healing incomplete, 130 interrupted and healed."""


class Lazy(click.Group):
    """Imports the embedded cluster's commands only when one of them is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*super().list_commands(ctx), "cluster"])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name == "cluster":
            from chaoskit.cluster.commands import cluster

            return cluster
        return super().get_command(ctx, cmd_name)


@click.group(cls=Lazy, epilog=EXIT_HELP, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("chaoskit"), prog_name="chaoskit")
def cli() -> None:
    """Break an application on Kubernetes on purpose, and judge what its users saw."""


def _cluster_options(command: Any) -> Any:  # noqa: ANN401 - a click decorator
    for option in (
        click.option(
            "--context", default="", help="A context of your kubeconfig; the embedded cluster where not given."
        ),
        click.option("--kubeconfig", type=click.Path(path_type=Path), help="With --context: which file."),
        click.option("--prometheus", default="", metavar="URL", help="With --context: where Prometheus answers."),
        click.option(
            "--cluster", "cluster_name", default="chaoskit", show_default=True, help="The embedded cluster's name."
        ),
        click.option(
            "--nodes", default=3, show_default=True, type=click.IntRange(1), help="Nodes, if it has to be started."
        ),
        click.option("--namespace", "-n", default="", help="The name of the fresh namespace."),
        click.option("--seed", type=int, help="Makes the choice of targets repeatable."),
        click.option(
            "--load-image",
            default="",
            envvar="CHAOSKIT_LOAD_IMAGE",
            metavar="IMAGE",
            help="With load.workers: chaoskit's own image, as your nodes know it.",
        ),
    ):
        command = option(command)
    return command


def _options(given: dict[str, Any], out: Path | None = None) -> Options:
    from chaoskit.session import Options

    for name in ("kubeconfig", "prometheus", "metrics_address"):
        if given.get(name) and not given["context"]:
            # Otherwise the embedded cluster would be used, and the user would believe it was another one.
            raise UsageError(
                f"--{name.replace('_', '-')} is of no use without --context",
                fix="name the context: kubectl config get-contexts",
            )
    return Options(
        context=given["context"],
        kubeconfig=given["kubeconfig"],
        prometheus=given["prometheus"],
        cluster=given["cluster_name"],
        inside=given.get("inside", False),
        nodes=given["nodes"],
        namespace=given["namespace"],
        seed=given["seed"],
        out=out,
        push_gateway=given.get("push_gateway", ""),
        metrics_address=given.get("metrics_address", ""),
        grafana=given.get("grafana", ""),
        load_image=given.get("load_image", ""),
    )


FILES = click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))


APP = click.option(
    "--app", type=click.Path(path_type=Path, exists=True), help="Other manifests than the experiment's: file or folder."
)


PUSH_GATEWAY = click.option(
    "--push-gateway", default="", metavar="URL", help="A Prometheus Pushgateway that keeps the results' metrics."
)


@cli.command()
@FILES
@_cluster_options
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="The folder of the run, or of all runs; where not given, one in runs/.",
)
@PUSH_GATEWAY
@click.option(
    "--metrics-address",
    default="",
    metavar="HOST:PORT",
    help="With --context: where chaoskit's own metrics can be scraped during a run.",
)
@click.option(
    "--grafana",
    default="",
    metavar="URL",
    help="A Grafana that shows the steps as annotations; its token is in CHAOSKIT_GRAFANA_TOKEN.",
)
@click.option(
    "--upload",
    default="",
    metavar="s3://BUCKET/PREFIX",
    help="Copy the results into an object store at the end; AWS_ENDPOINT_URL and AWS_ACCESS_KEY_ID say whose.",
)
@APP
@click.option(
    "--label", "-l", "labels", multiple=True, metavar="KEY=VALUE", help="Only experiments that carry this label."
)
@click.option(
    "--stop-at",
    type=click.Choice(list(STOPS)),
    default="unhealed",
    show_default=True,
    help="Of several experiments: after what the rest is left. “failed” means failed or worse.",
)
@click.option("--yes", is_flag=True, help="Do not ask before the first act on a cluster that chaoskit did not make.")
def run(
    files: tuple[Path, ...],
    out: Path | None,
    app: Path | None,
    labels: tuple[str, ...],
    stop_at: str,
    yes: bool,
    upload: str,
    **given: Any,  # noqa: ANN401 - click's options
) -> None:
    """Run experiments: deploy, load, break, watch, heal, judge, report.

    Of several, or of a folder's, there is one summary, one junit.xml and one index.html, in the folder that holds the
    runs' own.
    """
    from chaoskit import repetitions
    from chaoskit.session import Session

    experiments = _labelled(_valid(files, app), labels)
    ask = bool(given["context"]) and not yes
    store = _store(upload)
    if len(experiments) > 1 or any(file.is_dir() for file in files):
        code, folder = _run_batch(experiments, _options(given), out, stop_at, ask=ask)
        _upload(folder, store)
        sys.exit(code)
    with Session(_options(given, out), _say) as session:
        done = list(_shown(session, experiments[0][1], ask=ask))
    _tell_github(done[0].folder / "summary.md" if len(done) == 1 else done[0].folder.parent / repetitions.PAGE)
    _upload(done[0].folder if experiments[0][1].repeat == 1 else done[0].folder.parent, store)
    interrupted = [EXIT_INTERRUPTED] if done[-1].interrupted else []
    sys.exit(worst_code([*(each.result.exit_code for each in done), *interrupted]))


def _run_batch(
    experiments: list[tuple[Path, Experiment]], options: Options, out: Path | None, stop_at: str, *, ask: bool
) -> tuple[int, Path]:
    """(exit code, folder)."""
    from chaoskit import batchrun
    from chaoskit.report.terminal import print_batch
    from chaoskit.session import Session, make_folder

    if ask:
        _somebody_is_there()
    folder = out or options.runs / time.strftime(f"%Y%m%d-%H%M%S-batch-{secrets.token_hex(2)}")
    with Session(replace(options, runs=folder), _say) as session:
        make_folder(folder)
        batch = batchrun.run_all(experiments, folder, lambda each: _shown(session, each, ask=ask), stop_at)
    print_batch(batch)
    _say(f"index: {folder / INDEX}")
    _tell_github(folder / SUMMARY)
    return batch.exit_code, folder


def _store(url: str) -> ObjectStore | None:
    """A place that is none is told before anything is run."""
    if not url:
        return None
    from chaoskit.adapters.objectstore import ObjectStore

    return ObjectStore(url)


def _upload(folder: Path, store: ObjectStore | None) -> None:
    """Results that cannot be copied are results all the same."""
    if store is None:
        return
    try:
        _say(f"uploaded: {store.put(folder)}")
    except PortError as error:
        _say(f"warning: the results were not uploaded: {error}\n  they are in {folder}")


def _shown(session: Session, experiment: Experiment, *, ask: bool) -> Iterator[Run]:
    """Once, or as often as it says; each verdict is printed as it comes."""
    from chaoskit import repetitions
    from chaoskit.report.terminal import LiveView, print_verdict

    def show(live: Live) -> None:
        view(live)

    _warn(experiment)
    if ask:
        _confirm(session.preview(experiment))
    runs: list[Run] = []
    coming = session.runs(experiment, show)
    while True:
        with LiveView() as view:
            done = next(coming, None)
        if done is None:
            break
        runs.append(done)
        print_verdict(done.result, done.record)
        _say(f"report: {done.report}")
        yield done
    if experiment.repeat > 1:
        for line in repetitions.lines(repetitions.summarise([done.result for done in runs])):
            _say(line)
        _say(f"summary: {runs[0].folder.parent / repetitions.PAGE}")


def _tell_github(summary: Path) -> None:
    """Where GitHub Actions names a file for a job's summary, ours is added to it."""
    if not (page := os.environ.get("GITHUB_STEP_SUMMARY")):
        return
    try:
        with Path(page).open("a", encoding="utf-8") as file:
            file.write(summary.read_text(encoding="utf-8") + "\n")
    except OSError as error:
        click.echo(f"warning: the job's summary cannot be written: {error}", err=True)


def _warn(experiment: Experiment) -> None:
    for warning in experiment.warnings:
        click.echo(f"warning: {warning}", err=True)


def _labelled(experiments: list[tuple[Path, Experiment]], wanted: Sequence[str]) -> list[tuple[Path, Experiment]]:
    """Those that carry every label asked for. UsageError where none does: nothing tried is nothing proved."""
    pairs = [tuple(label.partition("=")[::2]) for label in wanted]
    found = [(file, e) for file, e in experiments if all(e.labels.get(key) == value for key, value in pairs)]
    if not found:
        raise UsageError(
            f"no experiment carries {' and '.join(wanted)}",
            why=f"these are {len(experiments)}",
            fix="see labels in the experiment files; write -l KEY=VALUE",
        )
    return found


def _valid(files: Sequence[Path], app: Path | None = None) -> list[tuple[Path, Experiment]]:
    found, problems = _load_all(files, app)
    if problems:
        raise ExperimentError(problems)
    return found


def _load_all(files: Sequence[Path], app: Path | None = None) -> tuple[list[tuple[Path, Experiment]], list[str]]:
    """The experiments, each with a locustfile that imports, and what is wrong with the others: it is told before a
    cluster is started."""
    found: list[tuple[Path, Experiment]] = []
    problems: list[str] = []
    for file in _expanded(files):
        try:
            found.append((file, _load(file, app)))
        except ExperimentError as error:
            problems += error.problems
    return found, problems


def _load(file: Path, app: Path | None = None) -> Experiment:
    """The experiment, on another app where one is named. ExperimentError also where its locustfile does not import."""
    from chaoskit import spec
    from chaoskit.adapters.locust import check_locustfile

    experiment = spec.load(file)
    if app is not None:
        experiment = spec.with_changes(experiment, {"app": {"manifests": str(app.resolve()), "namespace": ""}})
    try:
        if own := experiment.own_locustfile:
            check_locustfile(own, sent=experiment.from_inside)
    except UsageError as error:
        raise ExperimentError([f"{file}: {error}"]) from error
    return experiment


def _expanded(files: Sequence[Path]) -> list[Path]:
    """Folders stand for the experiments in them. UsageError for one without any: nothing tried is nothing proved."""
    found = list[Path]()
    for file in files:
        inside = list(experimentfiles.in_folder(file)) if file.is_dir() else [file]
        if not inside:
            raise UsageError("no experiment is in it", where=str(file), fix="name experiment files, or their folder")
        found += inside
    return found


def _confirm(preview: Preview) -> None:
    from chaoskit.report.terminal import print_preview

    print_preview(preview)
    _somebody_is_there()
    click.confirm("Break these?", abort=True)


def _somebody_is_there() -> None:
    if not sys.stdin.isatty():
        raise ChaoskitError("this cluster was not made by chaoskit, and nobody is there to confirm", fix="give --yes")


@cli.command()
@FILES
def validate(files: tuple[Path, ...]) -> None:
    """Check experiment files, and import their Locust files, without a cluster."""
    found, problems = _load_all(files)
    for file, experiment in found:
        _say(f"{file}: {experiment.name}")
        _warn(experiment)
    for problem in problems:
        click.echo(problem, err=True)
    sys.exit(2 if problems else 0)


@cli.command()
@click.argument("file", type=click.Path(path_type=Path))
@_cluster_options
def plan(file: Path, **given: Any) -> None:  # noqa: ANN401 - click's options
    """Show targets, rights, queries with their present values, and the undo; touch nothing."""
    from chaoskit.report.terminal import print_preview
    from chaoskit.session import Session

    experiment = _load(file)
    _warn(experiment)
    with Session(_options(given), _say) as session:
        print_preview(session.preview(experiment))


@cli.command()
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
@_cluster_options
def doctor(files: tuple[Path, ...], **given: Any) -> None:  # noqa: ANN401 - click's options
    """Look whether experiments can be run and judged: reach, rights, metrics, images, Prometheus, clocks.

    With FILES, for what these need; without, for losing a pod in a fresh namespace, or in the one that -n names.
    """
    from chaoskit import doctor as looking
    from chaoskit import spec
    from chaoskit.session import Session

    experiments = [experiment for _, experiment in _valid(files)] or [spec.loads(looking.example(given["namespace"]))]
    options = _options(given)
    bad = 0
    try:
        with Session(options, _say, start=False) as session:
            for look in session.examine(experiments):
                bad += look.good is False
                _say(f"{look.mark} {look.what}: {look.said}")
                if look.fix:
                    _say(f"  next: {look.fix}")
    except ClusterError as error:
        fix = error.fix if given["context"] else f"chaoskit cluster up --name {options.cluster}"
        _say(f"✗ reach: {error.what}{f': {error.why}' if given['context'] and error.why else ''}\n  next: {fix}")
        bad += 1
    sys.exit(2 if bad else 0)


@cli.command()
@FILES
def rbac(files: tuple[Path, ...]) -> None:
    """Write the least rights that experiments need, and a ServiceAccount that has them, for kubectl apply -f -."""
    from chaoskit import rbac as granting
    from chaoskit.session import Options, Session

    experiments, problems = _load_all(files)
    if problems:
        raise ExperimentError(problems)
    session = Session(Options(), _say)
    click.echo(granting.stream([session.plan_anywhere(experiment) for _, experiment in experiments]), nl=False)


@cli.command()
@click.argument("deployment")
@click.option("--out", "-o", type=click.Path(path_type=Path), help="The file to write; it must not be there yet.")
@_cluster_options
def init(deployment: str, out: Path | None, **given: Any) -> None:  # noqa: ANN401 - click's options
    """Write a first experiment for a Deployment (deploy/NAME -n NAMESPACE) that is there already."""
    from chaoskit import starter
    from chaoskit.session import Session

    kind, _, named = deployment.rpartition("/")
    if kind not in ("", "deploy", "deployment", "deployments") or not named:
        raise UsageError(f"{deployment!r} is no Deployment", fix="name it as in deploy/web")
    with Session(_options(given), _say, start=False) as session:
        cluster = session.connect()
        try:
            namespace = given["namespace"] or "default"
            text = starter.write(starter.find(cluster, named, namespace), namespace)
        finally:
            cluster.close()
    if out is None:
        click.echo(text, nl=False)
        return
    try:
        with out.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise UsageError("the file is there already", where=str(out), fix="choose another with --out") from error
    _say(f"{out}: read it, change it, then: chaoskit plan {out}")


@cli.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@PUSH_GATEWAY
def judge(folder: Path, push_gateway: str) -> None:
    """Judge a run's folder again, offline, and write its reports anew."""
    from chaoskit.adapters.pushgateway import PushGateway
    from chaoskit.report.terminal import print_verdict
    from chaoskit.session import judge as judge_folder
    from chaoskit.session import push

    gateway = PushGateway(push_gateway) if push_gateway else None
    done: Run = judge_folder(folder)
    print_verdict(done.result, done.record)
    _say(f"report: {done.report}")
    if gateway:
        push(done, gateway, _say)
    sys.exit(done.result.exit_code)


@cli.command()
@click.argument("run_or_folder", default="")
@click.option("--inside", is_flag=True, hidden=True, help="Within the embedded cluster's network, as its janitor is.")
@_cluster_options
def heal(run_or_folder: str, **given: Any) -> None:  # noqa: ANN401 - click's options
    """Finish what a run left broken: from its folder or its id; or, of all ended runs, what the cluster shows."""
    from chaoskit.janitor import lines
    from chaoskit.session import Session

    folder = Path(run_or_folder) if run_or_folder and Path(run_or_folder).is_dir() else None
    if folder is None and "/" in run_or_folder:
        raise UsageError("there is no such folder", where=run_or_folder, fix="chaoskit heal, to look on the cluster")
    with Session(_options(given), _say, start=False) as session:
        done = session.heal("" if folder else run_or_folder, folder)
    for line in lines(done):
        _say(line)
    if not done:
        _say("nothing to heal")
    sys.exit(0 if all(healed.done for _, healed in done) else EXIT_UNHEALED)


@cli.command()
@_cluster_options
def janitor(**given: Any) -> None:  # noqa: ANN401 - click's options
    """Heal each run that has been silent for 15 s, until it is ended. An embedded cluster does so by itself."""
    from chaoskit.session import Session

    with Session(_options(given), _say, start=False) as session:
        session.watch()


@cli.command()
@click.argument("folder", type=click.Path(path_type=Path), default="runs")
@click.option("--experiment", "-e", default="", metavar="TEXT", help="Only experiments with this in their names.")
@click.option("--last", type=click.IntRange(1), metavar="N", help="Only so many, the newest.")
@click.option("--trend", is_flag=True, help="How each expectation went over time, instead of the table.")
@click.option("--max-age", default="", metavar="AGE", help="Remove what is older, as in 30d, and is healed.")
def runs(folder: Path, experiment: str, last: int | None, trend: bool, max_age: str) -> None:
    """Show past runs, the oldest first, and how their numbers move; remove old ones."""
    from chaoskit import differences, expiry, history
    from chaoskit.report import historytext

    if max_age:
        for line in expiry.told(expiry.remove(folder, _age(max_age), time.time())):
            _say(line)
        return
    found = history.indexed(folder)
    kept = [run for run in found.runs if experiment.casefold() in run.experiment.casefold()]
    kept = kept[-last:] if last else kept
    if trend:
        historytext.print_trends(differences.trends(kept))
    else:
        historytext.print_runs(kept)
        for name in () if experiment or last else found.unjudged:
            under_way = history.may_be_under_way(folder / name, time.time())
            _say(f"· {name}: {'may be under way' if under_way else f'no result; chaoskit judge {folder / name}'}")


def _age(text: str) -> float:
    try:
        age, unit = units.quantity(text)
    except ValueError as error:
        raise UsageError(f"--max-age: {error}") from error
    if unit != "s" or age <= 0:
        raise UsageError(f"--max-age takes a duration, not {text!r}", fix="write it as in 30d or 12h")
    return age


@cli.command()
@click.argument("before", type=click.Path(path_type=Path))
@click.argument("after", type=click.Path(path_type=Path))
def compare(before: Path, after: Path) -> None:
    """Tell what changed between two runs, or two folders of runs, and whether by more than the noise."""
    from chaoskit import differences, history
    from chaoskit.report import historytext

    sides = []
    for folder in (before, after):
        sides.append(history.read(folder).runs)
        if not sides[-1]:
            raise UsageError("no run with a result is in it", where=str(folder), fix=f"chaoskit judge {folder}")
    found = differences.compare(*sides)
    if not found.differences:
        raise UsageError("they have no expectation in common", fix="name runs of the same experiments")
    historytext.print_comparison(found)


@cli.command()
def schema() -> None:
    """Print the JSON schema of the experiment file."""
    from chaoskit import spec

    click.echo(spec.schema(), nl=False)


def _say(text: str) -> None:
    click.echo(text)


def _interrupt(number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt(signal.Signals(number).name)


def main(arguments: Sequence[str] | None = None) -> None:
    """The program: errors in plain words, the right exit code, and a way out for every signal. Without `arguments`,
    those of the process."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        cli(arguments, standalone_mode=False)
    except ChaoskitError as error:
        click.echo(str(error), err=True)
        sys.exit(error.exit_code)
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        sys.exit(EXIT_INTERRUPTED)
    except BrokenPipeError:
        sys.exit(0)
