"""What the issuer says about its checks. Truth: S/MIME BR 7.1.6.1 and ETSI EN 319 412-5 4.2.1."""

import pytest
from cryptography import x509

from gateway.der import build
from gateway.pki.level import level_of
from tests.support.pki import get_pki

QC = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.3")


def statements(*oids):
    return ((x509.UnrecognizedExtension(QC, build.sequence(*(build.sequence(build.oid(oid)) for oid in oids))), False),)


@pytest.mark.parametrize(("options", "level"), [
    ({}, ()), ({"policies": ("2.23.140.1.5.1.2",)}, ("mailbox",)), ({"policies": ("2.23.140.1.5.3.3",)}, ("sponsor",)),
    ({"policies": ("2.23.140.1.5.4.1", "2.999.1")}, ("individual",)), ({"policies": ("2.23.140.1.5.9.1",)}, ()),
    ({"extensions": statements("0.4.0.1862.1.1")}, ("qualified",)), ({"extensions": statements("0.4.0.1862.1.4")}, ()),
    ({"extensions": ((x509.UnrecognizedExtension(QC, b"broken"), False),)}, ()),
    ({"policies": ("2.23.140.1.5.2.2",), "extensions": statements("0.4.0.1862.1.4", "0.4.0.1862.1.1")},
     ("organization", "qualified"))])
def test_levels(options, level):
    assert level_of(get_pki().signer("p-256", **options).certificate) == level
