"""The score is the vendor's example unless another model says otherwise, and never invents a number."""

from __future__ import annotations

import math
import pickle
import re

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from buena_pipeline.errors import ColumnError, InputError, SettingsError
from buena_pipeline.schema import SCORED, STATUS
from buena_pipeline.score import score_frame, score_parts, score_total
from buena_pipeline.scoring_model import ScoringModel

FIELDS = {
    "company_size": pl.String,
    "title": pl.String,
    "skills": pl.List(pl.String),
    "phone": pl.String,
    "linkedin_url": pl.String,
}


def leads(*rows: dict[str, object], prefix: str = "buena_", **more: object) -> pl.DataFrame:
    """Enriched leads with null for everything that is not given."""
    data = {prefix + name: [row.get(name) for row in rows] for name in FIELDS}
    return pl.DataFrame(data | more, schema_overrides={prefix + name: FIELDS[name] for name in FIELDS})


def scores(*rows: dict[str, object], model: ScoringModel | None = None) -> list[float]:
    """The score of each row."""
    return score_frame(leads(*rows), model=model or ScoringModel())["buena_score"].to_list()


# --- the vendor's rule -----------------------------------------------------------------------------------


def score_by_hand(lead: dict[str, object]) -> float:
    """The vendor's scoring example, lead by lead."""
    score = {"1000+": 10, "500-1000": 8, "100-500": 6, "50-100": 4, "10-50": 2}.get(lead["company_size"], 0)
    title = (lead["title"] or "").lower()
    score += 5 if any(w in title for w in ("ceo", "cto", "vp", "director", "head", "senior", "lead")) else 0
    words = ("python", "javascript", "aws", "machine learning", "api")
    score += 2 * sum(any(word in (skill or "").lower() for word in words) for skill in lead["skills"] or [])
    return min(score + 2 * bool(lead["phone"]) + 2 * bool(lead["linkedin_url"]), 25)


def texts(*likely: str) -> st.SearchStrategy[str | None]:
    """Likely texts, any text, or none."""
    return st.none() | st.sampled_from(likely) | st.text(max_size=12)


any_lead = st.fixed_dictionaries(
    {
        "company_size": texts("1000+", "500-1000", "100-500", "50-100", "10-50", "10-50 ", "5000+"),
        "title": texts("Senior Engineer", "SVP Sales", "Leadership", "DIRECTOR", "Clerk", "ſenior"),
        "skills": st.none() | st.lists(texts("Python, AWS", "java", "JavaScript", "APIs", ""), max_size=15),
        "phone": texts("+1-555-123-4567", ""),
        "linkedin_url": texts("https://linkedin.com/in/johndoe", ""),
    }
)


@given(st.lists(any_lead, max_size=6))
def test_default_model_is_the_vendors_example(rows):
    """Every lead gets what a plain reading of the vendor's example gives it."""
    assert scores(*rows) == [score_by_hand(row) for row in rows]


def test_the_documented_lead():
    """The lead of the vendor's reference: 6 for the company, 5 for the title, 6 for skills, 2 and 2."""
    lead = {
        "company_size": "100-500",
        "title": "Senior Software Engineer",
        "skills": ["JavaScript", "React", "Node.js", "Python", "AWS"],
        "phone": "+1-555-123-4567",
        "linkedin_url": "https://linkedin.com/in/johndoe",
    }
    assert score_frame(leads(lead), prefix="buena_").select(f"buena_{name}" for name in SCORED).rows() == [
        (21.0, 6.0, 5.0, 6.0, 2.0, 2.0)
    ]


def test_a_skill_counts_once_however_many_words_it_has():
    """Two words in one skill are one match, the same word in two skills are two."""
    assert scores({"skills": ["Python on AWS"]}, {"skills": ["Python 2", "Python 3"]}) == [2, 4]


def test_the_cap_is_on_the_sum():
    """Twenty skills score 40 as a part and 25 in all."""
    scored = score_frame(leads({"skills": ["api"] * 20}))
    assert scored.select("buena_score", "buena_score_skills").rows() == [(25.0, 40.0)]


