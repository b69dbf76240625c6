"""Neither the key nor a person reaches a log, a repr, an exception or anything that is printed.

Every way a run can go wrong is walked with a marked key and a marked person, and all that comes out is
searched.
"""

from __future__ import annotations

import io
import logging
import os
import subprocess
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import polars as pl
import pytest

from buena_pipeline import BuenaClient, Enricher, EnrichmentOptions, EnrichmentStore, Sandbox, enrich_frame
from buena_pipeline.entries import Request
from buena_pipeline.errors import BuenaError
from buena_pipeline.plan import Batch
from buena_pipeline.postings import Postings
from buena_pipeline.sandbox import Fault

KEY = "bna_" + "5ec7e7" * 10 + "abcd"
MARKS = ("marked.person", "markedslug", "Markedfirst", "Markedlast", "5ec7e75ec7e7")
ROOT = Path(__file__).parent.parent

TABLE = pl.DataFrame(
    {
        "email": ["marked.person@acme.example", "other@acme.example"],
        "linkedin_url": ["linkedin.com/in/markedslug", None],
        "first_name": ["Markedfirst", None],
        "last_name": ["Markedlast", None],
        "company": ["Acme", None],
    }
)


class Overheard:
    """All that is logged, warned of, raised or shown while it listens."""

    def __init__(self) -> None:
        self.text = io.StringIO()

    def repr_of(self, *things: object) -> None:
        """What an interactive session or an error tracker would show of things."""
        for thing in things:
            self.text.write(f"{thing!r}\n{thing}\n")

    def run(self, work: Callable[[], object]) -> BaseException | None:
        """Does something, and hears how it fails."""
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                work()
        except Exception as error:  # noqa: BLE001 - whatever it is must be silent about the marks
            self.text.writelines(traceback.format_exception(error))
            self.repr_of(error, *error.args)
            return error
        finally:
            self.repr_of(*(str(warning.message) for warning in caught))
        return None

    def nothing_marked(self) -> None:
        """Fails if a mark was heard."""
        heard = self.text.getvalue()
        assert heard
        for mark in MARKS:
            at = heard.find(mark)
            assert at < 0, heard[max(at - 200, 0) : at + 200]


@pytest.fixture
def overheard() -> Iterator[Overheard]:
    """Listens to every logger at its most talkative."""
    listener = Overheard()
    handler = logging.StreamHandler(listener.text)
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield listener
    root.removeHandler(handler)
    root.setLevel(before)


FAULTS = [
    *(Fault("status", status=status, times=None) for status in (500, 502, 503)),
    *(
        Fault("rate_limited", wait=900, tell=tell)
        for tell in ("body", "header", "date", "reset", "reset_time")
    ),
    *(
        Fault(kind)
        for kind in (
            "no_credits",
            "unauthorized",
            "forbidden",
            "invalid_lead",
            "invalid_request",
            "invalid_linkedin_url",
            "reset_before",
            "success_false",
            "not_json",
            "reset_after",
            "truncate",
            "cut_json",
            "empty",
            "drop",
            "extra",
        )
    ),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.kind}-{fault.status}-{fault.tell}")
def test_no_answer_of_the_vendor_makes_it_talk(
    fault: Fault, overheard: Overheard, store: EnrichmentStore
) -> None:
    """Logs, errors, warnings, reports and plans of every fault of the sandbox."""
    with (
        Sandbox(limits=None, api_key=KEY) as sandbox,
        BuenaClient(KEY, sandbox.url, backoff=0.01, limits=None) as client,
    ):
        sandbox.inject(fault)
        enricher = Enricher(client, store, max_wait=0, progress=overheard.repr_of)
        overheard.repr_of(client, store, enricher, enricher.terms, enricher.plan(TABLE))
        overheard.run(lambda: overheard.repr_of(enricher.run(TABLE).report))
        overheard.repr_of(store.stats(), store.check(), store.runs().to_dicts())
        # the vendor's own words about a lead may be in its row, but not in the ledger's receipt
        overheard.repr_of(store.ledger().drop("reason").to_dicts())
    overheard.nothing_marked()


def damaged(path: Path) -> EnrichmentStore:
    """A store with a flipped byte in the middle."""
    store = EnrichmentStore(path)
    with Sandbox(limits=None) as sandbox, BuenaClient(sandbox.api_key, sandbox.url) as client:
        enrich_frame(TABLE, client=client, store=store)
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 4096] = bytes(4096)
    path.write_bytes(data)
    return store


def foreign(path: Path) -> EnrichmentStore:
    """Somebody else's database, with the marked person in it."""
    with duckdb.connect(str(path)) as connection:
        connection.execute("create table meta as select 'marked.person@acme.example' as name, 'x' as value")
    return EnrichmentStore(path)


def text_file(path: Path) -> EnrichmentStore:
    """No database at all."""
    path.write_text("marked.person@acme.example\n" * 400)
    return EnrichmentStore(path)


@pytest.mark.parametrize("make", [damaged, foreign, text_file])
def test_no_broken_store_makes_it_talk(
    make: Callable[[Path], EnrichmentStore], overheard: Overheard, tmp_path: Path
) -> None:
    """Whatever the file is, the error says what is wrong with it and not what is in it."""
    store = make(tmp_path / "buena.duckdb")
    with Sandbox(limits=None, api_key=KEY) as sandbox, BuenaClient(KEY, sandbox.url) as client:
        overheard.run(lambda: enrich_frame(TABLE, client=client, store=store))
        overheard.run(lambda: store.sql("select email from leads"))
        overheard.run(store.stats)
        overheard.run(lambda: store.forget(TABLE))
    overheard.repr_of("heard")
    overheard.nothing_marked()


