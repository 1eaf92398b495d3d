"""Text in header fields: encoded words (RFC 2047, RFC 2231 5) read and written, folding (RFC 5322 2.2.3).

Reading is forgiving, as real mail needs it (words longer than 75 octets, letters cut between two words, spaces
inside a word), bounded and linear. Writing is strict: UTF-8, words of at most 75 characters, lines of at most 78.
Charset names come from strangers, so only codecs of a fixed table are ever asked for: Python's own look-up would
import modules named by the sender, cache every miss without a limit, and knows quadratic codecs (punycode, idna).
"""

import binascii
import codecs
from encodings.aliases import aliases
from typing import Final

from gateway.mime.transfer import decode_base64, decode_quoted_printable

_NOT_CHARSETS = frozenset({
    "base64_codec", "bz2_codec", "hex_codec", "quopri_codec", "rot_13", "uu_codec", "zlib_codec",
    "idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined", "mbcs", "oem",
})
_CHARSETS = {
    name: codec
    for alias, codec in aliases.items()
    for name in (alias, codec)
    if codec not in _NOT_CHARSETS
} | {name: name for name in ("utf_8", "utf_8_sig", "iso8859_1", "cp874", "cp856", "koi8_u", "mac_roman", "cp1252")}
_CHARSETS |= {"unknown_8bit": "latin_1", "ascii_8bit": "latin_1", "x_unknown": "latin_1"}
# Names that mail programs read besides (WHATWG Encoding 4.2): what they show must not be hidden from us.
_MORE_NAMES = {
    "utf_8": "unicode_1_1_utf_8 unicode11utf8 unicode20utf8 utf8mb4 x_unicode20utf8",
    "utf_16_le": "csunicode iso_10646_ucs_2 ucs_2 unicode unicodefeff", "utf_16_be": "unicodefffe",
    "iso8859_2": "iso88592", "iso8859_3": "iso88593", "iso8859_4": "iso88594", "iso8859_5": "iso88595",
    "iso8859_6": "csiso88596e csiso88596i iso_8859_6_e iso_8859_6_i iso88596",
    "iso8859_7": "iso88597 sun_eu_greek",
    "iso8859_8": "csiso88598e csiso88598i iso_8859_8_e iso_8859_8_i iso88598 logical visual",
    "iso8859_10": "iso885910", "iso8859_13": "iso885913", "iso8859_14": "iso885914",
    "iso8859_15": "csisolatin9 iso885915", "koi8_r": "koi koi8", "koi8_u": "koi8_ru",
    "mac_roman": "csmacintosh mac x_mac_roman", "mac_cyrillic": "x_mac_cyrillic x_mac_ukrainian",
    "cp874": "dos_874 iso885911 windows_874", "cp1250": "x_cp1250", "cp1251": "x_cp1251",
    "cp1252": "iso88591 x_cp1252", "cp1253": "x_cp1253", "cp1254": "iso88599 x_cp1254", "cp1255": "x_cp1255",
    "cp1256": "x_cp1256", "cp1257": "x_cp1257", "cp1258": "x_cp1258",
    "gbk": "csgb2312 gb_2312 gb_2312_80 x_gbk", "big5hkscs": "cn_big5 x_x_big5",
    "euc_jp": "cseucpkdfmtjapanese x_euc_jp", "cp932": "x_sjis",
    "cp720": "dos_720", "cp862": "dos_862", "cp866": "dos_866", "iso8859_16": "csisolatin10",
    "cp949": "cseuckr csksc56011987 iso_ir_149 korean ks_c_5601_1989 ksc_5601 windows_949 x_windows_949",
    "latin_1": "x_user_defined",
}
_CHARSETS |= {name: codec for codec, names in _MORE_NAMES.items() for name in names.split()}

# Programs write letters of the larger set under the name of the smaller one, and readers know it (WHATWG Encoding 4.2).
_LARGER = {"gb2312": "gb18030", "gbk": "gb18030", "euc_kr": "cp949", "shift_jis": "cp932", "big5": "big5hkscs",
           "latin_1": "cp1252", "iso8859_1": "cp1252", "ascii": "cp1252", "iso8859_9": "cp1254", "iso8859_11": "cp874",
           "tis_620": "cp874"}
# Codecs in which ASCII octets may mean other letters.
NOT_ASCII_LIKE = ("utf_16", "utf_32", "utf_7", "hz", "cp037", "cp500", "cp1140", "cp1026", "cp424", "cp875", "cp273")

_WIDE = ("utf_16", "utf_32")