# --- other models ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("title", "found"),
    [
        ("CTO", True),
        ("co-founder & cto", True),
        ("Director", False),
        ("c++ developer", True),
        ("Dev (C++)", True),
        ("ac++", False),
        ("vp_sales", False),
        ("VP/Sales", True),
        (None, False),
    ],
)
def test_whole_words(title, found):
    """With title_match="word" a cto is not found in a director, and signs belong to the word."""
    model = ScoringModel(title_match="word", title_words=["CTO", "c++", "vp"], title_weight=1)
    assert scores({"title": title}, model=model) == [float(found)]


def test_words_beyond_ascii_are_found_in_any_case():
    """ÉLÈVE contains élève."""
    model = ScoringModel(title_words=["Élève"], skill_words=["ÖKO"])
    assert scores({"title": "ANCIEN ÉLÈVE", "skills": ["Ökologie"]}, model=model) == [7]


def test_no_words_find_nothing():
    """A model without words gives no points for them, whichever way it looks for them."""
    for match in ("substring", "word"):
        model = ScoringModel(title_words=[], skill_words=[], title_match=match)
        assert scores({"title": "CEO", "skills": ["Python"]}, model=model) == [0]


def test_weights_sizes_and_cap_can_be_chosen():
    """Every weight has its say; a negative one takes points off; the cap may be infinite."""
    model = ScoringModel(
        company_sizes={"huge": 100},
        title_weight=-1,
        skill_weight=0.5,
        phone_weight=3,
        linkedin_weight=4,
        cap=math.inf,
    )
    lead = {"company_size": "huge", "title": "CEO", "skills": ["api"], "phone": "1", "linkedin_url": "u"}
    assert scores(lead, {"company_size": "1000+"}, model=model) == [106.5, 0]


def test_models_are_values():
    """Equal models are equal, hashable and survive pickling, however their sizes were given."""
    one = ScoringModel(company_sizes={"1000+": 1}, title_words=["A"])
    other = ScoringModel(company_sizes=[("1000+", 1)], title_words=("a",))
    assert one == other == pickle.loads(pickle.dumps(one))
    assert hash(one) == hash(other)


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("cap", -1),
        ("cap", math.nan),
        ("cap", "25"),
        ("title_weight", True),
        ("skill_weight", math.inf),
        ("phone_weight", None),
        ("linkedin_weight", "2"),
        ("title_words", "ceo"),
        ("title_words", ["ceo", " "]),
        ("skill_words", [1]),
        ("skill_words", None),
        ("title_match", "regex"),
        ("company_sizes", ["1000+"]),
        ("company_sizes", {1000: 10}),
        ("company_sizes", {"1000+": "10"}),
        ("company_sizes", None),
    ],
)
def test_a_wrong_setting_is_named(argument, value):
    """The error says which argument is wrong."""
    with pytest.raises(SettingsError, match=argument):
        ScoringModel(**{argument: value})


# --- models in files -------------------------------------------------------------------------------------


def test_model_from_toml(tmp_path):
    """What the file names is taken, the rest keeps its default; a byte order mark does not matter."""
    path = tmp_path / "model.toml"
    path.write_text('\ufefftitle_words = ["Founder"]\n[company_sizes]\n"1-10" = 1.5\n', encoding="utf-8")
    expected = ScoringModel(title_words=["founder"], company_sizes={"1-10": 1.5})
    assert ScoringModel.from_toml(path) == ScoringModel.from_toml(str(path)) == expected


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"colour = 1", "unknown keys: colour. It can have company_sizes, title_weight"),
        (b"cap = -1", "cap must be"),
        (b"title_words = 5", "title_words must be"),
        (b"cap =", "not a TOML file"),
        (b"\xff\xfe", "not a TOML file"),
        (None, "Cannot read"),
    ],
)
def test_a_useless_file_is_named(tmp_path, content, told):
    """The error names the file and what is wrong with it."""
    path = tmp_path / "model.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingsError, match=re.escape(told)) as caught:
        ScoringModel.from_toml(path)
    assert str(path) in str(caught.value)


