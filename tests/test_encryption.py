"""Encrypted stores: everything works as without, nothing can be read without the key, nobody sees the key.

DuckDB writes encrypted files with the crypto of an extension that not every machine has. The fixture
``crypto`` has it use what is built in instead, which DuckDB itself calls insecure, and changes nothing else.
"""

from __future__ import annotations

import errno
import logging
import re
import shutil
import signal
import subprocess
import sys
import textwrap
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buena_pipeline import BuenaClient, Enricher, EnrichmentOptions, EnrichmentStore, Sandbox, plan_frame
from buena_pipeline.cli import main
from buena_pipeline.cli.doctor import Check, examine
from buena_pipeline.errors import (
    EncryptionKeyError,
    NotAStoreError,
    QueryError,
    SettingsError,
    StoreDamagedError,
    StoreError,
    StoreLockedError,
)
from buena_pipeline.postings import Postings
from buena_pipeline.settings import StoreKey
from buena_pipeline.store import encryption, sealing
from buena_pipeline.store.engine import Engine
from buena_pipeline.store.statements import statement
from tests.torture.disks import file_limit

KEY = 'it\'s a "key" nobody; guesses -- $1 ? {} %s'

BUILT_IN = "set force_mbedtls_unsafe = true"

LEADS = pl.DataFrame(
    {
        "email": [f"person{number}@acme{number % 7}.example" for number in range(60)],
        "first_name": [f"First{number}" for number in range(60)],
        "last_name": [f"Last{number}" for number in range(60)],
    }
)


@pytest.fixture
def crypto(monkeypatch: pytest.MonkeyPatch) -> None:
    """Crypto that every machine has."""
    monkeypatch.setattr(encryption, "_LOAD_CRYPTO", BUILT_IN)