@pytest.mark.parametrize(
    "arguments",
    [
        {"priority": pl.col("email")},
        {"priority": pl.col("email").cast(pl.Float64)},
        {"columns": {"email": "nowhere"}},
        {"columns": {"email": "email", "nonsense": "email"}},
        {"prefix": "email"},
        {"max_credits": -1},
        {"store": "leads.csv"},
        {"client": KEY},
    ],
    ids=["text", "cast", "missing", "field", "prefix", "budget", "store", "client"],
)
def test_no_wrong_argument_makes_it_talk(
    arguments: dict, overheard: Overheard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the table nor a key in the wrong place is quoted."""
    monkeypatch.chdir(tmp_path)
    table = TABLE.with_columns(emailstatus=pl.lit("marked.person"))
    error = overheard.run(lambda: enrich_frame(table, **{"store": tmp_path / "b.duckdb", **arguments}))
    assert isinstance(error, BuenaError)
    overheard.nothing_marked()


@pytest.mark.parametrize(
    "query",
    [
        "select email::int from leads",
        "select error(email) from leads",
        "select email from leads where title = 1 / 'marked.person@acme.example'::int",
        "create table x as from leads",
    ],
)
def test_no_query_that_fails_makes_it_talk(query: str, overheard: Overheard, store: EnrichmentStore) -> None:
    """DuckDB quotes the value it stumbled over; the error of the library does not."""
    with Sandbox(limits=None, not_found=0) as sandbox, BuenaClient(sandbox.api_key, sandbox.url) as client:
        enrich_frame(TABLE, client=client, store=store)
    assert store.sql("select count(*) from leads where email like 'marked.person%'").item() == 1
    assert overheard.run(lambda: store.sql(query)) is not None
    overheard.nothing_marked()


@pytest.mark.parametrize("key", [KEY + "\n5ec7e75ec7e7", "5ec7e75ec7e7 x", "5ec7e75ec7e7é"])
def test_no_malformed_key_is_shown(key: str, overheard: Overheard) -> None:
    """A key with a line break in it is wrong, and still a secret."""
    assert overheard.run(lambda: BuenaClient(key)) is not None
    overheard.run(lambda: BuenaClient(KEY, f"https://user:{KEY}@api.example"))
    overheard.run(lambda: BuenaClient(KEY, f"{KEY}.example"))
    overheard.nothing_marked()


def test_no_repr_of_a_value_shows_who_it_is_about(overheard: Overheard) -> None:
    """What a debugger or an error tracker shows of the values inside."""
    people = TABLE.with_columns(person_id=pl.lit("p"))
    batch = Batch(("company",), people)
    overheard.repr_of(
        batch,
        Request(batch, row={"people": ["marked.person"], "credits_reserved": 1.0}),
        Postings(answer=[{"body": "marked.person"}]),
        EnrichmentOptions(),
    )
    overheard.nothing_marked()


def test_no_resource_of_dagster_shows_its_key(overheard: Overheard, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither as it was given nor as an asset sees it, when the variables of the environment are read."""
    dg = pytest.importorskip("dagster")
    from buena_pipeline.dagster import BuenaResource, EnrichmentStoreResource

    for name in ("BUENA_API_KEY", "BUENA_STORE_KEY"):
        monkeypatch.setenv(name, KEY)

    @dg.asset(required_resource_keys={"buena", "enrichment_store"})
    def seen(context) -> None:  # type: ignore[no-untyped-def]
        buena, store = context.resources.buena, context.resources.enrichment_store
        assert buena.api_key == store.encryption_key == KEY
        context.log.info("with %s and %s", buena, store)
        overheard.repr_of(buena, store)

    for key in (KEY, dg.EnvVar("BUENA_API_KEY")):
        resources = {
            "buena": BuenaResource(api_key=key),
            "enrichment_store": EnrichmentStoreResource(path="b.duckdb", encryption_key=key),
        }
        overheard.repr_of(*resources.values())
        assert dg.materialize([seen], resources=resources).success
    overheard.nothing_marked()


@pytest.mark.parametrize("fault", ["none", "unauthorized", "reset_after", "status", "invalid_lead"])
def test_the_command_line_shows_nobody(fault: str, tmp_path: Path) -> None:
    """Even with --debug: what goes to the terminal is counts and reasons; the table goes to its file."""
    source = tmp_path / "leads.csv"
    TABLE.write_csv(source)
    with Sandbox(limits=None, api_key=KEY) as sandbox:
        if fault != "none":
            sandbox.inject(Fault(fault, times=None))
        environment = {
            **os.environ,
            "BUENA_API_KEY": KEY,
            "BUENA_BASE_URL": sandbox.url,
            "BUENA_STORE": str(tmp_path / "buena.duckdb"),
        }
        said = ""
        for command in (
            ["plan", str(source)],
            ["enrich", str(source), "-o", str(tmp_path / "out.csv"), "--max-wait", "0s"],
            ["ledger"],
            ["doctor"],
            ["suppress", "marked.person@acme.example"],
            ["forget", "marked.person@acme.example", "--yes"],
        ):
            done = subprocess.run(
                [sys.executable, "-m", "buena_pipeline.cli", "--debug", *command],
                capture_output=True,
                text=True,
                env=environment,
                cwd=ROOT,
                check=False,
            )
            said += done.stdout + done.stderr
    assert len(said) > 500
    for mark in MARKS:
        assert mark not in said, said[max(said.find(mark) - 200, 0) : said.find(mark) + 100]
