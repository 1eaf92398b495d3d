"""Packed evidence: read back as it was, today and by later versions."""

import hashlib
import json
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.adapters.db import evidence_packing
from gateway.adapters.db.evidence_packing import pack, text_of, unpack
from gateway.errors import GatewayError, Reason

DIGESTS = {1: "38eeff308f37326afa6cab934c02e79e1bb180de7a6faea5f0d344d48d1c2393"}
# A statement's record, as the relay of the demo bank writes it.
STATEMENT = {
    "incident": "572d3158e34df0c9", "message_key": hashlib.sha256(b"k").hexdigest(),
    "message_id": "<96787fe6548c4de9-280.2twqxkpjsajoivxw@bank.example>", "direction": "outbound",
    "client": "core-banking", "sender": "bounces+96787fe6548c4de9-280.rb4jlnrnbnw6cdrt@bank.example",
    "recipient": "ben@customer.example", "rule": "statements:statement",
    "steps": ["protect_headers", "sign", "stamp", "encrypt"], "end": "deliver", "settled": "taken", "reasons": [],
    "certificates": [hashlib.sha256(b"c").hexdigest()], "policy_digest": hashlib.sha256(b"p").hexdigest(),
    "next_hop_reply": "250 2.0.0 Ok: queued as 4XyZabc", "sealed_digest": hashlib.sha256(b"s").hexdigest(), "facts": {
        "format": 2, "client": "core-banking", "sender": "bounces+96787fe6548c4de9-280.rb4jlnrnbnw6cdrt@bank.example",
        "from": "statements@bank.example", "subject": "", "size": 5202, "headers": {
            "date": ["Tue, 01 Dec 2026 04:24:49 +0000"], "from": ["statements@bank.example"],
            "to": ["ben@customer.example"],
            "message-id": ["<96787fe6548c4de9-280.2twqxkpjsajoivxw@bank.example>"], "content-language": ["en"],
            "auto-submitted": ["auto-generated"], "mime-version": ["1.0"],
            "content-type": ['multipart/mixed; boundary="=_2b8d2bf0fccc3f60160c6304accd8490be3c4c54"']},
        "kind": "auto_reply", "already": [], "keywords": [], "spoofs_us": False, "authentication": {},
        "recipient": "ben@customer.example", "direction": "outbound", "enrolled": {"state": "enrolled"}, "cut": True,
        "stamped_by": "internal"}}
# What the first version has packed of {"incident": "0001", "facts": {"subject": "Gr\u00fc\u00dfe \udce9"}}.
STORED = bytes.fromhex("0143299f80116f889cea11c9d7bd28a6d4c0202d1944a6a4a52ac494a624a75a02f50300")


def test_a_dictionary_is_never_changed() -> None:
    """Or what was packed with it could not be read: a better one gets the next number."""
    assert {number: hashlib.sha256(octets).hexdigest()
            for number, octets in evidence_packing._DICTIONARIES.items()} == DIGESTS


def test_what_an_earlier_version_packed_is_read() -> None:
    assert unpack(STORED) == {"incident": "0001", "facts": {"subject": "Gr\u00fc\u00dfe \udce9"}}


def test_a_statements_record_is_small() -> None:
    assert len(json.dumps(STATEMENT)) > 1500
    assert len(pack(STATEMENT)) < 420


def test_the_text_is_compact_json() -> None:
    """A digest over it does not depend on the dictionary."""
    assert text_of(pack(STATEMENT)) == json.dumps(STATEMENT, separators=(",", ":")).encode()


@settings(max_examples=30)
@given(st.dictionaries(st.text(), st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.just("half a character: \udce9"), st.lists)))
def test_every_record_is_read_back(values) -> None:
    assert unpack(pack(values)) == values


@pytest.mark.parametrize("octets", [
    b"", b"\x02abc", b"\x01", b"\x01\xff\xff", pack(STATEMENT)[:-1], b"\x01" + zlib.compress(b"{}")])
def test_what_is_no_record_is_named(octets) -> None:
    with pytest.raises(GatewayError) as caught:
        unpack(octets)
    assert (caught.value.reason, caught.value.retry) == (Reason.STORE_UNAVAILABLE, True)


def test_a_record_is_unpacked_up_to_a_limit(monkeypatch) -> None:
    octets = pack({"a": "x" * 2000})
    monkeypatch.setattr(evidence_packing, "OCTETS_MAX", 1000)
    with pytest.raises(GatewayError, match="too long"):
        text_of(octets)
