"""Evidence records as octets: compact JSON, deflated (RFC 1951) with a preset dictionary.

The first octet is the number of the dictionary. A dictionary is never changed, or records could not be read any more: a
better one gets the next number. It holds names of fields and usual values, the most frequent at its end, and nothing of
any bank. A statement's record has 1,500 octets as JSON and 380 packed; the same record has the same JSON always, so
that a digest of `text_of` does not depend on how it is packed.
"""

import json
import zlib
from typing import Any, Final

from gateway.errors import GatewayError, Reason

OCTETS_MAX: Final = 16_777_216  # of one record, unpacked
LEVEL: Final = 3  # higher ones cost more and gain 2 %
WINDOW_BITS: Final = -13  # 8 KiB: dictionary and record; without the header of zlib
MEMORY: Final = 6

_FIRST: Final = (
    b'"held as "policy.held"policy.quarantined"certificate.absent"certificate.unusable"revocation.unavailable'
    b'"next_hop.unavailable"signature.altered"signature.not_signed"from.mismatch"path.issuer_missing"untrusted'
    b'"hold","quarantine","reject","defer","discard"keep_original"reencrypt"tag"authentication_results'
    b'{"spf":"pass","dkim":"pass","dmarc":"pass"},"list-id":["list-unsubscribe":["references":["<in-reply-to":["<'
    b'"reply-to":["cc":["sender":["return-path":["x-mailer":["user-agent":["x-originating-ip":["importance":["'
    b'multipart/signed; micalg=sha-256; protocol=\\"application/pkcs7-signature\\"; boundary=\\"'
    b'application/pkcs7-mime; smime-type=enveloped-data; name=\\"smime.p7m\\""content-disposition":["attachment'
    b'text/html; charset=utf-8multipart/alternative; boundary=\\"----=_Part_quoted-printable"],base64"],8bit"],'
    b' (version=TLS1_3 cipher=TLS_AES_256_GCM_SHA384 bits=256/256); using TLSv1.3 with cipher'
    b'Mon, Wed, Thu, Fri, Sat, Sun, Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov +0100"+0200"'
    b'"direction":"inbound","client":null,"sender":"","recipient":"support@"rule":"inbound:","steps":["label","form"],'
    b'"end":"quarantine","settled":"held","reasons":["settled":"later","settled":"refused","next_hop_reply":null,'
    b'"subject":"Re: ","direction":"inbound","verdicts":{"coverage":{"headers":"protected","addressed_to":"protected",'
    b'"headers":"unprotected","addressed_to":"unprotected","age_s":0,"date_gap_s":0,"stray_reply_to":false},'
    b'"verdict":"unknown","why":["verdict":"not_trusted","why":["verdict":"trusted","why":[],"decryption":['
    b'"not_encrypted",null],"decryption":["decrypted",null],"signature":["not_signed","signature.not_signed"],'
    b'"signature":["invalid","signature":["valid",null],"signers":[{"status":"valid","reason":null,"level":['
    b'"bank_enrolled"],"matches_from":true,"timestamp":"none"}]},"signer_customer":{"state":"known","value":"'
    b'"segment":{"state":"unknown","value":null},"certificate":{"state":"found","outside":"came_as":"'
    b'{"incident":"","message_key":"","message_id":"<@mail.","direction":"outbound","client":"online-banking",'
    b'"sender":"otp@bank.bounces+","recipient":"@gmail.com@web.de@gmx.de@t-online.de@outlook.com",'
    b'"rule":"codes:otp"staff:seal"statements:statement","steps":["protect_headers","sign","stamp","encrypt"],'
    b'"end":"deliver","settled":"taken","reasons":[],"certificates":["policy_digest":"","next_hop_reply":'
    b'"250 2.0.0 Ok: queued as ","sealed_digest":"","facts":{"format":2,"client":"core-banking","sender":"","from":"'
    b'"subject":"","size":,"headers":{"received":["from [127.0.0.1] ([127.0.0.1])\\tby gateway. with ESMTP id '
    b'\\tfor <>;\\tTue, 01 Dec 2026 0:00:00 +0000"],"date":["Tue, 01 Dec 2026 0:00:00 +0000"],"from":["'
    b'"to":["message-id":["<>"],"content-language":["de"],["en"],"auto-submitted":["auto-generated"],'
    b'"mime-version":["1.0"],"content-type":["text/plain; charset=\\"utf-8\\""],"content-transfer-encoding":["7bit"],'
    b'["multipart/mixed; boundary=\\"=_\\""]},"kind":"normal","kind":"auto_reply","already":[],"keywords":[],'
    b'"spoofs_us":false,"authentication":{},"recipient":"","direction":"outbound","enrolled":{"state":"absent"'
    b'"enrolled":{"state":"enrolled"},"cut":true,"stamped_by":"internal"}}')

_DICTIONARIES: Final = {1: _FIRST}
_NEWEST: Final = max(_DICTIONARIES)
_PREFIX: Final = bytes([_NEWEST])
_ENCODE: Final = json.JSONEncoder(separators=(",", ":")).encode
_BEGUN: Final = zlib.compressobj(LEVEL, zlib.DEFLATED, WINDOW_BITS, MEMORY, zlib.Z_DEFAULT_STRATEGY,
                                 _DICTIONARIES[_NEWEST])  # a copy costs less than to read the dictionary again


def pack(values: dict[str, Any]) -> bytes:
    """A record's values as octets. Safe on many threads."""
    deflate = _BEGUN.copy()
    return _PREFIX + deflate.compress(_ENCODE(values).encode()) + deflate.flush()


def text_of(packed: bytes) -> bytes:
    """The JSON that was packed. GatewayError STORE_UNAVAILABLE (retry) of octets that are no record."""
    dictionary = _DICTIONARIES.get(packed[0]) if packed else None
    if dictionary is None:
        raise _unreadable("its dictionary is unknown; a newer version of Sealgate has written it")
    inflate = zlib.decompressobj(WINDOW_BITS, dictionary)
    try:
        text = inflate.decompress(packed[1:], OCTETS_MAX)
    except zlib.error as error:
        raise _unreadable(str(error)) from None
    if not inflate.eof:
        raise _unreadable("it is cut off or too long")
    return text


def unpack(packed: bytes) -> dict[str, Any]:
    """The way back from `pack`. GatewayError as of `text_of`."""
    values: dict[str, Any] = json.loads(text_of(packed))
    return values


def _unreadable(detail: str) -> GatewayError:
    return GatewayError(Reason.STORE_UNAVAILABLE, f"an evidence record cannot be read: {detail}", retry=True)
