"""The command line as its users meet it: files, messages and exit codes, against a sandbox."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest

import buena_pipeline
from buena_pipeline import BuenaClient, EnrichmentStore, Sandbox, enrich_frame
from buena_pipeline.cli import main
from buena_pipeline.sandbox import Fault, RateLimits
from buena_pipeline.schema import SCORED

LEADS = pl.DataFrame(
    {
        "Name": ["Ada Lovelace", "ADA LOVELACE", "Grace Hopper", None, "Alan Turing"],
        "Work Email": ["ada@acme.example", "Ada+crm@acme.example", "grace@navy.example", "n/a", None],
        "Company": ["Acme", "Acme Inc", "Navy", None, "Bletchley"],
        "Deal": ["10", "20", "5", "1", "n/a"],
    }
)
STATUSES = ["enriched", "enriched", "enriched", "invalid", "enriched"]

ROOT = Path(buena_pipeline.__file__).parents[1]


@dataclass(frozen=True)
class Ran:
    """What a command did."""

    code: int
    out: str
    err: str


@pytest.fixture
def vendor(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """A sandbox that finds everybody, and the settings that lead to it."""
    with Sandbox(limits=None, not_found=0) as running:
        monkeypatch.setenv("BUENA_BASE_URL", running.url)
        monkeypatch.setenv("BUENA_API_KEY", running.api_key)
        yield running


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a lead table, and no colours from outside."""
    monkeypatch.chdir(tmp_path)
    for name in ("COLUMNS", "FORCE_COLOR", "NO_COLOR", "BUENA_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    LEADS.write_csv("leads.csv")
    return tmp_path


@pytest.fixture
def cli(capfd: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Runs a command in this process."""

    def run(*args: str) -> Ran:
        code = main(args)
        return Ran(code, *capfd.readouterr())

    return run


def environment(**more: str) -> dict[str, str]:
    """The environment for a process that finds the package."""
    return {**os.environ, "PYTHONPATH": str(ROOT), **more}


def command(*args: str) -> list[str]:
    """The command line that starts the command line."""
    return [sys.executable, "-m", "buena_pipeline.cli", *args]


def spawn(*args: str, **env: str) -> Ran:
    """Runs a command in a process of its own."""
    done = subprocess.run(
        command(*args), env=environment(**env), capture_output=True, text=True, timeout=60, check=False
    )
    return Ran(done.returncode, done.stdout, done.stderr)


def figures(text: str) -> dict[str, str]:
    """The lines of a summary by name."""
    pairs = (re.split(r"\s{2,}", line.strip(), maxsplit=1) for line in text.splitlines())
    return {pair[0]: pair[1] for pair in pairs if len(pair) == 2}


def assert_refused(ran: Ran, code: int, *words: str) -> None:
    """The command ended with a code and one message that has these words, and no traceback."""
    assert ran.code == code, ran
    assert ran.out == ""
    assert ran.err.startswith("error: ")
    assert "Traceback" not in ran.err
    for word in words:
        assert word in ran.err, ran.err


# --- demo ------------------------------------------------------------------------------------------------


def test_demo_twice_buys_once(folder: Path) -> None:
    """The first demo shows scored people and what they cost; the second costs nothing. Pipes stay plain."""
    first, second = spawn("demo"), spawn("demo", BUENA_API_KEY="bna_real", BUENA_STORE="real.duckdb")
    assert (first.code, second.code) == (0, 0), first.err + second.err
    once, again = figures(first.out), figures(second.out)
    assert int(once["bought"]) > 100
    assert once["credits"].startswith(f"{once['bought']} used")
    assert again["bought"] == "0"
    assert again["from the store"] == once["bought"]
    assert again["credits"].startswith("0 used")
    assert again["requests"] == "0"
    assert "(100%)" in first.err
    assert "BUENA_API_KEY is set, but used only with --live" in second.err
    assert (folder / "demo.duckdb").exists()
    assert not (folder / "real.duckdb").exists()
    assert "\x1b" not in first.out + first.err + second.out + second.err
    scores = [float(score) for score in re.findall(r"^ *(\d+\.\d)  ", first.out, re.MULTILINE)]
    assert len(scores) == 10
    assert scores == sorted(scores, reverse=True)
    assert max(map(len, first.out.splitlines())) <= 100


def test_demo_of_ones_own_table(cli: Callable[..., Ran], vendor: Sandbox) -> None:
    """A table of one's own goes to the sandbox, never to the vendor; --live goes to the vendor."""
    ran = cli("demo", "leads.csv", "--store", "mine.duckdb")
    assert (ran.code, figures(ran.out)["people"], vendor.requests) == (0, "3", 0)
    assert Path("mine.duckdb").exists()
    ran = cli("demo", "leads.csv", "--live")
    assert (ran.code, vendor.credits_used) == (0, 3)
    assert figures(ran.out)["store"] == "buena.duckdb"


def test_demo_keeps_out_of_other_stores(cli: Callable[..., Ran], vendor: Sandbox) -> None:
    """Invented people do not come among those who were paid for; a store of a sandbox may be used on."""
    real = Sandbox(limits=None, api_key="bna_" + "7" * 64)
    with real, BuenaClient(real.api_key, real.url) as client:
        enrich_frame(LEADS, client=client, store="real.duckdb")
    before = EnrichmentStore("real.duckdb").stats()
    ran = cli("demo", "--store", "real.duckdb")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("error: real.duckdb holds requests of another account")
    assert "--live" in ran.err
    assert EnrichmentStore("real.duckdb").stats() == before
    assert cli("enrich", "leads.csv", "-o", "out.csv", "--store", "tried.duckdb").code == 0
    ran = cli("demo", "leads.csv", "--store", "tried.duckdb")
    assert (ran.code, figures(ran.out)["from the store"]) == (0, "3")
    cli("suppress", "omar@acme.example", "--store", "listed.duckdb")
    assert cli("demo", "leads.csv", "--store", "listed.duckdb").code == 0


# --- enrich ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["csv", "tsv", "parquet", "ndjson", "json", "xlsx"])
def test_enrich_from_and_to_every_format(cli: Callable[..., Ran], vendor: Sandbox, ending: str) -> None:
    """Every row comes back in its place through any format, and is paid for once."""
    ran = cli("enrich", "leads.csv", "-o", f"first.{ending}", "--prefix", "x_")
    assert (ran.code, ran.out) == (0, ""), ran.err
    ran = cli("enrich", f"first.{ending}", "-o", "second.parquet", "--score")
    assert (ran.code, ran.out) == (0, ""), ran.err
    assert vendor.credits_used == 3
    frame = pl.read_parquet("second.parquet")
    assert frame["Work Email"].to_list() == LEADS["Work Email"].to_list()
    assert frame["x_status"].to_list() == STATUSES
    assert frame["x_title"].to_list() == frame["buena_title"].to_list()
    assert frame["buena_status"].to_list() == [s.replace("enriched", "cached") for s in STATUSES]
    assert frame.columns[-len(SCORED) :] == [f"buena_{name}" for name in SCORED]


def test_lists_and_times_in_a_csv(cli: Callable[..., Ran], vendor: Sandbox) -> None:
    """Where cells hold one text, lists are joined, profiles are network=url, and times are ISO 8601."""
    for target in ("out.csv", "out.parquet"):
        assert cli("enrich", "leads.csv", "-o", target, "--options", "personal,social").code == 0
    text, typed = pl.read_csv("out.csv", infer_schema=False), pl.read_parquet("out.parquet")
    assert text.columns == typed.columns
    assert text["buena_skills"].to_list() == typed["buena_skills"].list.join("; ").to_list()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", text["buena_enriched_at"][0])
    profiles = typed["buena_social_profiles"][0].to_list()
    assert text["buena_social_profiles"][0] == "; ".join(f"{p['network']}={p['url']}" for p in profiles)


def test_enrich_says_what_it_did(cli: Callable[..., Ran], vendor: Sandbox) -> None:
    """The summary goes to stderr with all figures and places; --quiet says nothing."""
    ran = cli("enrich", "leads.csv", "-o", "out.csv", "--store", "s.duckdb")
    told = figures(ran.err)
    assert (ran.code, ran.out) == (0, "")
    assert told["rows"] == "5 (1 duplicates, 1 invalid)"
    assert (told["people"], told["bought"], told["not found"], told["deferred"]) == ("3", "3", "0", "0")
    assert told["credits"] == "3 used, 1 avoided, 99,997 left"
    assert (told["store"], told["output"]) == ("s.duckdb", "out.csv")
    assert "3 of 3 people (100%), 3 credits" in ran.err
    assert cli("enrich", "leads.csv", "-o", "out.csv", "--store", "s.duckdb", "-q") == Ran(0, "", "")


def test_enrich_options_reach_the_run(cli: Callable[..., Ran], vendor: Sandbox) -> None:
    """Columns, blocks, budget and order are those of the command line; deferred people end with 5."""
    args = ["leads.csv", "-o", "out.parquet", "--options", "company, social", "--max-credits", "1"]
    ran = cli("enrich", *args, "--priority", "Deal", "--column", "email=Work Email", "--column", "full_name=")
    assert ran.code == 5, ran.err
    frame = pl.read_parquet("out.parquet")
    statuses = ["enriched", "enriched", "deferred", "invalid", "invalid"]
    assert frame["buena_status"].cast(pl.String).to_list() == statuses
    assert frame["buena_company_name"].count() == 2
    assert frame["buena_bio"].count() == 0
    assert vendor.request_log()[0]["blocks"] == ("company", "social")
    assert figures(ran.err)["deferred"] == "1: the budget --max-credits reaches no further"
    old = cli("enrich", "leads.csv", "-o", "out.csv", "--max-age", "0s", "--column", "email=Work Email")
    assert old.code == 0
    assert vendor.charges()["count"].max() == 2


def test_a_score_of_ones_own(cli: Callable[..., Ran], vendor: Sandbox) -> None:
    """The model's file is used by enrich and by score, which reads lists back from a CSV."""
    Path("model.toml").write_text("phone_weight = 0\nlinkedin_weight = 0\ntitle_weight = 0\n")
    assert cli("enrich", "leads.csv", "-o", "a.csv", "--score", "--model", "model.toml").code == 0
    assert cli("enrich", "leads.csv", "-o", "b.csv").code == 0
    ran = cli("score", "b.csv", "-o", "c.csv", "--model", "model.toml")
    assert (ran.code, ran.err) == (0, "4 of 5 rows scored, in c.csv\n")
    names = [f"buena_{name}" for name in SCORED]
    assert pl.read_csv("a.csv").select(names).equals(pl.read_csv("c.csv").select(names))
    assert pl.read_csv("c.csv")["buena_score_phone"].sum() == 0
    ran = cli("score", "a.csv", "-o", "d.csv")
    assert_refused(ran, 2, "scored already")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["missing.csv", "-o", "out.csv"], ["missing.csv does not exist"]),
        (["leads.doc", "-o", "out.csv"], ["leads.doc", "no known ending", ".xlsx"]),
        (["ragged.csv", "-o", "out.csv"], ["ragged.csv, line 3: a record of 1"]),
        (["nobody.csv", "-o", "out.csv"], ["No column says who the leads are", "--column FIELD=NAME"]),
        (["double.csv", "-o", "out.csv"], ['"Company" and "Organization"', "--column company=Company"]),
        (["done.csv", "-o", "out.csv"], ["would overwrite", "buena_status"]),
        (["scored.csv", "-o", "out.csv", "--score"], ["scored already", "buena_score"]),
        (["leads.csv", "-o", "out.doc"], ["out.doc", "no known ending"]),
        (["leads.csv", "-o", "missing/out.csv"], ["missing", "folder"]),
        (["leads.csv", "-o", "out.csv", "--score", "--model", "no.toml"], ["no.toml"]),
        (["leads.csv", "-o", "out.csv", "--column", "Work Email"], ["FIELD=NAME"]),
        (["leads.csv", "-o", "out.csv", "--column", "mail=Work Email"], ["mail", "email"]),
        (["leads.csv", "-o", "out.csv", "--options", "private"], ["private", "personal"]),
        (["leads.csv", "-o", "out.csv", "--options", ""], ["nothing to buy"]),
        (["leads.csv", "-o", "out.csv", "--max-age", "soon"], ["--max-age", "90d"]),
        (["leads.csv", "-o", "out.csv", "--max-wait", "5"], ["--max-wait", "90d"]),
        (["leads.csv", "-o", "out.csv", "--priority", "Name"], ["Name", "no numbers"]),
    ],
)
def test_what_cannot_be_used_costs_nothing(
    cli: Callable[..., Ran], vendor: Sandbox, args: Sequence[str], words: Sequence[str]
) -> None:
    """Bad files, columns and options end with 2 before anything is sent; the output is not touched."""
    Path("out.csv").write_text("old")
    Path("leads.doc").write_text("x")
    Path("ragged.csv").write_text("Email,Name\na@b.example,A\nc@d.example\n")
    Path("nobody.csv").write_text("City,Country\nBonn,DE\n")
    Path("double.csv").write_text("Email,Company,Organization\na@b.example,A,B\n")
    Path("done.csv").write_text("Email,buena_status\na@b.example,cached\n")
    Path("scored.csv").write_text("Email,buena_score\na@b.example,1\n")
    assert_refused(cli("enrich", *args), 2, *words)
    assert vendor.requests == 0
    assert Path("out.csv").read_text() == "old"


