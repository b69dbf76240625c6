"""Held wrong, as new users do: what they read says what happened, to what, and what to do next."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import httpx
import numpy as np
import pandas as pd
import polars as pl
import pytest

from buena_pipeline import (
    BuenaClient,
    Enricher,
    EnrichmentStore,
    Sandbox,
    enrich_frame,
    plan_frame,
    score_frame,
)
from buena_pipeline.cli import app as application
from buena_pipeline.cli import main
from buena_pipeline.cli.doctor import Check, examine, unfit_packages
from buena_pipeline.cli.exits import EXIT_CODES
from buena_pipeline.cli.wording import as_on_the_shell
from buena_pipeline.errors import (
    BuenaError,
    ColumnError,
    InputError,
    NotAStoreError,
    QueryError,
    SettingsError,
    StoreError,
    StoreVersionError,
)
from buena_pipeline.files import read_table
from buena_pipeline.sandbox import Fault
from buena_pipeline.settings import resolve_base_url
from buena_pipeline.unreached import why
from buena_pipeline.wire import interpret

ROOT = Path(__file__).parents[1]
SECRET = "jane.doe@acme.example"
_PYTHON = (
    *("columns=", "prefix=", "api_key=", "=True", "enrich_frame", "score_frame", "BuenaClient"),
    *("pl.col", "frame.drop", "Traceback"),
)
WITHOUT_POWERS = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")
"""Root, to whom the permissions of files apply."""

LEADS = pl.DataFrame({"email": [SECRET, "bob@acme.example"], "deal": [1, 2]})


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder of one's own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refused(call: Callable[[], object], kind: type[BuenaError], *words: str) -> str:
    """What the user reads: one error of ours, with nothing of somebody else's behind it."""
    with pytest.raises(BuenaError) as caught:
        call()
    error = caught.value
    assert type(error) is kind, repr(error)
    assert error.__cause__ is None
    assert error.__context__ is None or error.__suppress_context__
    text = str(error)
    for word in words:
        assert word in text, text
    assert SECRET not in text
    assert text.endswith((".", "?", "]", "buena-pipeline", "duckdb", "api/v2")), text
    return text


# --- in Python: settings ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: BuenaClient(123), ["The API key is text", "not int"]),
        (lambda: BuenaClient(b"bna_a"), ["not bytes"]),
        (lambda: BuenaClient("https://api.buena.ai/api/v2"), ["The API key is a URL", "base_url="]),
        (lambda: BuenaClient("bna_a", 5), ["The base URL is text", "not int"]),
        (
            lambda: BuenaClient("bna_a", "http://api.buena.ai/api/v2"),
            ["http://", "https://"],
        ),
        (lambda: BuenaClient("bna_a", concurrency="8"), ["concurrency", "whole number from 1 on, not '8'"]),
        (lambda: BuenaClient("bna_a", concurrency=2.5), ["concurrency", "not 2.5"]),
        (lambda: BuenaClient("bna_a", attempts=0), ["attempts", "not 0"]),
        (lambda: BuenaClient("bna_a", timeout=None), ["timeout", "above 0, not None"]),
        (lambda: BuenaClient("bna_a", backoff=-1), ["backoff", "from 0 on, not -1"]),
        (lambda: BuenaClient("bna_a", limits=60), ["RateLimits(minute=60)", "not int"]),
        (lambda: BuenaClient("bna_a", transport="proxy"), ["httpx.HTTPTransport", "not str"]),
        (lambda: Sandbox(limits=60), ["Sandbox(limits=...)", "RateLimits(minute=60)"]),
        (lambda: EnrichmentStore("a.duckdb", lock_timeout="5"), ["lock_timeout", "seconds", "not '5'"]),
        (lambda: EnrichmentStore("~nobody-of-this-name/a.duckdb"), ["home folder", "write it out"]),
    ],
)
def test_settings_of_the_wrong_kind(make: Callable[[], object], words: list[str]) -> None:
    """Refused where they are given, with what is taken instead; never by an AttributeError later."""
    refused(make, SettingsError, *words)


