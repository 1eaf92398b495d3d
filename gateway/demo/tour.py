"""The guided tour: real mails through public ports, each claim checked by an independent program and printed.

A claim that does not hold ends the tour with a failure: it is a test that people like to read.
"""

import smtplib
import subprocess
from collections.abc import Callable

from rich.panel import Panel

from gateway.demo.guide import Guide
from gateway.demo.tour_codes import CodesTour
from gateway.demo.tour_mail import MailTour
from gateway.demo.tour_running import RunningTour
from gateway.demo.tour_statements import StatementsTour
from gateway.demo.tour_trust import TrustTour
from gateway.errors import GatewayError


def walk(guide: Guide) -> bool:
    """All stations; whether every claim held."""
    for number, (title, station) in enumerate(_stations(guide), 1):
        guide.console.print(Panel(f"[bold]{title}[/bold]", expand=False, title=f"{number}", title_align="left"))
        try:
            station()
        except (GatewayError, OSError, smtplib.SMTPException, subprocess.SubprocessError) as trouble:
            guide.claim(f"{title}: {trouble}", holds=False)
    return not guide.broken


def _stations(guide: Guide) -> tuple[tuple[str, Callable[[], None]], ...]:
    mail, trust, running = MailTour(guide), TrustTour(guide), RunningTour(guide)
    codes, statements = CodesTour(guide), StatementsTour(guide)
    return (
        ("A one-time code leaves: signed, stamped, encrypted", mail.code),
        ("A statement with a PDF of 1 MB leaves the same way", mail.statement),
        ("A customer without a certificate gets nothing in clear", mail.without_certificate),
        ("A stranger cannot have the bank's signature", mail.impostor),
        ("A partner's certificate is found in the partner's directory", trust.found),
        ("The directory dies: mail waits, and goes when it is back", trust.dies),
        ("A customer's sealed question comes in: opened, labelled, believed", mail.question),
        ("The same question, altered on its way, is not believed", mail.altered),
        ("The bank's own name from outside is not believed", mail.spoof),
        ("A question signed by another person is not believed", mail.another_signer),
        ("A certificate is revoked: no mail to it; what was stamped before stays good", trust.revoked),
        ("Everyone gets the bank's certificate and a time-stamp over HTTP", trust.service),
        ("A code is ordered over HTTP: good for one amount and one payee", codes.payment),
        ("Without a certificate there is no code, and the caller gets the reason", codes.without_certificate),
        ("A run of statements: it names the customers it cannot serve, and sends nothing twice", statements.run),
        ("A certificate appears: the gateway sends the statement that waited", statements.appears),
        ("A worker is killed: mail goes on, and another takes its place", running.killed),
        ("Mails are counted, and a Message-ID finds the record of its mail", running.counted),
    )
