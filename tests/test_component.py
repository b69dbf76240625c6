"""The component for YAML, in a project of its own: where leads come from, where they go, what it spends."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pytest

dg = pytest.importorskip("dagster")

from dagster.components.testing import create_defs_folder_sandbox  # noqa: E402

from buena_pipeline import BuenaEnrichmentComponent, EnrichmentStore, Sandbox  # noqa: E402
from buena_pipeline.store.user_tables import read_user_table, write_user_table  # noqa: E402

LEADS = pl.DataFrame({"email": ["a@acme.example", "b@acme.example", "a@acme.example", "nobody"]})

Load = Callable[..., AbstractContextManager[tuple[Path, Any]]]


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """A vendor that finds everybody, with its key in the environment."""
    with Sandbox(limits=None, not_found=0.0) as sandbox:
        monkeypatch.setenv("BUENA_API_KEY", sandbox.api_key)
        yield sandbox


@pytest.fixture
def load(sandbox: Sandbox) -> Load:
    """Loads a project with one component; gives its folder and its asset."""

    @contextmanager
    def loaded(**attributes: Any) -> Iterator[tuple[Path, Any]]:
        with create_defs_folder_sandbox() as project:
            place = project.scaffold_component(
                component_cls=BuenaEnrichmentComponent,
                defs_yaml_contents={
                    "type": "buena_pipeline.BuenaEnrichmentComponent",
                    "attributes": {
                        "asset": {"key": "enriched", "deps": ["crm"], "owners": ["team:sales"]},
                        "source": {"file": "leads.csv"},
                        "target": {"file": "out/enriched.parquet"},
                        "base_url": sandbox.url,
                        **attributes,
                    },
                },
            )
            LEADS.write_csv(project.project_root / "leads.csv")
            with project.load_component_and_build_defs(defs_path=place) as (_, defs):
                (asset,) = defs.assets
                yield project.project_root, asset

    return loaded


def told(result: Any) -> dict[str, Any]:
    """The metadata of the asset, as plain values."""
    (event,) = result.asset_materializations_for_node("enriched")
    return {name: entry.value for name, entry in event.metadata.items()}


def test_a_file_into_a_file(load: Load, sandbox: Sandbox) -> None:
    """Everything that the asset was told is on it; every row comes back, and a person is paid once."""
    with load() as (root, asset):
        spec = asset.specs_by_key[dg.AssetKey("enriched")]
        assert spec.owners == ["team:sales"]
        assert "Nobody is paid for twice" in spec.description
        assert asset.asset_deps[dg.AssetKey("enriched")] == {dg.AssetKey("crm")}
        result = dg.materialize([asset])
        assert pl.read_parquet(root / "out/enriched.parquet")["email"].equals(LEADS["email"])
        assert EnrichmentStore(root / "buena.duckdb").stats().people == 2
    lineage = told(result)["dagster/column_lineage"].deps_by_column
    assert {dep.asset_key for dep in lineage["buena_title"]} == {dg.AssetKey("crm")}
    assert sandbox.charges()["count"].to_list() == [1, 1]


def test_a_table_into_a_table(load: Load) -> None:
    """With a score, read from a view, and written beside what is in the file already."""
    with load(
        source={"database": "crm.duckdb", "table": "new_leads"},
        target={"database": "crm.duckdb", "table": "enriched"},
        score=True,
    ) as (root, asset):
        write_user_table(LEADS, root / "crm.duckdb", "leads")
        with duckdb.connect(str(root / "crm.duckdb")) as connection:
            connection.execute("create view new_leads as from leads limit 1")
        assert dg.materialize([asset]).success
        enriched = read_user_table(root / "crm.duckdb", "enriched")
        assert read_user_table(root / "crm.duckdb", "leads").equals(LEADS)
    assert enriched["buena_score"].null_count() == 0
    assert enriched["email"].to_list() == ["a@acme.example"]


@pytest.mark.parametrize(
    "value", [LEADS, LEADS.lazy(), pd.DataFrame({"email": LEADS["email"].to_list()}), LEADS.to_arrow()]
)
def test_an_asset_into_a_file(load: Load, value: Any) -> None:
    """What an asset returns is handed over by its IO manager, whatever library it is a table of."""

    @dg.asset
    def new_leads() -> Any:
        return value

    with load(source={"asset": "new_leads"}, columns={"email": "email"}) as (root, asset):
        result = dg.materialize([new_leads, asset])
        assert pl.read_parquet(root / "out/enriched.parquet")["email"].equals(LEADS["email"])
    lineage = told(result)["dagster/column_lineage"].deps_by_column
    assert [(dep.asset_key.to_user_string(), dep.column_name) for dep in lineage["buena_title"]] == [
        ("new_leads", "email")
    ]


def test_a_budget_leaves_the_rest(load: Load, sandbox: Sandbox) -> None:
    """Green, with a warning: who is over the budget is deferred."""
    with load(max_credits=1) as (_, asset):
        result = dg.materialize([asset])
    assert result.success
    (check,) = result.get_asset_check_evaluations()
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert sandbox.charges()["count"].sum() == 1


@pytest.mark.parametrize(
    ("attributes", "said"),
    [
        ({"source": {"file": "missing.csv"}}, "missing.csv"),
        ({"source": {"database": "missing.duckdb", "table": "leads"}}, "There is no DuckDB file"),
        ({"source": {"asset": "no_table"}}, "A table is needed, not int"),
        ({"columns": {"email": "e-mail"}}, "e-mail"),
        ({"scoring_model": "missing.toml"}, "missing.toml"),
        ({"target": {"file": "enriched.doc"}}, "no known ending"),
        ({"target": {"database": "new.duckdb", "table": "nowhere.enriched"}}, "nowhere"),
        ({"target": {"file": "leads.csv/enriched.parquet"}}, "leads.csv for the target cannot be made"),
    ],
)
def test_what_is_missing_is_named(load: Load, sandbox: Sandbox, attributes: Any, said: str) -> None:
    """The run fails at once, with a message and not with a traceback of another library, and buys nothing."""

    @dg.asset
    def no_table() -> int:
        return 1

    with load(**attributes) as (_, asset):
        result = dg.materialize([no_table, asset], raise_on_error=False)
    (failed,) = [event for event in result.all_events if event.is_step_failure]
    error = failed.step_failure_data.error
    assert error.cls_name == "Failure"
    assert said in error.message
    assert sandbox.charges().is_empty()


@pytest.mark.parametrize(
    ("attributes", "said"),
    [
        ({"target": {"file": "./out/../leads.csv"}}, "source and target are the same table"),
        ({"target": {"database": "buena.duckdb", "table": "enriched"}}, "buena.duckdb is the store"),
        ({"source": {"database": "buena.duckdb", "table": "leads"}}, "buena.duckdb is the store"),
        ({"max_age_days": float("nan")}, "max_age_days"),
    ],
)
def test_three_places(load: Load, attributes: Any, said: str) -> None:
    """What would overwrite the leads, or write into the store, does not even load."""
    with pytest.raises(Exception, match=r"defs\.yaml") as raised, load(**attributes):
        pass
    assert said in "".join(traceback.format_exception(raised.value))


TO_A_TABLE = {"database": "warehouse.duckdb", "table": "enriched"}


def test_odd_types_into_a_table(load: Load, sandbox: Sandbox) -> None:
    """Numbers that only DuckDB has go through; nested ones are refused before anybody is bought."""
    odd = {"id": pl.Series([2**64] * 4, dtype=pl.Int128), "half": pl.Series([0.5] * 4, dtype=pl.Float16)}
    leads = LEADS.with_columns(**odd)
    with load(source={"file": "leads.parquet"}, target=TO_A_TABLE, score=True) as (root, asset):
        leads.with_columns(ids=pl.concat_list("id")).write_parquet(root / "leads.parquet")
        refused = dg.materialize([asset], raise_on_error=False)
        assert sandbox.charges().is_empty()
        leads.write_parquet(root / "leads.parquet")
        assert dg.materialize([asset]).success
        enriched = read_user_table(root / "warehouse.duckdb", "enriched")
    assert enriched.select("id", "half").rows() == leads.select("id", "half").rows()
    (failed,) = [event for event in refused.all_events if event.is_step_failure]
    assert '"ids"' in failed.step_failure_data.error.message


def test_a_name_like_one_of_ours(load: Load, sandbox: Sandbox) -> None:
    """A column that a table of DuckDB cannot have beside ours is named before anybody is bought."""
    with load(target=TO_A_TABLE) as (root, asset):
        LEADS.with_columns(Buena_Status=1).write_csv(root / "leads.csv")
        result = dg.materialize([asset], raise_on_error=False)
    (failed,) = [event for event in result.all_events if event.is_step_failure]
    assert "buena_status" in failed.step_failure_data.error.message
    assert sandbox.charges().is_empty()


def test_a_score_of_their_own_is_in_the_way(load: Load, sandbox: Sandbox) -> None:
    """Said before anybody is bought."""
    with load(score=True) as (root, asset):
        LEADS.with_columns(buena_score=1).write_csv(root / "leads.csv")
        result = dg.materialize([asset], raise_on_error=False)
    (failed,) = [event for event in result.all_events if event.is_step_failure]
    assert "buena_score" in failed.step_failure_data.error.message
    assert sandbox.charges().is_empty()


def test_without_a_key(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    """The project loads; the run says which variable is missing."""
    monkeypatch.delenv("BUENA_API_KEY")
    with load() as (_, asset):
        result = dg.materialize([asset], raise_on_error=False)
    (failed,) = [event for event in result.all_events if event.is_step_failure]
    assert "BUENA_API_KEY" in failed.step_failure_data.error.message
