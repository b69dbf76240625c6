"""Raw answers become typed columns: whatever they look like, every row comes back and no other suffers."""

from __future__ import annotations

import json

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from buena_pipeline.flatten import flatten, parsing
from buena_pipeline.flatten.items import _mend
from buena_pipeline.schema import RECORD

DOCUMENTED = {
    "input": {"email": "john@techcorp.com", "firstName": "John", "lastName": "Doe"},
    "enrichedData": {
        "firstName": "John",
        "lastName": "Doe",
        "email": "john@techcorp.com",
        "alternativeEmails": ["j.doe@techcorp.com"],
        "phone": "+1-555-123-4567",
        "linkedinUrl": "https://linkedin.com/in/johndoe",
        "company": "Tech Corp",
        "title": "Senior Software Engineer",
        "location": "San Francisco, CA",
        "experience": "8 years",
        "skills": ["JavaScript", "React", "Node.js", "Python", "AWS"],
        "bio": "Experienced software engineer.",
        "companyInfo": {
            "name": "Tech Corp",
            "website": "https://techcorp.com",
            "industry": "Technology",
            "size": "100-500",
            "description": "Leading provider.",
            "founded": "2010",
            "headquarters": "San Francisco, CA",
        },
        "socialProfiles": {
            "twitter": "https://twitter.com/johndoe",
            "github": "https://github.com/johndoe",
        },
    },
    "confidence": 0.95,
    "sources": ["apollo", "clearbit", "hunter"],
}


def body(item: object = None, **data: object) -> str:
    """The text of an item, or of one that has nothing but these fields of ``enrichedData``."""
    return json.dumps({"enrichedData": data} if item is None else item)


def values(text: str | None) -> dict[str, object]:
    """What one body says, without nulls."""
    (row,) = flatten([text]).to_dicts()
    return {name: value for name, value in row.items() if value is not None}


# --- the documented answer -------------------------------------------------------------------------------


def test_the_documented_answer():
    """Every field of the vendor's example lands in its column, and the parsed ones beside it."""
    assert values(body(DOCUMENTED)) == {
        "confidence": 0.95,
        "sources": ["apollo", "clearbit", "hunter"],
        "first_name": "John",
        "last_name": "Doe",
        "email": "john@techcorp.com",
        "alternative_emails": ["j.doe@techcorp.com"],
        "phone": "+1-555-123-4567",
        "linkedin_url": "https://linkedin.com/in/johndoe",
        "company": "Tech Corp",
        "title": "Senior Software Engineer",
        "location": "San Francisco, CA",
        "experience": "8 years",
        "experience_years": 8,
        "skills": ["JavaScript", "React", "Node.js", "Python", "AWS"],
        "bio": "Experienced software engineer.",
        "company_name": "Tech Corp",
        "company_website": "https://techcorp.com",
        "company_domain": "techcorp.com",
        "company_industry": "Technology",
        "company_size": "100-500",
        "company_size_min": 100,
        "company_size_max": 500,
        "company_description": "Leading provider.",
        "company_founded": 2010,
        "company_headquarters": "San Francisco, CA",
        "social_twitter": "https://twitter.com/johndoe",
        "social_github": "https://github.com/johndoe",
        "social_profiles": [
            {"network": "twitter", "url": "https://twitter.com/johndoe"},
            {"network": "github", "url": "https://github.com/johndoe"},
        ],
    }


def test_order_and_height_are_kept():
    """Row n is body n, across the slices in which bodies are parsed and on both sides of bad ones."""
    texts = [body(title=str(n)) if n % 1000 else "<html>" for n in range(9000)]
    titles = flatten(pl.Series(texts))["title"].to_list()
    assert titles == [str(n) if n % 1000 else None for n in range(9000)]


@pytest.mark.parametrize("bodies", [[], [None], pl.Series([], dtype=pl.String), pl.Series([None])])
def test_no_bodies(bodies):
    """Nothing in, nothing out, in the same columns."""
    flat = flatten(bodies)
    assert flat.schema == RECORD
    assert flat.height == len(bodies)


