"""`python -m gateway` is the command `sealgate`."""

from gateway.cli.main import main

main()