def test_a_gateway_of_ones_own_may_do_without_https() -> None:
    """Only the vendor's own API is known to have it."""
    for url in ("http://localhost:8765/api/v2", "http://gateway:8080", "http://notbuena.ai"):
        assert resolve_base_url(url) == url
    for url in ("http://api.buena.ai", "http://staging-api.buena.ai/api/v2", "http://buena.ai"):
        refused(lambda url=url: resolve_base_url(url), SettingsError, "https://")


# --- in Python: arguments --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"max_credits": -1}, ["max_credits", "from 0 on", "not -1"]),
        ({"max_credits": "500"}, ["not '500'"]),
        ({"daily_credits": float("nan")}, ["daily_credits", "not nan"]),
        ({"max_age": 90}, ["timedelta(days=90)", "not 90"]),
        ({"max_age": "90d"}, ["not '90d'"]),
        ({"retry_failed_after": 30}, ["retry_failed_after", "not 30"]),
        ({"max_wait": None}, ["max_wait", "seconds as a number", "not None"]),
        ({"retry_unknown": "no"}, ["retry_unknown takes True or False, not 'no'"]),
        ({"progress": "yes"}, ["progress takes True"]),
        ({"priority": "deal"}, ['pl.col("deal_size")']),
    ],
)
def test_arguments_that_make_no_sense(arguments: dict[str, Any], words: list[str]) -> None:
    """Each is named, with what was given and what is taken."""
    refused(lambda: Enricher(**arguments), InputError, *words)


def test_numbers_of_numpy_are_numbers() -> None:
    """A budget that comes out of a computation."""
    terms = Enricher(max_credits=np.int64(5), daily_credits=np.float32(0.5)).terms
    assert (terms.max_credits, terms.daily_credits) == (5, 0.5)
    assert type(terms.max_credits) is int


@pytest.mark.parametrize("lazy", [False, True])
def test_a_priority_of_a_column_that_is_not_there(lazy: bool) -> None:
    """It is named, with the one that was meant."""
    table: Any = LEADS.lazy() if lazy else LEADS
    run = lambda: Enricher(priority=pl.col("deals")).run(table)  # noqa: E731
    refused(run, ColumnError, '"deals"', 'did you mean "deal"')


def test_a_priority_of_text() -> None:
    """What is no number says how it becomes one, and quotes no cell."""
    refused(lambda: plan_frame(LEADS, priority=pl.col("email")), InputError, "cast(pl.Float64, strict=False)")


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("leads.csv", ["not str", "buena_pipeline.read_table(path)"]),
        (Path("leads.csv"), ["Read a file first"]),
        (LEADS["email"], ["not Series", ".to_frame()"]),
        ([{"email": SECRET}], ["not list", "pl.DataFrame(...)"]),
        ({"email": [SECRET]}, ["not dict", "pl.DataFrame(...)"]),
        (pd.DataFrame({"email": [SECRET, 5]}), ['column "email" holds values of several types']),
        (
            pd.DataFrame([[SECRET, "x"]], columns=["email", "email"]),
            ['column "email" is there more than once'],
        ),
        (pd.Series([SECRET], name="email"), ["not Series", ".to_frame()"]),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, list) else "",
)
def test_what_is_no_table(table: Any, words: list[str]) -> None:
    """It says how to make one of it, or which column is at fault."""
    refused(lambda: plan_frame(table), InputError, *words)


def test_a_table_that_was_enriched_before() -> None:
    """As when the same cell of a notebook runs twice."""
    once = LEADS.with_columns(pl.lit(None).alias(f"buena_{name}") for name in ("status", "email"))
    refused(lambda: plan_frame(once), ColumnError, "buena_status", 'prefix="again_"')
    with Sandbox(limits=None) as sandbox, BuenaClient(sandbox.api_key, sandbox.url) as client:
        twice = enrich_frame(LEADS, client=client)
        refused(lambda: enrich_frame(twice, client=client), ColumnError, "It was enriched before")
        assert "again_status" in enrich_frame(twice, client=client, prefix="again_").columns


