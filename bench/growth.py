"""Goal 6: cost that grows with size and recipients and no faster, and what the largest mails need of memory.

Memory is that of the real relay, one worker: the most it ever had (VmHWM) beyond what it had before, in units of the
mail as it came. The mails in work at once are as many as there are clients, so that only the limit on octets in work
bounds them.
"""

import hashlib
import smtplib
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from bench import material, tree
from bench.material import Material
from bench.relay import RUN, bank_of, free_port, start, transaction
from bench.report import Progress, Report, Row
from gateway.authority import ca
from gateway.authority.ca import Naming, Purpose
from gateway.cms import enveloped, signed
from gateway.cms.algorithms import ContentCipher
from gateway.cms.certificate import Certificate, load_certificates, parse_certificate
from gateway.demo.bank import Bank
from gateway.mime import smime_forms
from gateway.model.scheme import SignScheme
from gateway.smime.draft import Draft, Protect, Signer
from gateway.smime.seal import seal

LINEAR = 1.25  # of the cost that a straight line foretells
TIMES_MAX = 4.0
LARGE_OCTETS = 48 << 20  # the default limit is 50 MiB
IN_WORK_OCTETS = 64 << 20
TOGETHER, TOGETHER_OCTETS = 12, 15 << 20
TRIES = 200


def goals(report: Report, made: Material, progress: Progress, *, short: bool) -> None:
    """The rows."""
    progress.stage("growth with size and recipients")
    _sizes(report, made)
    _recipients(report, made)
    progress.stage("the largest mails")
    _memory(report, made, together=not short)


def _sizes(report: Report, made: Material) -> None:
    """The whole of sealing, without the relay."""
    prepared = signed.prepare(signed.SignerProfile(made.signer.certificate, (made.chain,), SignScheme.RSA_PKCS1_SHA256))
    signer = Signer("bench", made.signer.certificate, prepared, lambda octets: made.signer.rsa.sign(
        octets, padding.PKCS1v15(), hashes.SHA256()))

    def sealing(octets: int) -> Callable[[], object]:
        mail = b"From: a@bank.example\r\nSubject: s\r\nMIME-Version: 1.0\r\n" + material.entity(octets)
        draft = Draft(mail, protect=Protect(), signer=signer, encrypt_to=(made.recipient.certificate,))
        return lambda: seal(draft, datetime.now(UTC), None)

    _grows(report, "sealing 8 MiB", "8 times 1 MiB", sealing(8 << 20), sealing(1 << 20), 8)


def _recipients(report: Report, made: Material) -> None:
    """One mail of 5 KiB encrypted to many."""
    everybody = _certificates(made, 100)

    def encrypting(count: int) -> Callable[[], object]:
        return lambda: enveloped.encrypt(made.entities["5K"], everybody[:count], ContentCipher.AES256_CBC)

    _grows(report, "encrypting to 100", "10 times to 10", encrypting(100), encrypting(10), 10)


def _certificates(made: Material, count: int) -> tuple[Certificate, ...]:
    """So many readers; they share a key, which costs the same."""
    begin, root_key = datetime.now(UTC) - timedelta(days=1), ca.generate_signing_key("p-256")
    root = ca.create_root(Naming("Many", "Bench", "DE"), root_key, begin, begin + timedelta(days=30))
    public = made.recipient.key.public_key()
    return tuple(parse_certificate(ca.issue(
        root, Naming(f"Reader {number}", emails=(f"r{number}@customer.example",)), public,
        ca.profile_for(Purpose.DECRYPT, public), begin, begin + timedelta(days=30))) for number in range(count))


def _grows(report: Report, what: str, against: str, large: Callable[[], object], small: Callable[[], object],
           factor: int) -> None:
    def cost_us(work: Callable[[], object], count: int) -> float:
        began = time.process_time()
        for _ in range(count):
            work()
        return (time.process_time() - began) / count * 1e6

    cost_us(large, 1), cost_us(small, 1)
    turns = [(cost_us(large, 6), cost_us(small, 6 * factor) * factor) for _ in range(5)]
    ours, theirs = (statistics.median(turn[which] for turn in turns) for which in (0, 1))
    report.rows.append(Row("6", what, against, ours, theirs, "us CPU", ours / theirs, LINEAR, at_most=True))


