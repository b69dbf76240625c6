"""The journal: paid answers on disk while the store cannot take them, and taken in exactly once."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import uuid
from contextlib import ExitStack
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from buena_pipeline import BuenaClient, Enricher, EnrichmentProgress, EnrichmentStore, Sandbox
from buena_pipeline.errors import StoreError, StoreLockedError
from buena_pipeline.postings import Postings
from buena_pipeline.store import JournalWarning
from buena_pipeline.store.journal import Journal
from tests.torture.disks import file_limit

HOLDER = "import duckdb, sys\nwith duckdb.connect(sys.argv[1]): print('held', flush=True); input()"


class Held:
    """Another program that opens a store and keeps it open."""

    def __init__(self, path: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "held\n"

    def close(self) -> None:
        """Lets go of it."""
        self._process.communicate("\n")


@pytest.fixture
def everybody() -> Sandbox:
    """A sandbox that finds everybody."""
    return Sandbox(limits=None, not_found=0.0)


@pytest.fixture
def spare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A temporary folder of the system's that is nobody else's."""
    folder = tmp_path / "system"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def addresses(count: int) -> pl.DataFrame:
    """So many leads, each with an address of its own."""
    return pl.DataFrame({"email": [f"person{number}@acme{number}.example" for number in range(count)]})


def left_open(store: EnrichmentStore, sandbox: Sandbox, stack: ExitStack, *, then: type[Exception]) -> None:
    """A run whose answers the store cannot take, because a shell opens it and keeps it open.

    Args:
        store: the store, with a short patience.
        sandbox: the vendor.
        stack: closes the shell when it ends.
        then: what the run ends with; anything but StoreLockedError is raised by the progress callback.
    """
    seen: list[Held] = []

    def hold(_: EnrichmentProgress) -> None:
        if not seen:
            seen.append(Held(store.path))
            stack.callback(seen[0].close)
            if then is not StoreLockedError:
                raise then("the display broke")

    with BuenaClient(sandbox.api_key, sandbox.url, concurrency=3, limits=None) as client:
        Enricher(client, store, progress=hold).run(addresses(300))


texts = st.text(max_size=60)


@given(texts)
def test_an_entry_is_what_was_put(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    """Any text comes back, from a file for its owner only."""
    journal = Journal(tmp_path_factory.mktemp("journal") / "b.journal")
    entry = journal.put(text)
    assert journal.read(entry) == text
    assert journal.entries() == [entry]
    assert entry.stat().st_mode & 0o777 == 0o600
    assert entry.parent.stat().st_mode & 0o777 == 0o700


@given(at=st.integers(0, 400), bit=st.integers(0, 7))
def test_a_changed_entry_is_noticed(tmp_path_factory: pytest.TempPathFactory, at: int, bit: int) -> None:
    """One bit anywhere is enough."""
    journal = Journal(tmp_path_factory.mktemp("journal") / "b.journal")
    entry = journal.put("word " * 70)
    data = bytearray(entry.read_bytes())
    data[at] ^= 1 << bit
    entry.write_bytes(data)
    assert journal.read(entry) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"request": []}',
        '{"answer": [], "request": [{"happened_at": "noon"}], "response": []}',
        '{"answer": [], "request": [{"credits_used": "many"}], "response": []}',
        '{"answer": [], "request": [{"request_id": "first"}], "response": []}',
    ],
    ids=["nothing", "list", "half", "moment", "number", "id"],
)
def test_an_entry_that_is_none_of_ours_is_set_aside_with_a_warning(text: str, store: EnrichmentStore) -> None:
    """Intact, but not postings: kept, and out of the way of what follows."""
    store.stats()
    journal = Journal(Path(f"{store.path}.journal"))
    entry = journal.put(text)
    with pytest.warns(JournalWarning, match=r"is damaged and was set aside.*paid for"):
        store.commit()
    assert not entry.exists()
    assert journal.aside() == [entry.with_suffix(".corrupt")]
    store.commit()
    with pytest.warns(JournalWarning, match="cannot be searched for people"):
        assert store.forget("nobody@acme.example") == 0


def test_an_entry_that_cannot_be_unsealed_is_damaged(tmp_path: Path) -> None:
    """Whole, but sealed with another key."""
    journal = Journal(tmp_path / "b.journal", seal=lambda text: b"\xff" + text.encode())
    assert journal.read(journal.put("{}")) is None