def same(path: str, how: str) -> str:
    """Another name of a file: its own, a longer one, a link."""
    other = f"other{Path(path).suffix}"
    match how:
        case "symlink":
            Path(other).symlink_to(path)
        case "hard link":
            Path(other).hardlink_to(path)
        case "longer":
            Path("folder").mkdir()
            other = f"folder/../{path}"
        case _:
            other = path
    return other


@pytest.mark.parametrize("how", ["itself", "longer", "symlink", "hard link"])
@pytest.mark.parametrize("command", ["enrich", "score"])
@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_the_table_that_is_read_is_not_written_over(
    cli: Callable[..., Ran], vendor: Sandbox, command: str, how: str, ending: str
) -> None:
    """However the output is spelled; nothing is sent, and every byte stays."""
    source = f"mine.{ending}"
    if command == "score":
        assert cli("enrich", "leads.csv", "-o", source, "-q").code == 0
    elif ending == "parquet":
        LEADS.write_parquet(source)
    else:
        LEADS.write_csv(source)
    before, requests = Path(source).read_bytes(), vendor.requests
    for one, another in ((source, same(source, how)), (source, source)):
        ran = cli(command, one, "-o", another)
        assert_refused(ran, 2, "is the table that is read", f"-new.{ending}")
        ran = cli(command, another, "-o", one)
        assert_refused(ran, 2, "is the table that is read", "-o mine-new")
    assert Path(source).read_bytes() == before
    assert vendor.requests == requests


