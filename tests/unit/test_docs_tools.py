"""A page whose commands need a program that a fresh Debian has not says how to install it.

Truth: Debian's own list of what is on every system (priority required and important; debootstrap installs no more).
"""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("docs/*.md"), ROOT / "README.md", ROOT / "policies" / "README.md"])
PACKAGES = {
    "curl": "curl", "dig": "bind9-dnsutils", "jq": "jq", "ldapsearch": "ldap-utils", "nft": "nftables",
    "pkcs11-tool": "opensc", "psql": "postgresql-client", "softhsm2-util": "softhsm2", "swaks": "swaks",
}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_installs_what_its_commands_need(page: Path) -> None:
    text = page.read_text("utf-8")
    blocks = "\n".join("".join(found) for found in re.findall(
        r"(?ms)^```[a-z]*\n(.*?)^```|^ {4}((?:curl|dig|psql) [^\n]*)$", text))
    for program, package in PACKAGES.items():
        if re.search(rf"(?m)(?:^|[|(;&\"']|\$\()\s*{re.escape(program)} ", blocks):
            installed = re.findall(r"apt-get\s+install\s+([^`\n]*)", text)
            assert any(package in line.split() for line in installed), f"{program} is used; `apt-get install {package}`"