def test_an_entry_that_cannot_be_read_now_stays_where_it_is(store: EnrichmentStore) -> None:
    """It is not damaged: a warning says that its people are of unknown outcome until a run can read it."""
    store.stats()
    journal = Journal(Path(f"{store.path}.journal"))
    entry = journal.put(Postings().to_json())
    text = entry.read_bytes()
    entry.unlink()
    entry.mkdir()  # no file, so that reading it fails for anybody, root included
    with pytest.warns(JournalWarning, match=r"cannot be read now \(Is a directory\): it stays there"):
        store.commit()
    entry.rmdir()
    entry.write_bytes(text)
    store.commit()
    assert journal.entries() == journal.aside() == []


def test_what_is_damaged_in_the_spare_journal_is_told_of(spare: Path, store: EnrichmentStore) -> None:
    """Whoever forgets people, or looks whether all is well, learns what was not searched."""
    store.stats()
    entry = Journal(Path(f"{store.path}.journal")).spare.put("damaged")
    entry.rename(entry.with_suffix(".corrupt"))
    with pytest.warns(JournalWarning, match=r"1 damaged entries .*\.corrupt.* must be forgotten"):
        store.forget("nobody@acme.example")
    found = store.check().filter(~pl.col("ok"))
    assert found["check"].to_list() == ["journal_is_readable"]
    assert str(entry.with_suffix(".corrupt")) in found["detail"].item()


def test_the_log_of_a_store_that_is_gone_is_kept_and_told_of(store: EnrichmentStore) -> None:
    """Somebody deleted the file only: its log is no part of the new one, and may hold paid answers."""
    store.commit()
    log = Path(f"{store.path}.wal")
    store.path.unlink()
    log.write_bytes(b"what was written last")
    with pytest.warns(
        JournalWarning, match=r"left behind by a store that is gone, .* kept as .*-log\.corrupt"
    ):
        assert store.stats().people == 0
    (kept,) = Journal(Path(f"{store.path}.journal")).aside()
    assert kept.read_bytes() == b"what was written last"
    assert kept.stat().st_mode & 0o777 == 0o600
    assert store.check().filter(~pl.col("ok"))["check"].to_list() == ["journal_is_readable"]


def test_a_run_that_breaks_while_the_store_is_held_keeps_its_answers(
    everybody: Sandbox, tmp_path: Path
) -> None:
    """The progress callback fails, and then the store cannot be had: the error says where the answers are."""
    store = EnrichmentStore(tmp_path / "buena.duckdb", lock_timeout=0.2)
    with everybody as sandbox:
        with ExitStack() as stack, pytest.raises(StoreLockedError, match=r"are safe in .*\.journal"):
            left_open(store, sandbox, stack, then=RuntimeError)
        with BuenaClient(sandbox.api_key, sandbox.url, limits=None) as client:
            result = Enricher(client, store).run(addresses(300))
        assert (result.report.deferred, sandbox.credits_used) == (0, 300)
        assert sandbox.charges()["count"].max() == 1


def test_whoever_is_forgotten_leaves_the_journal_too(everybody: Sandbox, tmp_path: Path) -> None:
    """What waits beside the store is taken in first, so that it can be found and erased."""
    store = EnrichmentStore(tmp_path / "buena.duckdb", lock_timeout=0.2)
    with everybody as sandbox, ExitStack() as stack, pytest.raises(StoreLockedError):
        left_open(store, sandbox, stack, then=StoreLockedError)
    journal = Journal(Path(f"{store.path}.journal"))
    waiting = "".join(filter(None, map(journal.read, journal.entries())))
    marked = next(email for email in addresses(300)["email"] if f'"{email}' in waiting.replace("\\", ""))
    assert store.forget(marked) == 1
    assert journal.entries() == []
    assert marked.encode() not in store.path.read_bytes()
    assert 0 < store.stats().people == sandbox.credits_used - 1


