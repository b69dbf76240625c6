"""The store's own SQL: what it says of itself, and its look-ups against the normalisation of the library."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from buena_pipeline import BuenaClient, EnrichmentStore, Sandbox, enrich_frame
from buena_pipeline.descriptions import DESCRIPTIONS
from buena_pipeline.normalize import email_key, linkedin_slug
from buena_pipeline.schema import RECORD
from buena_pipeline.store.migrations import apply_migrations
from buena_pipeline.store.statements import statement
from tests.keys import key_of
from tests.test_store import START, bought, person, store_of_the_first_release

SHELL = shutil.which("duckdb", path=str(Path(sys.executable).parent)) or "duckdb"


def in_the_shell(store: EnrichmentStore, query: str) -> list[dict[str, Any]]:
    """What the shell of DuckDB 1.x answers, on the file itself."""
    command = [SHELL, "-readonly", "-json", str(store.path), query]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    return json.loads(told) if told else []


# --- comments --------------------------------------------------------------------------------------------

UNDOCUMENTED = """
    select 'column' as what, table_name || '.' || column_name as name from duckdb_columns()
    where schema_name = 'main' and not internal and comment is null
    union all select 'view', view_name from duckdb_views() where not internal and comment is null
    union all select 'table', table_name from duckdb_tables() where not internal and comment is null
    union all select 'macro', function_name from duckdb_functions() where not internal and comment is null
"""


def test_everything_in_the_store_says_what_it_means(store: EnrichmentStore) -> None:
    """Every table, view, column and macro, in both version lines of DuckDB."""
    assert store.sql(UNDOCUMENTED).rows() == []
    assert in_the_shell(store, UNDOCUMENTED) == []
    assert (
        in_the_shell(store, "select count(*) as n from duckdb_columns() where schema_name = 'main'")[0]["n"]
        > 150
    )


def test_enriched_columns_have_one_description(store: EnrichmentStore) -> None:
    """That of descriptions.py, wherever they stand."""
    comments = store.sql(
        "select table_name, column_name, comment from duckdb_columns() where schema_name = 'main'"
    )
    for relation in ("answer", "person_answer", "leads"):
        told = dict(comments.filter(table_name=relation).select("column_name", "comment").rows())
        assert {name: told[name] for name in RECORD} == {name: DESCRIPTIONS[name] for name in RECORD}


def test_sentences_end_and_begin_as_such(store: EnrichmentStore) -> None:
    """They are put into documentation as they are."""
    columns = "select comment from duckdb_columns() where schema_name = 'main' and not internal"
    for (comment,) in store.sql(columns).rows():
        assert re.fullmatch(r"\S.*\S(\.|::uuid\.)", comment), comment


def test_an_older_store_gets_comments_and_macros_when_it_is_next_written(tmp_path: Path) -> None:
    """And is a store of this release then."""
    store_of_the_first_release(tmp_path / "buena.duckdb")
    store = EnrichmentStore(tmp_path / "buena.duckdb")
    store.commit()
    assert store.sql(UNDOCUMENTED).rows() == []
    assert store.sql("select count(*) from buena_lead('jane@acme.example')").item() == 0


def test_a_file_that_was_written_anew_has_them_too(store: EnrichmentStore) -> None:
    """After somebody was erased."""
    bought(store, "jane", keys=(("email", "jane@acme.example"),))
    assert store.forget("jane@acme.example") == 1
    assert store.sql(UNDOCUMENTED).rows() == []


# --- look-ups --------------------------------------------------------------------------------------------


@pytest.fixture
def jane(store: EnrichmentStore) -> EnrichmentStore:
    """A store with one person, bought under two ids that turned out to be one, and others."""
    bought(store, "by-mail", day=1, keys=(("email", "jdoe@gmail.com"),), title="CTO", company_name="Acme")
    keys = (("linkedin", "jane-doe"), ("email", "jdoe@gmail.com"))
    bought(store, "by-profile", day=2, keys=keys, title="CEO")
    bought(store, "omar", keys=(("email", "omar@acme.example"), ("linkedin", "omar")), title="CFO")
    bought(store, "nobody", found=False, keys=(("email", "nobody@acme.example"),))
    for name in ("twin-a", "twin-b"):
        bought(store, name, keys=(("linkedin", name), ("email", "shared@acme.example")), title=name)
    return store


@pytest.mark.parametrize(
    ("call", "titles"),
    [
        ("buena_lead('J.Doe+crm@GoogleMail.com')", ["CEO"]),
        ("buena_lead('Jane Doe <j.doe@gmail.com>')", ["CEO"]),
        ("buena_lead('omar@acme.example')", ["CFO"]),
        ("buena_profile('https://de.linkedin.com/in/Jane-Doe/?trk=x')", ["CEO"]),
        ("buena_profile('linkedin.com/in/twin-b')", ["twin-b"]),
        ("buena_lead('nobody@acme.example')", []),
        ("buena_lead('shared@acme.example')", []),
        ("buena_lead('stranger@acme.example')", []),
        ("buena_lead('n/a')", []),
        ("buena_lead(null)", []),
        ("buena_profile(null)", []),
    ],
)
def test_a_person_is_found_however_the_identifier_is_spelled(
    jane: EnrichmentStore, call: str, titles: list[str]
) -> None:
    """The same row as leads has, by both version lines; what points to several people, to nobody."""
    assert jane.sql(f"from {call}")["title"].to_list() == titles
    assert [row["title"] for row in in_the_shell(jane, f"from {call}")] == titles
    same = jane.sql(f"select count(*) from (from {call} intersect from leads)").item()
    assert same == len(titles)


def test_newest_values_of_both_ids_are_put_together(jane: EnrichmentStore) -> None:
    """As in leads."""
    row = jane.sql(
        "select person_id::varchar, title, company_name, enriched_at from buena_lead('jdoe@gmail.com')"
    )
    assert row.row(0)[:3] == (person("by-mail"), "CEO", "Acme")
    assert (row.row(0)[3] - START).days == 2


def test_a_table_of_ones_own_is_joined_by_its_addresses(jane: EnrichmentStore) -> None:
    """Through known_key for many rows, through the macro for few; both find the same."""
    mine = "(values ('J.DOE+1@gmail.com'), ('omar@acme.example'), ('x@y.example'), (null)) mine(mail)"
    joined = f"""
        select mail, title from {mine}
        left join known_key on key = buena_key('email', buena_email_key(mail))
        left join leads using (person_id) order by all
    """
    expected = [
        ("J.DOE+1@gmail.com", "CEO"),
        ("omar@acme.example", "CFO"),
        ("x@y.example", None),
        (None, None),
    ]
    assert jane.sql(joined).rows() == expected
    assert [tuple(row.values()) for row in in_the_shell(jane, joined)] == expected
    lateral = f"select mail, title from {mine}, buena_lead(mine.mail) order by all"
    assert jane.sql(lateral).rows() == expected[:2]


def test_what_the_macro_finds_is_what_the_enricher_finds(
    sandbox: Sandbox, client: BuenaClient, store: EnrichmentStore
) -> None:
    """For everybody in a table that was really bought."""
    leads = pl.DataFrame({"email": [f"Person{nth}+x@acme.example" for nth in range(60)]})
    done = enrich_frame(leads, client=client, store=store).filter(pl.col("buena_status") == "enriched")
    found = store.sql(
        "select mail, person_id::varchar from (select unnest($mails) as mail), buena_lead(mail) order by all",
        {"mails": done["email"].to_list()},
    )
    assert done.height > 40
    assert found.rows() == done.select("email", "buena_person_id").sort("email").rows()


def test_the_key_is_the_one_of_the_table_identity() -> None:
    """By Python's own MD5; nothing has no key."""
    with macros() as connection:
        query = "select (buena_key('email', 'j@x.example')::uhugeint)::varchar, buena_key('email', null)"
        number, nothing = connection.execute(query).fetchone() or ()
    # DuckDB keeps a UUID with its highest bit turned
    assert nothing is None
    assert int(number) in {key_of("email", "j@x.example"), key_of("email", "j@x.example") ^ (1 << 127)}


