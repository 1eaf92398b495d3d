"""Program, run without any library: hands a command to the server of `command_server.py`, and ends as the command does.

Arguments: the server's socket, then those of `sealgate`. Its standard streams become the command's; signals are passed
on to it. Only modules that are built into Python are imported, so that a start costs 0.02 s.
"""

import _signal
import _socket
import array
import marshal
import os
import sys

_PASSED_ON = (_signal.SIGHUP, _signal.SIGINT, _signal.SIGQUIT, _signal.SIGTERM, _signal.SIGUSR1, _signal.SIGUSR2)


def launch(place: str, arguments: list[str]) -> int:
    """The exit code; negative where a signal ended the command."""
    pids: list[int] = []
    early: list[int] = []

    def pass_on(number: int, _: object) -> None:
        if pids:
            os.kill(pids[0], number)
        else:
            early.append(number)

    for number in _PASSED_ON:
        _signal.signal(number, pass_on)
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    connection.connect(place)
    request = marshal.dumps({"arguments": arguments, "directory": os.getcwd(),  # noqa: PTH109 - without pathlib
                              "environment": dict(os.environ)})
    octets = b"%d\n%b" % (len(request), request)
    sent = connection.sendmsg([octets], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, array.array("i", (0, 1, 2)))])
    connection.sendall(octets[sent:])
    pids.append(int(_line(connection)))
    for number in early:
        os.kill(pids[0], number)
    return int(_line(connection))


def _line(connection: _socket.socket) -> bytes:
    octets = b""
    while not octets.endswith(b"\n"):
        octet = connection.recv(1)
        if not octet:
            raise SystemExit("the command server has ended")
        octets += octet
    return octets


if __name__ == "__main__":
    code = launch(sys.argv[1], sys.argv[2:])
    if code < 0:
        if -code != _signal.SIGKILL:
            _signal.signal(-code, _signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)