@pytest.fixture
def no_crypto(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without the extension."""
    monkeypatch.setattr(encryption, "_LOAD_CRYPTO", "load an_extension_that_is_not_there")


@pytest.fixture
def secret(crypto: None, tmp_path: Path) -> EnrichmentStore:
    """An empty encrypted store."""
    return EnrichmentStore(tmp_path / "it's secret.duckdb", encryption_key=KEY, lock_timeout=20)


@pytest.fixture
def filled(secret: EnrichmentStore, client: BuenaClient) -> EnrichmentStore:
    """An encrypted store after a run."""
    Enricher(client, secret).run(LEADS)
    return secret


def reopened(store: EnrichmentStore, key: str | None = KEY, **options: bool) -> EnrichmentStore:
    """The same file, by another object."""
    return EnrichmentStore(store.path, encryption_key=key, lock_timeout=20, **options)


# --- as without encryption -------------------------------------------------------------------------------


def test_an_encrypted_store_does_all_that_others_do(
    filled: EnrichmentStore, client: BuenaClient, sandbox: Sandbox, tmp_path: Path
) -> None:
    """Buy, look up, buy a block more, query, export, examine; a second run costs nothing."""
    plain = EnrichmentStore(tmp_path / "plain.duckdb")
    Enricher(client, plain).run(LEADS)
    both = [
        [
            Enricher(client, store).run(LEADS).frame,
            Enricher(client, store, options=EnrichmentOptions(social=True)).run(LEADS[:20]).frame,
        ]
        for store in (filled, plain)
    ]
    paid = sandbox.credits_used
    for secret_frame, plain_frame in zip(*both, strict=True):
        moments = ["buena_status", "buena_enriched_at"]
        assert secret_frame.drop(moments).equals(plain_frame.drop(moments))
    assert set(both[0][0]["buena_status"]) == {"cached", "failed"}
    store = reopened(filled)
    assert Enricher(client, store).lookup({"email": LEADS["email"][0]}) == Enricher(client, filled).lookup(
        {"email": LEADS["email"][0]}
    )
    assert store.stats().people == plain.stats().people > 40
    assert store.ledger()["state"].to_list() == plain.ledger()["state"].to_list()
    assert store.sql("select $n + count(*) as n from leads", {"n": 0}).item() == store.stats().people
    assert pl.read_parquet(store.export(tmp_path / "out")[0]).height == store.stats().people
    copy = store.backup(tmp_path / "copy.duckdb")
    assert EnrichmentStore(copy, encryption_key=KEY).stats().people == store.stats().people
    with pytest.raises(EncryptionKeyError):
        EnrichmentStore(copy).stats()
    assert store.check()["ok"].all()
    assert sandbox.credits_used == paid
    with pytest.raises(QueryError, match="read-only"):
        store.sql("delete from answer")


def test_the_forgotten_leave_an_encrypted_store(filled: EnrichmentStore, client: BuenaClient) -> None:
    """The file is written anew with the same key."""
    before = filled.stats().people
    email = filled.sql("select email from leads order by all limit 1").item()
    assert filled.forget(email) == 1
    store = reopened(filled)
    assert store.stats().people == before - 1
    assert store.check()["ok"].all()
    with pytest.raises(EncryptionKeyError):
        reopened(filled, None).stats()


def test_an_older_encrypted_store_is_migrated(crypto: None, tmp_path: Path) -> None:
    """By the next one who writes; the key stays."""
    path = tmp_path / "old.duckdb"
    with Engine(tmp_path / "spill", key=StoreKey(KEY)).attached(path) as connection:
        connection.execute(statement("migrations/001_tables.sql"))
        connection.execute("insert into meta values ('schema_version', '1')")
    path.chmod(0o600)
    store = EnrichmentStore(path, encryption_key=KEY)
    assert store.stats().people == 0
    assert store.sql("select count(*) from suppression").item() == 0
    assert store.check()["ok"].all()


def test_the_log_is_moved_into_the_file(filled: EnrichmentStore) -> None:
    """At the end of a run there is one file, as without encryption."""
    filled.commit()
    filled.checkpoint()
    log = Path(f"{filled.path}.wal")
    assert not log.exists() or log.stat().st_size == 0


def test_another_version_line_of_duckdb_reads_it_with_the_key(filled: EnrichmentStore) -> None:
    """The statement is that of the README."""
    shell = shutil.which("duckdb", path=str(Path(sys.executable).parent))
    assert shell is not None, "the dev extra installs duckdb-cli"
    path, key = (str(text).replace("'", "''") for text in (filled.path, KEY))
    script = f"attach '{path}' as buena (read_only, encryption_key '{key}'); use buena; from coverage limit 0"
    told = subprocess.run([shell, "-csv", "-c", script], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "column_name,filled,people,share"


# --- keys ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("read_only", [False, True])
def test_a_wrong_key_opens_nothing_and_harms_nothing(filled: EnrichmentStore, read_only: bool) -> None:
    """Each mistake has its own words, and all are one kind of error of the store."""
    before = filled.path.read_bytes()
    with pytest.raises(EncryptionKeyError, match="does not open with this key"):
        reopened(filled, KEY + "!", read_only=read_only).stats()
    with pytest.raises(EncryptionKeyError, match=r"is encrypted: give its key .*BUENA_STORE_KEY"):
        reopened(filled, None, read_only=read_only).stats()
    assert filled.path.read_bytes() == before
    assert issubclass(EncryptionKeyError, StoreError)


def test_a_key_for_a_store_that_is_not_encrypted_is_told(crypto: None, store: EnrichmentStore) -> None:
    """Nobody shall think that it is encrypted."""
    store.stats()
    with pytest.raises(EncryptionKeyError, match="is not encrypted, but a key was given"):
        EnrichmentStore(store.path, encryption_key=KEY).stats()
    assert store.stats().people == 0


def test_a_plan_makes_no_encrypted_store(secret: EnrichmentStore) -> None:
    """Nor a plain one."""
    folder = secret.path.parent / "new"
    folder.mkdir()
    store = EnrichmentStore(folder / "buena.duckdb", encryption_key=KEY)
    assert plan_frame(LEADS, store=store).to_buy == 60
    assert not list(folder.iterdir())


def test_a_file_that_is_no_database_is_left_alone(crypto: None, tmp_path: Path) -> None:
    """With a key as without."""
    path = tmp_path / "leads.duckdb"
    path.write_text("email\njane@acme.example\n" * 400)
    with pytest.raises(NotAStoreError, match="is not a DuckDB database"):
        EnrichmentStore(path, encryption_key=KEY).stats()


@pytest.mark.parametrize("key", ["", " key", "key\n", "k\x00y", "schlüssel", "back\\slash", 5])
def test_a_key_that_cannot_be_meant_is_refused(key: str, tmp_path: Path) -> None:
    """Such as a line read from a file with its end, or what DuckDB would quote in its errors."""
    with pytest.raises(SettingsError, match="must be printable ASCII") as caught:
        EnrichmentStore(tmp_path / "x.duckdb", encryption_key=key)
    assert not key or str(key) not in str(caught.value).replace("key of", "").replace("_key", "")


def test_the_key_comes_from_the_environment(
    filled: EnrichmentStore, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Also for the command line, which has no option for it: options are seen by all users of a machine."""
    query = ["sql", "select count(*) as n from leads", "--format", "csv", "--store", str(filled.path)]
    assert main(query) == 4
    assert "BUENA_STORE_KEY" in capfd.readouterr().err
    monkeypatch.setenv("BUENA_STORE_KEY", KEY)
    assert main(query) == 0
    assert capfd.readouterr().out == f"n\n{filled.stats().people}\n"
    with pytest.raises(EncryptionKeyError):
        reopened(filled, "an argument counts more").stats()
    monkeypatch.setenv("BUENA_STORE_KEY", "")
    with pytest.raises(EncryptionKeyError, match="is encrypted"):
        EnrichmentStore(filled.path).stats()


def test_nobody_sees_the_key(
    filled: EnrichmentStore, client: BuenaClient, caplog: pytest.LogCaptureFixture
) -> None:
    """Not in a repr, a log, what DuckDB tells of itself, or an error and all that hangs on it."""
    caplog.set_level(logging.DEBUG)
    seen = [repr(filled), repr(vars(filled)), repr(vars(filled._database)), repr(vars(filled._journal))]
    told = "select to_json(list(t))::varchar as told from {}() t"
    tables = ("databases", "settings", "variables", "views", "connections", "secrets")
    known = filled.sql("select distinct function_name from duckdb_functions()").to_series().to_list()
    names = [f"duckdb_{table}" for table in tables if f"duckdb_{table}" in known]
    assert len(names) > 3
    seen += [filled.sql(told.format(name)).item() or "" for name in names]
    other = KEY + "?"
    for query, key in (("from nowhere", KEY), ("delete from answer", KEY), ("select 1", other)):
        with pytest.raises(StoreError) as caught:
            reopened(filled, key).sql(query)
        error: BaseException | None = caught.value
        while error is not None:
            seen += [repr(error), str(error)]
            error = error.__cause__ or error.__context__
    Enricher(client, filled).run(LEADS)
    seen += [record.getMessage() for record in caplog.records]
    assert filled.path.name.replace("'", "") in seen[0].replace("'", "")
    for text in seen:
        assert "nobody; guesses" not in text


# --- without the crypto ----------------------------------------------------------------------------------


def test_without_the_crypto_nothing_is_sent_and_the_remedy_is_told(
    no_crypto: None, sandbox: Sandbox, client: BuenaClient, tmp_path: Path
) -> None:
    """A command to copy; no file is left behind that is not encrypted."""
    store = EnrichmentStore(tmp_path / "new.duckdb", encryption_key=KEY)
    with pytest.raises(StoreError, match=r"python -c .*INSTALL httpfs") as caught:
        Enricher(client, store).run(LEADS)
    assert sandbox.requests == 0
    assert not store.path.exists()
    command = re.search(r'python -c "(.*?)"', str(caught.value))
    assert command is not None
    compile(command[1], "the remedy", "exec")


def test_reading_needs_no_crypto(filled: EnrichmentStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """An analyst's machine needs the key and nothing else; buying is refused before it costs anything."""
    monkeypatch.setattr(encryption, "_LOAD_CRYPTO", "load an_extension_that_is_not_there")
    for store in (reopened(filled), reopened(filled, read_only=True)):
        assert store.sql("select count(*) from leads").item() == filled.stats().people
        assert store.check()["ok"].all()
    with pytest.raises(StoreError, match="INSTALL httpfs"):
        reopened(filled).commit()


@pytest.mark.skipif(not encryption.crypto_is_installed(), reason="DuckDB's extension httpfs is not installed")
def test_with_the_extension_all_is_well(client: BuenaClient, tmp_path: Path) -> None:
    """The real crypto, where it is."""
    store = EnrichmentStore(tmp_path / "real.duckdb", encryption_key=KEY)
    Enricher(client, store).run(LEADS)
    assert reopened(store).check()["ok"].all()


def about_encryption(path: Path) -> list[Check]:
    """What the doctor says of it."""
    return [check for check in examine(path) if check.name in ("encryption", "store")]


def test_the_doctor_knows_about_encryption(
    filled: EnrichmentStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Whether there is a key, whether it is the right one, and whether the store can be written with it."""
    assert [check.level for check in about_encryption(filled.path)] == ["fail"]
    monkeypatch.setenv("BUENA_STORE_KEY", KEY)
    assert [check.level for check in about_encryption(filled.path)] == ["ok", "ok"]
    monkeypatch.setattr(encryption, "_LOAD_CRYPTO", "load an_extension_that_is_not_there")
    missing = about_encryption(filled.path)
    assert [check.level for check in missing] == ["fail", "ok"]
    assert "INSTALL httpfs" in missing[0].advice
    monkeypatch.setenv("BUENA_STORE_KEY", " ")
    assert [check.level for check in about_encryption(filled.path)] == ["fail", "fail"]
    assert "guesses" not in str(missing)


# --- what is on disk -------------------------------------------------------------------------------------


def run_and_die(path: Path, sandbox: Sandbox, key: str | None) -> None:
    """A process that enriches and is killed after its first answers."""
    script = textwrap.dedent(
        f"""
        import os, signal
        import polars as pl
        from buena_pipeline import BuenaClient, Enricher, EnrichmentStore
        from buena_pipeline.store import encryption
        encryption._LOAD_CRYPTO = {BUILT_IN!r}
        leads = pl.DataFrame({LEADS.to_dict(as_series=False)!r})
        store = EnrichmentStore({str(path)!r}, encryption_key={key!r})
        client = BuenaClient({sandbox.api_key!r}, {sandbox.url!r}, concurrency=1)
        Enricher(client, store, progress=lambda _: os.kill(os.getpid(), signal.SIGKILL)).run(leads)
        """
    )
    ended = subprocess.run([sys.executable, "-c", script], check=False)
    assert ended.returncode == -signal.SIGKILL


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_a_killed_run_leaves_nothing_readable(sandbox: Sandbox, crypto: None, tmp_path: Path) -> None:
    """Neither in the file nor in its log or anything else beside it; what was bought is still there."""
    readable = {}
    for name, key in (("plain", None), ("secret", KEY)):
        path = tmp_path / name / "buena.duckdb"
        path.parent.mkdir()
        run_and_die(path, sandbox, key)
        files = {file.name: file.read_bytes() for file in path.parent.rglob("*") if file.is_file()}
        assert len(files["buena.duckdb.wal"]) > 20_000
        store = EnrichmentStore(path, encryption_key=key)
        people = store.sql("select email, phone, first_name || ' ' || last_name as name, bio from leads")
        assert people.height >= 40
        marks = [text.encode() for column in people for text in column.drop_nulls() if len(text) > 5]
        marks += [address.encode() for address in LEADS["email"]]
        readable[name] = {file for file, data in files.items() if any(mark in data for mark in marks)}
        assert store.check().filter(~pl.col("ok")).is_empty()
    assert readable == {"plain": {"buena.duckdb.wal"}, "secret": set()}


def test_what_does_not_fit_in_memory_is_written_encrypted(secret: EnrichmentStore) -> None:
    """Beside the store, and removed in the end."""
    secret.stats()
    spilled = Path(f"{secret.path}.tmp")
    with secret._database.connect() as connection:
        connection.execute("set memory_limit = '30MB'; set threads = 1")
        connection.execute(
            "create temp table much as"
            " select 'MARKED' || i || repeat('x', 200) as text from range(300000) t(i)"
        )
        data = b"".join(file.read_bytes() for file in spilled.iterdir())
        assert connection.execute("select count(*) from much where text like 'MARKED%'").fetchone() == (
            300_000,
        )
    assert len(data) > 1_000_000
    assert b"MARKED" not in data
    assert not spilled.exists()


@pytest.mark.parametrize("place", ["file", "log"])
def test_a_flipped_byte_is_damage_and_no_wrong_key(filled: EnrichmentStore, place: str) -> None:
    """Each block and each entry of the log has a tag that only the key makes."""
    path = filled.path
    if place == "log":
        filled.commit(
            new_run=pl.DataFrame(
                {"run_id": ["00000000-0000-0000-0000-000000000001"], "summary": ["x" * 5_000]}
            ).with_columns(state=pl.lit("started"), happened_at=datetime.now(UTC), rows=1)
        )
        path = Path(f"{path}.wal")
    data = bytearray(path.read_bytes())
    data[-2_000 if place == "log" else 12_288 + 500] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(StoreDamagedError, match="is damaged") as caught:
        reopened(filled).check()
    assert "right key" not in str(caught.value)


# --- others who hold it ----------------------------------------------------------------------------------


def test_a_store_held_by_another_program_names_its_process(filled: EnrichmentStore) -> None:
    """As without encryption, although it is opened in another way."""
    script = f"""
import duckdb
connection = duckdb.connect()
connection.execute("attach ? as store (encryption_key ?, read_only)", [{str(filled.path)!r}, {KEY!r}])
print("held", flush=True)
input()
"""
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        impatient = EnrichmentStore(filled.path, encryption_key=KEY, lock_timeout=0.1)
        with pytest.raises(StoreLockedError, match=rf"held by process {holder.pid}\b"):
            impatient.commit()
        assert impatient.stats().people > 0
        holder.communicate("\n")
    impatient.commit()


def test_a_connection_of_ones_own_to_the_same_file_is_explained(filled: EnrichmentStore) -> None:
    """In one process DuckDB opens a file once."""
    with duckdb.connect() as connection:
        connection.execute("attach ? as mine (encryption_key ?, read_only)", [str(filled.path), KEY])
        with pytest.raises(StoreLockedError, match="already open in this process"):
            filled.commit()
    filled.commit()


# --- the journal -----------------------------------------------------------------------------------------


def test_answers_in_the_journal_are_sealed_and_taken_in(filled: EnrichmentStore) -> None:
    """What the file cannot take now waits beside it, as unreadable as the file."""
    request, person = (f"00000000-0000-0000-0000-00000000000{number}" for number in (1, 2))
    now = datetime.now(UTC)
    row = {"request_id": request, "state": "answered", "happened_at": now, "people": [person]}
    body = '{"enrichedData": {"email": "marked@secret.example"}}'
    answer = {"person_id": person, "request_id": request, "answered_at": now, "found": True, "body": body}
    entry = filled.keep(Postings(request=[row], answer=[answer]))
    data = entry.read_bytes()
    assert b"marked" not in data
    assert request.encode() not in data
    store = reopened(filled)
    store.commit()
    assert not entry.exists()
    assert store.sql("select body from response where request_id = ?", [request]).item() == body


@settings(max_examples=8)
@given(
    text=st.text(st.characters(exclude_categories=["Cs"]), max_size=200),
    key=st.text("ab'\"$?{ -;", max_size=20),
)
def test_what_is_sealed_is_unsealed_with_its_key_only(text: str, key: str) -> None:
    """Any text, any key; the text does not show."""
    key = f"k{key}k"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encryption, "_LOAD_CRYPTO", BUILT_IN)
        data = sealing.sealed(text, StoreKey(key))
        assert sealing.unsealed(data, StoreKey(key)) == text
        with pytest.raises(ValueError, match="not sealed with this key"):
            sealing.unsealed(data, StoreKey(key + "b"))
        if len(text.encode()) > 8:
            assert text.encode() not in data


def test_a_long_text_is_sealed(crypto: None) -> None:
    """Of many blocks, and not much longer than it was."""
    text = "marked " * 300_000
    data = sealing.sealed(text, StoreKey(KEY))
    assert sealing.unsealed(data, StoreKey(KEY)) == text
    assert len(sealing.sealed("short", StoreKey(KEY))) < 200_000
    assert b"marked" not in data


def test_bytes_that_were_changed_are_not_unsealed(crypto: None) -> None:
    """Nor are bytes that were never sealed: an entry from before the store was encrypted."""
    data = bytearray(sealing.sealed("text " * 10_000, StoreKey(KEY)))
    data[len(data) // 2] ^= 0xFF
    for changed in (bytes(data), b'{"request": []}', b"", bytes(data[:5_000])):
        with pytest.raises(ValueError, match="not sealed with this key"):
            sealing.unsealed(changed, StoreKey(KEY))


def test_where_the_temporary_folder_has_no_room_the_spare_one_serves(
    crypto: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing stays in it; without a spare one, it is the disk's error."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    spare = tmp_path / "spare"
    spare.mkdir()
    data = sealing.sealed("text", StoreKey(KEY), spare=spare)
    assert sealing.unsealed(data, StoreKey(KEY), spare=spare) == "text"
    assert not list(spare.iterdir())
    with pytest.raises(OSError, match="No such file"):
        sealing.sealed("text", StoreKey(KEY))


def test_what_does_not_fit_anywhere_is_the_disks_error_and_quotes_nothing(
    crypto: None, tmp_path: Path
) -> None:
    """Neither in the temporary folder nor in the spare one; nothing is left behind."""
    with file_limit(10_000), pytest.raises(OSError, match="cannot be written") as caught:
        sealing.sealed("marked text", StoreKey(KEY), spare=tmp_path)
    assert caught.value.errno == errno.ENOSPC
    assert "marked" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_sealing_without_the_crypto_is_told(no_crypto: None) -> None:
    """With what to do."""
    with pytest.raises(StoreError, match="INSTALL httpfs"):
        sealing.sealed("text", StoreKey(KEY))
