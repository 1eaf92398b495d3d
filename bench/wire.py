"""The two ends of the relay's bench, as thin as they can be: a sink that takes everything, and a source of mails.

`python -m bench.wire sink PORT`: answers 250 to all.
`python -m bench.wire source`: reads lines `PORT FILE COUNT CONNECTIONS PEER` from standard input, sends COUNT copies of
the SMTP transaction in FILE from the address PEER (every connection is kept) and answers with the wall seconds; each
copy gets its own Message-ID.
"""

import asyncio
import itertools
import sys
import time
from pathlib import Path

MARK = b"0000000000000000"  # in the Message-ID of FILE; replaced by a number
_numbers = itertools.count(1)


class Sink(asyncio.Protocol):
    """One connection of an SMTP server that takes everything."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greets."""
        self._transport: asyncio.WriteTransport = transport  # type: ignore[assignment]  # uvloop's is no subclass
        self._pending, self._data = b"", False
        self._transport.write(b"220 sink ESMTP\r\n")

    def data_received(self, data: bytes) -> None:
        """Commands line by line; a message up to its dot, of which only the last octets are kept."""
        self._pending += data
        while self._pending:
            if self._data:
                end = self._pending.find(b"\r\n.\r\n")
                if end < 0:
                    self._pending = self._pending[-4:]
                    return
                self._pending, self._data = self._pending[end + 5:], False
                self._transport.write(b"250 2.0.0 taken\r\n")
                continue
            line, end_of_line, rest = self._pending.partition(b"\r\n")
            if not end_of_line:
                return
            self._pending = rest
            self._command(line[:4].upper())

    def _command(self, verb: bytes) -> None:
        if verb == b"EHLO":
            self._transport.write(b"250-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SIZE 100000000\r\n"
                                  b"250-ENHANCEDSTATUSCODES\r\n250-DSN\r\n250 SMTPUTF8\r\n")
        elif verb == b"DATA":
            self._data = True
            self._transport.write(b"354 go on\r\n")
        elif verb == b"QUIT":
            self._transport.write(b"221 2.0.0 bye\r\n")
            self._transport.close()
        else:
            self._transport.write(b"250 2.0.0 ok\r\n")


async def expect(reader: asyncio.StreamReader, digit: bytes) -> None:
    """One reply of this class, of however many lines."""
    while True:
        line = await reader.readline()
        if line[3:4] != b"-":
            break
    if not line.startswith(digit):
        raise RuntimeError(f"the relay said {line!r}")


class Source:
    """Kept connections to one relay."""

    def __init__(self) -> None:
        self._idle: dict[tuple[int, str], list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]] = {}

    async def send(self, port: int, mail: bytes, count: int, connections: int, peer: str) -> float:
        """Wall seconds until the last of `count` mails was taken."""
        idle = self._idle.setdefault((port, peer), [])
        while len(idle) < connections:
            idle.append(await self._open(port, peer))
        remaining = itertools.repeat(None, count)
        started = time.perf_counter()
        await asyncio.gather(*(self._work(*pair, mail, remaining) for pair in idle[:connections]))
        return time.perf_counter() - started

    @staticmethod
    async def _open(port: int, peer: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(peer, 0))
        await expect(reader, b"2")
        writer.write(b"EHLO source\r\n")
        await expect(reader, b"2")
        return reader, writer

    @staticmethod
    async def _work(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, mail: bytes,
                    remaining: "itertools.repeat[None]") -> None:
        envelope, _, message = mail.partition(b"\0")
        for _ in remaining:
            for command in envelope.splitlines(keepends=True):
                writer.write(command)
                await expect(reader, b"2" if not command.startswith(b"DATA") else b"3")
            writer.write(message.replace(MARK, b"%016d" % next(_numbers), 1))
            await expect(reader, b"2")


async def run_source() -> None:
    """The loop of `source`."""
    source = Source()
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        port, file, count, connections, peer = line.split()
        seconds = await source.send(int(port), Path(file).read_bytes(), int(count), int(connections), peer)
        print(f"{seconds:.6f}", flush=True)


async def run_sink(port: int) -> None:
    """The loop of `sink`."""
    server = await asyncio.get_running_loop().create_server(Sink, "127.0.0.1", port)
    print("ready", flush=True)
    await server.serve_forever()


def main() -> None:
    """See the module."""
    import uvloop

    uvloop.run(run_sink(int(sys.argv[2])) if sys.argv[1] == "sink" else run_source())


if __name__ == "__main__":
    main()
