"""Whoever is forgotten is gone from every byte of the store, and everybody else is still there."""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
import subprocess
import sys
import textwrap
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

import buena_pipeline
from buena_pipeline import BuenaClient, EnrichmentStore, Sandbox, enrich_frame
from buena_pipeline.errors import ColumnError, InputError, NotAStoreError, StoreError, StoreLockedError
from buena_pipeline.schema import ANSWER_ROWS, BLOCKS, IDENTITY_ROWS, REQUEST_ROWS, RESPONSE_ROWS
from buena_pipeline.store import mentions
from buena_pipeline.store.mentions import keys_in, name_any, plain
from buena_pipeline.store.rewriting import rewrite
from buena_pipeline.store.subjects import subject_keys
from buena_pipeline.uuids import as_text
from tests.keys import key_of, keys_of

START = datetime(2026, 5, 1, tzinfo=UTC)
TABLES = ("answer", "identity", "link", "meta", "request", "response", "run", "suppression")
NOBODY = str(uuid.UUID(int=0))

ADDRESS = "marked.jane@acme.example"
PRIVATE = "marked-private@home.example"
SLUG = "marked-jane-4711"
PROFILE = f"https://www.linkedin.com/in/{SLUG}"
RECORD = {
    "first_name": "Markedjane",
    "last_name": "Markeddoe",
    "email": ADDRESS,
    "alternative_emails": [PRIVATE, "sales@acme.example"],
    "phone": "+1 555 01774711",
    "linkedin_url": PROFILE,
    "bio": "Marked biography of one person.",
    "title": "CTO",
}
RAW = "marked raw fragment"


def key_id(kind: str, value: str) -> str:
    """The id of whoever was bought by this key first."""
    return str(uuid.UUID(hashlib.md5(f"{kind}\x1f{value}".encode()).hexdigest()))


BY_MAIL, BY_PROFILE = key_id("email", ADDRESS), key_id("linkedin", SLUG)
OMAR, LENA = key_id("email", "omar@acme.example"), key_id("email", "lena@acme.example")


def frame(schema: pl.Schema, *rows: Mapping[str, Any]) -> pl.DataFrame:
    """Rows of a stage; what is not told is null."""
    return pl.DataFrame(list(rows), schema=schema)


def write(
    store: EnrichmentStore,
    people: list[str],
    *,
    day: int,
    state: str = "answered",
    reason: str | None = None,
    answers: Mapping[str, Mapping[str, Any]] | None = None,
    loose: tuple[str, ...] = (),
    keys: tuple[tuple[str, str, str], ...] = (),
    at: datetime = START,
) -> None:
    """One request from before it leaves to its end: who was asked for, who was answered, what else came."""
    moment = at + timedelta(days=day)
    request_id = str(uuid.uuid4())
    request = {
        "request_id": request_id,
        "run_id": NOBODY,
        "people": people,
        "blocks": list(BLOCKS),
        "happened_at": moment,
        "credits_reserved": float(len(people)),
    }
    store.commit(
        new_request=frame(REQUEST_ROWS, request | {"state": "in flight"}),
        new_identity=frame(
            IDENTITY_ROWS,
            *(
                {
                    "request_id": request_id,
                    "person_id": person,
                    "kind": kind,
                    "key": key_of(kind, value),
                    "known_at": moment,
                }
                for person, kind, value in keys
            ),
        ),
    )
    if state == "in flight":
        return
    common = {"request_id": request_id, "received_at": moment}
    answers = answers or {}
    end = {"state": state, "reason": reason, "credits_used": float(len(answers))}
    bodies = [
        common | {"person_id": person, "body": json.dumps(record)} for person, record in answers.items()
    ]
    store.commit(
        new_request=frame(REQUEST_ROWS, request | end | {"happened_at": moment + timedelta(seconds=1)}),
        new_answer=frame(
            ANSWER_ROWS,
            *(
                {
                    "request_id": request_id,
                    "person_id": person,
                    "answered_at": moment,
                    "found": bool(record),
                    "reason": None if record else f"no {'markedjane' if person == BY_PROFILE else 'lena'}",
                    **{f"has_{block}": True for block in BLOCKS},
                    **record,
                }
                for person, record in answers.items()
            ),
        ),
        new_response=frame(RESPONSE_ROWS, *bodies, *(common | {"body": body} for body in loose)),
    )


