"""The page of the command line, written from the commands themselves, so that it says what they say."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import typer

from buena_pipeline.cli.app import app
from buena_pipeline.cli.exits import EXIT_CODES

PAGE: Final = Path(__file__).parent.parent / "docs" / "command-line.md"

_HEAD: Final = """\
# Command line

`pip install "buena-pipeline[cli]"` brings the command `buena-pipeline`. Every command has `--help`; this page
says the same. Input is csv, tsv, Parquet, ndjson, json or xlsx, told by the ending of the file. So is output,
which is written whole or not at all.
"""


def command_line_page() -> str:
    """The page in Markdown: each command with its arguments, options and example, then the exit codes."""
    group: Any = typer.main.get_command(app)
    context = typer.Context(group, info_name="buena-pipeline")
    parts = [_HEAD, "## For all commands\n", _table(group, context)]
    for name, command in group.commands.items():
        within = typer.Context(command, info_name=name, parent=context)
        parts += [f"## {name}\n", f"{_prose(command.help)}\n", f"```sh\n{_example(command)}\n```\n"]
        parts.append(_table(command, within))
    codes = [f"| {code} | {meaning} |" for code, meaning in EXIT_CODES.items()]
    parts += ["## Exit codes\n", "\n".join(["| code | meaning |", "| --- | --- |", *codes]) + "\n"]
    return "\n".join(parts)


def _prose(text: str) -> str:
    """The sentences of a command, a paragraph a line."""
    paragraphs = text.split("\f", maxsplit=1)[0].split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def _example(command: Any) -> str:
    """The command line at the end of what ``--help`` prints."""
    lines = [line.strip() for line in (command.epilog or "").splitlines()]
    return "\n".join(line for line in lines if line.startswith("buena-pipeline"))


def _table(command: Any, context: typer.Context) -> str:
    """A table of a command's arguments, then its options."""
    records = [parameter.get_help_record(context) for parameter in command.get_params(context)]
    rows = [f"| `{_name(record[0])}` | {_cell(record[1])} |" for record in records if record]
    table = ["| option | what |", "| --- | --- |", *rows]
    return "\n".join(['<div class="options" markdown="1">\n', *table, "\n</div>\n"])


def _name(text: str) -> str:
    """What stands on the command line, without the type of what is put there."""
    return re.sub(r" <\w+>$", "", text).replace("|", r"\|")


def _cell(text: str) -> str:
    """What can stand in a cell."""
    return " ".join(text.split()).replace("|", r"\|").replace("<", "&lt;").replace("[", r"\[") if text else ""
