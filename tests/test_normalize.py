"""The short ways of normalisation, for what is plain, say what the long ways say; and their parts."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from buena_pipeline.normalize import (
    clean_text,
    company_key,
    email,
    email_address,
    email_addresses,
    email_key,
    linkedin,
    names,
    person_name_key,
    split_full_name,
)
from buena_pipeline.normalize.email import mailbox_of
from buena_pipeline.normalize.linkedin import profile
from buena_pipeline.normalize.names import cleaned_company, cleaned_names
from buena_pipeline.normalize.text import all_at_once, where

ODD = st.sampled_from(" \t\n\xa0\u200b\x1f.,;'\"´’<>()/@?-_&+|:＠，…\u0301\u05b8éØßİŉﬁ李\u212aſς1x")


def of(*words: str) -> st.SearchStrategy[str]:
    """Text made of these words and odd characters."""
    return st.lists(st.sampled_from(words) | ODD, max_size=6).map("".join) | st.sampled_from(words)


def cells(*words: str) -> st.SearchStrategy[pl.DataFrame]:
    """A frame with the text columns ``x`` and ``y``."""
    rows = st.lists(st.tuples(st.none() | of(*words), st.none() | of(*words)), min_size=1, max_size=8)
    return rows.map(lambda given: pl.DataFrame(given, schema={"x": pl.String, "y": pl.String}, orient="row"))


MAILS = cells(
    *(
        "jane@x.com",
        "J.Doe+x@GMail.com",
        "mailto:",
        "Jane Doe ",
        "jane@bücher.example",
        "info@x.com",
        "JANE@X.COM",
    ),
    *("<jane@x.com>", "<mailto:jane@x.com>", "?subject=hi", "jane@x", "x.com", "a" * 250 + "@x.com"),
)
URLS = cells(
    *(
        "https://www.linkedin.com/in/",
        "http://linkedin.com/in/",
        "m.linkedin.com/in/",
        "in/",
        "pub/",
        "/pub/dir/",
    ),
    *(
        "linkedin.com",
        "jane-doe",
        "Jane-Doe",
        "j%C3%BCrgen",
        "%0A",
        "?trk=x",
        "/details/experience/",
        "/1/2/3",
        "me",
    ),
    *("unknown", "ACwAAA12", "company/acme", "a/b/c/d"),
)
NAMES = cells(
    *(
        "Jane",
        "doe",
        "JOHN",
        "o'brien",
        "Müller",
        "Dr ",
        "Dr. ",
        "Mr",
        " PhD",
        "MBA",
        "(he)",
        "n/a",
        "None",
        "unknown",
    ),
    *("de la ", "M. ", "Inc", ", Inc.", " GmbH & Co. KG", "S.A.", "s a", "Self-employed", "freelance"),
)


@given(MAILS, st.integers(1, 3))
@example(pl.DataFrame({"x": ["jane@x.commailto:", "x\nz@y.com", "´jane@x.com"]}), 1)
def test_plain_addresses_are_what_any_cell_would_give(frame: pl.DataFrame, most: int) -> None:
    """The address of a cell with a single one is what looking for all kinds of them finds."""
    thorough = email._written(pl.col("x").str.to_lowercase(), [f"address_{nth}" for nth in range(most)])
    found, expected = frame.select(found=email_addresses(pl.col("x"), most=most), expected=thorough)
    assert found.struct.unnest().equals(expected.struct.unnest())


@given(MAILS)
def test_usual_addresses_have_the_key_that_any_cell_would_give(frame: pl.DataFrame) -> None:
    """Addresses without plus tag or Google's dots are their own key, as by the way for all others."""
    found, expected = frame.select(
        found=email_key(pl.col("x")), expected=mailbox_of(email_address(pl.col("x")))
    )
    assert found.to_list() == expected.to_list()


@given(URLS)
@example(pl.DataFrame({"x": ["https://www.linkedin.com/in/pub/dir/", "linkedin.com/in/x/pub/y/1/2/3"]}))
def test_plain_profiles_are_what_any_cell_would_give(frame: pl.DataFrame) -> None:
    """Usual URLs come to the same slug and URL as by the way for all others."""
    found, expected = frame.select(
        found=profile(pl.col("x")), expected=linkedin._written_otherwise(pl.col("x"))
    )
    assert found.struct.unnest().equals(expected.struct.unnest())


@given(NAMES)
@example(pl.DataFrame({"x": ["\u212aate", "", None, "na"], "y": ["Doe", None, None, "Doe"]}))
def test_names_are_cleaned_and_keyed_at_once(frame: pl.DataFrame) -> None:
    """Clean names and their key are the same together as one by one."""
    first, last = clean_text(pl.col("x")), clean_text(pl.col("y"))
    expected = frame.select(first=first, last=last).with_columns(
        key=person_name_key(pl.col("first"), pl.col("last"))
    )
    assert frame.select(cleaned_names(pl.col("x"), pl.col("y"))).unnest("x").equals(expected)


