"""docs/milter.md: its commands are the pieces' own, its settings load, and its table says what the sessions answer.

Truth: Postfix's own `postconf` over a copy of Debian's configuration; the settings' reader. Starts nothing.
"""

import re
import shutil
from pathlib import Path

from gateway.settings import load
from tests.support.peers import need, run
from tests.support.postfix import DIST, PIECES
from tests.support.process import new_bank

PAGE = "\n".join((Path(__file__).parents[2] / "docs" / f"{name}.md").read_text() for name in ("milter-fit", "milter"))


def blocks(language: str) -> list[str]:
    return re.findall(rf"(?ms)^```{language}\n(.*?)^```", PAGE)


def test_the_commands_do_to_postfix_what_the_pieces_say(tmp_path: Path) -> None:
    postconf = need("postconf", "postfix")
    etc = tmp_path / "etc"
    etc.mkdir()
    shutil.copy(DIST, etc / "master.cf")
    (etc / "main.cf").write_text("compatibility_level = 3.6\nsubmission_unused =\n")
    with (etc / "master.cf").open("a") as file:
        file.write("submission inet n - y - - smtpd\n")
    (pasted,) = (block for block in blocks("sh") if "postconf -P" in block)
    script = pasted.replace("/etc/postfix", str(etc)).replace("conf/postfix", str(PIECES))
    script = script.replace("postconf -P", f"{postconf} -c {etc} -P").replace("postfix check", "")
    run("sh", "-e", "-c", script)
    commands = re.findall(r"^#   (postconf -P .*)$", (PIECES / "milter.master.cf").read_text(), re.MULTILINE)
    assert all(command in PAGE for command in commands)
    told = run(postconf, "-c", etc, "-P").decode()
    assert "submission/inet/milter_macro_daemon_name = sealgate-outbound" in told
    assert "pickup/unix/cleanup_service_name = sealgate-cleanup" in told
    assert "sealgate-cleanup/unix/milter_macro_daemon_name = sealgate-outbound" in told
    known = run(postconf, "-c", etc, "-n").decode()
    assert "milter_macro_daemon_name = sealgate-inbound" in known
    assert "milter_default_action = tempfail" in known


def test_the_settings_load(tmp_path: Path) -> None:
    section = "".join(blocks("yaml"))

    def change(text: str) -> str:
        text = re.sub(r"(?m)^(processes|next_hops):.*\n(?: .*\n)*", "", text)
        return text + section

    bank = new_bank(tmp_path / "bank", change=change)
    settings = load(bank.config)
    assert settings.milter is not None
    assert settings.milter.daemons == ("sealgate-outbound", "sealgate-inbound")
    assert settings.next_hops.inbound.port == 10028
    main_cf = (PIECES / "milter.main.cf").read_text()
    assert "inet:127.0.0.1:10029" in main_cf
    assert f"smtpd_recipient_limit = {settings.limits.recipients_max}\n" in main_cf
