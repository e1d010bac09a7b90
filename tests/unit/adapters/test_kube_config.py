"""Kubeconfigs as people have them, and what is said about those that do not work."""

from __future__ import annotations

import json
import sys

import pytest
import yaml

from chaoskit.adapters.kube import KubeCluster
from chaoskit.errors import ClusterError

SECRET = "s3cr3t-t0ken"  # noqa: S105


def plugin_user(path, script):
    path.write_text(script)
    return {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": sys.executable, "args": [str(path)]}}


def test_a_token_is_sent_and_never_shown(served, script, write_kubeconfig):
    served.on("GET", "/version", script.status(401, "Unauthorized"))
    with pytest.raises(ClusterError) as raised:
        KubeCluster.connect(write_kubeconfig(served.url, {"token": SECRET}), None)
    assert served.asked("GET", "/version")[0].headers["authorization"] == f"Bearer {SECRET}"
    assert "the credentials are not accepted" in str(raised.value)
    assert SECRET not in repr(raised.getrepr(chain=True))


def test_a_plugins_token_is_sent(served, tmp_path, write_kubeconfig):
    credential = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "status": {"token": SECRET},
    }
    user = plugin_user(tmp_path / "login.py", f"print({json.dumps(credential)!r})")
    KubeCluster.connect(write_kubeconfig(served.url, user), "here").close()
    assert served.asked("GET", "/version")[0].headers["authorization"] == f"Bearer {SECRET}"


def test_a_plugin_that_fails_is_quoted_and_nothing_is_sent(served, tmp_path, write_kubeconfig, caplog):
    user = plugin_user(tmp_path / "login.py", "import sys; sys.exit('your session has expired')")
    with pytest.raises(ClusterError, match=r"(?s)gave no credentials.*your session has expired"):
        KubeCluster.connect(write_kubeconfig(served.url, user), None)
    assert not served.asked()


def test_a_plugin_that_is_not_installed_is_named(served, write_kubeconfig):
    user = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "no-such-login-plugin"}}
    with pytest.raises(ClusterError, match=r"'no-such-login-plugin' of context 'here' is not installed") as raised:
        KubeCluster.connect(write_kubeconfig(served.url, user), None)
    assert "install no-such-login-plugin" in raised.value.fix
    user["exec"]["installHint"] = "Get it from your platform team."
    with pytest.raises(ClusterError) as raised:
        KubeCluster.connect(write_kubeconfig(served.url, user), None)
    assert raised.value.fix == "Get it from your platform team."


def test_an_unknown_context_lists_those_there(served, write_kubeconfig):
    with pytest.raises(ClusterError, match=r"(?s)no context 'hre'.*contexts there: here.*did you mean here\?"):
        KubeCluster.connect(write_kubeconfig(served.url), "hre")


def test_a_missing_file_says_how_to_get_a_cluster(tmp_path):
    with pytest.raises(ClusterError, match=r"(?s)nowhere.*no such kubeconfig.*chaoskit cluster up"):
        KubeCluster.connect(tmp_path / "nowhere", None)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "cannot be used"),
        ("just text", "cannot be read"),
        ("- a\n- b\n", "cannot be read"),
        ("a: [", "cannot be read"),
        ("contexts: []\nclusters: []\nusers: []\n", "no context is chosen"),
        ("current-context: x\ncontexts: [{name: x, context: {cluster: y}}]\nclusters: []\n", "which has no server"),
        ("current-context: x\ncontexts: [{nome: x}]\nclusters: []\n", "cannot be read"),
    ],
)
def test_a_file_that_is_no_kubeconfig_is_an_error_with_its_name(tmp_path, content, told):
    path = tmp_path / "kubeconfig"
    path.write_text(content)
    with pytest.raises(ClusterError, match=told) as raised:
        KubeCluster.connect(path, None)
    assert raised.value.where == str(path)


@pytest.mark.parametrize(
    "user",
    [
        {"client-certificate-data": "?" + SECRET, "client-key-data": SECRET},
        {"client-certificate": "/nowhere/cert.pem", "client-key": "/nowhere/key.pem", "token": SECRET},
        {"exec": {"command": "cat", "env": [{"name": "A", "value": SECRET}]}},
        {"token": 17, "password": SECRET},
    ],
)
def test_broken_credentials_are_told_without_them(served, write_kubeconfig, user):
    with pytest.raises(ClusterError) as raised:
        KubeCluster.connect(write_kubeconfig(served.url.replace("http:", "https:"), user), None)
    assert SECRET not in str(raised.value)
    assert SECRET not in str(raised.getrepr(chain=True, showlocals=False))


def test_a_token_in_the_wrong_place_is_not_shown(served, write_kubeconfig):
    path = write_kubeconfig(served.url)
    content = yaml.safe_load(path.read_text())
    content["users"] = [{"name": "me", "token": SECRET}]
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(ClusterError, match="cannot be read") as raised:
        KubeCluster.connect(path, None)
    assert SECRET not in str(raised.getrepr(chain=True, showlocals=False))


def test_a_server_without_tls_is_told(served, write_kubeconfig):
    with pytest.raises(ClusterError, match=r"does not answer"):
        KubeCluster.connect(write_kubeconfig(served.url.replace("http:", "https:")), None)


def test_the_environment_names_the_file(served, write_kubeconfig, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", f"/nowhere/first:{write_kubeconfig(served.url)}")
    cluster = KubeCluster.connect(None, None)
    assert cluster.version() == "v1.37.2"
    cluster.close()


def test_files_are_merged_as_kubectl_does(served, write_kubeconfig, tmp_path, monkeypatch):
    other = tmp_path / "other"
    entry = {"clusters": [{"name": "far", "cluster": {"server": "http://127.0.0.1:1"}}]}
    entry["contexts"] = [{"name": "away", "context": {"cluster": "far"}}]
    other.write_text(yaml.safe_dump(entry))
    monkeypatch.setenv("KUBECONFIG", f"{write_kubeconfig(served.url)}:{other}")
    KubeCluster.connect(None, "here").close()
    with pytest.raises(ClusterError, match=r"(?s)context away does not answer"):
        KubeCluster.connect(None, "away")


def test_a_cluster_on_this_machine_is_asked_without_a_proxy(served, write_kubeconfig, monkeypatch):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    KubeCluster.connect(write_kubeconfig(served.url), None).close()
