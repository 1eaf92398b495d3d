"""Where Postfix looks for a milter's unix socket: docs/milter.md names it relative to the queue directory.

Truth: a real Postfix with one smtpd in its chroot, one outside, and cleanup outside; a milter's answers.
"""

import os
import pwd
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.support.other_milter import other_milter
from tests.support.postfix import private_postfix
from tests.support.process import free_ports
from tests.support.smtp import Talk


@pytest.mark.parametrize(("named", "outside"), [("unix:sealgate/milter.sock", "250"), ("unix:/sealgate/m.sock", "451")])
def test_a_relative_path_is_right_in_and_out_of_a_chroot(named: str, outside: str) -> None:
    with TemporaryDirectory(prefix="mx-") as short:  # a unix socket's path has at most 107 octets (unix(7))
        Path(short).chmod(0o755)
        chroots(Path(short), named, outside)


def chroots(tmp_path: Path, named: str, outside: str) -> None:
    (chrooted,) = free_ports(1)
    main_cf = (f"myhostname = mx.bank.example\nmydestination = bank.example\nlocal_recipient_maps =\n"
               f"local_transport = discard\nmilter_default_action = tempfail\nsmtpd_milters = {named}\n")
    with private_postfix(tmp_path / "postfix", main_cf,
                         more=f"127.0.0.1:{chrooted} inet n - y - - smtpd\n") as port:
        folder = tmp_path / "postfix" / "spool" / "sealgate"
        folder.mkdir(mode=0o755)
        path = folder / named.rpartition("/")[2]
        before = os.umask(0)
        try:
            with other_milter(f"unix:{path}", "none"):
                os.chown(path, pwd.getpwnam("postfix").pw_uid, -1)
                assert reply(chrooted) == "250"
                assert reply(port) == outside
        finally:
            os.umask(before)


def reply(port: int) -> str:
    """To the first command that a milter decides."""
    with Talk(("127.0.0.1", port)) as talk:
        talk.greet()
        return talk.say(b"MAIL FROM:<anna@customer.example>")[:3]
