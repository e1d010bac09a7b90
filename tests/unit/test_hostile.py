"""What comes from elsewhere and may be anything: it is read or refused, in bounded time, and no secret gets out."""

from __future__ import annotations

import io
import json
import re
from contextlib import suppress
from copy import deepcopy
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from rich.console import Console
from stories import EXPERIMENT, NAMESPACE, play, story
from test_cli import chaoskit

from chaoskit import heal, session, spec
from chaoskit.actions import ACTIONS
from chaoskit.adapters import kubeconfig, manifests
from chaoskit.adapters.fake import FakeWorld
from chaoskit.adapters.fake import manifests as made
from chaoskit.adapters.prometheus import PrometheusMetrics, interval_in
from chaoskit.adapters.urls import shown_url
from chaoskit.contracts import Intent
from chaoskit.errors import ChaoskitError, ClusterError, ExperimentError, UsageError
from chaoskit.model import UNDO_ANNOTATION, Answer, Target
from chaoskit.objects import uid

pytestmark = pytest.mark.slow

CANARY = "c4nary-t0ken-never-shown"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just(10**400),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
quick = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def everywhere(data, path=()):
    """The path of each part of plain data."""
    yield path
    parts = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, part in parts:
        yield from everywhere(part, (*path, key))


def put(data, path, value):
    """A copy of plain data with another part in one place."""
    if not path:
        return value
    copy = deepcopy(data)
    part = copy
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = value
    return copy


# ── Prometheus ───────────────────────────────────────────────────────────────────────────────────────────────────────


class Says:
    """A Prometheus that answers everything with the same."""

    shown = "http://there"

    def __init__(self, body: bytes, status: int = 200) -> None:
        self._body, self._status = body, status

    def send(self, path, form):
        return self._status, "application/json", self._body


GOOD = {
    "status": "success",
    "warnings": ["partial"],
    "data": {
        "resultType": "matrix",
        "yaml": "global: {scrape_interval: 5s}",
        "result": [{"metric": {"pod": "a"}, "values": [[1.5, "2"], [2.5, "NaN"]]}],
    },
}
DEEP = b"[" * 200_000 + b"]" * 200_000


def asked(body: bytes, status: int = 200) -> Answer:
    """All that is ever asked of a Prometheus, of one that says this."""
    metrics = PrometheusMetrics(Says(body, status))
    assert metrics.scrape_interval() > 0
    assert isinstance(metrics.trouble(), str)
    answer = metrics.range("q", 0.0, 10.0, 1.0)
    assert isinstance(metrics.instant("q", 0.0), Answer)
    for series in answer.series:
        assert all(isinstance(text, str) for pair in series.labels.items() for text in pair)
        assert all(isinstance(number, float) for point in series.points for number in point)
    assert answer.error or answer.series or not answer.error
    return answer


@given(st.sampled_from(list(everywhere(GOOD))), JSON)
@quick
def test_any_value_in_any_place_of_an_answer_is_data_or_an_error(path, value):
    asked(json.dumps(put(GOOD, path, value)).encode())


@given(st.binary(max_size=200), st.integers(100, 599))
@example(DEEP, 200)
@example(b'{"status":"success","data":{"resultType":"scalar","result":[' + b"9" * 5000 + b',"1"]}}', 200)
@quick
def test_any_bytes_are_data_or_an_error(body, status):
    asked(body, status)


@given(st.text(max_size=100) | JSON.map(lambda said: yaml.safe_dump({"global": said, "scrape_configs": said})))
@example("a: &a [x, x]\nb: &b [*a, *a]\nglobal: {scrape_interval: *b}")
@example("[" * 5000)
@quick
def test_any_configuration_tells_an_interval_or_none(text):
    found = interval_in(text)
    assert found is None or found > 0


# ── kubeconfigs ──────────────────────────────────────────────────────────────────────────────────────────────────────

