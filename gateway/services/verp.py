"""Return addresses and Message-IDs that name the mail that bounced or was answered: variable return paths with a MAC.

`codes@bank.example` becomes `codes+ID.MAC@bank.example` (sub-addressing, RFC 5233). Every reader of a return path
knows its id. The MAC prevents bounces of mails that their sender never had. It is in lower case, because some mail
servers fold local parts.
"""

import base64
import hashlib
import hmac
import re
from typing import Final

from gateway.model.mailbox import same_mailbox

MAC_OCTETS: Final = 10  # 80 bits; guessed only by mail, one try each
ID_CHARACTERS_MAX: Final = 32  # local parts have 64 octets (RFC 5321 4.5.3.1.1)
_ID = re.compile(rf"[a-z0-9-]{{1,{ID_CHARACTERS_MAX}}}")


class Verp:
    """Return addresses of one service. `mailbox`: where they arrive; `secret`: see adapters.files.mac_secret."""

    def __init__(self, service: str, mailbox: str, secret: bytes) -> None:
        self._service = service
        self._local, _, self._domain = mailbox.rpartition("@")
        self._key = hmac.digest(secret, b"return path of " + service.encode(), "sha256")

    def address(self, identifier: str) -> str:
        """The return address of the mail with this id: lower case letters, digits and `-`, at most 32."""
        if not _ID.fullmatch(identifier):
            msg = f"no id of a return path: {identifier!r}"
            raise ValueError(msg)
        return f"{self._local}+{identifier}.{self._mac(identifier)}@{self._domain}"

    def read(self, address: str) -> str | None:
        """The id in a return address; None if the MAC does not verify."""
        local, _, domain = address.rpartition("@")
        mailbox, _, detail = local.partition("+")
        if mailbox.lower() != self._local.lower() or not same_mailbox(domain, self._domain):
            return None
        identifier, _, mac = detail.lower().rpartition(".")
        if not _ID.fullmatch(identifier) or not _same(self._mac(identifier), mac):
            return None
        return identifier

    def message_id(self, identifier: str) -> str:
        """The Message-ID of the mail with this id, without its brackets: an answer names it (RFC 5322 3.6.4).

        It has a MAC of its own, so that a reader of an answer cannot write a bounce.
        """
        if not _ID.fullmatch(identifier):
            msg = f"no id of a mail: {identifier!r}"
            raise ValueError(msg)
        return f"{identifier}.{self._mac('message ' + identifier)}@{self._domain}"

    def read_message_id(self, message_id: str) -> str | None:
        """The id in a Message-ID, with or without its brackets; None if the MAC does not verify."""
        local, _, domain = message_id.strip().removeprefix("<").removesuffix(">").rpartition("@")
        identifier, _, mac = local.lower().rpartition(".")
        if not same_mailbox(domain, self._domain) or not _ID.fullmatch(identifier):
            return None
        return identifier if _same(self._mac("message " + identifier), mac) else None

    def _mac(self, identifier: str) -> str:
        digest = hmac.new(self._key, identifier.encode(), hashlib.sha256).digest()[:MAC_OCTETS]
        return base64.b32encode(digest).decode().lower()


def _same(ours: str, theirs: str) -> bool:
    """Compares in constant time. `theirs` may have any octets, also lone surrogates."""
    return hmac.compare_digest(ours.encode(), theirs.encode("utf-8", "backslashreplace"))
