"""Enrichment for a Dagster project in ten lines of YAML: leads from where to where, and what may be spent.

No ``from __future__ import annotations`` here: Dagster reads the annotation of ``context`` as it stands.
"""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
from pydantic import Field, field_validator, model_validator

from buena_pipeline.client import BuenaClient
from buena_pipeline.dagster.paid import enrich_asset, fully_enriched, progress_in
from buena_pipeline.dagster.resources import BuenaResource, EnrichmentStoreResource
from buena_pipeline.enrich import Enricher
from buena_pipeline.files import scan_table, write_table
from buena_pipeline.score import score_frame
from buena_pipeline.scoring_model import ScoringModel
from buena_pipeline.settings import EnrichmentOptions
from buena_pipeline.store.user_tables import read_user_table, write_user_table


class Place(dg.Model, dg.Resolvable):
    """Where a table is: a file, or a table of a DuckDB file. Paths are relative to the project."""

    file: str | None = Field(
        default=None, description="A .csv, .tsv, .parquet, .ndjson, .json or .xlsx file."
    )
    database: str | None = Field(default=None, description="A DuckDB file; not the store.")
    table: str | None = Field(default=None, description="A table in it; to read from, also a view.")

    @model_validator(mode="after")
    def _is_one(self) -> "Place":
        places = (self.file is not None) + (self.database is not None)
        if places != 1 or (self.database is None) != (self.table is None):
            raise ValueError("name one place: a file, or a database and a table in it")
        return self

    def read(self, root: Path) -> pl.LazyFrame:
        """The table."""
        if self.file is not None:
            return scan_table(root / self.file)
        return read_user_table(root / str(self.database), str(self.table)).lazy()

    def write(self, frame: pl.LazyFrame, root: Path) -> pl.LazyFrame:
        """Puts a table there, in place of an old one as a whole; returns it."""
        if self.file is None:
            table = frame.collect()
            write_user_table(table, root / str(self.database), str(self.table))
            return table.lazy()
        path = root / self.file
        path.parent.mkdir(parents=True, exist_ok=True)
        write_table(frame, path)
        return scan_table(path)


class BuenaEnrichmentComponent(dg.Component, dg.Model, dg.Resolvable):
    """Leads in, enriched and perhaps scored leads out, as one asset. Nobody is paid for twice.

    The API key is read from ``BUENA_API_KEY`` when the asset is materialized, so a project loads without it.

    Example:
        >>> component = BuenaEnrichmentComponent.resolve_from_yaml(
        ...     '''
        ...     asset: {key: enriched_leads}
        ...     source: {file: leads.csv}
        ...     target: {file: enriched.parquet}
        ...     max_credits: 500
        ...     '''
        ... )
        >>> component.target.file, component.max_credits
        ('enriched.parquet', 500.0)
    """

    asset: dg.ResolvedAssetSpec = Field(
        description="The asset this makes: key, deps, group_name, owners, automation_condition ..."
    )
    source: Place = Field(description="Where the leads are.")
    target: Place = Field(description="Where the enriched table goes.")
    store: str = Field(
        default="buena.duckdb", description="The file of all that was bought, shared by everybody who buys."
    )
    sandbox: bool = Field(
        default=False, description="Ask a local sandbox, which invents people: keep a store for it alone."
    )
    base_url: str = Field(default="", description="Where the API is, if not at the vendor's address.")
    blocks: list[str] = Field(
        default=["personal", "company", "contact"],
        description="What to buy: personal, company, social, contact.",
    )
    columns: dict[str, str | list[str]] | None = Field(
        default=None, description="Which column says what, where the names do not tell."
    )
    max_credits: float | None = Field(default=None, description="Credits that one run may spend.")
    daily_credits: float | None = Field(
        default=None, description="Credits that all runs of the store may spend on one day (UTC)."
    )
    max_age_days: float = Field(default=90.0, description="How old a block may be until it is bought again.")
    max_wait_seconds: float = Field(default=300.0, description="How long to wait for a rate limit.")
    score: bool = Field(default=False, description="Add the score and its parts.")
    scoring_model: str | None = Field(
        default=None, description="A TOML file with a scoring model of your own."
    )

    @field_validator("blocks")
    @classmethod
    def _exist(cls, blocks: list[str]) -> list[str]:
        EnrichmentOptions.of(blocks)
        return blocks

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """The asset, with a check that warns when somebody was deferred."""
        root = Path(context.project_root)
        spec = self.asset.merge_attributes(kinds={"buena", "polars"})
        if spec.description is None:
            spec = spec.replace_attributes(description=(type(self).__doc__ or "").partition("\n")[0])

        @dg.multi_asset(
            name=spec.key.to_python_identifier(),
            specs=[spec],
            check_specs=[fully_enriched(spec.key)],
            pool="buena_api",
        )
        def enriched(context: dg.AssetExecutionContext):  # type: ignore[no-untyped-def]
            api = BuenaResource(sandbox=self.sandbox, base_url=self.base_url)
            with api.client() as client:
                return enrich_asset(
                    self._enricher(client, root, context.log),
                    self.source.read(root),
                    lambda frame: self.target.write(self._scored(frame, root), root),
                    upstream=next((dep.asset_key for dep in spec.deps), None),
                    asset=spec.key,
                )

        return dg.Definitions(assets=[enriched])

    def _enricher(self, client: BuenaClient, root: Path, log: Any) -> Enricher:
        columns: Mapping[str, Any] | None = self.columns
        return Enricher(
            client,
            EnrichmentStoreResource(path=str(root / self.store)).store(),
            columns=columns,
            options=EnrichmentOptions.of(self.blocks),
            max_age=timedelta(days=self.max_age_days),
            max_credits=self.max_credits,
            daily_credits=self.daily_credits,
            max_wait=self.max_wait_seconds,
            progress=progress_in(log),
        )

    def _scored(self, frame: pl.LazyFrame, root: Path) -> pl.LazyFrame:
        if not self.score and self.scoring_model is None:
            return frame
        model = ScoringModel.from_toml(root / self.scoring_model) if self.scoring_model else ScoringModel()
        return score_frame(frame, model=model)
