"""The tour's stations on trust: where certificates come from, what happens when a directory dies, revocation, HTTP."""

import base64
import hashlib
import json
import secrets
import time
from dataclasses import dataclass
from datetime import datetime
from email import message_from_bytes, policy
from email.utils import make_msgid
from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from gateway.clock import SystemClock
from gateway.cms.certificate import parse_certificate
from gateway.cms.signed import SignerProfile, prepare, sign
from gateway.cms.timestamp import build_request, token_of
from gateway.demo import openssl
from gateway.demo.bank import DOMAIN
from gateway.demo.guide import Guide, date_value, plain_mail
from gateway.demo.newcomer import Newcomer
from gateway.demo.openssl import Person
from gateway.demo.world import post
from gateway.errors import GatewayError
from gateway.model.scheme import SignScheme

_STAMP_ACCURACY_S: Final = 1
_STATEMENT: Final = "Please find below what happened on your account: nothing.\n"


@dataclass(frozen=True, slots=True)
class TrustTour:
    """Its stations."""

    guide: Guide

    def found(self) -> None:
        """Dora is not in the bank's store; her company's directory knows her."""
        guide, dora = self.guide, self.guide.bank.partners["dora"]
        left = guide.send("staff", plain_mail("staff@" + DOMAIN, dora.address, "[seal] The contract", "As agreed.\n"))
        guide.claim("the contract left sealed", holds=b"As agreed" not in left)
        inside = guide.checked(left, dora)
        guide.claim("the subject is inside, without the keyword", holds=inside["Subject"] == "The contract")
        result = json.loads(guide.configured("cert", "find", dora.address, "--json"))
        guide.claim("sealgate cert find names the directory that knew it", holds="partner" in json.dumps(result))

    def dies(self) -> None:
        """Nothing known is not the same as nothing there."""
        guide, erik = self.guide, self.guide.bank.partners["erik"]
        letter = plain_mail("staff@" + DOMAIN, erik.address, "[seal] The price", "The price is 4,711 EUR.\n")
        before = guide.count("outgoing")
        guide.world.directory.site.stop()
        try:
            reply = guide.refused("staff", letter)
            guide.claim(f"deferred, not refused: {reply}", holds=reply.startswith("451"))
            guide.claim("nothing left, sealed or in clear", holds=guide.count("outgoing") == before)
        finally:
            guide.world.directory.site.start()
        left = guide.sent_at_last("staff", letter)
        guide.claim("the directory is back, and so the very same mail goes", holds=b"4,711" not in left)
        guide.checked(left, erik)

    def revoked(self) -> None:
        """Carl loses the key; the mail that Carl signed and stamped before stays valid."""
        guide = self.guide
        newcomer = Newcomer.register(guide, "carl")
        newcomer.enrol(guide)
        carl, key = newcomer.person, newcomer.key
        guide.send("core-banking", plain_mail("statements@" + DOMAIN, carl.address, "Your statement", _STATEMENT))
        guide.claim("Carl's statement left sealed", holds=True)
        now = SystemClock().now()
        older = self._stamped_question(carl, key, now)
        time.sleep(_STAMP_ACCURACY_S + 1)  # a revocation is dated in whole seconds, a stamp is right to one
        guide.bank.authorities.revoke(_der(carl), SystemClock().now())
        lists = guide.bank.authorities.publish(guide.world.lists, SystemClock().now())
        guide.console.print("   (the authority has revoked Carl's certificate and published its list)", style="dim")
        guide.claim("openssl verify -crl_check finds it revoked", holds=self._openssl_says_revoked(carl, lists[1]))
        guide.claim("sealgate revocation refresh fetches the new list", holds=guide.done("revocation", "refresh"))
        before = guide.count("outgoing")
        reply = guide.refused(
            "core-banking", plain_mail("statements@" + DOMAIN, carl.address, "Your statement", _STATEMENT)
        )
        guide.claim(
            f"the next statement is refused by name: {reply}",
            holds=reply.startswith("550 5.7.5") and "revoked" in reply,
        )
        guide.claim("nothing left the gateway", holds=guide.count("outgoing") == before)
        self._judged(older, carl, lists)

    def _openssl_says_revoked(self, carl: Person, der: bytes) -> bool:
        chain = self.guide.bank.home / "pki" / "chain.pem"
        path = self.guide.bank.scratch / "mail.crl.pem"
        path.write_bytes(openssl.run("crl", "-inform", "DER", stdin=der))
        try:
            openssl.run(
                "verify",
                "-crl_check",
                "-CRLfile",
                path,
                "-CAfile",
                self.guide.bank.root,
                "-untrusted",
                chain,
                carl.certificate,
            )
        except GatewayError as refused:
            return "revoked" in refused.detail or "verification failed" in refused.detail
        return False

    def _judged(self, older: bytes, carl: Person, lists: tuple[bytes, bytes]) -> None:
        guide = self.guide
        mail = message_from_bytes(guide.received(older, carl.address), policy=policy.default)
        guide.claim(
            f"stamped before: Sealgate-Verdict: {mail['Sealgate-Verdict']}",
            holds=str(mail["Sealgate-Verdict"]).startswith("trusted"),
        )
        options: list[str] = []
        for number, der in enumerate(lists):
            path = guide.bank.scratch / f"list{number}.crl"
            path.write_bytes(der)
            options += ["--crl", str(path)]
        result = guide.inspect(older, *options, "--revocation", "require")
        guide.claim("sealgate inspect with the lists says the same", holds=result["verdict"] == "trusted")
        newer = self._question(carl) + openssl.sign(_ENTITY, carl)
        mail = message_from_bytes(guide.received(newer, carl.address), policy=policy.default)
        guide.claim(
            f"signed without a stamp: Sealgate-Verdict: {mail['Sealgate-Verdict']}",
            holds="signature.revoked" in str(mail["Sealgate-Verdict"]),
        )

    def service(self) -> None:
        """As a partner's administrator would look for it, with openssl alone."""
        guide = self.guide
        base = f"http://127.0.0.1:{guide.bank.ports.http}"
        query, answer = guide.bank.scratch / "query.tsq", guide.bank.scratch / "answer.tsr"
        query.write_bytes(openssl.run("ts", "-query", "-data", guide.bank.root, "-sha256", "-cert"))
        answer.write_bytes(post(base + "/tsa", query.read_bytes(), "application/timestamp-query"))
        output = openssl.run("ts", "-verify", "-queryfile", query, "-in", answer, "-CAfile", guide.bank.root)
        guide.claim("openssl ts -verify accepts the stamp of /tsa", holds=b"Verification" in output)
        got = post(f"{base}/certificates/support@{DOMAIN}", None, "")
        certificate = guide.bank.scratch / "support.pem"
        certificate.write_bytes(got)
        shown = openssl.run(
            "verify", "-CAfile", guide.bank.root, "-untrusted", guide.bank.home / "pki" / "chain.pem", certificate
        )
        guide.claim("openssl verify accepts the bank's certificate that is to be had there", holds=b"OK" in shown)
        same = (
            hashlib.sha256(got.strip()).digest()
            == hashlib.sha256(guide.bank.support_certificate.read_bytes().strip()).digest()
        )
        guide.claim("it is the one to which customers encrypt", holds=same)

    # Carl

    def _question(self, carl: Person) -> bytes:
        return (
            f"From: {carl.address}\r\nTo: support@{DOMAIN}\r\nSubject: A question\r\n"
            f"Message-ID: {make_msgid(domain='customer.example')}\r\n"
        ).encode() + (b"Date: " + date_value() + b"\r\n")

    def _stamped_question(self, carl: Person, key: rsa.RSAPrivateKey, at: datetime) -> bytes:
        """As a mail program would that has its signatures stamped; openssl cms cannot."""
        certificate = parse_certificate(_der(carl))
        chain = (parse_certificate(self.guide.bank.authorities.mail.der),)
        prepared = prepare(SignerProfile(certificate, chain, SignScheme.RSA_PKCS1_SHA256, None))
        der = sign(
            prepared,
            content=None,
            digest=hashlib.sha256(_ENTITY).digest(),
            at=at,
            stamp=self._stamp,
            raw_sign=lambda octets: key.sign(octets, padding.PKCS1v15(), hashes.SHA256()),
        )
        return self._question(carl) + _signed_entity(der)

    def _stamp(self, signature: bytes) -> bytes:
        request = build_request(hashlib.sha256(signature).digest(), "sha256", nonce=secrets.randbits(63), cert_req=True)
        url = f"http://127.0.0.1:{self.guide.bank.ports.http}/tsa"
        return token_of(post(url, request, "application/timestamp-query"))


_ENTITY: Final = b"Content-Type: text/plain; charset=utf-8\r\n\r\nPlease close my account.\r\n"


_BOUNDARY: Final = b"as-a-mail-program-would"


def _signed_entity(der: bytes) -> bytes:
    """RFC 8551 3.5.3.2, around `_ENTITY`."""
    signature = base64.encodebytes(der).replace(b"\n", b"\r\n")
    return b"\r\n".join(
        (
            b"MIME-Version: 1.0",
            b'Content-Type: multipart/signed; protocol="application/pkcs7-signature"; micalg=sha-256;',
            b' boundary="' + _BOUNDARY + b'"',
            b"",
            b"--" + _BOUNDARY,
            _ENTITY,
            b"--" + _BOUNDARY,
            b'Content-Type: application/pkcs7-signature; name="smime.p7s"',
            b"Content-Transfer-Encoding: base64",
            b"",
            signature + b"--" + _BOUNDARY + b"--",
            b"",
        )
    )


def _der(person: Person) -> bytes:
    return openssl.run("x509", "-in", person.certificate, "-outform", "DER")