OMARS = {"first_name": "Omar", "email": "omar@acme.example", "bio": "Omar's own words.", "title": "CEO"}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store where one person was bought twice, refused, lost, not found and talked about, beside others."""
    store = EnrichmentStore(tmp_path_factory.mktemp("template") / "buena.duckdb")
    mail, slug = (BY_MAIL, "email", ADDRESS), (BY_PROFILE, "linkedin", SLUG)
    omar, lena = (OMAR, "email", "omar@acme.example"), (LENA, "email", "lena@acme.example")
    jane_with_raw = RECORD | {"social_profiles": [{"network": "x", "url": "https://x.example/markedx"}]}
    write(
        store, [BY_MAIL, OMAR], day=0, answers={BY_MAIL: jane_with_raw, OMAR: OMARS}, keys=(mail, omar),
        loose=('{"usage": {"unit": "credit"}}',),
    )  # fmt: skip
    write(
        store, [BY_PROFILE], day=1, answers={BY_PROFILE: RECORD},
        keys=(slug, (BY_PROFILE, "email", ADDRESS), (BY_PROFILE, "email", PRIVATE)),
    )  # fmt: skip
    write(store, [BY_MAIL], day=2, state="refused", reason=f"bad lead: Marked.Jane+crm@ACME.example, {RAW}")
    write(store, [LENA, BY_PROFILE], day=3, state="unknown", loose=(f'{{"bio": "{RAW}, cut o',), keys=(lena,))
    write(store, [BY_PROFILE, LENA], day=4, answers={BY_PROFILE: {}, LENA: {}})
    write(
        store, [OMAR], day=5, answers={OMAR: OMARS | {"title": "Chairman"}},
        loose=(json.dumps({"x": json.dumps({"m": f"{RAW} {ADDRESS}"}).replace("@", "\\u0040")}), "<p>hi</p>"),
    )  # fmt: skip
    write(store, [OMAR, BY_MAIL, LENA], day=6, state="in flight")
    return store.path.parent


@pytest.fixture
def full(template: Path, store: EnrichmentStore) -> EnrichmentStore:
    """A copy of that store, with its log."""
    for name in ("buena.duckdb", "buena.duckdb.wal"):
        shutil.copy(template / name, store.path.parent)
    return store


def as_stored(value: str) -> bytes:
    """How DuckDB keeps a UUID: two little-endian halves, the sign of the upper one turned."""
    number = uuid.UUID(value).int
    upper, lower = (number >> 64) ^ (1 << 63), number & (2**64 - 1)
    return lower.to_bytes(8, "little") + upper.to_bytes(8, "little")


READABLE = [
    *(text.encode() for text in (ADDRESS, PRIVATE, SLUG, RAW, "markedx")),
    *(str(RECORD[name]).lower().encode() for name in ("first_name", "last_name", "phone", "bio")),
    *(as_stored(person).lower() for person in (BY_MAIL, BY_PROFILE)),
]
"""What tells of the person and stands in a store as it is, in lower case."""

IDS = [
    form.lower()
    for person in map(uuid.UUID, (BY_MAIL, BY_PROFILE))
    for form in (str(person).encode(), person.hex.encode(), person.bytes, person.bytes_le)
]
"""Other forms in which an id could stand there."""


def traces(folder: Path) -> set[bytes]:
    """The marks that stand in any file of a folder, whatever its name."""
    data = b"\0".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()).lower()
    return {mark for mark in (*READABLE, *IDS) if mark in data}


def contents(store: EnrichmentStore) -> dict[str, pl.DataFrame]:
    """All rows of all tables, in their order."""
    return {table: store.sql(f"from {table}") for table in TABLES}


def mentions_in_rows(store: EnrichmentStore) -> int:
    """How many rows of any table name the person, also inside compressed columns."""
    words = ["marked", BY_MAIL, BY_PROFILE]
    query = " union all ".join(
        f"select count(*) as n from {table} as t"
        " where list_any_value([w for w in $words if contains(lower(t::varchar), w)]) is not null"
        for table in TABLES
    )
    return int(store.sql(f"select sum(n) from ({query})", {"words": words}).item())


# --- forget ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("checkpointed", [True, False])
@pytest.mark.parametrize(
    "who",
    [
        ADDRESS,
        "Jane <MARKED.Jane+news@acme.example>",
        PRIVATE,
        "de.linkedin.com/in/Marked-Jane-4711/?trk=x",
        {"email": ADDRESS, "first_name": "Somebody", "last_name": "Else", "company": "Elsewhere"},
        pl.DataFrame({"Work Email": [None, ""], "Person Linkedin Url": [None, PROFILE]}),
    ],
    ids=["address", "spelled", "alternative", "profile", "lead", "table"],
)
def test_nothing_of_a_forgotten_person_is_left_in_any_file(
    full: EnrichmentStore, who: Any, checkpointed: bool
) -> None:
    """Neither address nor phone, name, biography, slug, raw text or id, in the file or beside it."""
    assert traces(full.path.parent) >= set(READABLE)  # so that the search below means something
    if checkpointed:
        full.checkpoint()
        assert ADDRESS.encode() in traces(full.path.parent)
    assert mentions_in_rows(full) > 0
    assert full.forget(who) == 1
    assert traces(full.path.parent) == set()
    assert mentions_in_rows(full) == 0
    assert {path.name for path in full.path.parent.iterdir()} == {full.path.name, f"{full.path.name}.lock"}
    assert full.path.stat().st_mode & 0o777 == 0o600
    assert full.forget(who) == 0


def test_everybody_else_is_still_there(full: EnrichmentStore) -> None:
    """Row by row and in the same order; of the ledger, all but the ids and reasons that tell."""
    before, leads, stats = contents(full), full.sql("from leads order by person_id"), full.stats()
    assert full.forget(ADDRESS) == 1
    after = contents(full)
    erased = pl.col("person_id").cast(pl.String).is_in([BY_MAIL, BY_PROFILE])
    for table in ("run", "suppression"):
        assert_frame_equal(after[table], before[table])
    is_id = pl.col("name") == "file_id"
    assert_frame_equal(after["meta"].filter(~is_id), before["meta"].filter(~is_id))
    assert after["meta"].filter(is_id)["value"].item() != before["meta"].filter(is_id)["value"].item()
    for table in ("answer", "identity"):
        assert_frame_equal(after[table], before[table].filter(~erased))
    assert before["link"].height > 0
    assert after["link"].is_empty()
    kept = before["response"].filter(~erased.fill_null(value=False) & ~pl.col("body").str.contains(RAW))
    assert_frame_equal(after["response"], kept)
    assert after["response"].filter(pl.col("person_id").is_null())["body"].to_list() == [
        '{"usage": {"unit": "credit"}}',
        "<p>hi</p>",
    ]
    private = ("people", "reason")
    assert_frame_equal(after["request"].drop(private), before["request"].drop(private))
    renamed = [
        [NOBODY if person in (BY_MAIL, BY_PROFILE) else person for person in map(str, people)]
        for people in before["request"]["people"]
    ]
    assert [list(map(str, people)) for people in after["request"]["people"]] == renamed
    assert after["request"]["reason"].drop_nulls().to_list() == []
    other = leads.filter(~erased)
    assert_frame_equal(full.sql("from leads order by person_id"), other)
    assert full.stats().credits_used == stats.credits_used
    assert full.stats().requests == stats.requests


def test_the_rest_of_the_library_goes_on_with_the_new_file(full: EnrichmentStore) -> None:
    """The same object and another one read and write it; the forgotten person is unknown to both."""
    full.forget(ADDRESS)
    keys = keys_of((0, "email", ADDRESS), (1, "email", "omar@acme.example"))
    for store in (full, EnrichmentStore(full.path)):
        assert as_text(store.lookup(keys).known["person_id"]).to_list() == [OMAR]
    write(full, [BY_MAIL], day=9, answers={BY_MAIL: RECORD}, keys=((BY_MAIL, "email", ADDRESS),))
    assert EnrichmentStore(full.path).lookup(keys).known.height == 2
    assert full.forget(ADDRESS) == 1


def test_who_is_not_there_changes_nothing(full: EnrichmentStore) -> None:
    """The file is not even written anew."""
    full.checkpoint()
    before = full.path.stat().st_ino
    assert full.forget("nobody@nowhere.example") == 0
    assert full.path.stat().st_ino == before


def test_text_about_somebody_the_store_does_not_know_goes_too(full: EnrichmentStore) -> None:
    """An answer that matched nobody may hold a person of whom there is nothing else."""
    write(full, [OMAR], day=8, answers={OMAR: OMARS}, loose=('{"email": "Zoe@else.example"}',))
    assert full.forget("zoe@else.example") == 0
    assert full.sql("select count(*) from response where body ilike '%zoe@%'").item() == 0
    assert full.sql("select count(*) from answer where email = 'omar@acme.example'").item() == 3


def test_a_name_counts_only_where_there_is_nothing_else(store: EnrichmentStore) -> None:
    """A lead with an address of somebody unknown does not erase its namesake."""
    name = (BY_MAIL, "name", "jane doe\x1facme")
    write(store, [BY_MAIL], day=0, answers={BY_MAIL: RECORD}, keys=(name, (BY_MAIL, "email", ADDRESS)))
    lead = {"first_name": "Jane", "last_name": "Doe", "company": "Acme Inc"}
    assert store.forget(lead | {"email": "other.jane@acme.example"}) == 0
    assert store.forget(lead) == 1


def test_a_front_desk_with_a_name_is_a_strong_key(store: EnrichmentStore) -> None:
    """A role mailbox together with the name of the person."""
    desk = key_id("mailbox", "info@acme.example\x1fjane doe")
    write(
        store,
        [desk],
        day=0,
        answers={desk: RECORD},
        keys=((desk, "mailbox", "info@acme.example\x1fjane doe"),),
    )
    assert store.forget({"email": "info@acme.example", "first_name": "Omar", "last_name": "Doe"}) == 0
    assert store.forget({"email": "info@acme.example", "first_name": "Jane", "last_name": "Doe"}) == 1
    assert store.stats().people == 0


def test_people_are_found_by_their_own_id_where_no_key_is_left(store: EnrichmentStore) -> None:
    """An id is the hash of the key a person was bought by."""
    write(store, [BY_MAIL, OMAR], day=0, state="unknown")
    assert store.forget(ADDRESS) == 1
    assert store.sql("select people::varchar[] as p from request")["p"].to_list() == [[NOBODY, OMAR]] * 2


def test_a_table_forgets_many_at_once(full: EnrichmentStore) -> None:
    """People are counted, not rows; other tables than polars' are taken."""
    table = pl.DataFrame({"mail": [ADDRESS, PRIVATE, "omar@acme.example", None], "deal": [1, 2, 3, 4]})
    assert full.forget(table.to_arrow(), columns={"email": "mail"}) == 2
    assert full.stats().people == 0
    assert full.stats().failures == 1
    assert full.forget([]) == 0
    assert full.forget(table.clear(), columns={"email": "mail"}) == 0