def test_the_spare_journal_is_taken_in(
    everybody: Sandbox, tmp_path: Path, spare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the disk of the store takes no journal either, the system's temporary folder does."""
    store = EnrichmentStore(tmp_path / "buena.duckdb", lock_timeout=0.2)
    full = Journal.put

    def no_room(self: Journal, text: str) -> Path:
        if self.folder.parent == tmp_path:
            raise OSError(28, "No space left on device")
        return full(self, text)

    with everybody as sandbox:
        with monkeypatch.context() as patch, ExitStack() as stack:
            patch.setattr(Journal, "put", no_room)
            with pytest.raises(StoreLockedError, match="are safe in") as caught:
                left_open(store, sandbox, stack, then=StoreLockedError)
        assert str(spare) in str(caught.value)
        assert list(spare.glob("buena-*.journal/*.json"))
        with BuenaClient(sandbox.api_key, sandbox.url, limits=None) as client:
            result = Enricher(client, store).run(addresses(300))
        assert (result.report.deferred, sandbox.credits_used) == (0, 300)
        assert not list(spare.glob("buena-*.journal/*.json"))


def test_without_any_journal_the_error_names_the_requests_that_are_lost(
    everybody: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing takes the answers: said loudly, and their people are of unknown outcome from then on."""
    store = EnrichmentStore(tmp_path / "buena.duckdb", lock_timeout=0.2)

    def no_room(_self: Journal, _text: str) -> Path:
        raise OSError(28, "No space left on device")

    with everybody as sandbox:
        with monkeypatch.context() as patch, ExitStack() as stack:
            patch.setattr(Journal, "put", no_room)
            with pytest.raises(StoreLockedError, match="cannot be written either") as caught:
                left_open(store, sandbox, stack, then=StoreLockedError)
        with BuenaClient(sandbox.api_key, sandbox.url, limits=None) as client:
            report = Enricher(client, store).run(addresses(300)).report
        unknown = store.ledger().filter(pl.col("state") == "unknown")
        assert unknown["people"].sum() == report.unknown > 0
        assert any(request in str(caught.value) for request in unknown["request_id"])
        assert sandbox.charges()["count"].max() == 1


def test_what_does_not_fit_in_one_entry_is_kept_in_several(
    everybody: Sandbox, store: EnrichmentStore, spare: Path
) -> None:
    """Files that may not grow take neither the answers of many requests nor one entry of all of them."""
    with everybody as sandbox:
        with ExitStack() as stack:

            def no_more(_: EnrichmentProgress) -> None:
                stack.enter_context(file_limit(store.path.stat().st_size // 4))
                raise RuntimeError("the display broke")

            with (
                BuenaClient(sandbox.api_key, sandbox.url, concurrency=16, limits=None) as client,
                pytest.raises(StoreError, match=r"are safe in .*\.journal") as caught,
            ):
                Enricher(client, store, progress=no_more).run(addresses(1000))
        assert "lost" not in str(caught.value)
        entries = Journal(Path(f"{store.path}.journal")).entries()
        assert len(entries) > 1
        assert not list(spare.glob("*/*"))
        with BuenaClient(sandbox.api_key, sandbox.url, limits=None) as client:
            report = Enricher(client, store).run(addresses(1000)).report
        assert (report.deferred, report.unknown, sandbox.credits_used) == (0, 0, 1000)


def test_only_requests_that_fit_nowhere_are_lost(
    everybody: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others are kept, and the error does not name them."""
    store = EnrichmentStore(tmp_path / "buena.duckdb", lock_timeout=0.2)
    put, too_large = Journal.put, list[str]()

    def no_room_for_one(self: Journal, text: str) -> Path:
        if not too_large:
            too_large.append(Postings.from_json(text).answer[0]["request_id"])
        if too_large[0] in text:
            raise OSError(28, "No space left on device")
        return put(self, text)

    with everybody as sandbox:
        with monkeypatch.context() as patch, ExitStack() as stack:
            patch.setattr(Journal, "put", no_room_for_one)
            with pytest.raises(StoreLockedError, match=r"safe in .* lost") as caught:
                left_open(store, sandbox, stack, then=RuntimeError)
        with BuenaClient(sandbox.api_key, sandbox.url, limits=None) as client:
            report = Enricher(client, store).run(addresses(300)).report
        unknown = store.ledger().filter(pl.col("state") == "unknown")
        assert (unknown["request_id"].to_list(), report.unknown) == (too_large, 50)
        assert [id_ for id_ in store.ledger()["request_id"] if id_ in str(caught.value)] == too_large
        assert sandbox.charges()["count"].max() == 1


def test_a_folder_that_cannot_be_written_stops_a_run_before_anything_is_sent(
    everybody: Sandbox, store: EnrichmentStore
) -> None:
    """Without a journal paid answers would not be safe."""
    store.stats()
    Path(f"{store.path}.journal").write_text("in the way")
    with everybody as sandbox, BuenaClient(sandbox.api_key, sandbox.url) as client:
        with pytest.raises(StoreError, match=r"journal beside the store cannot be written.*nothing was sent"):
            Enricher(client, store).run(addresses(3))
        assert sandbox.requests == 0


def test_a_spare_folder_of_somebody_else_is_not_used(tmp_path: Path, spare: Path) -> None:
    """A link that another user put in its place gets no answers, and none are read from it."""
    journal = Journal(tmp_path / "b.journal").spare
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "1.json").write_text("{}")
    journal.folder.symlink_to(elsewhere)
    assert journal.entries() == []
    with pytest.raises(OSError, match="somebody else"):
        journal.put("{}")
    assert journal.folder.parent == spare


def test_a_disk_that_is_nearly_full_stops_a_run_before_anything_is_sent(
    everybody: Sandbox, store: EnrichmentStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Room for the answers is made sure of first."""
    monkeypatch.setattr("buena_pipeline.store.journaled_store._ROOM", 1 << 60)
    with everybody as sandbox, BuenaClient(sandbox.api_key, sandbox.url) as client:
        with pytest.raises(StoreError, match=r"MB left.*make room.*Nothing more was sent"):
            Enricher(client, store).run(addresses(3))
        assert sandbox.requests == 0


def test_a_limit_on_file_sizes_counts_as_room(everybody: Sandbox, store: EnrichmentStore) -> None:
    """The disk may have more; what the store may still grow is too little."""
    store.stats()
    with (
        everybody as sandbox,
        BuenaClient(sandbox.api_key, sandbox.url) as client,
        file_limit(store.path.stat().st_size + 31_400_000),
    ):
        with pytest.raises(StoreError, match=r"may grow by 31 MB,.*raise it \(ulimit -f\).*Nothing more"):
            Enricher(client, store).run(addresses(3))
        assert sandbox.requests == 0


rows_of_requests = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=12)


@given(rows_of_requests)
def test_halves_are_whole_requests(requests: list[tuple[bool, bool]]) -> None:
    """Nothing is lost or torn apart, and who was charged without an answer stays with what charged them."""
    postings, together = Postings(), []
    for number, (answered, charged) in enumerate(requests):
        name, lost = f"{number}", f"lost {number}"
        if answered:
            postings.answer += [{"request_id": name, "body": text} for text in "ab"]
            postings.response.append({"request_id": name, "body": "c"})
        postings.request.append({"request_id": name, "state": "answered"})
        if answered and charged:
            postings.request += [{"request_id": lost, "state": state} for state in ("in flight", "charged")]
            together.append({name, lost})
    parts, whole = [postings], []
    while parts:
        part = parts.pop()
        if halves := part.halves():
            assert all(halves)
            parts += reversed(halves)
        else:
            whole.append(part)
    again = Postings()
    for part in whole:
        again.extend(part)
    assert again == postings
    ids = [{row["request_id"] for row in part.request} for part in whole]
    assert len(ids) == len(requests)
    assert all(pair in ids for pair in together)


def test_postings_survive_the_journal() -> None:
    """Every kind of row, with its moments."""
    postings = Postings(response=[{"request_id": str(uuid.uuid4()), "body": "x"}])
    assert Postings.from_json(postings.to_json()) == postings
    assert (postings.paid, bool(Postings()), repr(postings)) == (
        True,
        False,
        "Postings(0 requests, 0 answers)",
    )
    with pytest.raises(ValueError, match="not postings"):
        Postings.from_json("{}")


def test_an_entry_that_somebody_else_takes_in_meanwhile_is_no_damage(tmp_path: Path) -> None:
    """Gone between the look and the reading: nothing to warn of, nothing to set aside."""
    journal = Journal(tmp_path / "b.journal")
    entry = journal.put("{}")
    entry.unlink()
    with pytest.raises(FileNotFoundError):
        journal.read(entry)
    journal.set_aside(entry)
    assert journal.aside() == []
    store = EnrichmentStore(tmp_path / "b")
    entry.symlink_to(tmp_path / "gone")
    store.commit()
    assert journal.entries() == [entry]


def test_whoever_cannot_be_asked_counts_as_alive(tmp_path: Path) -> None:
    """Something else stands where a run's lock would be: rather wait for its lease than call it dead."""
    journal = Journal(tmp_path / "b.journal")
    with journal.living("here"):
        (journal.folder / "odd.run").mkdir()
        assert journal.alive(["here", "odd", "gone"]) == ["here", "odd"]
    assert journal.alive(["here"]) == []
