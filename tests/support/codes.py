"""Reading the mail with a code as a customer does: with another program's parser."""

import re
from email import message_from_bytes, policy
from email.message import EmailMessage

_CODE = re.compile(r"^ {4}([0-9]{6,10})$", re.MULTILINE)


def parts(entity: bytes) -> dict[str, str]:
    """Media type to text of every leaf."""
    message = message_from_bytes(entity, _class=EmailMessage, policy=policy.default)
    return {part.get_content_type(): part.get_content() for part in message.walk() if not part.is_multipart()}


def code_in(entity: bytes) -> str:
    """The code, which stands alone on its line."""
    found = _CODE.findall(parts(entity)["text/plain"].replace("\r\n", "\n"))
    assert len(found) == 1, "one code, on a line of its own"
    return str(found[0])
