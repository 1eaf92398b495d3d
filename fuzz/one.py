"""`python -m fuzz.one TARGET [options of libFuzzer] [directories]`: one target under atheris, until told to stop."""

import sys

import atheris

with atheris.instrument_imports(include=["gateway"], enable_loader_override=False):
    from fuzz import targets


def main() -> None:
    """The target's name is the first argument; the rest is libFuzzer's."""
    name = sys.argv.pop(1)
    atheris.Setup(sys.argv, lambda octets: targets.run(name, octets))
    atheris.Fuzz()


main()
