"""Who owns the files that commands make: root administers, but the service that must read them runs as a user."""

import os
from pathlib import Path


def hand_over(descriptor: int, directory: Path) -> None:
    """Gives a file that root has just made to the owner of its directory, if that is another user. OSError."""
    if os.geteuid() == 0:
        owner = directory.stat()
        os.fchown(descriptor, owner.st_uid, owner.st_gid)