def test_usage_errors(cli: Callable[..., Ran]) -> None:
    """Missing and malformed arguments end with 2 and point to --help."""
    for args in (["enrich"], ["enrich", "leads.csv"], ["plan", "leads.csv", "--max-credits", "-1"], ["sell"]):
        ran = cli(*args)
        assert ran.code == 2
        assert "--help" in ran.err
    assert cli("--version").out == f"buena-pipeline {buena_pipeline.__version__}\n"


@pytest.mark.parametrize("name", ["enrich", "plan", "score", "demo", "sql", "report", "sandbox", "doctor"])
def test_help_fits_a_screen(cli: Callable[..., Ran], name: str) -> None:
    """Each command explains itself on one screen, with an example; the whole lists the exit codes."""
    ran = cli(name, "--help")
    assert ran.code == 0
    lines = ran.out.splitlines()
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 100
    assert f"buena-pipeline {name}" in ran.out.split("Example:")[1]
    assert "130  interrupted" in cli("--help").out


def test_the_vendor_stops_the_run(
    cli: Callable[..., Ran], vendor: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong key and a missing permission end with 3; the old output stays, and nothing is beside it."""
    Path("out.csv").write_text("old")
    monkeypatch.setenv("BUENA_API_KEY", "bna_" + "0" * 64)
    assert_refused(cli("enrich", "leads.csv", "-o", "out.csv", "-q"), 3, "401")
    with Sandbox(limits=None, permissions=["leads:read"]) as poor:
        monkeypatch.setenv("BUENA_BASE_URL", poor.url)
        monkeypatch.setenv("BUENA_API_KEY", poor.api_key)
        assert_refused(cli("enrich", "leads.csv", "-o", "out.csv", "-q"), 3, "leads:enrich")
    assert Path("out.csv").read_text() == "old"
    assert not list(Path().glob(".buena-*"))


def test_nobody_answers(cli: Callable[..., Ran], vendor: Sandbox) -> None:
    """An unreachable vendor ends with 3; the table is written, everybody in it deferred."""
    vendor.stop()
    ran = cli("enrich", "leads.csv", "-o", "out.csv")
    assert ran.code == 3
    assert ran.err.splitlines()[-1].startswith(f"error: Nobody answers at {vendor.url}")
    assert "retry" not in ran.err
    statuses = pl.read_csv("out.csv")["buena_status"].to_list()
    assert statuses == [status.replace("enriched", "deferred") for status in STATUSES]


def test_rate_limits_say_when_to_go_on(cli: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit beyond --max-wait defers the rest, ends with 5 and says when to run again."""
    leads = pl.DataFrame({"email": [f"p{index}@acme.example" for index in range(120)]})
    leads.write_csv("many.csv")
    with Sandbox(limits=RateLimits(minute=1), not_found=0) as slow:
        monkeypatch.setenv("BUENA_BASE_URL", slow.url)
        monkeypatch.setenv("BUENA_API_KEY", slow.api_key)
        ran = cli("enrich", "many.csv", "-o", "out.csv", "--max-wait", "0s", "--concurrency", "1")
    told = figures(ran.err)
    assert (ran.code, told["bought"]) == (5, "50")
    assert told["deferred"].startswith("70: ")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", told["run again after"])
    assert pl.read_csv("out.csv")["buena_status"].value_counts().height == 2


def test_no_key_is_needed_for_what_is_known(
    cli: Callable[..., Ran], vendor: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a key the store serves what it has; only who is new needs one."""
    assert cli("enrich", "leads.csv", "-o", "out.csv").code == 0
    monkeypatch.delenv("BUENA_API_KEY")
    ran = cli("enrich", "leads.csv", "-o", "out.csv")
    assert (ran.code, figures(ran.err)["from the store"]) == (0, "3")
    Path("new.csv").write_text("email\nnew@acme.example\n")
    assert_refused(cli("enrich", "new.csv", "-o", "x.csv", "-q"), 2, "BUENA_API_KEY")
    assert not Path("x.csv").exists()


def test_a_full_disk_loses_nothing(
    cli: Callable[..., Ran], vendor: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the table cannot be written at last, the message says that it is paid for only once."""
    sink = pl.LazyFrame.sink_csv

    def full(frame: pl.LazyFrame, *args: object, **kwargs: object) -> None:
        if frame.collect().height:
            raise OSError(28, "No space left on device")
        sink(frame, *args, **kwargs)  # type: ignore[call-overload]

    with monkeypatch.context() as patch:
        patch.setattr(pl.LazyFrame, "sink_csv", full)
        ran = cli("enrich", "leads.csv", "-o", "out.csv", "-q")
    assert_refused(ran, 2, "No space left on device", "in the store: run again")
    assert not Path("out.csv").exists()
    assert EnrichmentStore("buena.duckdb").stats().people == 3


# --- stores and processes --------------------------------------------------------------------------------


def test_stores_that_cannot_be_used(cli: Callable[..., Ran], vendor: Sandbox) -> None:
    """A file that is no store and a missing folder end with 4, and the file is left as it was."""
    Path("notes.duckdb").write_text("no database " * 1000)
    for args in (["enrich", "leads.csv", "-o", "out.csv", "-q"], ["plan", "leads.csv"]):
        assert_refused(cli(*args, "--store", "notes.duckdb"), 4, "not a DuckDB database")
        assert_refused(cli(*args, "--store", "missing/x.duckdb"), 4, "folder", "missing")
    assert_refused(cli("sql", "from leads", "--store", "missing.duckdb"), 4, "missing.duckdb")
    assert Path("notes.duckdb").read_text() == "no database " * 1000
    assert vendor.requests == 0


def test_a_store_that_others_hold(cli: Callable[..., Ran], vendor: Sandbox) -> None:
    """A program that has the store open is named by its process, and waited for so long as was said."""
    EnrichmentStore("buena.duckdb").stats()
    hold = "import duckdb, sys; c = duckdb.connect('buena.duckdb'); print(flush=True); sys.stdin.read()"
    holder = subprocess.Popen([sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        ran = cli("enrich", "leads.csv", "-o", "out.csv", "-q", "--lock-timeout", "0.2")
        assert_refused(ran, 4, f"process {holder.pid}")
        holder.communicate()
    assert vendor.requests == 0
    assert cli("plan", "leads.csv").code == 0


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_an_interrupted_run_goes_on_where_it_was(cli: Callable[..., Ran], vendor: Sandbox) -> None:
    """Ctrl-C waits for what is paid for, writes no output and ends with 130; nobody is paid for twice."""
    pl.DataFrame({"email": [f"p{index}@acme.example" for index in range(400)]}).write_csv("many.csv")
    vendor.inject(Fault("latency", wait=0.4, times=8))
    args = command("enrich", "many.csv", "-o", "out.csv", "--concurrency", "1")
    with subprocess.Popen(args, env=environment(), stderr=subprocess.PIPE, text=True) as process:
        while not vendor.requests:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert "waiting for the answers that are under way" in err
    assert err.splitlines()[-1].startswith("stopped: what was bought is in the store")
    assert "Traceback" not in err
    assert not Path("out.csv").exists()
    vendor.clear_faults()
    paid = vendor.credits_used
    assert 0 < paid < 400
    assert EnrichmentStore("buena.duckdb").stats().people == paid
    assert cli("enrich", "many.csv", "-o", "out.csv").code == 0
    assert vendor.credits_used == 400
    assert vendor.charges()["count"].max() == 1


@pytest.mark.skipif(os.name != "posix", reason="needs a pseudo-terminal")
def test_a_terminal_gets_a_bar(vendor: Sandbox) -> None:
    """On a terminal the progress is a bar; NO_COLOR takes its colours."""
    import pty

    vendor.inject(Fault("latency", wait=0.3))
    ours, theirs = pty.openpty()
    env = environment(NO_COLOR="1", TERM="xterm", COLUMNS="100")
    args = command("enrich", "leads.csv", "-o", "out.csv")
    with subprocess.Popen(args, env=env, stderr=theirs, stdout=subprocess.PIPE) as process:
        os.close(theirs)
        shown = b""
        try:
            while part := os.read(ours, 4096):
                shown += part
        except OSError:  # how Linux says that the other side is gone
            pass
    os.close(ours)
    text = shown.decode()
    assert process.returncode == 0, text
    assert "━" in text
    assert re.search(r"people · .* credits", text)
    assert "bought" in text
    assert not re.search(r"\x1b\[[\d;]*3\d", text)


def test_an_error_shows_its_origin_only_on_request(
    cli: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One message, from a process too; with --debug or BUENA_DEBUG the traceback before it."""
    plain = spawn("plan", "missing.csv")
    assert_refused(plain, 2, "missing.csv does not exist")
    told = cli("--debug", "plan", "missing.csv")
    assert told.code == 2
    assert "Traceback" in told.err
    assert told.err.endswith(plain.err)
    monkeypatch.setenv("BUENA_DEBUG", "1")
    assert cli("plan", "missing.csv").err == told.err


def test_without_the_extra(folder: Path) -> None:
    """If Typer is not installed, the message says what to install."""
    (folder / "typer.py").write_text("raise ModuleNotFoundError(\"No module named 'typer'\", name='typer')")
    done = subprocess.run(
        command("--help"),
        env=environment(PYTHONPATH=os.pathsep.join([str(folder), str(ROOT)])),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    ran = Ran(done.returncode, done.stdout, done.stderr)
    assert_refused(ran, 2, 'pip install "buena-pipeline[cli]"')


# --- the other commands ----------------------------------------------------------------------------------


def test_plan_says_what_it_would_cost(cli: Callable[..., Ran], vendor: Sandbox) -> None:
    """The plan sends nothing, and what it says comes true."""
    ran = cli("plan", "leads.csv")
    told = figures(ran.out)
    assert (ran.code, ran.err, vendor.requests) == (0, "", 0)
    assert told["rows"] == "5 (1 duplicates, 1 invalid)"
    assert (told["people"], told["to buy"], told["requests"]) == ("3", "3", "1")
    assert told["credits"].startswith("3 at most")
    assert figures(cli("plan", "leads.csv", "--max-credits", "1").out)["deferred"] == "2 over the budget"
    assert cli("enrich", "leads.csv", "-o", "out.csv", "-q").code == 0
    assert vendor.credits_used == 3
    assert figures(cli("plan", "leads.csv").out)["to buy"] == "0"
    assert figures(cli("plan", "leads.csv", "--max-age", "0s").out)["to buy"].startswith("3 (3 because")


def test_which_columns_were_read_is_said(cli: Callable[..., Ran], vendor: Sandbox) -> None:
    """Where rows are invalid, a column that was overlooked is named with the option that makes it count."""
    Path("crm.csv").write_text(
        "E-Mail;Vorname;Nachname;Firma;Li-Profil (LinkedIn)\n"
        "ada@acme.example;;;;\n"
        ";Grace;Hopper;Navy;\n"
        ";;;;https://www.linkedin.com/in/alan-turing\n"
    )
    read = "email = E-Mail, first_name = Vorname, last_name = Nachname, company = Firma"
    option = "linkedin_url=Li-Profil (LinkedIn)"
    for ran in (cli("plan", "crm.csv"), cli("enrich", "crm.csv", "-o", "out.csv")):
        told = figures(ran.out + ran.err)
        assert (ran.code, told["read"]) == (0, read)
        assert told["perhaps"].startswith(f"--column '{option}': it was not read so, and 1 row")
        assert "columns=" not in ran.out + ran.err
    told = figures(cli("plan", "crm.csv", "--column", option).out)
    assert (told["rows"], told["people"], "perhaps" in told) == ("3", "3", False)
    assert pl.read_csv("out.csv")["buena_status"].to_list() == ["enriched", "enriched", "invalid"]


def test_sql_in_every_format(vendor: Sandbox, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """The result is a table to read, or data on stdout or in a file, whatever types it has."""
    assert main(["enrich", "leads.csv", "-o", "out.csv", "-q"]) == 0
    query = "select sum(people) as n, [1, 2] as l, 'ä' as t from credits_by_day"
    outputs = {}
    for shape in ("table", "csv", "json", "ndjson", "markdown", "parquet"):
        assert main(["sql", query, "--format", shape]) == 0
        outputs[shape], err = capfdbinary.readouterr()
        assert err == b""
    assert outputs["csv"].decode() == "n,l,t\n3,1; 2,ä\n"
    assert json.loads(outputs["json"]) == [{"n": 3, "l": [1, 2], "t": "ä"}]
    assert json.loads(outputs["ndjson"]) == {"n": 3, "l": [1, 2], "t": "ä"}
    assert outputs["markdown"].decode() == "| n | l | t |\n| ---: | --- | --- |\n| 3 | 1; 2 | ä |\n"
    assert pl.read_parquet(outputs["parquet"]).row(0) == (3, [1, 2], "ä")
    assert re.search(r"3 .*1; 2.*ä", outputs["table"].decode())
    assert main(["sql", query, "-o", "a.xlsx"]) == 0
    assert main(["sql", query, "-o", "b.txt", "--format", "csv"]) == 0
    assert Path("b.txt").read_bytes() == outputs["csv"]
    assert main(["sql", query, "-o", "c.md"]) == 0
    assert main(["sql", query, "-o", "d.txt", "--format", "markdown"]) == 0
    assert main(["sql", query, "-o", "e.txt", "--format", "ndjson"]) == 0
    assert Path("c.md").read_bytes() == Path("d.txt").read_bytes() == outputs["markdown"]
    assert Path("e.txt").read_bytes() == outputs["ndjson"]
    assert pl.read_excel("a.xlsx")["t"].to_list() == ["ä"]
    assert main(["sql", "from leads"]) == 0
    assert b"more columns" in capfdbinary.readouterr().out


def test_sql_with_types_of_every_kind(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """Nested bytes and maps are shown; what is no text is to be cast, in every format but Parquet."""
    EnrichmentStore("buena.duckdb").stats()
    shown = "select ['x'::blob] as l, {'a': 'x'::blob} as s, map{'a': 1} as m, map{1: 'x'::blob} as k"
    for shape in ("table", "csv", "json", "ndjson", "markdown", "parquet"):
        assert main(["sql", shown, "--store", "buena.duckdb", "--format", shape]) == 0
        assert capfdbinary.readouterr().err == b""
        for odd in ("1::bignum", "1::variant", "'POINT(1 2)'::geometry", "[1::bignum]"):
            code = main(["sql", f"select {odd} as x", "--store", "buena.duckdb", "--format", shape])
            out, err = capfdbinary.readouterr()
            assert (code, bool(out)) == ((0, True) if shape == "parquet" else (2, False))
            assert shape == "parquet" or (b'Column "x"' in err and b"x::varchar" in err)
    for odd in ("[interval 3 days]", "{'a': union_value(a := 1)}", "map{'a': [interval 3 days]}"):
        assert main(["sql", f"select {odd} as x", "--store", "buena.duckdb"]) == 2
        err = capfdbinary.readouterr().err
        assert b'column "x" is ' in err
        assert b"panicked" not in err


def test_sql_with_values_that_polars_panics_over(cli: Callable[..., Ran]) -> None:
    """Is a query to be mended, and no fault of ours."""
    EnrichmentStore("buena.duckdb").stats()
    for shape in ("table", "csv", "json", "markdown"):
        ran = cli("sql", "select 'infinity'::timestamp as x", "--store", "buena.duckdb", "--format", shape)
        assert (ran.code, ran.out) == (2, "")
        assert "error: The result has a value that this format does not hold" in ran.err
        assert "Traceback" not in ran.err


def test_sql_finds_a_person_however_an_address_is_spelled(cli: Callable[..., Ran], vendor: Sandbox) -> None:
    """By the macros of the store."""
    assert cli("enrich", "leads.csv", "-o", "out.csv", "-q").code == 0
    query = "select count(*) as n from buena_lead('Ada <ADA+x@acme.example>')"
    assert cli("sql", query, "--format", "csv").out == "n\n1\n"


def test_a_workbook_needs_a_file(cli: Callable[..., Ran], vendor: Sandbox) -> None:
    """And a file that cannot be written is told."""
    assert cli("enrich", "leads.csv", "-o", "out.csv", "-q").code == 0
    assert_refused(cli("sql", "from leads", "--format", "xlsx"), 2, "-o leads.xlsx")
    assert_refused(cli("sql", "from leads", "-o", "no/such/folder.md"), 2, "no/such/folder.md", "cannot be")


def test_sql_reads_only(cli: Callable[..., Ran], vendor: Sandbox) -> None:
    """A query that does not run, or would write, is told and ends with 2."""
    assert cli("enrich", "leads.csv", "-o", "out.csv", "-q").code == 0
    assert_refused(cli("sql", "select nothing from leads"), 2, "nothing")
    assert_refused(cli("sql", "delete from answer"), 2, "read-only")
    assert cli("sql", "select count(*) as n from leads", "--format", "csv").out == "n\n3\n"


def test_doctor_says_what_to_do(
    cli: Callable[..., Ran], vendor: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All well ends with 0, a fault with 1 and a line that says what to do; the key is never shown."""
    ran = cli("doctor")
    assert ran.code == 0, ran.out
    assert all(line.startswith("ok ") for line in ran.out.splitlines())
    assert vendor.api_key[4:] not in ran.out
    monkeypatch.delenv("BUENA_API_KEY")
    ran = cli("doctor")
    assert ran.code == 1
    assert re.search(r"^fail  key .*not set\n +-> export BUENA_API_KEY", ran.out, re.MULTILINE)


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_sandbox_serves_until_ctrl_c(cli: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch) -> None:
    """What the sandbox prints is all that is needed to use it; Ctrl-C ends it with its bill."""
    args = command("sandbox", "--port", "0", "--no-limits", "--not-found", "0", "--credits", "2")
    with subprocess.Popen(args, env=environment(), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in iter(process.stdout.readline, ""):
            if found := re.match(r" +export (BUENA_(?:BASE_URL|API_KEY|STORE))=(\S+)", line):
                monkeypatch.setenv(found[1], found[2])
                if found[1] == "BUENA_STORE":
                    break
        ran = cli("enrich", "leads.csv", "-o", "out.csv")
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=30)
    assert (ran.code, figures(ran.err)["bought"]) == (5, "2")
    assert Path("sandbox.duckdb").exists()
    assert rest.splitlines()[-1].endswith("2 credits charged")
    assert process.returncode == 0