@given(NAMES)
def test_companies_are_cleaned_and_keyed_at_once(frame: pl.DataFrame) -> None:
    """A clean company and its key are the same together as one by one."""
    expected = frame.select(name=clean_text(pl.col("x"))).with_columns(key=company_key(pl.col("name")))
    assert frame.select(cleaned_company(pl.col("x"))).unnest("x").equals(expected)


@given(
    NAMES | MAILS | st.lists(st.text(max_size=8), min_size=1).map(lambda texts: pl.DataFrame({"x": texts}))
)
def test_usual_letters_are_what_any_script_would_give(frame: pl.DataFrame) -> None:
    """European letters and signs, replaced one by one, come to what decomposing them comes to."""
    text = pl.col("x").str.to_lowercase()
    thorough = names._words_of_any_script(text).str.strip_chars(" ")
    found, expected = frame.select(found=names._words(text), expected=thorough)
    assert found.to_list() == expected.to_list()


@given(NAMES)
@example(pl.DataFrame({"x": ["\u0301 Jane", "- Jane", "Jane -", "' Jane", "Jane \u2019", "'t Hooft"]}))
def test_plain_full_names_are_split_as_any(frame: pl.DataFrame) -> None:
    """Words without titles, degrees, initials or commas are split as everything else."""
    found, expected = frame.select(
        found=split_full_name(pl.col("x")), expected=names._split(clean_text(pl.col("x")))
    )
    assert found.struct.unnest().equals(expected.struct.unnest())


@pytest.mark.parametrize("rows", [[], [0, 2], [1], [0, 1, 2, 3]])
def test_some_rows_are_changed(rows: list[int]) -> None:
    """Chosen rows get what the function makes of what it is given, all others stay, nulls among them."""
    frame = pl.DataFrame({"text": ["a", None, "c", "d" * 20], "given": ["k", "l", None, "n" * 20]})
    frame = frame.with_columns(chosen=pl.int_range(4).is_in(rows))
    text, given = pl.col("text"), pl.col("given")
    changed = frame.select(
        text=where(pl.col("chosen"), text, lambda some: some + "!", given=given),
        itself=where(pl.col("chosen"), text, lambda some: some + "!"),
    )
    for name, source in (("text", "given"), ("itself", "text")):
        exclaimed = [None if one is None else f"{one}!" for one in frame[source]]
        expected = [exclaimed[row] if row in rows else one for row, one in enumerate(frame["text"])]
        assert changed[name].to_list() == expected
    assert frame["text"].to_list() == ["a", None, "c", "d" * 20]


def test_unknown_rows_are_left_alone() -> None:
    """A row of which it is not known whether to change it is not changed."""
    frame = pl.DataFrame({"text": ["a", "b"], "chosen": [None, True]})
    changed = frame.select(where(pl.col("chosen"), pl.col("text"), lambda some: some + "!"))
    assert changed["text"].to_list() == ["a", "b!"]


def test_several_columns_are_changed_at_once() -> None:
    """A Struct gets all of its fields from the function, in the chosen rows."""
    both = pl.Struct({"a": pl.String, "b": pl.String})
    frame = pl.DataFrame({"a": ["1", "2", None], "b": ["x", None, "z"]})
    changed = frame.select(
        both=where(
            pl.col("a") == "2",
            pl.struct("a", "b"),
            lambda some: pl.struct(a=some + "!", b=some),
            given=pl.col("a"),
            dtype=both,
        )
    )
    assert changed.schema == {"both": both}
    assert changed.unnest("both").rows() == [("1", "x"), ("2!", "2"), (None, "z")]


@pytest.mark.parametrize("engine", ["in-memory", "streaming"])
def test_each_row_by_itself(engine: str) -> None:
    """What is row-wise may be cut into any parts."""
    frame = pl.LazyFrame({"n": range(200_000)}).with_columns(text=pl.col("n").cast(pl.String))
    seven = pl.col("text").str.ends_with("7")
    changed = frame.select("n", text=where(seven, pl.col("text"), lambda some: some + "!"))
    rows = changed.filter(pl.col("n") > 100_000).collect(engine=engine)  # type: ignore[call-overload]
    assert (rows["text"].str.ends_with("!") == (rows["n"] % 10 == 7)).all()
    assert rows.height == 99_999


@given(st.lists(st.text(max_size=5)))
def test_all_texts_in_one_call(texts: list[str]) -> None:
    """One call for all texts is one for each, also where line breaks are among them."""
    frame = pl.DataFrame({"text": texts}, schema={"text": pl.String})
    assert frame.select(all_at_once(pl.col("text"), str.swapcase))["text"].to_list() == [
        text.swapcase() for text in texts
    ]