def _memory(report: Report, made: Material, *, together: bool) -> None:
    with tempfile.TemporaryDirectory(prefix="sealgate-bench-large-") as folder:
        home, sink = Path(folder), free_port()
        processes = [subprocess.Popen([sys.executable, "-m", "bench.wire", "sink", str(sink)],
                                      stdout=subprocess.DEVNULL)]
        try:
            bank = bank_of(home / "bank", sink, more=f"limits: {{octets_in_flight_max: {IN_WORK_OCTETS}}}\n")
            relay = start("large", [word.replace("{}", str(bank.config)) for word in RUN], bank.ports.outbound,
                          home / "large.log")
            processes.append(relay.process)
            _measure(report, made, bank, relay.process.pid, together=together)
        finally:
            for process in reversed(processes):
                process.terminate()
            for process in processes:
                process.wait(30)


def _measure(report: Report, made: Material, bank: Bank, pid: int, *, together: bool) -> None:
    outward = ("otp@bank.example", "ben@customer.example")
    for direction, port, addresses, mail in (
            ("sealing", bank.ports.outbound, outward, _message(material.entity(LARGE_OCTETS))),
            ("opening", bank.ports.inbound, ("anna@customer.example", "support@bank.example"), _sealed(made, bank))):
        _send(port, addresses, _message(made.entities["5K"]))
        grown = _grown(pid, lambda port=port, addresses=addresses, mail=mail: _send(port, addresses, mail))
        report.rows.append(Row("6", f"memory: {direction} {len(mail) >> 20} MiB", "the mail", grown / 2**20,
                               len(mail) / 2**20, "MiB", grown / len(mail), TIMES_MAX, at_most=True))
    if together:
        mail = _message(material.entity(TOGETHER_OCTETS))
        grown = _grown(pid, lambda: _all_at_once(bank.ports.outbound, outward, mail))
        report.rows.append(Row("6", f"memory: {TOGETHER} mails of {len(mail) >> 20} MiB at once",
                               f"{IN_WORK_OCTETS >> 20} MiB in work", grown / 2**20, IN_WORK_OCTETS / 2**20, "MiB",
                               grown / IN_WORK_OCTETS, TIMES_MAX, at_most=True))


def _grown(pid: int, work: Callable[[], object]) -> int:
    """Octets by which the process that grew most has grown at its peak."""
    before = tree.forget(pid)
    work()
    return max(peak - before.get(one, 0) for one, peak in tree.memory(pid).items())


def _message(entity: bytes) -> bytes:
    """As it stands in DATA, without the dot."""
    return transaction(entity).partition(b"\0")[2].removesuffix(b".\r\n")


def _sealed(made: Material, bank: Bank) -> bytes:
    """A signed and encrypted mail to the bank, as large as the limit lets in."""
    prepared = signed.prepare(signed.SignerProfile(made.signer.certificate, (made.chain,), SignScheme.RSA_PKCS1_SHA256))
    entity = material.entity(LARGE_OCTETS * 57 // 80)
    der = signed.sign(prepared, content=None, digest=hashlib.sha256(entity).digest(), at=datetime.now(UTC),
                      raw_sign=lambda octets: made.signer.rsa.sign(octets, padding.PKCS1v15(), hashes.SHA256()))
    reader = load_certificates((bank.home / "keys" / "support-decrypt.crt.pem").read_bytes())
    envelope = enveloped.encrypt(smime_forms.signed_entity(entity, der, prepared.micalg), reader,
                                 ContentCipher.AES256_CBC)
    return smime_forms.pkcs7_mime(envelope, "enveloped-data", outer=(
        b"From: anna@customer.example\r\nTo: support@bank.example\r\nSubject: large\r\nMIME-Version: 1.0\r\n"))


def _send(port: int, addresses: tuple[str, str], mail: bytes) -> None:
    """Until it is taken: a mail that finds no room is told to come again."""
    for _ in range(TRIES):
        with smtplib.SMTP("127.0.0.1", port, timeout=120) as client:
            client.ehlo()
            client.mail(addresses[0])
            client.rcpt(addresses[1])
            try:
                code, text = client.data(mail)
            except smtplib.SMTPDataError as error:
                code, text = error.smtp_code, error.smtp_error
        if code == 250:
            return
        if code >= 500:
            raise RuntimeError(f"the relay said {code} {text!r}")
        time.sleep(0.2)
    raise RuntimeError("the relay never had room")


def _all_at_once(port: int, addresses: tuple[str, str], mail: bytes) -> None:
    threads = [threading.Thread(target=_send, args=(port, addresses, mail)) for _ in range(TOGETHER)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
