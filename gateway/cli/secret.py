"""Secrets that people hand to a command: typed without echo, or the first line of standard input or of a file.

Never as an argument: the list of processes is open to everybody.
"""

import getpass
import sys

from gateway.cli.context import USAGE, fail


def asked(prompt: str, *, twice: bool = False) -> str:
    """The secret, typed on a terminal (`twice` where a mistake locks the user out), else a line of standard input."""
    if not sys.stdin.isatty():
        line = sys.stdin.readline()
        if not line.rstrip("\r\n"):
            fail("standard input is empty. Write the secret as its first line", USAGE)
        return line.rstrip("\r\n")
    first = getpass.getpass(f"{prompt}: ")
    if twice and getpass.getpass(f"{prompt} again: ") != first:
        fail("the two entries differ, so nothing was changed. Try again", USAGE)
    return first
