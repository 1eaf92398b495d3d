"""The octets of a mail on an SMTP connection: line ends, transparency, end of data (RFC 5321 2.3.8, 4.5.2, 4.1.1.4).

Pure functions, linear in time, fast on what nearly all big mails are: base64 in lines of equal length, where a
search for single octets costs a tenth of a search for CR LF. Both sides of the gateway use the same ones, so that
what comes in and what goes out can never be cut differently.
"""

END = b"\r\n.\r\n"
_PLAIN_SEARCH_OCTETS_MAX = 16_384  # below, a plain search costs less than looking at dots
# Up to so many dots are looked at one by one; more of them, and a plain search is faster.
_DOTS_ONE_BY_ONE = 64
_REGULAR_OCTETS_MIN = 16_384


def ends_in_pairs(octets: bytes | bytearray) -> bool:
    """Whether every CR is followed by LF and every LF preceded by CR."""
    count = octets.count(b"\n")
    if octets.count(b"\r") != count:
        return False
    if len(octets) >= _REGULAR_OCTETS_MIN and _pairs_regular(octets) == count:
        return True
    return octets.count(b"\r\n") == count


def _pairs_regular(octets: bytes | bytearray) -> int:
    """A lower bound of the number of CR LF: exact where the middle of the octets has lines of equal length."""
    at = octets.find(b"\n", len(octets) // 2)
    length = octets.find(b"\n", at + 1) - at
    if at < 1 or length < len(b"\r\n"):
        return 0
    forward = min(_leading(octets[at::length], b"\n"), _leading(octets[at - 1::length], b"\r"))
    backward = min(_leading(octets[at::-length], b"\n"), _leading(octets[at - 1::-length], b"\r"))
    if not (forward and backward):
        return 0
    first = at - (backward - 1) * length - 1
    last = at + (forward - 1) * length
    return octets.count(b"\r\n", 0, first) + backward + forward - 1 + octets.count(b"\r\n", last + 1)


def regular_lines(octets: bytes | bytearray) -> tuple[int, int, int]:
    """(start, end, length) of the lines around the middle that are all of its line's length, line ends included.

    Inside, lines may be cut up further but never be longer. (0, 0, 0) where there are none, and for small octets.
    """
    at = octets.find(b"\n", len(octets) // 2) if len(octets) >= _REGULAR_OCTETS_MIN else -1
    length = octets.find(b"\n", at + 1) - at
    if at < 0 or length < 1:
        return 0, 0, 0
    forward, backward = _leading(octets[at::length], b"\n"), _leading(octets[at::-length], b"\n")
    return at - (backward - 1) * length + 1, at + (forward - 1) * length + 1, length


def _leading(octets: bytes | bytearray, octet: bytes) -> int:
    return len(octets) - len(octets.lstrip(octet))


def find_end(octets: bytes | bytearray, start: int = 0) -> int:
    """Where CR LF '.' CR LF begins, -1 if it does not."""
    if len(octets) - start <= _PLAIN_SEARCH_OCTETS_MAX:
        return octets.find(END, start)
    at = start + 1
    for _ in range(_DOTS_ONE_BY_ONE):
        at = octets.find(b".", at + 1)
        if at < 0:
            return -1
        if octets[at - 2:at + 3] == END:
            return at - 2
    return octets.find(END, at - 1)


def has_dot_lines(octets: bytes | bytearray) -> bool:
    """Whether some line begins with a dot."""
    if octets.startswith(b"."):
        return True
    if len(octets) <= _PLAIN_SEARCH_OCTETS_MAX:
        return octets.find(b"\r\n.") >= 0
    at = 1
    for _ in range(_DOTS_ONE_BY_ONE):
        at = octets.find(b".", at + 1)
        if at < 0:
            return False
        if octets[at - 2:at] == b"\r\n":
            return True
    return octets.find(b"\r\n.", at - 1) >= 0


def stuffed(octets: bytes) -> bytes:
    """As it goes over the wire: another dot before each line that begins with one. The end is not added."""
    if not has_dot_lines(octets):
        return octets
    return (b"." if octets.startswith(b".") else b"") + octets.replace(b"\r\n.", b"\r\n..")


def longest_line_within(octets: bytes | bytearray, octets_max: int) -> bool:
    """Whether no line has more than `octets_max` octets before its CR LF."""
    start = 0
    while len(octets) - start > octets_max:
        end = octets.rfind(b"\n", start, start + octets_max + 2)
        if end < 0:
            return len(octets) - start <= octets_max
        start = end + 1
    return True