# --- the normalisation in SQL against that of the library ------------------------------------------------


def macros() -> duckdb.DuckDBPyConnection:
    """A connection with all macros, and nothing in the tables."""
    connection = duckdb.connect()
    apply_migrations(connection, since=0)
    return connection


@pytest.fixture(scope="module")
def sql() -> Iterator[duckdb.DuckDBPyConnection]:
    """One connection for all examples."""
    with macros() as connection:
        yield connection


def by_sql(connection: duckdb.DuckDBPyConnection, macro: str, cells: list[str | None]) -> list[str | None]:
    """What a macro makes of some cells."""
    rows = connection.execute(f"select {macro}(cell) from (select unnest($cells) as cell)", {"cells": cells})
    return [value for (value,) in rows.fetchall()]


def by_library(normalise: Any, cells: list[str | None]) -> list[str | None]:
    """What the library makes of them."""
    return (
        pl.DataFrame({"cell": cells}, schema={"cell": pl.String})
        .select(normalise(pl.col("cell")))
        .to_series()
        .to_list()
    )


ADDRESS_PARTS = [
    *("jane", "J.Doe", "+tag", "@", "@gmail.com", "@googlemail.com", "@x.com", "@X.Example", "a@b.co"),
    *("mailto:", "?subject=a", "xn--bcher-kva.example", "n/a", "x" * 120, "--", ".", ".."),
    *" \t\n\r\v\f;,<>()[]|\"'`:/\\*-_%&#?+1",
    "\x1f",
]
BEYOND_ASCII = [
    *("ü", "Ö", "é", "ß", "ñ", "Ø", "“", "”", "‘", "’", "«", "»", "–", "—", "\u00a0", "\u00ad", "\u200b"),
    *("İ", "ı", "\u212a", "ſ", "ŀ", "ĳ", "e\u0301", "，", "ｊ", "Σ", "\u2003", "\x85", "´", "\x00"),
    *("bücher.example", "@bücher.de"),
]
SURE = "ÀÉÜßàéüøñŁžŒ“”‘’«»–—\u00a0\u00ad\u200b"
"""Beyond ASCII, what docs/sql.md says that the macro knows, in upper and lower case."""

