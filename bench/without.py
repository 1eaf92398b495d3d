"""Goal 5's other side: `sealgate run` with evidence and journal that keep nothing. `python -m bench.without CONFIG`."""

import sys
from dataclasses import replace
from pathlib import Path

from gateway import app
from gateway.adapters.next_hop.dry_run import NoEvidence, NoJournal
from gateway.app.processes.relay import relay
from gateway.settings import load


def main() -> None:
    """Everything else is as in `sealgate run`."""
    opened = app.open_store

    def forgetful(*arguments: object) -> app.Store:
        store = opened(*arguments)  # type: ignore[arg-type]
        return replace(store, journal=NoJournal(), evidence=NoEvidence())  # type: ignore[arg-type]

    app.open_store = forgetful
    config = Path(sys.argv[1])
    relay(load(config), config)


if __name__ == "__main__":
    main()
