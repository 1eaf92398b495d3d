"""The set that a process begins with."""

from dataclasses import replace

from gateway.cli import context
from gateway.frontends.processes.handover import set_has_served, set_in_force
from gateway.settings import InForce


def first_set() -> InForce:
    """The set that `sealgate run` works by, if it started this process; otherwise the files are read.

    A process that replaces another must not use files that were not reloaded. CONFIG_UNREADABLE, CONFIG_INVALID.
    """
    packed, has_served = set_in_force(), set_has_served()
    if packed is None:
        return InForce.of(context.config_path().absolute())
    return replace(InForce.unpacked(packed), has_served=has_served)