@pytest.mark.parametrize(
    "who",
    ["jane", "", ["omar@acme.example", "jane"], {"first_name": "Jane"}, {}, 7, None,
     "\ud800jane@acme.example", ["omar@acme.example", "jane\ud800"], {"email": "jane\udfff@acme.example"},
     {"email": 7}, {"email": b"jane"}, b"jane", b"", bytearray(), [b"jane"], ["omar@acme.example", None],
     {"omar@acme.example"},
     pl.DataFrame({"email": ["omar@acme.example", "n/a"]}), pl.DataFrame({"email": [None]})],
)  # fmt: skip
def test_what_identifies_nobody_is_refused_as_a_whole(full: EnrichmentStore, who: Any) -> None:
    """A list of people is not done in part, and the message quotes nobody."""
    for method in (full.forget, full.suppress, full.unsuppress):
        with pytest.raises(InputError) as refused:
            method(who)
        assert "jane" not in str(refused.value).lower()
        assert str(refused.value).encode()
    assert full.stats().people == 3
    assert full.suppressed() == 0


def test_text_that_cannot_be_kept_is_found_by_its_place(store: EnrichmentStore) -> None:
    """In a list that somebody read from a file in the wrong encoding."""
    with pytest.raises(InputError, match=r"^Text 2 of 3 holds half a character .* Nothing was changed\.$"):
        store.suppress(["omar@acme.example", "\ud800@acme.example", "jane@acme.example"])