# --- anything at all -------------------------------------------------------------------------------------

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["", " ", "\0", "\ud800", "😀", "8 years", "1000+", "99999999999", "2010", "a.example"])
)
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
companies = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(DOCUMENTED["enrichedData"]["companyInfo"], anything)
)
likely = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(DOCUMENTED["enrichedData"], anything),
        "companyInfo": companies | anything,
        "socialProfiles": st.dictionaries(st.sampled_from(["twitter", "X", " "]), anything) | anything,
    },
)
items = st.fixed_dictionaries(
    {},
    optional={
        "enrichedData": likely | anything,
        "confidence": anything,
        "sources": anything,
        "new": anything,
    },
)
escaped = st.booleans()
item_texts = st.builds(
    lambda item, ascii_only: json.dumps(item, ensure_ascii=ascii_only), items | anything, escaped
)
fragments = st.sampled_from(
    ["", " ", "{", "}", "{},{}", '{"a":"', '"}', "null", "[", "]", '{}},{"at":1,"item":{}']
)
bodies_of_any_kind = st.lists(st.none() | item_texts | fragments | st.text(), max_size=8)


@given(bodies_of_any_kind)
def test_nothing_raises_or_moves(bodies):
    """Any texts give one frame of the same schema, and every row is what its body gives by itself."""
    flat = flatten(bodies)
    assert flat.schema == RECORD
    assert_frame_equal(flat, pl.concat([flatten([]), *(flatten([text]) for text in bodies)]))


@given(bodies_of_any_kind)
def test_a_bad_neighbour_costs_nothing(bodies):
    """The documented answer reads the same before, between and after any others."""
    good = body(DOCUMENTED)
    flat = flatten([good, *bodies, good])
    assert_frame_equal(flat[[0, -1]], flatten([good, good]))


plain = st.fixed_dictionaries(
    {},
    optional={
        "title": st.none()
        | st.booleans()
        | st.integers(-(10**18), 10**18)
        | st.text(st.characters(codec="utf-8")),
        "skills": st.none() | st.lists(st.none() | st.text(st.characters(codec="utf-8"))) | st.text("ab "),
        "companyInfo": st.none() | st.fixed_dictionaries({}, optional={"size": st.integers(0, 10**6)}),
        "socialProfiles": st.none() | st.dictionaries(st.text("abT "), st.none() | st.text("x ")),
    },
)


@given(plain)
def test_the_slow_way_reads_what_the_fast_one_reads(data):
    """A body that needs no mending says the same when it is mended."""
    texts = pl.Series([body(**data)])
    assert_frame_equal(flatten(_mend(texts)), flatten(texts))


# --- tolerance -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "5",
        "[]",
        '"text"',
        "{}",
        '{"enrichedData": null}',
        '{"enrichedData": []}',
        '{"enrichedData": "none"}',
        '{"enrichedData": {"companyInfo": {}, "socialProfiles": {}, "skills": []}}',
        '{"enrichedData": {"title": "CTO"}',
        "{},{}",
        "[" * 100_000,
        '{"enrichedData": {"title": 1e400}}',
        '{"confidence": NaN}',
        '{"enrichedData": {"title": ' + "9" * 5000 + "}}",
    ],
)
def test_bodies_that_say_nothing(text):
    """Empty, broken, cut off, of another kind, too deep, too large: a row of nulls."""
    assert values(text) == {}


@pytest.mark.parametrize(
    ("data", "column", "expected"),
    [
        ({"phone": 15551234567}, "phone", "15551234567"),
        ({"title": "  CTO\n"}, "title", "CTO"),
        ({"title": " \t"}, "title", None),
        ({"title": ["CTO", "Founder"]}, "title", "CTO"),
        ({"title": [None, {}, "CTO"]}, "title", "CTO"),
        ({"title": {"name": "CTO"}}, "title", None),
        ({"title": None}, "title", None),
        ({"skills": "Python"}, "skills", ["Python"]),
        ({"skills": [" Python", "", None, 5, {"a": 1}, ["AWS"]]}, "skills", ["Python", "5", "AWS"]),
        ({"skills": ["", None]}, "skills", None),
        ({"skills": {"name": "Python"}}, "skills", None),
        ({"alternativeEmails": ["a@x.example", " "]}, "alternative_emails", ["a@x.example"]),
        ({"companyInfo": [{"name": "X"}]}, "company_name", "X"),
        ({"companyInfo": "X"}, "company_name", None),
        ({"companyInfo": [], "title": "CTO"}, "title", "CTO"),
        ({"socialProfiles": [], "title": "CTO"}, "title", "CTO"),
        ({"bio": "a\0b"}, "bio", "a\ufffdb"),
        ({"bio": "a\ud800b"}, "bio", "a\ufffdb"),
        ({"bio": "a\\u0000b"}, "bio", "a\\u0000b"),
        ({"bio": "😀"}, "bio", "😀"),
    ],
)
def test_fields_of_another_shape(data, column, expected):
    """What can be used of a value is used; what cannot is null and leaves the other fields alone."""
    assert values(body(**data)).get(column) == expected