addresses = st.lists(st.sampled_from(ADDRESS_PARTS), max_size=8).map("".join)
strange_addresses = st.lists(st.sampled_from(ADDRESS_PARTS + BEYOND_ASCII), max_size=8).map("".join)
ascii_text = st.text(st.characters(max_codepoint=0x7F), max_size=40)


@given(cells=st.lists(addresses | ascii_text, min_size=20, max_size=60))
def test_ascii_has_the_same_mailbox_in_sql(sql: duckdb.DuckDBPyConnection, cells: list[str | None]) -> None:
    """Whatever it is: no exception."""
    assert by_sql(sql, "buena_email_key", cells) == by_library(email_key, cells)


@given(
    cells=st.lists(
        st.lists(st.sampled_from([*ADDRESS_PARTS, *SURE]), max_size=8).map("".join), min_size=20, max_size=60
    )
)
def test_accents_quotes_and_dashes_change_nothing(
    sql: duckdb.DuckDBPyConnection, cells: list[str | None]
) -> None:
    """The only difference is a domain that is not in its ASCII form."""
    for cell, ours, theirs in zip(
        cells, by_sql(sql, "buena_email_key", cells), by_library(email_key, cells), strict=True
    ):
        if ours != theirs:
            assert ours is None
            assert re.search(r"@.*[^\x00-\x7f]", cell or ""), cell


@given(cells=st.lists(strange_addresses | st.text(max_size=30), min_size=20, max_size=60))
def test_no_text_has_another_mailbox_in_sql(sql: duckdb.DuckDBPyConnection, cells: list[str | None]) -> None:
    """The same, or none."""
    for ours, theirs in zip(by_sql(sql, "buena_email_key", cells), by_library(email_key, cells), strict=True):
        assert ours in {theirs, None}


def test_the_letters_the_macro_is_sure_of_are_their_own_compatibility_form() -> None:
    """So that NFKC, which DuckDB has not, would change nothing."""
    (letters,) = re.findall(r"x7f(.x\{df\}.*?)\]\*\$", statement("macros.sql"))
    letters = re.sub(r"\\x\{(\w+)\}", lambda code: chr(int(code[1], 16)), letters)
    sure = [chr(code) for code in range(0x80, 0x3000) if re.match(f"[{letters}]", chr(code))]
    assert len(sure) > 150
    for letter in sure:
        assert unicodedata.normalize("NFKC", letter) == letter
        assert unicodedata.category(letter) != "Cf"
        assert not letter.isspace()


URL_PARTS = [
    *(
        "https://",
        "http:/",
        "//",
        "www.",
        "m.",
        "de.",
        "linkedin.com",
        "LinkedIn.com",
        "/",
        "in/",
        "/in/",
        "IN/",
    ),
    *(
        "pub/",
        "/pub/",
        "company/",
        "mwlite/",
        "jane-doe",
        "Jane",
        "J%c3%bcrgen",
        "%25",
        "%2525",
        "%zz",
        "%C3",
        "%",
    ),
    *(
        "?trk=x",
        "#a",
        "details/experience",
        "/1/2b/3cd",
        "/a/1",
        "dir/",
        "me",
        "unknown",
        "ACoAAB",
        ":443",
        "%20",
    ),
    *(
        "ü",
        "Ü",
        "é",
        "e\u0301",
        "Σ",
        "ος",
        "İ",
        "李",
        "\u037e",
        "\u2003",
        "\u00a0",
        "\u200b",
        "\ufeff",
        "\x00",
    ),
    *" \t\n<>('\".;,@",
]


@example(cells=["https://www.linkedin.com/in/" + "%25" * 5 + "41"])
@given(
    cells=st.lists(
        st.tuples(
            st.sampled_from(["https://www.linkedin.com/in/", "linkedin.com/in/", "in/", "/pub/", ""]),
            st.lists(st.sampled_from(URL_PARTS), max_size=6).map("".join) | st.text(max_size=20),
        ).map("".join),
        min_size=20,
        max_size=60,
    )
)
def test_no_url_has_another_slug_in_sql(sql: duckdb.DuckDBPyConnection, cells: list[str | None]) -> None:
    """The same, or none; none only where the comment says so."""
    for cell, ours, theirs in zip(
        cells, by_sql(sql, "buena_linkedin_slug", cells), by_library(linkedin_slug, cells), strict=True
    ):
        if ours != theirs:
            assert ours is None
            assert re.search("%|Σ|σ", cell or "") or cell != (cell or "").lower(), cell