def test_a_table_without_a_column_that_identifies_is_refused(full: EnrichmentStore) -> None:
    """As everywhere else in the library."""
    with pytest.raises(ColumnError, match="No column says who"):
        full.forget(pl.DataFrame({"deal": [1]}))


# --- the file --------------------------------------------------------------------------------------------


def test_only_a_store_that_is_there_and_may_be_written_forgets(full: EnrichmentStore, tmp_path: Path) -> None:
    """No store is made on the way."""
    with pytest.raises(StoreError, match="read-only"):
        EnrichmentStore(full.path, read_only=True).forget(ADDRESS)
    missing = EnrichmentStore(tmp_path / "typo.duckdb")
    with pytest.raises(NotAStoreError, match="no store at"):
        missing.forget(ADDRESS)
    assert not missing.path.exists()


def test_a_file_that_somebody_else_reads_is_not_replaced(full: EnrichmentStore) -> None:
    """Their connection would go on with the old bytes."""
    full.checkpoint()
    script = (
        f"import duckdb; c = duckdb.connect({str(full.path)!r}, read_only=True); print(1, flush=1); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as reader:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "1\n"
        with pytest.raises(StoreLockedError, match=rf"held by process {reader.pid}\b") as held:
            EnrichmentStore(full.path, lock_timeout=0.1).forget(ADDRESS)
        reader.communicate("\n")
    assert "marked" not in str(held.value)
    assert full.forget(ADDRESS) == 1


def test_the_shell_of_another_version_line_opens_the_new_file(full: EnrichmentStore) -> None:
    """Views and macros are there, and raw bodies are compressed still."""
    full.forget(ADDRESS)
    shell = shutil.which("duckdb", path=str(Path(sys.executable).parent))
    assert shell is not None, "the dev extra installs duckdb-cli"
    command = [shell, "-readonly", "-json", str(full.path), "select title from leads"]
    told = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(told.stdout) == [{"title": "Chairman"}]


def test_views_of_ones_own_are_kept(full: EnrichmentStore) -> None:
    """Also those that need another one; those that do not work any more are in nobody's way."""
    with duckdb.connect(str(full.path)) as connection:
        connection.execute("create view chiefs as select * from leads where title like 'C%'")
        connection.execute("create view a_chief as select title from chiefs limit 1")
        connection.execute("create table gone (n int); create view stray as from gone; drop table gone")
    full.forget(ADDRESS)
    assert full.sql("from a_chief")["title"].to_list() == ["Chairman"]


def test_tables_of_ones_own_stop_it(full: EnrichmentStore) -> None:
    """They may hold the very person, and are not to vanish unasked."""
    with duckdb.connect(str(full.path)) as connection:
        connection.execute("create table my_copy as from leads")
    with pytest.raises(StoreError, match="my_copy"):
        full.forget(ADDRESS)
    assert full.stats().people == 3
    with duckdb.connect(str(full.path)) as connection:
        connection.execute("drop table my_copy")
    assert full.forget(ADDRESS) == 1
    assert traces(full.path.parent) == set()


def test_a_file_that_cannot_be_written_anew_stays_as_it_is(full: EnrichmentStore) -> None:
    """The message says why and what is needed, not who."""
    full.stats()
    obstacle = full.path.with_name(f".{full.path.name}.draft")
    obstacle.write_text("in the way")
    with pytest.raises(StoreError, match=r"is as before: .*room") as failed:
        full.forget(ADDRESS)
    assert "marked" not in str(failed.value)
    assert full.stats().people == 3
    obstacle.unlink()
    assert full.forget(ADDRESS) == 1


def test_a_store_that_does_not_fit_in_memory_is_written_anew(full: EnrichmentStore) -> None:
    """What was spilled on the way to the new file must not cost the connection that writes it."""
    before = full.sql("select * from leads order by all")
    spilled = Path(f"{full.path}.tmp")
    with full._database.exclusive() as connection:
        connection.execute("set memory_limit = '30MB'; set threads = 1")
        connection.execute(
            "create temp table much as select i || repeat('x', 200) as text from range(300000) t(i)"
        )
        assert spilled.exists()
        rewrite(full._database, connection, {})
    assert not spilled.exists()
    assert full.sql("select * from leads order by all").equals(before)
    assert full.forget(ADDRESS) == 1


def test_a_link_to_the_store_stays_a_link(full: EnrichmentStore, tmp_path: Path) -> None:
    """What is replaced is the file it leads to."""
    full.checkpoint()
    (tmp_path / "elsewhere").mkdir()
    place = full.path.rename(tmp_path / "elsewhere" / "real.duckdb")
    full.path.symlink_to(place)
    assert EnrichmentStore(full.path).forget(ADDRESS) == 1
    assert full.path.is_symlink()
    assert traces(tmp_path) == set()


def crash(store: EnrichmentStore, where: str, *, after: float = 0.0) -> None:
    """Forgets in another process, which is killed at a function of the library or after a time."""
    script = f"""
        import os, signal, sys
        from buena_pipeline import EnrichmentStore
        from buena_pipeline.store import database, erasure, rewriting

        calls = 0

        def die(*args, **kwargs):
            global calls
            calls += 1
            if calls == turn:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args, **kwargs)

        place, turn = {{
            "rewrite": ("erasure.rewrite", 1),
            "copied": ("rewriting._copy_views", 1),
            "written": ("database.sync", 1),
            "replaced": ("database.sync", 2),
            "never": ("database.sync", 99),
        }}[{where!r}]
        module, name = place.split(".")
        real = getattr(globals()[module], name)
        setattr(globals()[module], name, die)
        print("ready", flush=True)
        EnrichmentStore({str(store.path)!r}).forget({ADDRESS!r})
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(buena_pipeline.__file__).parents[1],
    ) as victim:
        assert victim.stdout is not None
        assert victim.stdout.readline() == "ready\n"
        if where == "never":
            time.sleep(after)
            victim.kill()
        assert victim.wait(timeout=60) in (-signal.SIGKILL, 0)


@pytest.mark.parametrize(
    ("where", "done"), [("rewrite", False), ("copied", False), ("written", False), ("replaced", True)]
)
def test_a_crash_leaves_the_old_file_or_the_new_one(full: EnrichmentStore, where: str, done: bool) -> None:
    """Killed at its worst moments; the next one does it and leaves nothing of the first."""
    before = contents(full)
    crash(full, where)
    if done:
        assert traces(full.path.parent) == set()
    else:
        for table, rows in contents(EnrichmentStore(full.path)).items():
            assert_frame_equal(rows, before[table])
    assert EnrichmentStore(full.path).forget(ADDRESS) == (0 if done else 1)
    assert traces(full.path.parent) == set()
    assert {path.name for path in full.path.parent.iterdir()} == {full.path.name, f"{full.path.name}.lock"}


@pytest.mark.parametrize("after", [0.05, 0.15, 0.3])
def test_a_crash_at_any_moment_leaves_a_good_store(full: EnrichmentStore, after: float) -> None:
    """In a larger store, killed after a while."""
    fill(full, people=20_000)
    rows = full.sql("select count(*) from answer").item()
    crash(full, "never", after=after)
    store = EnrichmentStore(full.path)
    left = store.sql("select count(*) from answer").item()
    assert left in (rows, rows - 3)
    assert store.forget(ADDRESS) == (1 if left == rows else 0)
    assert store.sql("select count(*) from answer").item() == rows - 3
    assert traces(full.path.parent) == set()


def fill(store: EnrichmentStore, *, people: int) -> None:
    """Many others, written at once."""
    store.stats()
    with duckdb.connect(str(store.path)) as connection:
        connection.execute(
            """
            create temp table crowd as
            select md5(concat('email', chr(31), 'p' || i || '@many.example'))::uuid as id,
                   uuid() as request_id, i
            from range(?) as r(i)
            """,
            [people],
        )
        connection.execute(
            """
            insert into answer by name
            select id as person_id, request_id, now() as answered_at, true as found,
                   'p' || i || '@many.example' as email, 'Bio of number ' || i as bio
            from crowd;
            insert into identity by name
            select id as key, 'email' as kind, id as person_id, request_id from crowd;
            insert into response by name
            select request_id, id as person_id, now() as received_at,
                   repeat('{"some": "text"}', 50) || i as body
            from crowd;
            insert into request by name
            select any_value(request_id) as request_id, 'answered' as state, now() as happened_at,
                   list(id order by i) as people
            from crowd group by i // 50;
            insert into response by name
            select request_id, 'rest number ' || i as body from crowd where i % 50 = 0;
            """
        )


def test_a_hundred_thousand_people_take_seconds(full: EnrichmentStore) -> None:
    """Everybody else is there afterwards, in the same order."""
    fill(full, people=100_000)
    order = "select person_id, bio from answer where bio like 'Bio of number%'"
    before = full.sql(order)
    started = time.perf_counter()
    assert full.forget([ADDRESS, "p77@many.example"]) == 2
    assert time.perf_counter() - started < 30
    assert_frame_equal(full.sql(order), before.filter(pl.col("bio") != "Bio of number 77"))
    assert full.sql("select count(*) from request where list_contains(people, ?::uuid)", [NOBODY]).item() > 1


def test_after_a_run_against_a_vendor_a_forgotten_lead_is_a_new_one(
    store: EnrichmentStore,
) -> None:
    """Bought by the library itself: one of two is forgotten, and only that one costs again."""
    leads = pl.DataFrame({"email": ["ada@acme.example", "grace@navy.example"]})
    with Sandbox(limits=None, not_found=0) as sandbox, BuenaClient(sandbox.api_key, sandbox.url) as client:
        enrich_frame(leads, store=store, client=client)
        spent = store.stats().credits_used
        assert store.forget("ada@acme.example") == 1
        assert b"ada@acme" not in store.path.read_bytes()
        assert store.stats().credits_used == spent
        again = enrich_frame(leads, store=store, client=client)
        assert again["buena_status"].to_list() == ["enriched", "cached"]
        assert sandbox.credits_used == spent + 1


# --- retention -------------------------------------------------------------------------------------------


def test_what_is_older_than_the_retention_goes(store: EnrichmentStore) -> None:
    """Old people as a whole, of others what is old; who was asked for lately keeps the keys."""
    now = datetime.now(UTC)
    mail, omar = (BY_MAIL, "email", ADDRESS), (OMAR, "email", "omar@acme.example")
    lena = (LENA, "email", "lena@acme.example")
    write(
        store, [BY_MAIL, OMAR], day=-400, at=now, keys=(mail, omar), loose=(f"old {RAW}",),
        answers={BY_MAIL: RECORD, OMAR: OMARS | {"phone": "+1 old"}},
    )  # fmt: skip
    write(store, [LENA], day=-399, at=now, keys=(lena,), state="refused", reason=f"{RAW}")
    write(store, [OMAR], day=-10, at=now, answers={OMAR: OMARS}, loose=(f"{RAW} of {ADDRESS}", "young"))
    write(store, [LENA], day=-9, at=now, state="unknown", reason="timeout")
    ledger = store.sql("select * exclude (people, reason) from request")
    assert store.retention(timedelta(days=365)) == 2
    assert traces(store.path.parent) == set()
    assert store.sql("select title, phone from leads").rows() == [("CEO", None)]
    assert set(store.sql("select person_id::varchar as p from identity")["p"]) == {OMAR, LENA}
    assert store.sql("select body from response where person_id is null")["body"].to_list() == ["young"]
    assert store.sql("select distinct reason from request order by all")["reason"].to_list() == [
        "timeout",
        None,
    ]
    assert_frame_equal(store.sql("select * exclude (people, reason) from request"), ledger)
    counts = store.sql("select people::varchar[] as p from request")["p"].to_list()
    assert counts[0] == [NOBODY, OMAR]
    assert store.retention(timedelta(days=365)) == 0


def test_people_who_are_one_are_retained_as_one(store: EnrichmentStore) -> None:
    """An old id stays where the person it leads to is young."""
    now = datetime.now(UTC)
    shared = ("email", ADDRESS)
    write(store, [BY_MAIL], day=-400, at=now, answers={BY_MAIL: RECORD}, keys=((BY_MAIL, *shared),))
    slug = (BY_PROFILE, "linkedin", SLUG)
    write(
        store, [BY_PROFILE], day=-1, at=now, answers={BY_PROFILE: RECORD}, keys=(slug, (BY_PROFILE, *shared))
    )
    assert store.retention(timedelta(days=365)) == 1
    assert store.sql("select count(*) from answer").item() == 1
    assert store.sql("select person_id::varchar as p from leads")["p"].to_list() == [BY_MAIL]
    assert store.sql("select count(*) from link").item() == 1


def test_a_retention_of_nothing_leaves_nobody(full: EnrichmentStore) -> None:
    """The ledger's credits stay."""
    spent = full.stats().credits_used
    assert full.retention(timedelta()) == 3
    stats = full.stats()
    assert (stats.people, stats.answers, stats.credits_used) == (0, 0, spent)
    assert full.sql("select count(*) from identity").item() == 0
    assert traces(full.path.parent) == set()


@pytest.mark.parametrize(
    "age", [timedelta(days=-1), timedelta.max, 365, None, datetime(2026, 1, 1, tzinfo=UTC)]
)
def test_what_is_no_age_is_refused(full: EnrichmentStore, age: Any) -> None:
    """Nothing goes."""
    with pytest.raises(InputError, match="older_than"):
        full.retention(age)
    assert full.stats().people == 3


# --- suppression -----------------------------------------------------------------------------------------


def hashes(store: EnrichmentStore, *keys: tuple[str, str]) -> set[str]:
    """What the list would hold of these keys."""
    secret = store.sql("select value from meta where name = 'suppression_secret'").item()
    return {hashlib.sha256((secret + key_id(*key)).encode()).hexdigest() for key in keys}


def listed(store: EnrichmentStore) -> set[str]:
    """What the list holds."""
    return set(store.sql("select hash from suppression")["hash"])


def test_the_list_holds_keyed_hashes_and_nothing_else(store: EnrichmentStore) -> None:
    """Another store hashes otherwise; the secret is made once and has 32 bytes."""
    assert store.suppress(ADDRESS) == 1
    assert store.suppress([ADDRESS.upper(), f"mailto:{ADDRESS}"]) == 0
    assert listed(store) == hashes(store, ("email", ADDRESS))
    assert store.sql("from suppression").columns == ["hash", "added_at", "entry"]
    secrets = store.sql("select value from meta where name = 'suppression_secret'")["value"]
    assert [len(secret) for secret in secrets] == [64]
    store.checkpoint()
    assert traces(store.path.parent) == set()
    other = EnrichmentStore(store.path.with_name("other.duckdb"))
    other.suppress(ADDRESS)
    assert listed(other).isdisjoint(listed(store))


def test_whoever_is_suppressed_and_then_forgotten_stays_suppressed_by_every_key(
    full: EnrichmentStore,
) -> None:
    """All that the store knew of them; the list survives the new file."""
    assert full.suppress(PROFILE) == 3
    everything = hashes(full, ("linkedin", SLUG), ("email", ADDRESS), ("email", PRIVATE))
    assert listed(full) == everything
    assert full.forget(PROFILE) == 1
    assert listed(full) == everything
    assert full.suppress(ADDRESS) == 0
    assert full.suppressed() == 3
    assert traces(full.path.parent) == set()


def test_a_run_does_not_send_whoever_is_on_the_list(store: EnrichmentStore) -> None:
    """Bought or not: their rows say that they are suppressed, and nothing else of them."""
    leads = pl.DataFrame({"email": ["ada@acme.example", ADDRESS, "grace@navy.example"]})
    with Sandbox(limits=None, not_found=0) as sandbox, BuenaClient(sandbox.api_key, sandbox.url) as client:
        enrich_frame(leads[:1], store=store, client=client)
        store.suppress(["ada@acme.example", ADDRESS])
        enriched = enrich_frame(leads, store=store, client=client)
        assert sorted(sandbox.charges()["lead"]) == ["email:ada@acme.example", "email:grace@navy.example"]
    assert enriched["buena_status"].to_list() == ["suppressed", "suppressed", "enriched"]
    assert enriched["buena_first_name"].is_null().to_list() == [True, True, False]
    assert enriched["buena_error"].is_null().to_list() == [False, False, True]


def test_a_name_is_suppressed_only_where_nothing_else_is_given(store: EnrichmentStore) -> None:
    """A namesake with an address is not meant."""
    lead = {"first_name": "Jane", "last_name": "Doe", "company": "Acme"}
    assert store.suppress(lead | {"email": ADDRESS}) == 1
    assert listed(store) == hashes(store, ("email", ADDRESS))
    assert store.suppress(lead) == 1
    assert listed(store) == hashes(store, ("email", ADDRESS), ("name", "jane doe\x1facme"))


def test_people_come_off_the_list(full: EnrichmentStore) -> None:
    """By any key while the store knows them, and nobody else with them."""
    full.suppress([ADDRESS, "omar@acme.example"])
    assert full.unsuppress(PRIVATE) == 3
    assert listed(full) == hashes(full, ("email", "omar@acme.example"))
    assert full.unsuppress(PRIVATE) == 0


@pytest.mark.parametrize("who", [PROFILE, ADDRESS, PRIVATE])
def test_whoever_is_forgotten_comes_off_the_list_as_a_whole(who: str, full: EnrichmentStore) -> None:
    """By any identifier they came there with, though the store knows none of them any more."""
    full.suppress([ADDRESS, "omar@acme.example"])
    full.forget(ADDRESS)
    assert full.unsuppress(who) == 3
    assert listed(full) == hashes(full, ("email", "omar@acme.example"))


def test_whoever_shares_an_identifier_stays_on_the_list(store: EnrichmentStore) -> None:
    """Each came there by themselves: what they share is that of the other one, too."""
    shared = "us@acme.example"
    table = pl.DataFrame({"email": [ADDRESS, "omar@acme.example"], "other": shared})
    columns = {"email": ["email", "other"]}
    assert store.suppress(table, columns=columns) == 3
    assert store.unsuppress(ADDRESS) == 1
    assert listed(store) == hashes(store, ("email", shared), ("email", "omar@acme.example"))
    assert store.suppressed() == 2
    assert store.unsuppress(shared) == 2


@pytest.mark.parametrize(("other", "gone"), [(None, 1), ("us@acme.example", 0)])
def test_what_the_store_learned_since_takes_nobody_else_off_the_list(
    other: str | None, gone: int, full: EnrichmentStore
) -> None:
    """By an address that it learned later they come off the list; somebody who came there with more stays."""
    table = pl.DataFrame({"email": PRIVATE, "other": other}, schema_overrides={"other": pl.String})
    full.suppress(table, columns={"email": ["email", "other"]})
    before = hashes(full, ("email", PRIVATE), *([("email", other)] if other else []))
    with duckdb.connect(str(full.path)) as connection:
        connection.execute("delete from suppression where hash not in (select unnest(?))", [sorted(before)])
    assert full.unsuppress(PROFILE) == gone
    assert listed(full) == (set() if gone else before)


def test_whoever_is_suppressed_again_is_one_entry(full: EnrichmentStore) -> None:
    """A list of objections that is put there every night does not grow; after forgetting, less is known."""
    for _ in range(3):
        full.suppress([ADDRESS, ADDRESS])
    assert full.sql("select count(*), count(distinct entry) from suppression").row(0) == (3, 1)
    full.forget(ADDRESS)
    assert [full.suppress(ADDRESS) for _ in range(3)] == [0, 0, 0]
    assert full.sql("select count(*), count(distinct entry) from suppression").row(0) == (4, 2)
    assert full.unsuppress(ADDRESS) == 3
    assert full.suppressed() == 0


def test_a_list_of_an_older_release_is_taken_off_by_what_is_known(full: EnrichmentStore) -> None:
    """Nobody wrote down which hashes were one person's."""
    full.suppress([ADDRESS, "omar@acme.example"])
    with duckdb.connect(str(full.path)) as connection:
        connection.execute("update suppression set entry = null")
    assert full.suppress(ADDRESS) == 0
    assert full.unsuppress(PROFILE) == 3
    assert full.unsuppress("omar@acme.example") == 1


# --- texts that name somebody ----------------------------------------------------------------------------


def texts(*rows: str) -> pl.DataFrame:
    """Texts as they are searched."""
    numbered = pl.DataFrame({"row": range(len(rows)), "text": list(rows)}, schema_overrides={"row": pl.Int64})
    return numbered.select(pl.lit("response").alias("source"), "row", plain(pl.col("text")))


def test_a_profile_is_found_however_it_is_written() -> None:
    """As a URL, escaped once or twice, percent-encoded; a longer slug is another one."""
    written = texts(
        r'{"u": "https:\/\/de.linkedin.com\/in\/J\u00fcrgen-Doe\/"}',
        json.dumps({"a": json.dumps({"u": "linkedin.com/in/jürgen-doe"})}),
        "see https://www.linkedin.com/in/j%C3%BCrgen-doe?x=1",
        "https://www.linkedin.com/in/jürgen-do",
    )
    found = keys_in(written).filter(pl.col("value") == "jürgen-doe")
    assert sorted(found["row"]) == [0, 1, 2]
    named = name_any(written, addresses=pl.Series([], dtype=pl.String), slugs=pl.Series(["jürgen-doe"]))
    assert sorted(named["row"]) == [0, 1, 2]


def test_halves_of_characters_stay_as_they_were_escaped() -> None:
    """They are no characters by themselves, and fit into no text; everything else is read as it is meant."""
    escaped = r"\ud83d\ude00 J\u00C4ne \\u0040 \udc00"
    assert mentions._unescaped(escaped.lower()) == r"\ud83d\ude00 jäne @ \udc00"
    assert texts(escaped)["text"].item() == r"\ud83d\ude00 jäne @ \udc00"


def test_a_role_mailbox_names_nobody() -> None:
    """It is in the answers of many; and so is a short word that happens to be a slug."""
    written = texts("sales@acme.example", "jane")
    told = name_any(written, addresses=pl.Series(["sales@acme.example", None]), slugs=pl.Series(["jane"]))
    assert told.is_empty()


@given(
    local=st.from_regex(r"[a-z0-9][a-z0-9._-]{0,10}[a-z0-9]", fullmatch=True).filter(lambda t: ".." not in t),
    levels=st.integers(0, 3),
    around=st.text(max_size=20),
)
def test_an_address_is_found_in_json_however_deep(local: str, levels: int, around: str) -> None:
    """As a value of an object that was encoded again and again, whatever else it holds."""
    address = f"{local}@acme.example"
    text = json.dumps({"x": around.encode("utf-8", "replace").decode(), "email": address.title()})
    for _ in range(levels):
        text = json.dumps({"raw": text}).replace("@", "\\u0040")
    assert address in keys_in(texts(text))["value"].to_list()


@given(st.lists(st.tuples(st.sampled_from(["a@x.example", "b+c@x.example", "n/a", None]), st.booleans())))
def test_the_keys_of_a_table_are_those_of_its_rows(rows: list[tuple[str | None, bool]]) -> None:
    """Each key once; a row that says something but not who is refused."""
    mails = [mail for mail, _ in rows]
    table = pl.DataFrame({"email": mails}, schema={"email": pl.String})
    clear = [mail for mail in mails if mail is not None]
    if "n/a" in clear or (mails and not clear):
        with pytest.raises(InputError):
            subject_keys(table)
    else:
        expected = {("email", mail.replace("+c", "")) for mail in clear}
        assert set(subject_keys(table).rows()) == expected
