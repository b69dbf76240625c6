"""Messages of the library for people at a shell: arguments of Python become options."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from typing import Final

_OPTIONS: Final = {
    ", or pass client=BuenaClient(api_key=...)": "",
    ", or None to use none of them": ", or with nothing after the = to use none of them",
    'prefix="again_"': "--prefix again_",
    "prefix=...": "--prefix",
    "encryption_key= or BUENA_STORE_KEY": "BUENA_STORE_KEY",
    "encryption_key= and BUENA_STORE_KEY": "BUENA_STORE_KEY",
    "retry_unknown=True": "--retry-unknown",
    "the budget max_credits": "the budget --max-credits",
    "the budget daily_credits": "the budget --daily-credits",
    "Score what enrich_frame() returned, or cast the columns": "Score what buena-pipeline enrich wrote",
    "enrich_frame()": "buena-pipeline enrich",
    "score_frame()": "buena-pipeline score",
    " Run that without enrichment to see where: collect() tells.": "",
    "; collect_schema() tells whether it runs": "",
    ", or base_url=": "",
    ", or query with EnrichmentStore.sql()": "",
    "EnrichmentStore.sql()": "buena-pipeline sql",
    "pass the prefix that it was enriched with": "give the --prefix that it was enriched with",
    "Mend these rows or leave them out;": "Mend these rows, or leave them out with --skip-unusable;",
    "columns has no field": "--column has no field",
    "columns gives": "--column gives",
    "datetime.timedelta": "time",
}
"""What is said in Python, and what it is at a shell."""

_CODE: Final = {
    re.compile(r"(?:Join it|Take a field out|Turn it into text) first: pl\.col\(.*\)\."): (
        "Make it text in the file, or read another column: --column FIELD=NAME."
    ),
    re.compile(r", with frame\.drop\(.*\)\."): ".",
    re.compile(r", with pl\.col\(.*\)\.cast\(pl\.Float64\)\."): " in the file.",
}
"""Code in the end of a message, and what is done at a shell."""

_COLUMNS: Final = re.compile(r'columns=\{(?P<pairs>(?:"[^"]*"|[^}"])*)\}')
_PAIR: Final = re.compile(r'"(?P<field>\w+)": "(?P<name>[^"]*)"')


def as_on_the_shell(message: str) -> str:
    """A message of the library, in the words of the command line.

    Args:
        message: as an error of the library has it.

    Example:
        >>> as_on_the_shell('Say which: columns={"company": "Firm Name"}, or None to use none of them.')
        "Say which: --column 'company=Firm Name', or with nothing after the = to use none of them."
    """
    for python, shell in _OPTIONS.items():
        message = message.replace(python, shell)
    for code, done in _CODE.items():
        message = code.sub(done, message)
    return _COLUMNS.sub(_as_options, message)


def lines_on_the_shell(lines: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """The same of the lines of a summary.

    Args:
        lines: names, and what is to be said of them.

    Example:
        >>> lines_on_the_shell([("perhaps", 'columns={"company": "Firm"}')])
        [('perhaps', '--column company=Firm')]
    """
    return [(name, as_on_the_shell(text)) for name, text in lines]


def _as_options(columns: re.Match[str]) -> str:
    pairs = [f"{pair['field']}={pair['name']}" for pair in _PAIR.finditer(columns["pairs"])]
    if not pairs or any(pair.endswith("=...") for pair in pairs):
        return "--column FIELD=NAME, such as --column email=NAME"
    return " ".join(f"--column {shlex.quote(pair)}" for pair in pairs)