@pytest.mark.parametrize("escape", [True, False])
def test_no_half_characters_reach_the_table(escape):
    """Lone surrogates and NUL are replaced, whether they come escaped or as they are."""
    text = json.dumps({"enrichedData": {"bio": "\ud800 and \0", "title": "CTO"}}, ensure_ascii=escape)
    assert values(text) == {"bio": "\ufffd and \ufffd", "title": "CTO"}


def test_bodies_cannot_shift_their_neighbours():
    """Bodies that together look like as many others stay where they are, and stay apart."""
    bodies = [body(title="first"), '{"a":1},{"a":2}', '{"a":"', '"}', body(title="last")]
    assert flatten(bodies)["title"].to_list() == ["first", None, None, None, "last"]


@pytest.mark.parametrize(
    ("confidence", "expected"),
    [
        (0, 0.0),
        (1, 1.0),
        ("0.9", 0.9),
        (" 0.9 ", 0.9),
        ([0.5], 0.5),
        (1.01, None),
        (-0.1, None),
        ("95%", None),
        ("NaN", None),
        (10**400, None),
        (True, None),
        ({}, None),
    ],
)
def test_confidence(confidence, expected):
    """A number from 0 to 1, as number or as text; anything else is unknown."""
    assert values(body({"confidence": confidence})).get("confidence") == expected


def test_every_network_is_listed():
    """Names in lower case, in the order sent, without those that have no URL; the known ones by column."""
    profiles = {
        "Mastodon": "https://m.example/@jo",
        "GitHub ": " g ",
        "facebook": None,
        "": "u",
        "x": {},
        "Y": ["z"],
    }
    found = values(body(socialProfiles=profiles))
    listed = [(profile["network"], profile["url"]) for profile in found["social_profiles"]]
    assert listed == [("mastodon", "https://m.example/@jo"), ("github", "g"), ("y", "z")]
    assert found["social_github"] == "g"
    assert "social_facebook" not in found


# --- parsed columns --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("experience", "years"),
    [
        ("8 years", 8),
        ("10+ years", 10),
        ("1 year", 1),
        ("3", 3),
        (3, 3),
        (8.5, 8),
        ("8.5 yrs", 8),
        ("5-7 years", 5),
        ("5 – 7 years", 5),
        ("5 to 7 years", 5),
        ("10 or more years", 10),
        ("over 12 years of experience", 12),
        ("2 years 6 months", 2),
        ("18 months", 1),
        ("6 mos", 0),
        ("8y", 8),
        ("80 Years", 80),
        ("99 years", None),
        ("-5 years", None),
        ("1,000 years", None),
        ("99999999999999999999 years", None),
        ("over ten", None),
        ("since 2010", None),
        ("2010", None),
    ],
)
def test_experience_years(experience, years):
    """Full years, the lower end of a range; a year of the calendar is no number of years."""
    assert values(body(experience=experience)).get("experience_years") == years