def test_a_query_over_a_file_that_is_not_there() -> None:
    """Told when the query is handed over, in words about the file."""
    for table in (pl.scan_csv("missing.csv"), pl.scan_parquet("missing.parquet")):
        refused(lambda table=table: enrich_frame(table), InputError, "missing.", "Is its path right")


def test_a_query_that_does_not_run() -> None:
    """Names are told; what its rows say is not."""
    wrong = LEADS.lazy().with_columns(x=pl.col("nope"))
    refused(lambda: enrich_frame(wrong), InputError, '"nope"', "collect_schema()")
    late = LEADS.lazy().with_columns(email=pl.col("email").cast(pl.Int64).cast(pl.String))
    refused(lambda: Enricher().run(late), InputError, "InvalidOperationError", "collect()")
    refused(lambda: enrich_frame(late).collect(), InputError, "InvalidOperationError")


def test_a_file_that_goes_while_it_is_read() -> None:
    """After the query was handed over."""
    LEADS.write_parquet("leads.parquet")
    lazy = enrich_frame(pl.scan_parquet("leads.parquet"))
    Path("leads.parquet").unlink()
    refused(lazy.collect, InputError, "leads.parquet", "Is its path right")


def test_a_model_that_is_none() -> None:
    """The path of one is not the model yet."""
    refused(lambda: score_frame(LEADS, model="model.toml"), InputError, "ScoringModel.from_toml", "not str")


def test_a_column_that_was_overlooked() -> None:
    """The plan has what was read, as ``columns=`` takes it, and what was not; a notebook shows both."""
    leads = pl.DataFrame({"E-Mail": [SECRET, None], "Mail": [None, None], "Li <b> (LinkedIn)": [None, "x"]})
    plan = plan_frame(leads)
    assert plan.columns == {"email": ["E-Mail", "Mail"]}
    assert plan.unread == {"Li <b> (LinkedIn)": "linkedin_url"}
    assert plan_frame(leads, columns=plan.columns) == plan_frame(leads, columns=dict(plan.columns))
    assert isinstance(hash(plan), int)
    html = plan._repr_html_()
    assert "read: email = E-Mail, email = Mail" in html
    assert "Li &lt;b&gt; (LinkedIn)" in html
    given = plan_frame(leads, columns={**plan.columns, "linkedin_url": "Li <b> (LinkedIn)"})
    assert (given.people, given.unread) == (1, {})


# --- in Python: the store --------------------------------------------------------------------------------


def test_files_that_are_no_store() -> None:
    """Each says what it is, and that it was left alone."""
    Path("folder").mkdir()
    Path("zero.duckdb").touch()
    Path("text.duckdb").write_text("hello " * 3000)
    duckdb.connect("other.duckdb").close()
    for name, words in {
        "folder": ["is a folder", "folder/buena.duckdb"],
        "zero.duckdb": ["is empty", "delete it"],
        "text.duckdb": ["is not a DuckDB database", "left as it is"],
        "other.duckdb": ["not a store of buena_pipeline", "left as it is"],
    }.items():
        refused(lambda name=name: plan_frame(LEADS, store=name), NotAStoreError, name, *words)
    refused(lambda: plan_frame(LEADS, store="zero.duckdb/b.duckdb"), StoreError, "is no folder")
    refused(lambda: EnrichmentStore("a\0b"), InputError, "path of its file")
    assert Path("zero.duckdb").stat().st_size == 0


def test_a_store_of_a_newer_release(store: EnrichmentStore) -> None:
    """Both versions are told, and what brings them together."""
    store.stats()
    with duckdb.connect(str(store.path)) as connection:
        connection.execute("insert into meta values ('schema_version', '99')")
    text = refused(lambda: plan_frame(LEADS, store=store.path), StoreVersionError, "version 99")
    assert "pip install --upgrade" in text


