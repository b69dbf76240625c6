"""``frame.buena`` and ``pl.col(...).buena``: the functions as methods, found by tab, silently registered."""

from __future__ import annotations

import copy
import inspect
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import polars.selectors as cs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from buena_pipeline import (
    BuenaClient,
    EnrichmentStore,
    ScoringModel,
    enrich_frame,
    plan_frame,
    polars_namespace,
    score_frame,
)
from buena_pipeline.columns import LeadColumns
from buena_pipeline.errors import ColumnError
from buena_pipeline.identity import SEPARATOR, identify
from buena_pipeline.polars_namespace import ExprNamespace, FrameNamespace, SeriesNamespace

ROOT = Path(__file__).parent.parent
DATA = Path(__file__).parent / "data"

LEADS = pl.DataFrame({"Work Email": ["ada@acme.example", "ADA+crm@acme.example", "bo@acme.example", "n/a"]})

RULES = ("normalize_email", "linkedin_slug", "company_key")

CELLS = pl.DataFrame(
    {
        "Mail": ["Jane <J.Doe+x@GoogleMail.com>", "jane@BÜCHER.example; j@x.com", " n/a ", None, ""],
        "Other": ["mailto:A@x.com?subject=y", "a.b@gmail.com", "a b@x.com", "a@localhost", None],
    }
)


def frame_of(kind: str) -> Any:
    """The leads as a DataFrame or a LazyFrame."""
    return LEADS if kind == "eager" else LEADS.lazy()


# --- frames ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "function"),
    [(FrameNamespace.enrich, enrich_frame), (FrameNamespace.plan, plan_frame)],
)
def test_a_method_takes_what_the_function_takes(
    method: Callable[..., Any], function: Callable[..., Any]
) -> None:
    """Names, order, kinds, defaults and types, but for the frame, which is there already."""
    _, *of_method = inspect.signature(method).parameters.values()
    _, *of_function = inspect.signature(function).parameters.values()
    assert of_method == of_function


def test_scoring_takes_what_the_function_takes() -> None:
    """The model is made where it is needed, so that the import does not bring it."""
    _, *of_method = inspect.signature(FrameNamespace.score).parameters.values()
    _, *of_function = inspect.signature(score_frame).parameters.values()
    assert [(one.name, one.kind) for one in of_method] == [(one.name, one.kind) for one in of_function]
    assert [one.default for one in of_function] == [ScoringModel(), of_method[1].default]
    assert of_method[0].default is None


@pytest.mark.parametrize("kind", ["eager", "lazy"])
def test_a_table_goes_the_same_way(client: BuenaClient, store: EnrichmentStore, kind: str) -> None:
    """Plan, enrich and score as methods give what the functions give, and the kind of frame stays."""
    frame = frame_of(kind)
    assert frame.buena.plan(store=store, max_credits=7) == plan_frame(frame, store=store, max_credits=7)
    bought = frame.buena.enrich(client=client, store=store)
    assert type(bought) is type(frame)
    assert set(bought.lazy().collect()["buena_status"]) <= {"enriched", "failed", "invalid"}
    again = frame.buena.enrich(client=client, store=store)
    assert_frame_equal(again, enrich_frame(frame, client=client, store=store))
    scored = again.buena.score()
    assert type(scored) is type(frame)
    assert_frame_equal(scored, score_frame(again))
    model = ScoringModel(cap=3)
    assert_frame_equal(again.buena.score(model=model), score_frame(again, model=model))


@pytest.mark.parametrize("kind", ["eager", "lazy"])
def test_every_argument_arrives(client: BuenaClient, store: EnrichmentStore, kind: str) -> None:
    """None of those that change the outcome is left on the way."""
    frame = frame_of(kind).rename({"Work Email": "mail"}).with_columns(deal=pl.int_range(4))
    given = {
        "columns": {"email": "mail"},
        "max_credits": 10.0,
        "daily_credits": 1.0,
        "priority": pl.col("deal"),
        "prefix": "b_",
    }
    plan = frame.buena.plan(store=store, **given)
    assert plan == plan_frame(frame, store=store, **given)
    told: list[object] = []
    enriched = frame.buena.enrich(store=store, client=client, progress=told.append, **given).lazy().collect()
    assert enriched["b_status"].to_list()[:3] == ["deferred", "deferred", "enriched"]
    assert told