@pytest.mark.parametrize(
    ("size", "smallest", "largest"),
    [
        ("100-500", 100, 500),
        ("1000+", 1000, None),
        ("5,001-10,000", 5001, 10000),
        ("5.001-10.000 employees", 5001, 10000),
        ("1 000 – 5 000", 1000, 5000),
        ("1,000,000+", 1000000, None),
        ("11 to 50", 11, 50),
        ("51 or more people", 51, None),
        ("10k+", 10000, None),
        ("1K-5K", 1000, 5000),
        ("1-5k", 1000, 5000),
        ("500-1k", 500, 1000),
        ("250", 250, 250),
        (250, 250, 250),
        (250.0, 250, 250),
        ("~ 250", 250, 250),
        ("<10", 0, 10),
        ("up to 10", 0, 10),
        ("> 5000", 5000, None),
        ("500-100", None, None),
        ("100-99999999999", None, None),
        ("99999999999+", None, None),
        ("9999999999999999", None, None),
        ("Self-employed", None, None),
        ("founded 2010", None, None),
    ],
)
def test_company_size(size, smallest, largest):
    """Both ends of a range; an open end is null, and so is all of what is no range."""
    found = values(body(companyInfo={"size": size}))
    assert (found.get("company_size_min"), found.get("company_size_max")) == (smallest, largest)
    assert found["company_size"] == str(size).removesuffix(".0")


@pytest.mark.parametrize(
    ("founded", "year"),
    [
        ("2010", 2010),
        (2010, 2010),
        (2010.0, 2010),
        ("2010-05-01", 2010),
        ("12/05/1999", 1999),
        ("founded in 2010", 2010),
        ("2100", 2100),
        ("2101", None),
        ("0999", None),
        ("20100", None),
        ("unknown", None),
    ],
)
def test_company_founded(founded, year):
    """The year in whatever stands there."""
    assert values(body(companyInfo={"founded": founded})).get("company_founded") == year


@pytest.mark.parametrize(
    ("website", "domain"),
    [
        ("https://www.TechCorp.com:8080/a?b#c", "techcorp.com"),
        ("techcorp.com", "techcorp.com"),
        ("//cdn.techcorp.com/", "cdn.techcorp.com"),
        ("http://user:secret@techcorp.co.uk#top", "techcorp.co.uk"),
        ("www.com", "www.com"),
        ("techcorp.com.", "techcorp.com"),
        ("techcorp.com, other.com", "techcorp.com"),
        ("https://bücher.example", "bücher.example"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("http://10.0.0.1/", None),
        ("http://localhost", None),
        ("Tech Corp. Inc", None),
        ("https://", None),
    ],
)
def test_company_domain(website, domain):
    """The host alone, in lower case; no address and no word without a dot."""
    found = values(body(companyInfo={"website": website}))
    assert found.get("company_domain") == domain
    assert found["company_website"] == website


USUAL = {
    "experience": parsing._USUAL_YEARS,
    "company_size": parsing._USUAL_SIZE,
    "company_founded": parsing._USUAL_YEAR,
    "company_website": parsing._USUAL_SITE,
}


@pytest.mark.parametrize("reading", parsing._readings(), ids=lambda reading: reading.source)
@given(data=st.data())
def test_usual_texts_are_read_alike_either_way(reading, data):
    """What is taken to be usual says the same to the patterns for any text."""
    usual = st.from_regex(USUAL[reading.source].replace("^", r"\A").replace("$", r"\Z"))
    odd = usual.map(str.upper) | usual.map(lambda text: f" {text}") | st.sampled_from(["www.com", "www.com/"])
    drawn = data.draw(st.lists(usual | odd | st.none(), min_size=1))
    texts = pl.DataFrame({reading.source: drawn}, schema={reading.source: pl.String})
    quick = texts.select(*reading.quickly, reading.usual.alias("usual"))
    careful = texts.select(reading.carefully(pl.col(reading.source)))
    taken = quick["usual"].fill_null(value=False)
    assert_frame_equal(quick.drop("usual").filter(taken), careful.filter(taken))


def test_usual_texts_are_taken_to_be_usual():
    """Else they would be read at ten times the cost."""
    texts = {
        "experience": ["8 years", "1 year", "10+ years"],
        "company_size": ["100-500", "1000+", "12"],
        "company_founded": ["2010", "1899", "2100"],
        "company_website": ["https://acme.com", "http://www.acme.co.uk/", "acme-x.io"],
    }
    marks = pl.DataFrame(texts).select(reading.usual for reading in parsing._readings())
    assert all(all(column) for column in marks)
