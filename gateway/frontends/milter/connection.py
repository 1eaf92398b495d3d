"""One connection of Postfix: reads its packets, asks the session, and sends the answers."""

import socket
import struct
from collections.abc import Iterable
from typing import Final

import structlog

from gateway.frontends.milter import protocol
from gateway.frontends.milter.protocol import Command, ProtocolError
from gateway.frontends.milter.session import Session, Shared
from gateway.frontends.telemetry.logs import log_unexpected

log = structlog.get_logger("sealgate.milter")

IDLE_S: Final = 7210  # as libmilter: longer than smtpd_timeout and milter_content_timeout of any Postfix
_SENT_OCTETS: Final = 1 << 18


def serve(channel: socket.socket, shared: Shared) -> None:
    """Serves until Postfix closes. Any error closes this connection; Postfix then does `default_action`."""
    with channel:
        try:
            _prepare(channel)
            _converse(channel, shared)
        except ProtocolError as error:
            log.error("milter.protocol_error", detail=str(error))  # noqa: TRY400 - the text says it; the place is outside the program
        except OSError:
            pass  # Postfix has closed the connection: no answer is possible
        except Exception as error:  # noqa: BLE001 - reported; the other connections go on
            log_unexpected(log, error)


def _prepare(channel: socket.socket) -> None:
    timeout = struct.pack("ll", IDLE_S, 0)
    channel.settimeout(None)
    for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
        channel.setsockopt(socket.SOL_SOCKET, option, timeout)


def _converse(channel: socket.socket, shared: Shared) -> None:
    session = Session(shared)
    try:
        for command, data in protocol.Packets(channel):
            if command == Command.QUIT:
                return
            if command == Command.QUIT_NEW_CONNECTION:
                session.close()
                session = Session(shared)
            elif answer := session.answer(command, data):
                _send(channel, answer)
    finally:
        session.close()


def _send(channel: socket.socket, packets: Iterable[bytes]) -> None:
    """In as few segments as possible: each one wakes Postfix."""
    waiting: list[bytes] = []
    size = 0
    for packet in packets:
        waiting.append(packet)
        size += len(packet)
        if size >= _SENT_OCTETS:
            channel.sendall(b"".join(waiting))
            waiting, size = [], 0
    if waiting:
        channel.sendall(b"".join(waiting))