CHARSET_NAME_MAX = 40  # IANA's names are at most 40 characters long (RFC 2978 2.3)
_REPLACED = "\ufffd"
_UTF8_LEADS = (0xC2, 0xF4)  # RFC 3629 4: the first octet of a letter of several
WORD_MAX = 75  # RFC 2047 2
LINE_SOFT_MAX = 78  # RFC 5322 2.1.1
LINE_MAX = 998  # RFC 5322 2.1.1


def codec_of(charset: str) -> str | None:
    """Python's codec for a MIME charset name ('utf-8', 'ISO-8859-1*de'); None if we do not know it."""
    name = charset.partition("*")[0].strip().lower()
    if not 0 < len(name) <= CHARSET_NAME_MAX:
        return None
    return _CHARSETS.get(name.replace("-", "_").replace(".", "_").replace(" ", "_").replace(":", "_"))


def _table(codec: str) -> str:
    """The letter of each octet; a control where Windows has none, as readers have it (WHATWG Encoding, index-*.txt)."""
    letters = (bytes([octet]).decode(codec, "replace") for octet in range(256))
    return "".join(chr(octet) if letter == _REPLACED and octet < _C1_END else letter
                   for octet, letter in enumerate(letters))


_C1_END: Final = 0xA0
_WINDOWS: Final = {codec: _table(codec) for codec in ("cp874", *(f"cp125{digit}" for digit in range(9)))}
_WINDOWS_1252_OCTETS: Final = {ord(letter): octet for octet, letter in enumerate(_WINDOWS["cp1252"])}


def decode_as(octets: bytes, codec: str, errors: str = "strict") -> str:
    """Octets in a declared charset as mail programs read them: a codec of Windows in place of a smaller one.

    Octets 0x80 to 0x9F in ISO 8859-1 are windows-1252 (a euro sign, dashes, quotation marks), never controls.
    UnicodeDecodeError as `bytes.decode` has it; ISO 8859-1 decodes everything.
    """
    codec = _LARGER.get(codec, codec)
    table = _WINDOWS.get(codec)
    return octets.decode(codec, errors) if table is None else codecs.charmap_decode(octets, errors, table)[0]


def decode_octets(octets: bytes, codec: str = "latin_1") -> str:
    """Undeclared octets of a header as text: UTF-8 (RFC 6532) if they are, also with one letter cut off.

    Else `codec`, the charset of the body; else windows-1252, which loses nothing.
    """
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError as error:
        if _UTF8_LEADS[0] <= octets[error.start] <= _UTF8_LEADS[1]:
            text = octets.decode("utf-8", "replace")
            if text.count(_REPLACED) == 1 and not text.replace(_REPLACED, "").isascii():
                return text
    try:
        return decode_as(octets, codec)
    except UnicodeDecodeError:
        return decode_as(octets, "latin_1")


def unfold(value: bytes) -> bytes:
    """A field's raw value on one line: line ends before white space removed, outer white space too."""
    if b"\n" in value or b"\r" in value:
        value = value.replace(b"\r\n", b"").replace(b"\n", b"").replace(b"\r", b"")
    return value.strip(b" \t")


def decode_words(text: str, *, guess: bool = False) -> str:
    """`text` with its encoded words decoded; a word in an unknown charset or encoding stays as it is.

    `guess`: an unknown charset is read as ISO 8859-1, for some reader knows it, and its ASCII is nearly always ASCII.
    So is UTF-16, whose order of octets readers guess in two ways: its ASCII comes out with NULs between.
    """
    if "=?" not in text:
        return text
    out: list[str] = []
    pending = bytearray()  # octets of adjacent words in one charset: letters may be cut between them
    pending_codec = ""
    position = literal_from = 0
    word_end = -1  # the next "?=", found once for all the starts before it: keeps this linear
    start = text.find("=?")
    while start >= 0:
        header = _word_header(text, start, guess=guess)
        if header is None:
            position = start + 2
            start = text.find("=?", position)
            continue
        codec, encoding, content_start = header
        if word_end < content_start:
            word_end = text.find("?=", content_start)
            if word_end < 0:
                break
        between = text[literal_from:start]
        adjacent = literal_from > 0 and not between.strip(" \t\r\n")
        if pending and (codec != pending_codec or not adjacent):
            out.append(decode_as(bytes(pending), pending_codec, "replace"))
            pending.clear()
        if not adjacent:
            out.append(between)
        pending += _word_octets(text[content_start:word_end], encoding, codec)
        pending_codec = codec
        position = literal_from = word_end + 2
        start = text.find("=?", position)
    if pending:
        out.append(decode_as(bytes(pending), pending_codec, "replace"))
    out.append(text[literal_from:])
    return "".join(out)


