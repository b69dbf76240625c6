"""The library as methods of polars' own classes: ``frame.buena.enrich()``, ``pl.col("Email").buena...``.

``import buena_pipeline`` registers the name ``buena``: on DataFrame and LazyFrame the three functions of a
table, on Expr and Series the three rules of identity that are about one column. Nothing is decided here.

A type checker does not know what is registered at run time. Where one reads along, the functions do the same
(``enrich_frame(leads)``), and so do the classes: ``FrameNamespace(leads).plan()``,
``ExprNamespace(pl.col("Email")).normalize_email()``.

Example:
    >>> import buena_pipeline
    >>> leads = pl.DataFrame({"Email": ["J.Doe+crm@gmail.com"], "Firm": ["Acme, Inc."]})
    >>> leads.select(pl.col("Email").buena.normalize_email(), pl.col("Firm").buena.company_key()).rows()
    [('jdoe@gmail.com', 'acme')]
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Final, Generic, TypeVar

import polars as pl

from buena_pipeline.columns import require_text
from buena_pipeline.normalize import company_key, email_key, linkedin_slug
from buena_pipeline.schema import DEFAULT_PREFIX
from buena_pipeline.terms import MAX_AGE, MAX_WAIT, RETRY_FAILED_AFTER

# Polars' classes are there until the process ends, and so is all that this module holds. It must not hold
# DuckDB, which would complain on standard error of what is left of it; so functions are imported late.
if TYPE_CHECKING:
    from buena_pipeline.client import BuenaClient
    from buena_pipeline.enrich import Columns
    from buena_pipeline.result import EnrichmentPlan, EnrichmentProgress
    from buena_pipeline.scoring_model import ScoringModel
    from buena_pipeline.settings import EnrichmentOptions
    from buena_pipeline.store import EnrichmentStore

Frame = TypeVar("Frame", pl.DataFrame, pl.LazyFrame)

NAME: Final = "buena"
"""What polars calls the namespaces."""

_Rule = Callable[[pl.Expr], pl.Expr]


class FrameNamespace(Generic[Frame]):
    """``frame.buena``: what can be done with a table of leads, or with one that is enriched.

    Args:
        frame: a polars DataFrame or LazyFrame.

    Example:
        >>> pl.DataFrame({"Email": ["jane.doe@acme.example"]}).buena
        <DataFrame.buena: enrich(), plan(), score()>
    """

    __slots__ = ("_frame",)

    def __init__(self, frame: Frame) -> None:
        self._frame: Frame = frame

    def __repr__(self) -> str:
        return f"<{type(self._frame).__name__}.{NAME}: enrich(), plan(), score()>"

    def enrich(
        self,
        *,
        columns: Columns | None = None,
        options: EnrichmentOptions | None = None,
        store: EnrichmentStore | str | os.PathLike[str] | None = None,
        client: BuenaClient | None = None,
        max_age: timedelta | None = MAX_AGE,
        retry_failed_after: timedelta | None = RETRY_FAILED_AFTER,
        retry_unknown: bool = False,
        max_credits: float | None = None,
        daily_credits: float | None = None,
        priority: pl.Expr | None = None,
        max_wait: timedelta | float = MAX_WAIT,
        prefix: str = DEFAULT_PREFIX,
        progress: Callable[[EnrichmentProgress], None] | bool | None = None,
    ) -> Frame:
        """Enriches the table: ``enrich_frame`` with this frame, and the same arguments.

        ``help(buena_pipeline.enrich_frame)`` explains each of them.

        Returns:
            The table with the columns of enrichment added, same rows, same order. A LazyFrame stays lazy; it
            costs when it is collected.

        Raises:
            BuenaError: as ``enrich_frame`` would.

        Example:
            >>> import tempfile
            >>> from buena_pipeline import BuenaClient, Sandbox
            >>> leads = pl.DataFrame({"Work Email": ["jane.doe@acme.example"]})
            >>> with tempfile.TemporaryDirectory() as folder, Sandbox() as sandbox:
            ...     with BuenaClient(sandbox.api_key, sandbox.url) as client:
            ...         enriched = leads.buena.enrich(client=client, store=f"{folder}/buena.duckdb")
            >>> enriched["buena_status"].to_list()
            ['enriched']

        Rests on ``POST /enrich``.
        """
        from buena_pipeline.frames import enrich_frame

        return enrich_frame(
            self._frame,
            columns=columns,
            options=options,
            store=store,
            client=client,
            max_age=max_age,
            retry_failed_after=retry_failed_after,
            retry_unknown=retry_unknown,
            max_credits=max_credits,
            daily_credits=daily_credits,
            priority=priority,
            max_wait=max_wait,
            prefix=prefix,
            progress=progress,
        )

    def plan(
        self,
        *,
        columns: Columns | None = None,
        options: EnrichmentOptions | None = None,
        store: EnrichmentStore | str | os.PathLike[str] | None = None,
        max_age: timedelta | None = MAX_AGE,
        retry_failed_after: timedelta | None = RETRY_FAILED_AFTER,
        retry_unknown: bool = False,
        max_credits: float | None = None,
        daily_credits: float | None = None,
        priority: pl.Expr | None = None,
        prefix: str = DEFAULT_PREFIX,
    ) -> EnrichmentPlan:
        """What ``enrich`` would do and cost at most: ``plan_frame`` with this frame, and the same arguments.

        ``help(buena_pipeline.enrich_frame)`` explains each of them.

        Returns:
            The counts, the requests, the credits at most and the shortest time. Sends nothing.

        Raises:
            BuenaError: as ``plan_frame`` would.

        Example:
            >>> import tempfile
            >>> leads = pl.LazyFrame({"email": ["a@acme.example", "A@acme.example", None]})
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     plan = leads.buena.plan(store=f"{folder}/buena.duckdb")
            >>> plan.rows, plan.people, plan.invalid, plan.to_buy
            (3, 1, 1, 1)
        """
        from buena_pipeline.frames import plan_frame

        return plan_frame(
            self._frame,
            columns=columns,
            options=options,
            store=store,
            max_age=max_age,
            retry_failed_after=retry_failed_after,
            retry_unknown=retry_unknown,
            max_credits=max_credits,
            daily_credits=daily_credits,
            priority=priority,
            prefix=prefix,
        )

    def score(self, *, model: ScoringModel | None = None, prefix: str = DEFAULT_PREFIX) -> Frame:
        """Scores the enriched table: ``score_frame`` with this frame.

        Args:
            model: what a lead is worth; default: ``ScoringModel()``, the vendor's example.
            prefix: what the names of the enriched columns begin with.

        Returns:
            The table with the score and its parts added, same rows, same order. A LazyFrame stays lazy.

        Raises:
            ColumnError: as ``score_frame`` would.

        Example:
            >>> enriched = pl.DataFrame(
            ...     {
            ...         "buena_company_size": ["100-500"],
            ...         "buena_title": ["Senior Software Engineer"],
            ...         "buena_skills": [["JavaScript", "React", "Python"]],
            ...         "buena_phone": ["+1-555-123-4567"],
            ...         "buena_linkedin_url": [None],
            ...     }
            ... )
            >>> enriched.buena.score()["buena_score"].to_list()
            [17.0]
        """
        from buena_pipeline.score import score_frame

        if model is None:
            return score_frame(self._frame, prefix=prefix)
        return score_frame(self._frame, model=model, prefix=prefix)


class ExprNamespace:
    """``pl.col(...).buena``: what identity makes of a column, to group, join or look at it the same way.

    Args:
        expr: an expression of text; of several columns, each is put through by itself and keeps its name. Of
            lists, structs, bytes or objects the methods raise a ColumnError, when the query runs.

    Example:
        >>> leads = pl.DataFrame({"Work": ["J.Doe@gmail.com"], "Private": ["jdoe+x@gmail.com"]})
        >>> leads.select(pl.col("Work", "Private").buena.normalize_email()).rows()
        [('jdoe@gmail.com', 'jdoe@gmail.com')]
    """

    __slots__ = ("_expr",)

    def __init__(self, expr: pl.Expr) -> None:
        self._expr = expr

    def __repr__(self) -> str:
        return f"<Expr.{NAME}: normalize_email(), linkedin_slug(), company_key()>"

    def normalize_email(self) -> pl.Expr:
        """The mailbox behind an e-mail address: equal for all its spellings.

        Two rows with one mailbox are one person to ``enrich_frame``, unless it is one that people share
        (``info@``, ``sales@``): then together with the name.

        Returns:
            String, as long as the column: the first usable address of the cell in lower case, its domain in
            ASCII, without the plus tag, and at Gmail without dots. Null where there is none.

        Example:
            >>> leads = pl.DataFrame({"Email": ["Jane <J.Doe+x@googlemail.com>", "J.Doe@ACME.com", "n/a"]})
            >>> leads.select(pl.col("Email").buena.normalize_email()).to_series().to_list()
            ['jdoe@gmail.com', 'j.doe@acme.com', None]
        """
        return self._through(email_key)

    def linkedin_slug(self) -> pl.Expr:
        """What names the person in the URL of a LinkedIn profile: equal for all ways to write that URL.

        Returns:
            String, as long as the column; null for company pages, other sites and anything else.

        Example:
            >>> leads = pl.DataFrame({"url": ["de.linkedin.com/in/Jane-Doe/?trk=x", "in/jane-doe", "-"]})
            >>> leads.select(pl.col("url").buena.linkedin_slug()).to_series().to_list()
            ['jane-doe', 'jane-doe', None]
        """
        return self._through(linkedin_slug)

    def company_key(self) -> pl.Expr:
        """A company's name as far as it tells companies apart: no case, accents, punctuation or legal form.

        Returns:
            String, as long as the column; null where nothing is left, and for what people without a company
            write (``self-employed``, ``freelance`` ...).

        Example:
            >>> leads = pl.DataFrame({"Firm": ["Acme, Inc.", "ACME GmbH & Co. KG", "freelance"]})
            >>> leads.select(pl.col("Firm").buena.company_key()).to_series().to_list()
            ['acme', 'acme', None]
        """
        return self._through(company_key)

    def _through(self, rule: _Rule) -> pl.Expr:
        # each column by itself: the rules are made for one
        return self._expr.map_batches(
            partial(_put_through, rule), return_dtype=pl.String, is_elementwise=True
        )


class SeriesNamespace:
    """``series.buena``: the same as ``pl.col(...).buena``, for a column that is there.

    Args:
        series: text; of lists, structs, bytes or objects the methods raise a ColumnError.

    Example:
        >>> pl.Series("Firm", ["Acme, Inc."]).buena.company_key().to_list()
        ['acme']
    """

    __slots__ = ("_series",)

    def __init__(self, series: pl.Series) -> None:
        self._series = series

    def __repr__(self) -> str:
        return f"<Series.{NAME}: normalize_email(), linkedin_slug(), company_key()>"

    def normalize_email(self) -> pl.Series:
        """The mailbox behind each e-mail address, see ``ExprNamespace.normalize_email``.

        Returns:
            String, as long as the Series and of its name.

        Example:
            >>> pl.Series(["J.Doe+crm@googlemail.com", "n/a"]).buena.normalize_email().to_list()
            ['jdoe@gmail.com', None]
        """
        return _put_through(email_key, self._series)

    def linkedin_slug(self) -> pl.Series:
        """What names the person in each LinkedIn URL, see ``ExprNamespace.linkedin_slug``.

        Returns:
            String, as long as the Series and of its name.

        Example:
            >>> urls = pl.Series("url", ["linkedin.com/in/Jane-Doe", "linkedin.com/company/acme"])
            >>> urls.buena.linkedin_slug().to_list()
            ['jane-doe', None]
        """
        return _put_through(linkedin_slug, self._series)

    def company_key(self) -> pl.Series:
        """Each company's name as far as it tells companies apart, see ``ExprNamespace.company_key``.

        Returns:
            String, as long as the Series and of its name.

        Example:
            >>> pl.Series(["Acme, Inc.", "self-employed"]).buena.company_key().to_list()
            ['acme', None]
        """
        return _put_through(company_key, self._series)


def register() -> None:
    """Give polars' classes their ``buena``; done by ``import buena_pipeline``, and may be done again.

    Example:
        >>> register()
        >>> pl.DataFrame.buena is FrameNamespace
        True
    """
    for polars_class, namespace, register_as in (
        (pl.DataFrame, FrameNamespace, pl.api.register_dataframe_namespace),
        (pl.LazyFrame, FrameNamespace, pl.api.register_lazyframe_namespace),
        (pl.Expr, ExprNamespace, pl.api.register_expr_namespace),
        (pl.Series, SeriesNamespace, pl.api.register_series_namespace),
    ):
        # of what is in the way polars warns, and rightly; but not where that is this module before a reload
        if getattr(getattr(polars_class, NAME, None), "__module__", None) == __name__:
            delattr(polars_class, NAME)
        register_as(NAME)(namespace)


def _put_through(rule: _Rule, column: pl.Series) -> pl.Series:
    """What a rule makes of a column, under the column's name; refuses what ``enrich_frame`` would refuse."""
    require_text(column.name, column.dtype)
    return column.to_frame("value").select(rule(pl.col("value"))).to_series().alias(column.name)