KUBECONFIG = {
    "apiVersion": "v1",
    "kind": "Config",
    "current-context": "c",
    "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u", "namespace": "n"}}],
    "clusters": [{"name": "c", "cluster": {"server": f"https://user:{CANARY}@127.0.0.1:1"}}],
    "users": [{"name": "u", "user": {"token": CANARY, "password": CANARY, "client-key-data": CANARY}}],
}


def connected(path: Path, text: str) -> str:
    """What is said where the kubeconfig cannot be used."""
    path.write_text(text, encoding="utf-8", errors="surrogateescape")
    try:
        kubeconfig.connect(path, None)
    except ChaoskitError as error:
        return f"{error}{error.__cause__!r}"
    return ""


@given(path=st.sampled_from(list(everywhere(KUBECONFIG))), value=JSON)
@quick
def test_any_value_in_any_place_of_a_kubeconfig_is_used_or_refused_and_no_secret_is_said(path, value, tmp_path):
    assert CANARY not in connected(tmp_path / "config", yaml.safe_dump(put(KUBECONFIG, path, value)))


@given(text=st.text(alphabet=st.characters(codec="utf-8"), max_size=100))
@example(text="[" * 20_000)
@example(
    text="a: &a [x]\n" + "".join(f"{chr(98 + i)}: &{chr(98 + i)} [*{chr(97 + i)}, *{chr(97 + i)}]\n" for i in range(20))
)
@quick
def test_any_text_is_no_kubeconfig(text, tmp_path):
    assert connected(tmp_path / "config", text)


# ── marks on the cluster ─────────────────────────────────────────────────────────────────────────────────────────────


def mark(world: FakeWorld, kind: str, named: str, text: str, place: str = "") -> None:
    key = f"{UNDO_ANNOTATION}r1"
    world.cluster.patch(kind, named, {"metadata": {"annotations": {key: text}}}, place)


def intent(world: FakeWorld, verb: str, change, **target) -> str:
    about = {"kind": "node", "name": "node1", "namespace": "", "uid": uid(world.cluster.get("node", "node1"))}
    return json.dumps([heal.as_data(Intent("r1", 1, "a", verb, Target(**(about | target)), change))])


@given(JSON.map(json.dumps) | st.text(max_size=60))
@example("[" * 20_000)
@example('[{"run":"r1","n":1e999,"step":"","verb":"x","change":{},"target":{}}]')
@quick
def test_any_mark_is_healed_or_told_and_hinders_nothing(text):
    world = FakeWorld(1)
    mark(world, "node", "node1", text)
    mark(world, "node", "node2", intent(world, "cordon_node", {"unschedulable": True}, name="node2"))
    done = heal.heal(world.cluster, heal.found_in(world.cluster), world.clock.advance)
    assert any(i.target.name == "node2" and h.done for i, h in done)


@given(st.sampled_from(sorted(ACTIONS)), JSON, JSON, st.sampled_from(["node", "service", "deployment", "../x", ""]))
@quick
def test_no_mark_makes_healing_fail_otherwise(verb, change, prior, kind):
    world = FakeWorld(1)
    world.cluster.create(made.namespace("a"))
    for manifest in (made.deployment("front", 1), made.service("front")):
        world.cluster.create(manifest, "a")
    for there, named, place in (("node", "node1", ""), ("service", "front", "a"), ("deployment", "front", "a")):
        present = world.cluster.get(there, named, place)
        target = {"kind": kind or there, "name": named, "namespace": place, "uid": uid(present), "prior": prior}
        said = {"run": "r1", "n": 1, "step": "a", "verb": verb, "change": change, "target": target}
        mark(world, there, named, json.dumps([said]), place)
    for each, healed in heal.heal(world.cluster, heal.found_in(world.cluster), world.clock.advance):
        assert healed.done or healed.fix, each