# --- frames ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["buena_", "", "x."])
def test_columns_are_added_at_the_end(prefix):
    """Rows and columns stay as they are; the schema of what is added never changes."""
    frame = leads({"title": "CEO"}, {}, prefix=prefix, own=[1, 2])
    for table in (frame, frame.clear()):
        scored = score_frame(table, prefix=prefix)
        assert list(scored.schema.items())[-len(SCORED) :] == [(prefix + k, v) for k, v in SCORED.items()]
        assert_frame_equal(scored.select(frame.columns), table)


def test_a_lazy_frame_stays_lazy():
    """Nothing is collected, and both ways come to the same."""

    def explode(batch: pl.DataFrame) -> pl.DataFrame:
        raise AssertionError("the frame was collected")

    frame = leads({"title": "CEO"}, {"phone": "1"})
    untouched = frame.lazy().map_batches(explode, schema=frame.schema)
    assert isinstance(score_frame(untouched), pl.LazyFrame)
    assert_frame_equal(score_frame(frame.lazy()).collect(), score_frame(frame))


def test_rows_without_an_answer_have_no_score():
    """No score where the vendor never answered; 0 where he did and nothing counts."""
    status = pl.Series(["enriched", "cached", "failed", "deferred", "deferred", None], dtype=STATUS)
    rows = [{}, {}, {}, {}, {"phone": "1"}, {}]
    scored = score_frame(leads(*rows, buena_status=status))
    assert scored["buena_score"].to_list() == [0, 0, None, None, 2, None]
    assert scored["buena_score_phone"].to_list() == [0, 0, 0, 0, 2, 0]
    assert scores({}) == [0]


def test_texts_of_other_types_are_read():
    """Categories, enumerations and columns that are null throughout."""
    frame = leads({"title": "CEO", "company_size": "1000+"}, {}).with_columns(
        pl.col("buena_title").cast(pl.Categorical),
        pl.col("buena_company_size").cast(pl.Enum(["1000+"])),
        pl.lit(None).alias("buena_phone"),
        pl.lit(None).alias("buena_skills"),
    )
    assert score_frame(frame)["buena_score"].to_list() == [15, 0]


def test_missing_columns_are_named():
    """The error names them and how to get them."""
    with pytest.raises(
        ColumnError, match=r"without buena_phone, buena_skills.*enrich_frame.*prefix"
    ) as caught:
        score_frame(leads({}).drop("buena_phone", "buena_skills"))
    assert caught.value.columns == ("buena_phone", "buena_skills")
    with pytest.raises(ColumnError, match="'other_'"):
        score_frame(leads({}).lazy(), prefix="other_")


def test_wrong_types_are_named():
    """The error names column, type and what it should be."""
    frame = leads({}).with_columns(buena_phone=1, buena_skills=pl.lit("Python, AWS"))
    with pytest.raises(
        ColumnError, match="buena_phone is Int32, not String; buena_skills is String, not List"
    ):
        score_frame(frame)


def test_a_frame_is_scored_once():
    """Columns that would be overwritten are named."""
    with pytest.raises(ColumnError, match=r"scored already.*buena_score_title") as caught:
        score_frame(score_frame(leads({})))
    assert len(caught.value.columns) == len(SCORED)


def test_other_tables_are_refused():
    """What is no polars frame is no input."""
    with pytest.raises(InputError, match="not list"):
        score_frame([])


def test_parts_and_total_can_be_used_alone():
    """The expressions work in anybody's own query."""
    scored = leads({"title": "CEO", "phone": "1"}, prefix="").select(score_parts(ScoringModel(), prefix=""))
    total = scored.select(score_total(ScoringModel(cap=6), prefix="", has_status=False))
    assert total.rows() == [(6.0,)]
