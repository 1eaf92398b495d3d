"""The set that a process begins with."""

from gateway.cli import context
from gateway.frontends.processes.handover import set_in_force
from gateway.settings import InForce


def first_set() -> InForce:
    """The set that `sealgate run` works by, if it started this process; otherwise the files are read.

    A process that replaces another must not use files that were not reloaded. CONFIG_UNREADABLE, CONFIG_INVALID.
    """
    packed = set_in_force()
    return InForce.of(context.config_path().absolute()) if packed is None else InForce.unpacked(packed)
