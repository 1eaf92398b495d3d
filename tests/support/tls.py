"""TLS certificates for tests: one CA, servers and clients below it; P-256, made once per process."""

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID


@dataclass(frozen=True)
class TlsFiles:
    """PEM files, and the fingerprint of the client's certificate."""

    ca: Path
    server: Path
    server_key: Path
    client: Path
    client_key: Path
    fingerprint: str

    def trusting(self, *, as_client: bool = False) -> ssl.SSLContext:
        """The client's side."""
        context = ssl.create_default_context(cafile=str(self.ca))
        if as_client:
            context.load_cert_chain(self.client, self.client_key)
        return context

    def serving(self) -> ssl.SSLContext:
        """The server's side."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.server, self.server_key)
        return context


def make_tls(folder: Path, names: tuple[str, ...] = ("gw.bank.test", "127.0.0.1")) -> TlsFiles:
    """A CA, a server certificate with these names, a client certificate."""
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test CA")])
    at = datetime.now(UTC)

    def issue(
        name: str, key: ec.EllipticCurvePrivateKey, *extensions: x509.ExtensionType, ca: bool
    ) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(ca_name if ca else x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(ca_name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(at - timedelta(days=1))
            .not_valid_after(at + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca, None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
            .add_extension(x509.KeyUsage(not ca, False, False, False, False, ca, ca, False, False), critical=True)
        )
        for extension in extensions:
            builder = builder.add_extension(extension, critical=False)
        return builder.sign(ca_key, hashes.SHA256())

    def write(name: str, octets: bytes) -> Path:
        path = folder / name
        path.write_bytes(octets)
        return path

    def pem(key: ec.EllipticCurvePrivateKey) -> bytes:
        return key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    san = x509.SubjectAlternativeName(
        [x509.IPAddress(ip_address(name)) if name[0].isdigit() else x509.DNSName(name) for name in names]
    )
    server_key, client_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    server = issue("server", server_key, san, x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), ca=False)
    client = issue("client", client_key, x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), ca=False)
    encoding = serialization.Encoding.PEM
    return TlsFiles(
        write("ca.pem", issue("ca", ca_key, ca=True).public_bytes(encoding)),
        write("server.pem", server.public_bytes(encoding)),
        write("server.key", pem(server_key)),
        write("client.pem", client.public_bytes(encoding)),
        write("client.key", pem(client_key)),
        sha256(client.public_bytes(serialization.Encoding.DER)).hexdigest(),
    )