def _word_header(text: str, start: int, *, guess: bool) -> tuple[str, str, int] | None:
    """Of the encoded word at `start`: codec, 'b' or 'q', offset of its content; None if it is none we can read."""
    charset_end = text.find("?", start + 2, start + 2 + CHARSET_NAME_MAX + 20)
    if charset_end < 0 or text[charset_end + 2:charset_end + 3] != "?":
        return None
    codec = codec_of(text[start + 2:charset_end])
    if guess and (codec is None or codec.startswith(_WIDE)):
        codec = "latin_1"
    encoding = text[charset_end + 1].lower()
    return (codec, encoding, charset_end + 3) if codec is not None and encoding in "bq" else None


def _word_octets(content: str, encoding: str, codec: str) -> bytes:
    """`content` has what is beyond ASCII as `decode_octets` read it: from UTF-8, or as windows-1252."""
    octets = content.encode() if content.isascii() or codec.startswith("utf_8") else _raw_octets(content)
    return decode_quoted_printable(octets.replace(b"_", b" ")) if encoding == "q" else decode_base64(octets)


def _raw_octets(content: str) -> bytes:
    return b"".join(bytes([_WINDOWS_1252_OCTETS[ord(letter)]]) if ord(letter) in _WINDOWS_1252_OCTETS
                    else letter.encode("utf-8", "replace") for letter in content)


_Q_SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!*+-/")  # RFC 2047 5 (3)


def encode_words(text: str, first_max: int = WORD_MAX) -> list[str]:
    """`text` as encoded words in UTF-8, each at most 75 characters, the first at most `first_max` (>= 20).

    B or Q, whichever is shorter. Joined by a single space (or a fold) they decode to exactly `text`.
    """
    octets = text.encode("utf-8", "replace")
    q_length = sum(1 if octet in _Q_SAFE or octet == 32 else 3 for octet in octets)
    use_q = q_length <= (len(octets) + 2) // 3 * 4
    words: list[str] = []
    current: list[bytes] = []
    size = 0  # of `current` as encoded
    room = max(first_max, 20) - len("=?utf-8?q??=")
    for letter in text:
        raw = letter.encode("utf-8", "replace")
        grown = size + (sum(1 if o in _Q_SAFE or o == 32 else 3 for o in raw) if use_q else len(raw))
        if current and (grown if use_q else (grown + 2) // 3 * 4) > room:
            words.append(_write_word(b"".join(current), use_q=use_q))
            current, room = [], WORD_MAX - len("=?utf-8?q??=")
            grown -= size
        current.append(raw)
        size = grown
    words.append(_write_word(b"".join(current), use_q=use_q))
    return words


def _write_word(octets: bytes, *, use_q: bool) -> str:
    if use_q:
        encoded = "".join(chr(o) if o in _Q_SAFE else "_" if o == 32 else f"={o:02X}" for o in octets)
        return f"=?utf-8?q?{encoded}?="
    return f"=?utf-8?b?{binascii.b2a_base64(octets, newline=False).decode('ascii')}?="


def clean(text: str) -> str:
    """`text` for a header: what could end a line or a string, and lone surrogates, becomes a space."""
    if text.isprintable():
        return text
    return "".join(" " if c in "\r\n\0" or "\ud800" <= c <= "\udfff" else c for c in text)


def encode_unstructured(name: str, text: str) -> bytes:
    """A whole field `Name: text` CRLF, folded at 78, in ASCII; encoded words only where they are needed."""
    text = clean(text)
    if _plain(text):
        folded = fold(f"{name}: {text}")
        if folded is not None:
            return folded.encode("ascii") + b"\r\n"
    words = encode_words(text, LINE_SOFT_MAX - len(name) - 2)
    return f"{name}: ".encode("ascii") + "\r\n ".join(words).encode("ascii") + b"\r\n"


def _plain(text: str) -> bool:
    """Whether `text` may be in a field unencoded and is read back exactly."""
    return text.isascii() and text.replace("\t", " ").isprintable() and "=?" not in text and text == text.strip()


def fold(line: str, limit: int = LINE_SOFT_MAX) -> str | None:
    """`line` with CRLF put before white space so that lines keep to `limit` where they can; None if one passes 998.

    Only existing white space is used and kept: unfolding gives `line` back.
    """
    if len(line) <= limit:
        return line
    out: list[str] = []
    start = 0
    floor = line.find(":") + 2  # never fold between the name and the first word
    while len(line) - start > limit:
        cut = line.rfind(" ", max(start + 1, floor), start + limit + 1)
        if cut < 0:
            cut = line.find(" ", max(start + limit, floor))
        while cut > 0 and not line[start:cut].strip():  # a line of white space only would end the header for some
            cut = line.find(" ", cut + 1)
        if cut < 0 or not line[cut:].strip():
            break
        out.append(line[start:cut])
        start = cut
    out.append(line[start:])
    return None if any(len(part) > LINE_MAX for part in out) else "\r\n".join(out)