@pytest.mark.parametrize(
    "target",
    [
        {"kind": "service", "name": "new", "namespace": "kube-system", "prior": {"manifest": made.service("new")}},
        {"kind": "namespace", "name": "b", "namespace": ""},
        {"kind": "service", "name": "new", "namespace": "b", "prior": {"manifest": made.service("new")}},
    ],
)
@pytest.mark.parametrize("verb", ["recreate_service", "namespace"])
def test_a_mark_speaks_of_the_object_that_it_stands_on_and_of_no_other(target, verb):
    """Whoever may write on his own Service must not make healing act elsewhere, with rights that he does not have."""
    world = FakeWorld(1)
    for space in ("a", "b"):
        world.cluster.create(made.namespace(space, {"chaoskit.io/run": "r2"}))
    world.cluster.create(made.service("front"), "a")
    mark(world, "service", "front", intent(world, verb, {"x": 1}, **({"uid": "u"} | target)), "a")
    acts = len(world.cluster.acts)
    ((_, healed),) = heal.heal(world.cluster, heal.found_in(world.cluster, "r1"), world.clock.advance)
    assert not healed.done
    assert "kubectl annotate" in healed.fix
    assert len(world.cluster.acts) == acts


# ── names ────────────────────────────────────────────────────────────────────────────────────────────────────────────

HOSTILE = "<script>alert(1)</script>\x1b[2J$(touch /tmp/x);`id`|\"'&\u202e\n# x"


def test_names_from_the_cluster_leave_the_folder_and_the_reports_whole(tmp_path):
    """A real API server refuses such names. What is served as one may not."""
    evil = f"../../../evil{HOSTILE}"

    def told(world):
        pod = made.deployment("front", 1)["spec"]["template"]
        labels = {**pod["metadata"]["labels"], HOSTILE: HOSTILE}
        body = {"kind": "Pod", "metadata": {"name": evil, "labels": labels, "annotations": {HOSTILE: HOSTILE}}}
        world.clock.at(2.0, lambda: world.cluster.create({**body, "spec": pod["spec"]}, NAMESPACE))

    home = tmp_path / "a" / "b" / "c"
    run = play(story(home, EXPERIMENT, told=told))
    assert run.ending is not None
    assert run.ending.unhealed == ()
    done = session.judge(home)
    assert {path.relative_to(tmp_path).parts[:3] for path in tmp_path.rglob("*") if path.is_file()} == {("a", "b", "c")}
    assert any("evil" in path.name for path in (home / "logs").iterdir())
    page = (home / "report.html").read_text()
    assert "<script>alert" not in page
    said = io.StringIO()
    from chaoskit.report import terminal

    terminal.print_verdict(done.result, done.record, Console(file=said))
    assert "\x1b[2J" not in said.getvalue()


@given(st.text(min_size=1, max_size=60))
def test_a_run_is_named_by_plain_letters_whatever_its_experiment_is_called(text):
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", session.slug(text))


# ── manifests ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_manifest_that_grows_when_it_is_read_is_refused(tmp_path):
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    lines += [f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join([f'*{chr(97 + i)}'] * 9)}]" for i in range(9)]
    head = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: bomb}\n"
    (tmp_path / "bomb.yaml").write_text(head + "\n".join(lines))
    with pytest.raises(UsageError, match=r"grows|aliases"):
        manifests.read(tmp_path / "bomb.yaml")


def test_a_manifest_that_says_a_part_twice_by_an_alias_is_read(tmp_path):
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, labels: &x {app: a}}\ndata: *x\n"
    (tmp_path / "a.yaml").write_text(text)
    (found,) = manifests.read(tmp_path / "a.yaml")
    assert found["data"] == {"app": "a"}


@given(text=st.text(max_size=120))
@example(text="a: &a [*a]")
@example(text="[" * 20_000)
@quick
def test_any_text_is_manifests_or_refused(text, tmp_path):
    (tmp_path / "a.yaml").write_text(text, encoding="utf-8", errors="surrogatepass")
    with suppress(UsageError):
        manifests.read(tmp_path / "a.yaml")


