"""Writes man pages of `sealgate` and its commands into a directory: man_pages.py DIRECTORY.

The texts are those of `--help`, in roff's man macros (man(7)); one page for each command with its subcommands.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import click
from typer.main import get_command

from gateway import __version__
from gateway.cli.main import application


def main(directory: Path) -> None:
    """Creates the directory where it is missing."""
    directory.mkdir(parents=True, exist_ok=True)
    root = get_command(application([]))
    (directory / "sealgate.1").write_text(_page(root, ("sealgate",)), "utf-8")
    for name, command in _subcommands(root):
        (directory / f"sealgate-{name}.1").write_text(_page(command, ("sealgate", name)), "utf-8")


def _subcommands(command: click.Command) -> list[tuple[str, click.Command]]:
    commands = getattr(command, "commands", {})
    return [(name, one) for name, one in commands.items() if not one.hidden]


def _page(command: click.Command, words: tuple[str, ...]) -> str:
    name = "-".join(words)
    lines = [f'.TH {name.upper().replace("-", chr(92) + "-")} 1 "" "sealgate {__version__}" "Sealgate"', ".SH NAME",
             f"{_escaped(name)} \\- {_escaped(_summary(command))}", ".SH SYNOPSIS", *_synopsis(command, words),
             ".SH DESCRIPTION", *_text(command.help or ""), *_options(command, words, ".SH OPTIONS")]
    found = _subcommands(command)
    if len(words) == 1:
        lines += [".SH COMMANDS", *(line for one, sub in found for line in (
            ".TP", f".BR {_escaped(f'sealgate-{one}')} (1)", _escaped(_summary(sub))))]
    else:
        for one, sub in found:
            lines += [f'.SH "{_escaped(" ".join((*words, one)))}"', *_synopsis(sub, (*words, one)), ".PP",
                      *_text(sub.help or ""), *_options(sub, (*words, one), "")]
        lines += [".SH SEE ALSO", ".BR sealgate (1)"]
    return "\n".join(lines) + "\n"


def _summary(command: click.Command) -> str:
    return " ".join((command.help or "").partition("\n\n")[0].split()).rstrip(".")


def _synopsis(command: click.Command, words: tuple[str, ...]) -> Iterator[str]:
    context = click.Context(command, info_name=" ".join(words))
    yield f".B {_escaped(' '.join(words))}"
    yield _escaped(" ".join(command.collect_usage_pieces(context)))


def _options(command: click.Command, words: tuple[str, ...], head: str) -> Iterator[str]:
    context = click.Context(command, info_name=" ".join(words))
    records = [record for one in command.get_params(context) if (record := one.get_help_record(context))]
    if records and head:
        yield head
    for name, text in records:
        yield ".TP"
        yield f".B {_escaped(name)}"
        yield _escaped(" ".join(text.split())) or "\\&"


def _text(text: str) -> Iterator[str]:
    """Paragraphs; an example stays as it is written."""
    for number, paragraph in enumerate(text.replace("\b", "").strip().split("\n\n")):
        if number:
            yield ".PP"
        if paragraph.lstrip().startswith("Example"):
            yield from (".nf", *map(_escaped, paragraph.strip().splitlines()), ".fi")
        else:
            yield _escaped(" ".join(paragraph.split()))


def _escaped(text: str) -> str:
    """For roff: a backslash, a hyphen that is copied, and a line that would be a request."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace('"', "\\(dq")
    text = "".join(char if char.isascii() else f"\\[u{ord(char):04X}]" for char in text)
    return f"\\&{text}" if text.startswith((".", "'")) else text


if __name__ == "__main__":
    main(Path(sys.argv[1]))