def test_an_error_is_that_of_the_function(store: EnrichmentStore) -> None:
    """In its words, at once."""
    with pytest.raises(ColumnError, match="No column says who the leads are"):
        pl.LazyFrame({"amount": [1]}).buena.enrich(store=store)
    with pytest.raises(ColumnError, match="cannot be scored without"):
        LEADS.buena.score()


def test_a_frame_that_was_asked_is_a_frame_like_others() -> None:
    """Polars keeps the namespace with the frame; it can be copied, sent and cleared all the same."""
    frame = LEADS.clone()
    assert "enrich" in dir(frame.buena)
    for twin in (pickle.loads(pickle.dumps(frame)), copy.copy(frame), copy.deepcopy(frame), frame.clone()):
        assert_frame_equal(twin, LEADS)
        assert twin.with_columns(x=1).buena.plan  # of the new frame, not of the old one
        assert twin.clear().buena._frame.height == 0


# --- expressions and Series ------------------------------------------------------------------------------


@given(
    mails=st.lists(st.one_of(st.none(), st.sampled_from(CELLS.to_series().to_list()), st.text(max_size=12))),
    firm=st.one_of(
        st.none(), st.text(max_size=8), st.sampled_from(["Acme, Inc.", "freelance", "Société SA"])
    ),
    url=st.one_of(st.none(), st.text(max_size=8), st.sampled_from(["in/Jane", "de.linkedin.com/in/jane/?x"])),
)
def test_what_a_user_sees_is_what_identity_uses(
    mails: list[str | None], firm: str | None, url: str | None
) -> None:
    """The three rules give the keys of ``identify``, for any text."""
    schema = dict.fromkeys(("mail", "url", "firm", "name"), pl.String)
    leads = pl.DataFrame([(mail, url, firm, "Jane Doe") for mail in mails], schema=schema, orient="row")
    keys = identify(leads, LeadColumns(email=("mail",), linkedin_url="url", full_name="name", company="firm"))
    seen = leads.select(
        pl.col("mail").buena.normalize_email(),
        pl.col("url").buena.linkedin_slug(),
        pl.col("firm").buena.company_key(),
    )
    mailbox = pl.coalesce("key_email_0", pl.col("key_mailbox_0").str.split(SEPARATOR).list.first())
    company = pl.col("key_name").str.split(SEPARATOR).list.last()
    expected = keys.select(mailbox.alias("mail"), pl.col("key_linkedin").alias("url"), company.alias("firm"))
    assert_frame_equal(seen, expected)


def test_the_people_of_a_real_table_can_be_counted() -> None:
    """As somebody would who looks before they buy: the mailboxes are those of identity."""
    leads = pl.read_csv(DATA / "leads-duplicates-1000.csv", infer_schema=False)
    emails = tuple(name for name in leads.columns if "mail" in name.lower())
    keys = identify(leads, LeadColumns(email=emails))
    for nth, name in enumerate(emails):
        assert leads[name].buena.normalize_email().n_unique() == keys[f"key_email_{nth}"].n_unique()


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    "column",
    [
        pl.Series("who", [["jane@acme.example"]]),
        pl.Series("who", [["jane@acme.example"]], dtype=pl.Array(pl.String, 1)),
        pl.Series("who", [{"email": "jane@acme.example"}]),
        pl.Series("who", [{"email": 1}]),
        pl.Series("who", [b"jane@acme.example"]),
        pl.Series("who", [object()], dtype=pl.Object),
        pl.Series("who", [], dtype=pl.List(pl.String)),
    ],
)
def test_what_is_no_text_is_refused(rule: str, column: pl.Series) -> None:
    """In the words of enriching, and not the library's below: a struct of one field would be that field."""
    told = r'Column "who" is .*, which cannot be read as text\.'
    with pytest.raises(ColumnError, match=told) as caught:
        getattr(column.buena, rule)()
    assert caught.value.columns == ("who",)
    assert "acme" not in str(caught.value)
    asked = getattr(pl.col("who").buena, rule)()
    with pytest.raises(ColumnError, match=told):
        column.to_frame().select(asked)
    with pytest.raises(ColumnError, match=told):
        column.to_frame().lazy().select(asked).collect()


