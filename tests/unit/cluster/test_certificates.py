from __future__ import annotations

import json
from base64 import b64decode
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from chaoskit.cluster.certificates import Authority, kubeconfig, signing_keys, write_pair


def subject(certificate: x509.Certificate, oid: x509.ObjectIdentifier) -> list[str]:
    return [str(attribute.value) for attribute in certificate.subject.get_attributes_for_oid(oid)]


def test_a_certificate_names_its_user_and_groups_as_kubernetes_reads_them() -> None:
    pair = Authority("test").issue("system:node:node1", ["system:nodes"])
    certificate = x509.load_pem_x509_certificate(pair.certificate)
    assert subject(certificate, NameOID.COMMON_NAME) == ["system:node:node1"]
    assert subject(certificate, NameOID.ORGANIZATION_NAME) == ["system:nodes"]


def test_a_certificate_is_signed_by_its_authority_and_no_other() -> None:
    authority = Authority("test")
    root = x509.load_pem_x509_certificate(authority.pair.certificate)
    certificate = x509.load_pem_x509_certificate(authority.issue("someone").certificate)
    certificate.verify_directly_issued_by(root)
    public = root.public_key()
    assert isinstance(public, ec.EllipticCurvePublicKey)
    public.verify(certificate.signature, certificate.tbs_certificate_bytes, ec.ECDSA(hashes.SHA256()))


def test_server_names_may_be_addresses_or_names() -> None:
    pair = Authority("test").issue("api", addresses=["10.96.0.1", "kubernetes.default"])
    certificate = x509.load_pem_x509_certificate(pair.certificate)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["10.96.0.1"]
    assert names.get_values_for_type(x509.DNSName) == ["kubernetes.default"]


def test_a_kubeconfig_holds_everything_that_a_client_needs() -> None:
    authority = Authority("test")
    pair = authority.issue("admin")
    text = kubeconfig("https://127.0.0.1:6443", authority.pair.certificate, "admin", pair, name="shop")
    config = json.loads(text)
    assert config["current-context"] == "shop"
    assert config["clusters"][0]["cluster"]["server"] == "https://127.0.0.1:6443"
    assert b64decode(config["users"][0]["user"]["client-key-data"]) == pair.key


def test_keys_on_disk_are_the_owner_s_alone(tmp_path: Path) -> None:
    write_pair(tmp_path, "api", Authority("test").issue("api"))
    assert {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {
        "api.crt": 0o600,
        "api.key": 0o600,
    }


def test_signing_keys_are_a_pair() -> None:
    private, public = signing_keys()
    assert b"EC PRIVATE KEY" in private
    assert b"PUBLIC KEY" in public