# ── secrets ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_no_secret_of_a_run_is_in_its_folder(tmp_path):
    """What the app and the cluster hold: Secrets, environments, arguments, what kubectl noted."""
    front, service = made.deployment("front", 3), made.service("front", kind="LoadBalancer")
    container = front["spec"]["template"]["spec"]["containers"][0]
    container["env"] = [{"name": "PASSWORD", "value": CANARY}]
    container["args"] = ["--password", CANARY]
    container["command"] = ["app", f"--token={CANARY}"]
    note = {"kubectl.kubernetes.io/last-applied-configuration": json.dumps({"stringData": CANARY})}
    front["metadata"]["annotations"] = note
    front["spec"]["template"]["metadata"]["annotations"] = note
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"password": CANARY}}
    run = play(story(tmp_path, shop=(front, service, secret)))
    assert run.ending is not None
    assert run.ending.how == "complete"
    session.judge(tmp_path)
    holding = [path.name for path in tmp_path.rglob("*") if path.is_file() and CANARY.encode() in path.read_bytes()]
    assert holding == []


def test_an_address_with_a_password_is_refused_and_not_repeated():
    with pytest.raises(ExperimentError) as caught:
        spec.loads(EXPERIMENT + f"app: {{namespace: shop, url: 'https://me:{CANARY}@shop.example.org'}}\n")
    assert "password" in str(caught.value)
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize("url", [f"http://me:{CANARY}@127.0.0.1:1", f"http://{CANARY}@127.0.0.1:1/x"])
def test_a_prometheus_address_with_a_password_is_never_shown(url):
    metrics = PrometheusMetrics(url, token=CANARY)
    assert CANARY not in metrics.shown + metrics.trouble()
    with pytest.raises(UsageError) as caught:
        PrometheusMetrics(f"ftp://me:{CANARY}@host")
    assert CANARY not in str(caught.value)


def test_a_kubeconfig_that_cannot_be_used_is_refused_without_its_secrets(tmp_path):
    broken = put(KUBECONFIG, ("users", 0, "user", "client-certificate-data"), CANARY)
    (tmp_path / "config").write_text(yaml.safe_dump(broken))
    with pytest.raises(ClusterError) as raised:
        kubeconfig.connect(tmp_path / "config", None)
    assert CANARY not in repr(raised.getrepr(chain=True)).replace(str(broken), "")


@given(
    user=st.text("ab%", max_size=3), password=st.text("c4/?#@:%", max_size=8), tail=st.sampled_from(["", "/x", ":1"])
)
def test_a_password_is_never_part_of_a_shown_address(user, password, tail):
    """Also one with characters that should have been encoded."""
    shown = shown_url(f"http://{user}:{CANARY}{password}@host{tail}")
    assert CANARY not in shown
    assert shown.endswith(f"@host{tail}")


@pytest.mark.parametrize("url", ["http://host:9090/graph?mail=a@b", "https://host/a@b", "http://127.0.0.1:80"])
def test_an_address_without_a_password_is_shown_as_it_is(url):
    assert shown_url(url) == url


@pytest.mark.parametrize("command", [["plan", "x.yaml"], ["run", "x.yaml", "--yes", "--out", "run"], ["heal"]])
def test_no_secret_of_a_command_is_said_or_kept(tmp_path, command):
    """With a kubeconfig and addresses full of them, on an API server that does not answer."""
    (tmp_path / "config").write_text(yaml.safe_dump(KUBECONFIG))
    (tmp_path / "x.yaml").write_text(EXPERIMENT + "app: {namespace: shop}\n")
    where = ["--kubeconfig", "config", "--context", "c", "--prometheus", f"http://me:{CANARY}@127.0.0.1:1"]
    done = chaoskit(tmp_path, *command, *where)
    assert done.returncode
    assert "Traceback" not in done.stderr
    assert CANARY not in done.stdout + done.stderr
    kept = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "config"]
    assert all(CANARY not in path.read_text() for path in kept)
