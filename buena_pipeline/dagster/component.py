"""Enrichment for a Dagster project in ten lines of YAML: leads from where to where, and what may be spent.

No ``from __future__ import annotations`` here: Dagster reads the annotation of ``context`` as it stands.
"""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import dagster as dg
import polars as pl
from pydantic import Field, field_validator

from buena_pipeline.client import BuenaClient
from buena_pipeline.dagster.paid import enrich_asset, failing_at_once, fully_enriched, progress_in
from buena_pipeline.dagster.places import Source, Target
from buena_pipeline.dagster.resources import BuenaResource, EnrichmentStoreResource
from buena_pipeline.enrich import Enricher
from buena_pipeline.errors import InputError
from buena_pipeline.schema import DEFAULT_PREFIX, ENRICHED
from buena_pipeline.score import score_frame
from buena_pipeline.scoring_model import ScoringModel
from buena_pipeline.settings import EnrichmentOptions

_LOADED: Final = "loaded"
"""The name under which the value of an asset is handed over."""


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
    source: Source = Field(description="Where the leads are.")
    target: Target = Field(description="Where the enriched table goes.")
    store: str = Field(
        default="buena.duckdb", description="The file of all that was bought, shared by everybody who buys."
    )
    sandbox: bool = Field(
        default=False,
        description="Ask a local sandbox, which invents people; they go into a store beside the real one.",
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
    max_age_days: float = Field(
        default=90.0, ge=0, le=36_500, description="How old a block may be until it is bought again."
    )
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
        root, source = Path(context.project_root), self.source.key
        self._require_apart(root)
        spec = self.asset.merge_attributes(kinds={"buena", "polars"})
        if spec.description is None:
            spec = spec.replace_attributes(description=(type(self).__doc__ or "").partition("\n")[0])
        if source is not None and source not in {dep.asset_key for dep in spec.deps}:
            spec = spec.replace_attributes(deps=[*spec.deps, source])

        @dg.multi_asset(
            name=spec.key.to_python_identifier(),
            specs=[spec],
            ins={} if source is None else {_LOADED: dg.AssetIn(source)},
            check_specs=[fully_enriched(spec.key)],
            pool="buena_api",
        )
        def enriched(context: dg.AssetExecutionContext, **given: Any):  # type: ignore[no-untyped-def]
            api = BuenaResource(sandbox=self.sandbox, base_url=self.base_url)
            with failing_at_once(), api.client() as client:
                leads, model = self.source.read(root, given.get(_LOADED)), self._model(root)
                self.target.check(leads, _becomes(leads, model), root)
                return enrich_asset(
                    self._enricher(client, root, context.log),
                    leads,
                    lambda frame: self.target.write(
                        frame if model is None else score_frame(frame, model=model), root
                    ),
                    upstream=source or next((dep.asset_key for dep in spec.deps), None),
                    asset=spec.key,
                )

        return dg.Definitions(assets=[enriched])

    def _store(self, root: Path) -> Path:
        """The store; a sandbox has one beside it, since its people are invented."""
        store = root / self.store
        return store.with_name(f"sandbox-{store.name}") if self.sandbox else store

    def _require_apart(self, root: Path) -> None:
        """Raises unless source, target and store are three places."""
        source, target, store = self.source.files(root), self.target.files(root), self._store(root).resolve()
        if source == target:
            raise InputError("source and target are the same table: the leads would be overwritten.")
        if store in (source[0], target[0]):
            raise InputError(f"{store} is the store: keep tables of your own in another file.")

    def _enricher(self, client: BuenaClient, root: Path, log: Any) -> Enricher:
        columns: Mapping[str, Any] | None = self.columns
        return Enricher(
            client,
            EnrichmentStoreResource(path=str(self._store(root))).store(),
            columns=columns,
            options=EnrichmentOptions.of(self.blocks),
            max_age=timedelta(days=self.max_age_days),
            max_credits=self.max_credits,
            daily_credits=self.daily_credits,
            max_wait=self.max_wait_seconds,
            progress=progress_in(log),
        )

    def _model(self, root: Path) -> ScoringModel | None:
        """How to score; None if nothing is scored."""
        if self.scoring_model is not None:
            return ScoringModel.from_toml(root / self.scoring_model)
        return ScoringModel() if self.score else None


def _becomes(leads: pl.LazyFrame, model: ScoringModel | None) -> pl.Schema:
    """The columns that the leads are going to have.

    Raises:
        ColumnError: if one of theirs is in the way of the scores; enrichment's are looked at elsewhere.
    """
    added = {DEFAULT_PREFIX + name: dtype for name, dtype in ENRICHED.items()}
    schema = pl.Schema({**leads.collect_schema(), **added})
    return schema if model is None else score_frame(schema.to_frame(), model=model).schema
