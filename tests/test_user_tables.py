"""Tables of a user's own DuckDB files, with real files and a real lock."""

from __future__ import annotations

import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import duckdb
import polars as pl
import pytest

from buena_pipeline.errors import InputError, StoreLockedError
from buena_pipeline.store import user_tables
from buena_pipeline.store.user_tables import check_user_table, read_user_table, write_user_table

LEADS = pl.DataFrame({"email": ["a@x.example", None], "skills": [["SQL"], None], "size": [1, 2]})


def test_there_and_back(tmp_path: Path) -> None:
    """What is written is read again, lists and nulls among it; a second table replaces the first."""
    database = tmp_path / "crm.duckdb"
    write_user_table(LEADS, database, "leads")
    assert read_user_table(database, "leads").equals(LEADS)
    write_user_table(LEADS.head(1), database, "leads")
    assert read_user_table(database, "leads").height == 1
    write_user_table(LEADS, database, "main.select")
    assert read_user_table(database, "main.select").equals(LEADS)


def test_what_is_not_there(tmp_path: Path) -> None:
    """A file, a table and a schema that are missing are named."""
    database = tmp_path / "crm.duckdb"
    with pytest.raises(InputError, match=r"no DuckDB file .*crm\.duckdb"):
        read_user_table(database, "leads")
    write_user_table(LEADS, database, "leads")
    with pytest.raises(InputError, match=r"table people of .*crm\.duckdb"):
        read_user_table(database, "people")
    for write in (partial(write_user_table, LEADS), partial(check_user_table, LEADS.schema)):
        with pytest.raises(InputError, match=r"table sales\.leads"):
            write(database, "sales.leads")


def test_whether_it_can_be_written_changes_nothing(tmp_path: Path) -> None:
    """The old table is as it was, and a new one is not there yet."""
    database = tmp_path / "crm.duckdb"
    write_user_table(LEADS, database, "leads")
    check_user_table(LEADS.schema, database, "leads")
    check_user_table(LEADS.schema, database, "people")
    assert read_user_table(database, "leads").equals(LEADS)
    with pytest.raises(InputError, match="people"):
        read_user_table(database, "people")


def test_types_that_arrow_has_no_name_for(tmp_path: Path) -> None:
    """Very large numbers and half floats get there, to the last digit."""
    database, largest = tmp_path / "crm.duckdb", [2**127 - 1, -(2**127), None]
    numbers = pl.DataFrame(
        {
            'a "b"': pl.Series(largest, dtype=pl.Int128),
            "u": pl.Series([2**128 - 1, 0, None], dtype=pl.UInt128),
            "half": pl.Series([1.5, float("inf"), None], dtype=pl.Float16),
        }
    )
    check_user_table(numbers.schema, database, "numbers")
    write_user_table(numbers, database, "numbers")
    with duckdb.connect(str(database)) as connection:
        table = connection.table("numbers")
        assert [str(dtype) for dtype in table.types] == ["HUGEINT", "UHUGEINT", "FLOAT"]
        assert table.fetchall() == numbers.rows()


@pytest.mark.parametrize(
    "dtype", [pl.List(pl.Int128), pl.Struct({"a": pl.Float16}), pl.Array(pl.UInt128, 2), pl.Object]
)
def test_types_that_duckdb_does_not_take(tmp_path: Path, dtype: pl.DataType) -> None:
    """The columns are named, by the check and by the writing; an old table stays."""
    database = tmp_path / "crm.duckdb"
    write_user_table(LEADS, database, "leads")
    schema = pl.Schema({"email": pl.String, "odd": dtype, "even": pl.Int8})
    for write in (partial(check_user_table, schema), partial(write_user_table, schema.to_frame())):
        with pytest.raises(InputError, match=r'table leads of .* takes no columns of the type of "odd"\. '):
            write(database, "leads")
    assert read_user_table(database, "leads").equals(LEADS)


def test_names_that_differ_in_capital_letters(tmp_path: Path) -> None:
    """DuckDB would rename one of them; nothing is written."""
    database = tmp_path / "crm.duckdb"
    write_user_table(LEADS, database, "leads")
    twice = pl.DataFrame({"Note": ["a"], "email": ["b"], "note": ["c"]})
    for write in (partial(check_user_table, twice.schema), partial(write_user_table, twice)):
        with pytest.raises(InputError, match=r'"note" is there twice\. Rename one of them'):
            write(database, "leads")
    assert read_user_table(database, "leads").equals(LEADS)


@pytest.mark.parametrize("value", ["interval '3 days'", "union_value(a := 1)", "[interval '3 days']"])
def test_types_that_polars_lacks(tmp_path: Path, value: str) -> None:
    """The column is named, and what to do."""
    database = tmp_path / "crm.duckdb"
    with duckdb.connect(str(database)) as connection:
        connection.execute(f"create table leads as select 'a@x.example' as email, {value} as since")
    with pytest.raises(InputError, match=r'table leads of .*crm\.duckdb .*"since".* Make it text first'):
        read_user_table(database, "leads")


def test_in_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that another process holds is waited for; too long, it is told apart from one that is broken."""
    monkeypatch.setattr(user_tables, "_PATIENCE", 0.2)
    database = tmp_path / "crm.duckdb"
    write_user_table(LEADS, database, "leads")
    hold = (
        f"import duckdb, sys; held = duckdb.connect({str(database)!r}); print('held', flush=True); "
        "sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(StoreLockedError, match=r"crm\.duckdb is in use"):
            read_user_table(database, "leads")
        with pytest.raises(StoreLockedError, match=r"crm\.duckdb is in use"):
            write_user_table(LEADS, database, "leads")
        assert holder.stdin is not None
        monkeypatch.setattr(user_tables, "_PATIENCE", 30.0)
        threading.Timer(0.3, holder.stdin.close).start()
        assert read_user_table(database, "leads").equals(LEADS)


def test_no_value_is_quoted(tmp_path: Path) -> None:
    """A view that fails on somebody's data does not tell whose."""
    database = tmp_path / "crm.duckdb"
    write_user_table(LEADS, database, "leads")
    with duckdb.connect(str(database)) as connection:
        connection.execute("create view numbers as select email::int as number from leads")
    with pytest.raises(InputError, match="numbers") as raised:
        read_user_table(database, "numbers")
    assert "a@x.example" not in str(raised.value)