@pytest.mark.skipif(os.name != "posix" or not Path("/usr/bin/setpriv").exists(), reason="needs setpriv")
def test_a_store_that_this_user_may_not_open(store: EnrichmentStore) -> None:
    """Also as root without its powers."""
    store.stats()
    store.path.chmod(0o000)
    script = "import sys; from buena_pipeline import EnrichmentStore; EnrichmentStore(sys.argv[1]).stats()"
    powers = WITHOUT_POWERS if os.getuid() == 0 else ()
    done = subprocess.run(
        [*powers, sys.executable, "-c", script, str(store.path)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    store.path.chmod(0o600)
    assert "StoreError" in done.stderr
    assert "may not be opened by this user" in done.stderr


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="only root gives files away")
@pytest.mark.parametrize("read_only", [False, True])
def test_a_store_of_another_user_says_whose_it_is(read_only: bool, store: EnrichmentStore) -> None:
    """In a folder where everybody may write, as root without its powers."""
    store.stats()
    store.path.parent.chmod(0o777)
    for path in store.path.parent.iterdir():
        os.chown(path, 54_321, -1)
    script = f"import sys, buena_pipeline as b; b.EnrichmentStore(sys.argv[1], read_only={read_only}).stats()"
    done = subprocess.run(
        [*WITHOUT_POWERS, sys.executable, "-c", script, str(store.path)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert f"StoreError: The store {store.path} may not be used by this user: " in done.stderr
    assert f"{store.path} belongs to user 54321, and this is the user root" in done.stderr


def test_queries_that_are_none(store: EnrichmentStore) -> None:
    """What DuckDB says of placeholders and files is told, because no value is in it."""
    store.stats()
    for query in ("", " ", None):
        refused(lambda query=query: store.sql(query), QueryError, "There is no query", "from leads")
    refused(lambda: store.sql("select ?", "jane"), QueryError, "params takes a list")
    with pytest.raises(QueryError, match="Values were not provided for the following parameters: 1"):
        store.sql("select ?")
    with pytest.raises(QueryError, match=r'No files found that match the pattern "nope\.csv"'):
        store.sql("from 'nope.csv'")


def test_csv_files_that_a_query_cannot_read(store: EnrichmentStore) -> None:
    """The line and what to say of the file, but nothing that stands in it."""
    store.stats()
    Path("latin.csv").write_bytes(f"Name,Mail\nJ\xfcrgen,{SECRET}\n".encode("latin-1"))
    Path("ragged.csv").write_text(f"a,b\n1,2\n{SECRET},2,3\n")
    Path("quoted.csv").write_text(f'a;b\n1;2\n"{SECRET}\n')
    typed = ", columns={'a': 'int', 'b': 'int'}"
    for name, more, words in (
        ("latin", "", ["not UTF-8", "encoding='latin-1'"]),
        (
            "ragged",
            typed.replace("int", "varchar") + ", auto_detect=false, header=true",
            ["line 3", "delim=';'"],
        ),
        ("quoted", typed, ["cannot be read", "delim=';'"]),
    ):
        query = f"from read_csv('{name}.csv'{more})"
        refused(lambda query=query: store.sql(query), QueryError, *words)
    read = store.sql("from read_csv('latin.csv', encoding='latin-1')")
    assert read["Name"].to_list() == ["Jürgen"]


def test_exports_to_nowhere(store: EnrichmentStore) -> None:
    """A file in the place of the folder, and what is no path."""
    store.stats()
    Path("file").touch()
    refused(lambda: store.export("file"), InputError, "The folder file cannot be made", "Name another")
    refused(lambda: store.export(3), InputError, "path of a folder, not int")


# --- the network -----------------------------------------------------------------------------------------


def test_why_nobody_answers() -> None:
    """Name, port, certificate and protocol are different mistakes."""
    with BuenaClient("bna_a", "http://127.0.0.1:1", backoff=0) as client:
        frame = enrich_frame(LEADS, client=client)
        refused(client.health, type(caught(client.health)), "refused", "BUENA_BASE_URL")
    assert frame["buena_error"][0] == (
        "no connection to http://127.0.0.1:1: the connection is refused, as where no server runs"
    )
    with Sandbox() as sandbox, BuenaClient("bna_a", sandbox.url.replace("http:", "https:")) as client:
        assert "does not speak https" in str(caught(client.health))
    with BuenaClient("bna_a", "http://no-such-host.invalid") as client:
        assert "the name of the host is not known" in str(caught(client.health))
    assert why(httpx.ReadError("whatever")) == "ReadError"
    assert why(TimeoutError()) == "no answer came in time"


def caught(call: Callable[[], object]) -> BuenaError:
    """The error that a call ends with."""
    with pytest.raises(BuenaError) as error:
        call()
    return error.value


def test_a_redirect_is_not_followed_and_says_where_it_may_lead() -> None:
    """As from http:// to https://."""
    verdict: Any = interpret(301, {}, b"", now=pd.Timestamp("2026-03-02", tz="UTC").to_pydatetime())
    assert "a redirect, which is not followed" in str(verdict.error)
    assert "https://" in str(verdict.error)


# --- files -----------------------------------------------------------------------------------------------


def test_what_is_no_path() -> None:
    """Of a file to read."""
    for path in (None, 3, LEADS):
        refused(lambda path=path: read_table(path), InputError, "takes the path of a file, not")


def test_files_that_cannot_be_read() -> None:
    """The line, the folder, the name that was meant."""
    LEADS.write_csv("leads.csv")
    Path("nul.csv").write_bytes(b"a,b\n\0,1\n")
    Path("broken.json").write_text('[{"email": "a@b.example"},\n{"email": ')
    Path("scalar.json").write_text("5")
    Path("half.parquet").write_bytes(b"PAR1 or so")
    for name, words in {
        "lead.csv": ["lead.csv does not exist", "did you mean leads.csv?"],
        "quite-another.csv": ["does not exist in", "is the name right?"],
        "no/leads.csv": ["there is no folder no"],
        "nul.csv": ["nul.csv is no text", ".xlsx"],
        "broken.json": ["broken.json, line 2"],
        "scalar.json": ["list of objects"],
        "half.parquet": ["Is the file whole"],
    }.items():
        with pytest.raises(InputError) as error:
            read_table(Path(name))
        for word in words:
            assert word in str(error.value)


# --- at the shell ----------------------------------------------------------------------------------------


def shell(*args: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Runs the command line in a process of its own, without a terminal."""
    surroundings = {name: text for name, text in os.environ.items() if name not in {"COLUMNS", "FORCE_COLOR"}}
    return subprocess.run(
        [sys.executable, "-m", "buena_pipeline.cli", *args],
        env={**surroundings, "PYTHONPATH": str(ROOT), **env},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("message", "read"),
    [
        (
            'Say which: columns={"company": "Firm", "email": "Mail"}.',
            "Say which: --column company=Firm --column email=Mail.",
        ),
        (
            'Say: columns={"email": "...", "full_name": "..."}.',
            "Say: --column FIELD=NAME, such as --column email=NAME.",
        ),
        (
            'choose another prefix, such as prefix="again_".',
            "choose another prefix, such as --prefix again_.",
        ),
        ("give its key as encryption_key= or BUENA_STORE_KEY.", "give its key as BUENA_STORE_KEY."),
        (
            "perhaps charged already by the request of 10:00 UTC; retry_unknown=True buys again",
            "perhaps charged already by the request of 10:00 UTC; --retry-unknown buys again",
        ),
        ("the budget daily_credits is used up for today", "the budget --daily-credits is used up for today"),
        (
            "It is damaged. Run that without enrichment to see where: collect() tells. What was bought ...",
            "It is damaged. What was bought ...",
        ),
        (
            'The column x is String, no numbers: cast it, with pl.col("x").cast(pl.Float64).',
            "The column x is String, no numbers: cast it in the file.",
        ),
        ("nothing of that", "nothing of that"),
    ],
)
def test_a_shell_reads_of_options(message: str, read: str) -> None:
    """Nobody at a shell has keyword arguments."""
    assert as_on_the_shell(message) == read


def test_no_message_at_the_shell_speaks_python() -> None:
    """The mistakes that are made most."""
    Path("two.csv").write_text("Company,Organization,Email\nA,B,x@y.example\n")
    Path("clash.csv").write_text("Email,buena_status\nx@y.example,ok\n")
    Path("leads.csv").write_text("Email\nx@y.example\n")
    Path("scored.csv").write_text(
        "Email,buena_status,buena_score,buena_score_title\nx@y.example,cached,1,1\n"
    )
    pl.DataFrame({"email": [{"value": "x@y.example"}]}).write_parquet("nested.parquet")
    pl.DataFrame({"email": [b"x@y.example"]}).write_parquet("binary.parquet")
    for args, word in {
        ("plan", "two.csv"): "--column company=Company",
        ("plan", "clash.csv"): "--prefix again_",
        ("enrich", "leads.csv", "-o", "out.csv"): "export BUENA_API_KEY=bna_...",
        ("score", "leads.csv", "-o", "out.csv"): "buena-pipeline enrich",
        ("enrich", "leads.csv", "-o", "out.csv", "--model", "m.toml"): "add --score",
        ("score", "scored.csv", "-o", "out.csv"): "buena_score, buena_score_title. Drop them first.",
        ("plan", "nested.parquet"): "Make it text in the file, or read another column: --column FIELD=NAME.",
        ("plan", "binary.parquet"): "Make it text in the file",
        ("report", "leads.csv", "-o", "out.html"): "score it with buena-pipeline score",
        ("enrich", "leads.csv", "-o", "."): "is a folder: name a file in it",
    }.items():
        done = shell(*args)
        assert (done.returncode, done.stdout) == (2, "")
        assert word in done.stderr
        for python in _PYTHON:
            assert python not in done.stderr, done.stderr


def test_what_a_run_says_of_unknown_outcomes_speaks_of_options(sandbox: Sandbox) -> None:
    """In the summary of a plan and of a run, which print reasons as the library has them."""
    LEADS.write_csv("leads.csv")
    env = {"BUENA_API_KEY": sandbox.api_key, "BUENA_BASE_URL": sandbox.url}
    sandbox.inject(Fault("reset_after"))
    assert shell("enrich", "leads.csv", "-o", "out.csv", **env).returncode == 5
    done = shell("enrich", "leads.csv", "-o", "out.csv", **env)
    assert done.returncode == 5
    told = " ".join(done.stderr.split())
    assert "2 people; another run buys them only when the balance" in told
    assert "see buena-pipeline ledger. --retry-unknown buys them at once, and may pay twice" in told
    for python in _PYTHON:
        assert python not in done.stderr, done.stderr


def test_a_fault_of_our_own_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Nothing of what it says, which may quote a lead; with --debug all of it."""

    def broken(*_: object, **__: object) -> None:
        raise KeyError(SECRET)

    def panic(*_: object, **__: object) -> None:  # in Rust, which is no Exception
        pl.DataFrame({"raw": [{"email": SECRET.encode()}]}).write_json()

    monkeypatch.setattr(application, "app", broken)
    assert main(["plan"]) == 70
    told = capfd.readouterr().err
    assert told.startswith("error: buena-pipeline itself failed (KeyError)")
    assert (SECRET in told, "Traceback" in told) == (False, False)
    assert main(["--debug", "plan"]) == 70
    assert "Traceback" in capfd.readouterr().err
    monkeypatch.setattr(application, "app", panic)
    assert main(["plan"]) == 70
    assert "error: buena-pipeline itself failed (PanicException)" in capfd.readouterr().err
    assert 70 in EXIT_CODES


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_an_output_that_takes_nothing(store: EnrichmentStore) -> None:
    """A full disk behind the pipe."""
    store.stats()
    command = [
        sys.executable,
        "-m",
        "buena_pipeline.cli",
        "ledger",
        "--format",
        "csv",
        "--store",
        str(store.path),
    ]
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        done = subprocess.run(
            command,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            check=False,
        )
    assert done.stderr.startswith("error: what was asked for cannot be written: No space left on device.")
    assert "Traceback" not in done.stderr


# --- what doctor finds -----------------------------------------------------------------------------------


@pytest.fixture
def vendor(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """A sandbox, and the settings that lead to it."""
    with Sandbox(limits=None) as running:
        monkeypatch.setenv("BUENA_BASE_URL", running.url)
        monkeypatch.setenv("BUENA_API_KEY", running.api_key)
        yield running


def faults(store: Path | None = None) -> dict[str, str]:
    """What is not as it should be, by its name."""
    return {check.name: f"{check.finding} {check.advice}" for check in examine(store) if check.level != "ok"}


def test_doctor_finds_a_key_that_no_header_carries(vendor: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Copied with a line break in it: it is the key that is wrong, not the API."""
    monkeypatch.setenv("BUENA_API_KEY", "bna_a\nb")
    assert "copy it again" in faults()["key"]
    assert "API" not in faults()


def test_doctor_says_why_nobody_answers(vendor: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """A port where nobody listens, and the vendor's API without https."""
    monkeypatch.setenv("BUENA_BASE_URL", "http://127.0.0.1:1")
    assert "the connection is refused" in faults()["API"]
    monkeypatch.setenv("BUENA_BASE_URL", "http://api.buena.ai/api/v2")
    assert "https://" in faults()["API"]


def test_doctor_finds_foreign_locked_and_newer_stores(vendor: Sandbox, tmp_path: Path) -> None:
    """Each with what to do; the same words as of a run."""
    assert "is a folder" in faults(tmp_path)["store"]
    foreign = tmp_path / "other.duckdb"
    duckdb.connect(str(foreign)).close()
    assert "not a store of buena_pipeline" in faults(foreign)["store"]
    path = tmp_path / "buena.duckdb"
    EnrichmentStore(path).stats()
    with duckdb.connect(str(path)):
        held = [check for check in examine(path, lock_timeout=0.1) if check.level == "fail"]
    assert "Close that connection" in held[0].finding
    with duckdb.connect(str(path)) as connection:
        connection.execute("insert into meta values ('schema_version', '99')")
    assert "pip install --upgrade" in faults(path)["store"]


def test_doctor_finds_versions_that_do_not_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """As pip leaves them that installs something else beside."""
    wanted = [
        "polars<0.20",
        "duckdb>=99,<100",
        "httpx>=0.1,<99",
        "no-such-package>=1",
        'rich>=99; extra == "x"',
    ]
    assert [(name, bounds) for name, _, bounds in unfit_packages(wanted)] == [
        ("polars", "<0.20"),
        ("duckdb", ">=99,<100"),
        ("rich", ">=99"),
    ]
    monkeypatch.setattr("buena_pipeline.cli.doctor.requires", lambda _: ["polars<0.20"])
    first = [check for check in examine() if check.name == "versions"]
    assert first[1].level == "fail"
    assert "polars" in first[1].finding
    assert "<0.20 is needed" in first[1].finding


def test_doctor_finds_a_store_that_cannot_be_written(
    vendor: Sandbox, store: EnrichmentStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It can be read, so a plan works, and a run does not."""
    store.stats()
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    told: list[Check] = [check for check in examine(store.path) if check.level == "fail"]
    assert ["write-protected" in check.finding for check in told] == [True]