@pytest.mark.parametrize("rule", RULES)
def test_several_columns_are_put_through_one_by_one(rule: str) -> None:
    """However they are chosen, each keeps its name; a rule of identity itself is for one."""
    expected = CELLS.select(
        getattr(pl.col("Mail").buena, rule)(),
        getattr(pl.col("Other").buena, rule)(),
    )
    for chosen in (pl.col("Mail", "Other"), pl.all(), cs.string(), pl.col("^Mail|Other$"), pl.col(pl.String)):
        assert_frame_equal(CELLS.select(getattr(chosen.buena, rule)()), expected)
        lazy = CELLS.lazy().select(getattr(chosen.buena, rule)())
        assert lazy.collect_schema() == expected.schema
        assert_frame_equal(lazy.collect(engine="streaming"), expected)
    suffixed = CELLS.select(getattr(pl.all().buena, rule)().name.suffix("_key"))
    assert suffixed.columns == ["Mail_key", "Other_key"]


def test_wherever_an_expression_can_stand() -> None:
    """In lists, groups, windows, conditions, and over a constant."""
    frame = pl.DataFrame({"firm": ["Acme Inc", "ACME", "Bolt AG"], "n": [1, 2, 3]})
    key = pl.col("firm").buena.company_key()
    assert frame.group_by(key, maintain_order=True).agg(pl.col("n").sum()).rows() == [
        ("acme", 3),
        ("bolt", 3),
    ]
    assert frame.group_by("n", maintain_order=True).agg(key)["firm"].to_list() == [
        ["acme"],
        ["acme"],
        ["bolt"],
    ]
    assert frame.select(pl.len().over(key)).to_series().to_list() == [2, 2, 1]
    assert frame.filter(key == "bolt")["n"].to_list() == [3]
    assert frame.lazy().filter(key == "acme").select("n").collect()["n"].to_list() == [1, 2]
    assert frame.join(frame.select(key.unique()), left_on=key, right_on="firm").height == 3
    listed = pl.DataFrame({"firms": [["Acme Inc", "ACME"], None, []]})
    each = pl.col("firms").list.eval(pl.element().buena.company_key())
    assert listed.select(each)["firms"].to_list() == [["acme", "acme"], None, []]
    assert pl.select(pl.lit("Acme Inc").buena.company_key()).item() == "acme"
    assert (
        frame.with_columns(pl.lit("Acme Inc").buena.company_key().alias("k"))["k"].to_list() == ["acme"] * 3
    )


@pytest.mark.parametrize(
    "column",
    [
        pl.Series("x", ["Acme Inc", None, "2020"]),
        pl.Series("^x$", ["Acme Inc"]),
        pl.Series(["Acme Inc"]),
        pl.Series("x", ["Acme Inc", "Acme Inc"], dtype=pl.Categorical),
        pl.Series("x", [2020, None]),
        pl.Series("x", [None, None]),
        pl.Series("x", [], dtype=pl.String),
    ],
)
@pytest.mark.parametrize("rule", RULES)
def test_a_series_is_as_good_as_a_column(column: pl.Series, rule: str) -> None:
    """Of any dtype that has a text, and of any name."""
    told = getattr(column.buena, rule)()
    assert (told.name, told.dtype, len(told)) == (column.name, pl.String, len(column))
    assert told.equals(column.to_frame().select(getattr(pl.all().buena, rule)()).to_series(), null_equal=True)


