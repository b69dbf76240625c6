"""The reference in docs/sql.md, made from the store's comments; ``python -m tests.sql_page`` writes it."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import polars as pl

from buena_pipeline import EnrichmentStore

PAGE = Path(__file__).parents[1] / "docs" / "sql.md"

FOR_PEOPLE = ("leads", "failures", "stale", "credits_by_day", "coverage", "known_key")
UNDERNEATH = ("newest_request", "person_answer", "person_key", "same_person")
TABLES = ("answer", "identity", "link", "request", "response", "run", "suppression", "meta")
MACROS = ("buena_lead", "buena_profile", "buena_email_key", "buena_linkedin_slug", "buena_key")

_BETWEEN = re.compile(r"(?s)(<!-- reference:[^>]*-->\n).*?(<!-- end of the reference -->)")


def reference(store: EnrichmentStore) -> str:
    """Views, macros and tables with their comments, in Markdown."""
    columns = store.sql(
        """
        select table_name as relation, column_name as name, lower(data_type) as type, comment
        from duckdb_columns() where schema_name = 'main' and not internal order by table_name, column_index
        """
    )
    comments = dict(
        store.sql(
            """
            select view_name, comment from duckdb_views() where not internal
            union all select table_name, comment from duckdb_tables() where not internal
            """
        ).rows()
    )
    parts = ["### Views", *(_relation(name, comments[name], columns) for name in FOR_PEOPLE)]
    parts += ["### Macros", _macros(store)]
    parts += ["### Views underneath", *(_relation(name, comments[name], columns) for name in UNDERNEATH)]
    parts += ["### Tables", *(_relation(name, comments[name], columns) for name in TABLES)]
    return "\n\n".join(parts)


def with_reference(page: str, text: str) -> str:
    """The page with this reference in its place."""
    return _BETWEEN.sub(lambda ends: f"{ends[1]}\n{text}\n\n{ends[2]}", page)


def _relation(name: str, comment: str, columns: pl.DataFrame) -> str:
    own = columns.filter(relation=name)
    shared = {}
    if name in UNDERNEATH:  # columns that say the same in a table are told there
        tables = columns.filter(pl.col("relation").is_in(TABLES)).select("relation", "name", "comment")
        same = own.join(tables, on=["name", "comment"], how="inner", suffix="_of_table")
        for table, column in same.select("relation_of_table", "name").rows():
            shared.setdefault(table, []).append(column)
        table = max(shared, key=lambda table: len(shared[table])) if shared else ""
        shared = {table: shared[table]} if table else {}
        own = own.filter(~pl.col("name").is_in(shared.get(table, [])))
    lines = [f"**`{name}`** {comment}", ""]
    if own.height:
        lines += ["| column | type | what |", "| --- | --- | --- |"]
        lines += [f"| `{column}` | {kind} | {said} |" for column, kind, said in own.drop("relation").rows()]
    for table, names in shared.items():
        lines += [
            *([""] if own.height else []),
            f"As in `{table}`: {', '.join(f'`{column}`' for column in names)}.",
        ]
    return "\n".join(lines)


def _macros(store: EnrichmentStore) -> str:
    told = {
        name: f"| `{name}({', '.join(parameters)})` | {comment} |"
        for name, parameters, comment in store.sql(
            "select function_name, parameters, comment from duckdb_functions() where not internal"
        ).rows()
    }
    return "\n".join(["| call | what |", "| --- | --- |", *(told[name] for name in MACROS)])


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        made = reference(EnrichmentStore(Path(folder, "buena.duckdb")))
    PAGE.write_text(with_reference(PAGE.read_text(encoding="utf-8"), made), encoding="utf-8")
