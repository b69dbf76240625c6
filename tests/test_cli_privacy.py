"""Forgetting and suppressing from the command line: what is said, what is asked, and what is never said."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import polars as pl
import pytest

import buena_pipeline
from buena_pipeline import BuenaClient, EnrichmentStore, Sandbox, enrich_frame
from buena_pipeline.cli import main

LEADS = pl.DataFrame(
    {"Work Email": ["jane.secret@acme.example", "omar@acme.example", None], "Deal": ["10", "20", "30"]}
)


@dataclass(frozen=True)
class Ran:
    """What a command did."""

    code: int
    out: str
    err: str


@pytest.fixture(scope="module")
def bought(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A store in which both people were bought."""
    path = tmp_path_factory.mktemp("bought") / "buena.duckdb"
    with Sandbox(limits=None, not_found=0) as sandbox, BuenaClient(sandbox.api_key, sandbox.url) as client:
        enrich_frame(LEADS, client=client, store=path)
    return path.read_bytes()


@pytest.fixture
def store(bought: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EnrichmentStore:
    """That store in the working folder, beside the table."""
    monkeypatch.chdir(tmp_path)
    for name in ("COLUMNS", "FORCE_COLOR", "NO_COLOR", "BUENA_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    Path("buena.duckdb").write_bytes(bought)
    LEADS.write_csv("leads.csv")
    return EnrichmentStore("buena.duckdb", lock_timeout=5)


@pytest.fixture
def cli(capfd: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Runs a command in this process, where nobody is to be asked."""

    def run(*args: str) -> Ran:
        return Ran(main(args), *capfd.readouterr())

    return run


@pytest.mark.filterwarnings("always")
def test_a_warning_is_one_line_without_code(
    store: EnrichmentStore, cli: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a journal entry that cannot be searched for whoever is forgotten; those of others are as ever."""
    journal = Path("buena.duckdb.journal")
    journal.mkdir(mode=0o700)
    (journal / "1.corrupt").touch()
    ran = cli("forget", "jane.secret@acme.example", "--yes")
    assert ran.out == "1 person forgotten\n"
    assert re.fullmatch(r"warning: 1 damaged entries .*1\.corrupt\. Delete them .*forgotten\.\n", ran.err)
    old = partial(warnings.warn, "old", DeprecationWarning, stacklevel=1)
    monkeypatch.setattr("buena_pipeline.cli.app.app", lambda **_: old())
    assert "test_cli_privacy.py" in cli().err


def test_people_are_forgotten_and_counted(store: EnrichmentStore, cli: Callable[..., Ran]) -> None:
    """By address, then by table; what is printed names nobody."""
    assert cli("forget", "Jane.Secret@acme.example", "--yes") == Ran(0, "1 person forgotten\n", "")
    assert store.stats().people == 1
    assert b"jane.secret" not in store.path.read_bytes()
    assert cli("forget", "--from", "leads.csv", "-y").out == "1 person forgotten\n"
    assert (
        cli("forget", "--from", "leads.csv", "--column", "email=Work Email", "-y").out
        == "0 people forgotten\n"
    )
    assert store.stats().people == 0


def test_people_are_put_on_the_list_and_taken_off(store: EnrichmentStore, cli: Callable[..., Ran]) -> None:
    """Identifiers are counted; suppressing asks nothing, because it can be undone."""
    ran = cli("suppress", "new@acme.example", "https://www.linkedin.com/in/some-profile")
    assert ran == Ran(0, "2 identifiers added to the list, which has 2 now\n", "")
    ran = cli("suppress", "--undo", "new@acme.example")
    assert ran == Ran(0, "1 identifier taken off the list, which has 1 now\n", "")
    cli("suppress", "--from", "leads.csv")
    assert store.suppressed() >= 3


def test_what_is_too_old_is_erased(store: EnrichmentStore, cli: Callable[..., Ran]) -> None:
    """Nothing is older than a year; all of it is older than no time."""
    assert cli("retention", "--older-than", "52w", "--yes").out == "0 people erased, in whole or in part\n"
    assert cli("retention", "--older-than", "0s", "--yes").out == "2 people erased, in whole or in part\n"
    assert store.stats().answers == 0


@pytest.mark.parametrize(
    ("args", "word"),
    [
        (("forget",), "Say who"),
        (("forget", "omar@acme.example", "--from", "leads.csv", "--yes"), "not by both"),
        (("suppress", "omar@acme.example", "--from", "leads.csv"), "not by both"),
        (("suppress", "omar@acme.example", "--skip-unusable"), "it takes --from FILE"),
        (("forget", "omar@acme.example"), "add --yes"),
        (("retention", "--older-than", "1d"), "add --yes"),
        (("retention", "--older-than", "none", "--yes"), "takes an age"),
        (("retention", "--older-than", "secret", "--yes"), "takes a number"),
        (("forget", "omar@acme.example", "jane.secret", "--yes"), "identifies nobody, counted from 1: 2"),
        (("suppress", "jane.secret"), "identifies nobody"),
        (("forget", "omar@acme.example", "--column", "email=x", "--yes"), "--column"),
        (("forget", "--from", "leads.csv", "--column", "email=Mail", "--yes"), "no column"),
        (("forget", "--from", "nowhere.csv", "--yes"), "does not exist"),
    ],
)
def test_what_cannot_be_done_is_refused(
    store: EnrichmentStore, cli: Callable[..., Ran], args: tuple[str, ...], word: str
) -> None:
    """One message, exit code 2, and everybody is still there."""
    ran = cli(*args)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("error: ")
    assert word in ran.err
    assert "jane" not in ran.err
    assert store.stats().people == 2
    assert store.suppressed() == 0


def test_a_store_that_is_not_there_is_not_made(store: EnrichmentStore, cli: Callable[..., Ran]) -> None:
    """A mistyped name must not look like success."""
    ran = cli("forget", "omar@acme.example", "--store", "typo.duckdb", "--yes")
    assert (ran.code, ran.out) == (4, "")
    assert "no store at" in ran.err
    assert not Path("typo.duckdb").exists()


def test_a_list_in_a_new_store_says_so(store: EnrichmentStore, cli: Callable[..., Ran]) -> None:
    """A first list is legitimate, a mistyped name must be seen; nothing is taken off what is not there."""
    ran = cli("suppress", "--undo", "omar@acme.example", "--store", "typo.duckdb")
    assert (ran.code, ran.out) == (4, "")
    assert "no store at" in ran.err
    assert not Path("typo.duckdb").exists()
    ran = cli("suppress", "omar@acme.example", "--store", "typo.duckdb")
    assert ran.out == "1 identifier added to the list, which has 1 now\n"
    assert ran.err == f"new store made: {Path('typo.duckdb').resolve()}\n"
    assert cli("suppress", "jane@acme.example", "--store", "typo.duckdb").err == ""
    assert store.suppressed() == 0


@pytest.mark.parametrize("command", [("forget", "-y"), ("suppress",)])
def test_rows_that_identify_nobody_are_told_or_left_out(
    store: EnrichmentStore, cli: Callable[..., Ran], command: tuple[str, ...]
) -> None:
    """How many and which; with an option the others count. Nobody at all is refused with it, too."""
    rows = ["omar@acme.example", "n/a", *["call him"] * 80, "", "jim"]
    pl.DataFrame({"Email": rows, "City": "Bonn"}).write_csv("crm.csv")
    ran = cli(*command, "--from", "crm.csv")
    assert ran.code == 2
    assert "82 of 84 rows identify nobody, counted from 1: 2, 3, 4, 5, 6 and 77 more." in ran.err
    assert "leave them out with --skip-unusable; nothing was changed" in ran.err
    ran = cli(*command, "--from", "crm.csv", "--skip-unusable")
    assert (ran.code, ran.err) == (0, "82 rows identify nobody; left out\n")
    people, hashes = store.stats().people, store.suppressed()
    assert (people == 1, hashes > 0) == (command[0] == "forget", command[0] == "suppress")
    pl.DataFrame({"Email": ["n/a"]}).write_csv("crm.csv")
    ran = cli(*command, "--from", "crm.csv", "--skip-unusable")
    assert (ran.code, ran.err) == (2, "error: No row of crm.csv identifies anybody. Nothing was changed.\n")


def test_people_of_a_list_column_are_forgotten(store: EnrichmentStore, cli: Callable[..., Ran]) -> None:
    """Each by all addresses of a row."""
    pl.DataFrame({"mails": [["omar@acme.example", "o@x.example"], []]}).write_parquet("mails.parquet")
    assert cli("forget", "--from", "mails.parquet", "-y") == Ran(0, "1 person forgotten\n", "")


@pytest.mark.parametrize(("answer", "code", "left"), [("n\n", 2, 2), ("\x04", 2, 2), ("y\n", 0, 1)])
def test_a_person_at_a_terminal_is_asked(store: EnrichmentStore, answer: str, code: int, left: int) -> None:
    """No and the end of the input change nothing."""
    master, slave = pty.openpty()
    try:
        os.write(master, answer.encode())
        done = subprocess.run(
            [sys.executable, "-m", "buena_pipeline.cli", "forget", "omar@acme.example"],
            env={**os.environ, "PYTHONPATH": str(Path(buena_pipeline.__file__).parents[1])},
            stdin=slave,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    finally:
        os.close(master)
        os.close(slave)
    assert done.returncode == code, done.stderr
    assert "for good" in done.stderr
    assert ("Not confirmed" in done.stderr) == (code == 2)
    assert store.stats().people == left