# --- registered ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("namespace", "names"),
    [
        (LEADS.buena, {"enrich", "plan", "score"}),
        (LEADS.lazy().buena, {"enrich", "plan", "score"}),
        (pl.col("x").buena, set(RULES)),
        (LEADS["Work Email"].buena, set(RULES)),
    ],
)
def test_a_tab_shows_the_methods_and_nothing_else(namespace: Any, names: set[str]) -> None:
    """Each documented, with an example; and so is the namespace, which tells no person."""
    assert {name for name in dir(namespace) if not name.startswith("_")} == names
    for thing in (namespace, *(getattr(namespace, name) for name in names)):
        assert ">>>" in (inspect.getdoc(thing) or "")
    assert all(f"{name}()" in repr(namespace) for name in names)
    assert "acme" not in repr(namespace)


def test_the_classes_can_be_named(store: EnrichmentStore) -> None:
    """Where a type checker reads along, which does not know what was registered."""
    assert FrameNamespace(LEADS).plan(store=store).rows == 4
    assert CELLS.select(ExprNamespace(pl.col("Mail")).normalize_email()).height == 5
    assert SeriesNamespace(CELLS["Mail"]).normalize_email()[0] == "jdoe@gmail.com"
    assert {pl.DataFrame.buena, pl.LazyFrame.buena} == {FrameNamespace}
    assert (pl.Expr.buena, pl.Series.buena) == (ExprNamespace, SeriesNamespace)


def in_a_process(script: str) -> subprocess.CompletedProcess[str]:
    """What a fresh Python says to it."""
    return subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=ROOT
    )


def test_imported_again_it_says_nothing() -> None:
    """Reloaded, or loaded a second time as tests and notebooks do: no warning, and the newest counts."""
    told = in_a_process(
        """
import importlib, sys, warnings
warnings.simplefilter("error")
import polars as pl
import buena_pipeline
first = pl.DataFrame.buena
importlib.reload(buena_pipeline.polars_namespace)
importlib.reload(buena_pipeline)
assert pl.DataFrame.buena is buena_pipeline.polars_namespace.FrameNamespace is not first
for name in [name for name in sys.modules if name.startswith("buena_pipeline")]:
    del sys.modules[name]
import buena_pipeline.polars_namespace
assert pl.Expr.buena is buena_pipeline.polars_namespace.ExprNamespace
print(pl.LazyFrame().buena, pl.col("x").buena, pl.Series().buena)
"""
    )
    assert not told.stderr
    assert told.stdout.count("buena: ") == 3


def test_the_process_ends_in_silence(tmp_path: Path) -> None:
    """Polars' classes outlive everything; DuckDB would complain at the end if they held any of it."""
    told = in_a_process(
        f"""
import polars as pl
from buena_pipeline import BuenaClient, EnrichmentStore, Sandbox
leads = pl.LazyFrame({{"email": ["ada@acme.example"]}})
store = EnrichmentStore(r"{tmp_path}/buena.duckdb")
with Sandbox() as sandbox, BuenaClient(sandbox.api_key, sandbox.url) as client:
    print(leads.buena.enrich(client=client, store=store).buena.score().collect().width)
"""
    )
    assert told.stdout.strip() == "40"
    assert not told.stderr


def test_polars_warns_of_a_namespace_of_somebody_else() -> None:
    """Which this one replaces: the user should know."""
    told = in_a_process(
        """
import polars as pl
@pl.api.register_expr_namespace("buena")
class Other:
    pass
import buena_pipeline
print(pl.Expr.buena.__name__)
"""
    )
    assert told.stdout.strip() == "ExprNamespace"
    assert "overriding existing custom namespace 'buena'" in told.stderr


def test_registering_is_for_all_four_classes() -> None:
    """And is no name of the package's own."""
    polars_namespace.register()
    for polars_class in (pl.DataFrame, pl.LazyFrame, pl.Expr, pl.Series):
        assert "buena" in dir(polars_class)
