"""Invented leads and the answers about them: row numbers in, columns out, the same in every run.

Whoever stands in a row, and how the row spells it, follows from the number of the row alone. So a table can
be made in parts of any size, and a smaller table is the beginning of a larger one. Every person's number
stands in their e-mail address and their profile, where the server finds it: its count of charges rests on
nobody's normalisation.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
import pyarrow.parquet as pq
from numpy.typing import NDArray

from bench import words
from buena_pipeline.schema import RECORD, TIMESTAMP

Numbers = NDArray[np.int64]

SEED: Final = 20_260_101
PART: Final = 250_000
"""Rows made at a time."""

_FIRST_COMPANY_STEP: Final = 1_009  # shares no factor with the number of names
_BEGAN: Final = np.datetime64("2025-01-01T08:00:00", "us")


def people_of(rows: Numbers) -> Numbers:
    """The number of the person in each row; people are numbered by their first row."""
    before = rows - rows // 10  # as in sizes.people_in
    again = _draw(rows, "who again") % np.maximum(before, 1).astype(np.uint64)
    return np.where(_repeats(rows), again.astype(np.int64), before)


def leads(start: int, stop: int, *, spelling: int = 0) -> pl.DataFrame:
    """Rows of the lead table, as a CRM would export them.

    A first row says all that is ever said of a person; a repetition has some of its identifiers, spelled in
    another way.

    Args:
        start: the first row.
        stop: the row after the last one.
        spelling: another number, the same people in other spellings.

    Returns:
        ``key`` (UInt64, the person: what a join needs that has its key ready), then fifteen columns.
    """
    rows = np.arange(start, stop, dtype=np.int64)
    number = people_of(rows)
    salt = f"spelling {spelling}"
    kind = _draw(rows, salt, "kind") % 100
    repeats = _repeats(rows)
    has_linkedin, has_email, has_company = _has(number)
    by_name = repeats & (kind >= 88) & has_company
    shows_email = has_email & ~by_name & ~(repeats & (kind >= 68) & has_linkedin)
    shows_linkedin = has_linkedin & ~by_name & ~(repeats & (kind < 25) & shows_email)
    who = _identity(number)
    spelled = who.with_columns(
        pl.Series("_email", (_draw(rows, salt, "email") % 100).astype(np.uint8)),
        pl.Series("_profile", (_draw(rows, salt, "profile") % 100).astype(np.uint8)),
        pl.Series("_name", (_draw(rows, salt, "name") % 100).astype(np.uint8)),
        pl.Series("_firm", (_draw(rows, salt, "firm") % 100).astype(np.uint8)),
        legal_form=_pick(words.LEGAL_FORMS, number, "legal form"),
    )
    dial = _draw(number, "phone") % np.uint64(9_000_000) + np.uint64(1_000_000)
    return spelled.select(
        key=pl.Series(number.astype(np.uint64)),
        record_id=pl.Series(rows),
        email=pl.when(pl.Series(shows_email)).then(_spelled_email()),
        linkedin_url=pl.when(pl.Series(shows_linkedin)).then(_spelled_profile()),
        first_name=_spelled_name("first"),
        last_name=_spelled_name("last"),
        company=pl.when(pl.Series(has_company)).then(_spelled_company()),
        phone=pl.format("+49 30 {}", pl.Series(dial)),
        website=pl.format("https://www.{}/", "domain"),
        country=_pick(words.COUNTRIES, number, "country"),
        owner=_pick(words.OWNERS, rows, "owner"),
        source=_pick(words.ORIGINS, rows, "source"),
        deal_stage=_pick(words.STAGES, rows, "stage"),
        deal_size=pl.Series((_draw(rows, "deal") % 100_000).astype(np.float64) / 4),
        created_at=pl.Series(_BEGAN + (_draw(rows, "day") % 31_000_000).astype("timedelta64[s]")),
        notes=_pick(words.NOTES, rows, "notes"),
    )


def first_rows(start: int, stop: int) -> pl.DataFrame:
    """The first row of each of some people, by which the store gets to know them."""
    people = np.arange(start, stop, dtype=np.int64)
    rows = people + people // 9
    return leads(int(rows[0]), int(rows[-1]) + 1).filter(
        ~pl.Series(_repeats(np.arange(rows[0], rows[-1] + 1)))
    )


def answers(start: int, stop: int, *, at: datetime) -> pl.DataFrame:
    """What the vendor knows of some people, with the blocks that are bought by default.

    Args:
        start: the first person.
        stop: the person after the last one.
        at: when they were bought.

    Returns:
        ``key``, ``enriched_at`` and the columns of ``schema.RECORD``.
    """
    number = np.arange(start, stop, dtype=np.int64)
    years = (_draw(number, "years") % 30).astype(np.int16)
    size = (_draw(number % words.COMPANIES, "size") % len(words.SIZES)).astype(np.int64)
    lower = np.array([10, 50, 100, 500, 1000], dtype=np.int32)[size]
    upper = np.array([50, 100, 500, 1000, 0], dtype=np.int32)[size]
    founded = (1950 + _draw(number % words.COMPANIES, "founded") % 72).astype(np.int16)
    skill = [_pick(words.SKILLS, number, f"skill {nth}") for nth in range(4)]
    industry = _pick(words.INDUSTRIES, number % words.COMPANIES, "industry")
    dial = _draw(number, "phone") % np.uint64(9_000_000) + np.uint64(1_000_000)
    title = _pick(words.TITLES, number, "title")
    frame = _identity(number).with_columns(title=title, place=_pick(words.LOCATIONS, number, "place"))
    frame = frame.with_columns(
        bio=pl.concat_str(
            pl.format("{} {} is {} at {}, based in {}.", "first", "last", "title", "company", "place"),
            *(_pick(words.BIO, number, f"bio {nth}") for nth in range(2)),
            separator=" ",
        ),
        alternative=pl.concat_list(pl.format("{}{}@post.example", "plain_first", pl.Series(number))),
    )
    values: dict[str, pl.Expr | pl.Series] = {
        "confidence": pl.Series((_draw(number, "confidence") % 50).astype(np.float64) / 100 + 0.5),
        "sources": pl.concat_list(
            *(_pick(words.SOURCES[nth * 3 : nth * 3 + 3], number, f"source {nth}") for nth in range(2))
        ),
        "first_name": pl.col("first"),
        "last_name": pl.col("last"),
        "email": pl.col("email"),
        "alternative_emails": _where(number, "alternative", 35, pl.col("alternative")),
        "phone": _where(number, "dial", 65, pl.format("+1-555-{}", pl.Series(dial))),
        "linkedin_url": pl.format("https://linkedin.com/in/{}", "slug"),
        "company": pl.col("company"),
        "title": _where(number, "titled", 95, pl.col("title")),
        "location": _where(number, "placed", 85, pl.col("place")),
        "experience": pl.format("{} years", pl.Series(years)),
        "experience_years": pl.Series(years),
        "skills": _where(number, "skilled", 80, pl.concat_list(*skill)),
        "bio": _where(number, "told", 60, pl.col("bio")),
        "company_name": pl.col("company"),
        "company_website": pl.format("https://{}", "domain"),
        "company_domain": pl.col("domain"),
        "company_industry": industry,
        "company_size": _pick(words.SIZES, number % words.COMPANIES, "size"),
        "company_size_min": pl.Series(lower),
        "company_size_max": pl.when(pl.Series(upper) > 0).then(pl.Series(upper)),
        "company_description": pl.format(
            "{} {}", "company", _pick(words.ABOUT, number % words.COMPANIES, "about")
        ),
        "company_founded": pl.Series(founded),
        "company_headquarters": _pick(words.LOCATIONS, number % words.COMPANIES, "seat"),
    }
    return frame.select(
        key=pl.Series(number.astype(np.uint64)),
        enriched_at=pl.lit(at, TIMESTAMP),
        **{
            # social profiles are not bought by default
            name: values.get(name, pl.lit(None, dtype)).cast(dtype)
            for name, dtype in RECORD.items()
        },
    )


def keys(start: int, stop: int) -> pl.DataFrame:
    """Identity keys of rows of which three in ten repeat an earlier person, linked in chains.

    Of a chain of four rows each shares one key with the next one only: address, profile, another address. One
    row in a hundred has nothing but a name.

    Returns:
        ``key_linkedin``, ``key_email_0`` and ``key_name``, as ``identity.identify`` makes them.
    """
    rows = np.arange(start, stop, dtype=np.int64)
    place = rows % 10
    repeats = place >= 7
    # all three repetitions of ten rows are of one earlier person, who has a first row of kind 0
    chained = (_draw(rows // 10, "chain") % (rows // 10 + 1).astype(np.uint64)).astype(np.int64) * 10
    person = np.where(repeats, chained, rows)
    weak = ~repeats & (person % 100 == 55)
    who = _identity(person)
    second = pl.format("private.{}", "email")
    role = pl.Series(place)
    return who.select(
        key_linkedin=pl.when(~pl.Series(weak) & (~pl.Series(repeats) | (role == 7))).then("slug"),
        key_email_0=pl.when(pl.Series(weak))
        .then(None)
        .when(role.is_in([7, 8]))
        .then(second)
        .otherwise("email"),
        key_name=pl.when(~pl.Series(repeats)).then(
            pl.concat_str(pl.format("{} {}", "plain_first", "plain_last"), "company", separator="\x1f")
        ),
    )


def write(path: Path, frames: Iterable[pl.DataFrame]) -> None:
    """Writes a table that comes in parts as one Parquet file, one row group a part."""
    writer: pq.ParquetWriter | None = None
    try:
        for frame in frames:
            table = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
            writer = writer or pq.ParquetWriter(path, table.schema, compression="zstd")
            writer.write_table(table)
    finally:
        if writer is not None:
            writer.close()


def parts(total: int) -> Iterator[tuple[int, int]]:
    """The numbers below a total in parts: first, and the one after the last."""
    for start in range(0, total, PART):
        yield start, min(start + PART, total)


# --- who somebody is -------------------------------------------------------------------------------------


def _identity(number: Numbers) -> pl.DataFrame:
    """Name, company, address and profile of people; no two have the same."""
    firm = number % words.COMPANIES
    names = len(words.FIRST_NAMES) * len(words.LAST_NAMES)
    name = (number // words.COMPANIES * _FIRST_COMPANY_STEP + firm * 7_919) % names
    first, last = name % len(words.FIRST_NAMES), name // len(words.FIRST_NAMES)
    seconds, trades = len(words.COMPANY_SECOND), len(words.COMPANY_SECOND) * len(words.COMPANY_FIRST)
    parts = {
        "first": (words.FIRST_NAMES, first),
        "last": (words.LAST_NAMES, last),
        "plain_first": ([_plain(word) for word in words.FIRST_NAMES], first),
        "plain_last": ([_plain(word) for word in words.LAST_NAMES], last),
        "one": (words.COMPANY_FIRST, firm // seconds % len(words.COMPANY_FIRST)),
        "two": (words.COMPANY_SECOND, firm % seconds),
        "trade": (words.COMPANY_TRADE, firm // trades),
        "tld": (words.TOP_DOMAINS, firm % len(words.TOP_DOMAINS)),
    }
    frame = pl.DataFrame({name: pl.Series(pool).gather(place) for name, (pool, place) in parts.items()})
    site = pl.format("{}{}-{}", "one", "two", "trade").str.to_lowercase()
    return (
        frame.with_columns(
            number=pl.Series(number),
            private=pl.Series(_draw(number, "private") % 100 < 15),
            company=pl.format("{} {} {}", "one", "two", "trade"),
            domain=pl.format("{}.{}", site, "tld"),
        )
        .with_columns(
            email=pl.format(
                "{}.{}.{}@{}",
                "plain_first",
                "plain_last",
                "number",
                pl.when("private").then(pl.lit("gmail.com")).otherwise("domain"),
            ),
            slug=pl.format("{}-{}-{}", "plain_first", "plain_last", "number"),
        )
        # the key of an address at Google has no dots
        .with_columns(
            email=pl.when("private")
            .then(pl.format("{}{}{}@gmail.com", "plain_first", "plain_last", "number"))
            .otherwise("email"),
            dotted="email",
        )
    )


def _has(number: Numbers) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]:
    """Of which people the table ever says a profile, an address, a company; one of the first two always."""
    linkedin = _draw(number, "has profile") % 100 < 85
    email = ~linkedin | (_draw(number, "has address") % 100 < 95)
    return linkedin, email, _draw(number, "has company") % 100 < 97


def _repeats(rows: Numbers) -> NDArray[np.bool_]:
    return rows % 10 == 9  # type: ignore[no-any-return]


# --- how a row spells it ---------------------------------------------------------------------------------


def _spelled_email() -> pl.Expr:
    way, email, dotted = pl.col("_email"), pl.col("email"), pl.col("dotted")
    tag = pl.when(way % 2 == 0).then(pl.lit("+crm@")).otherwise(pl.lit("+newsletter@"))
    return (
        pl.when(way < 60)
        .then(dotted)
        .when(way < 70)
        .then(dotted.str.to_uppercase())
        .when(way < 78)
        .then(dotted.str.to_titlecase())
        .when(way < 86)
        .then(dotted.str.replace("@", tag, literal=True))
        .when(way < 90)
        .then(pl.format("{} {} <{}>", "first", "last", dotted))
        .when(way < 93)
        .then(pl.format("  {} ", dotted))
        .when(way < 95)
        .then(pl.format("mailto:{}", email))
        .otherwise(email)
    )


def _spelled_profile() -> pl.Expr:
    way, slug = pl.col("_profile"), pl.col("slug")
    forms = {
        45: "https://www.linkedin.com/in/{}",
        60: "https://linkedin.com/in/{}/",
        68: "http://de.linkedin.com/in/{}",
        76: "www.linkedin.com/in/{}",
        82: "linkedin.com/in/{}/?trk=public_profile",
        88: "https://uk.linkedin.com/in/{}/",
        91: "https://www.linkedin.com/in/{}/details/experience/",
        95: "https://m.linkedin.com/in/{}",
    }
    spelled: Any = pl.when(way < 0).then(slug)
    for bound, form in forms.items():
        spelled = spelled.when(way < bound).then(pl.format(form, slug))
    last: pl.Expr = spelled.otherwise(pl.format("https://www.linkedin.com/in/{}", slug.str.to_titlecase()))
    return last


def _spelled_name(part: str) -> pl.Expr:
    way, name = pl.col("_name"), pl.col(part)
    return (
        pl.when(way < 84)
        .then(name)
        .when(way < 90)
        .then(name.str.to_uppercase())
        .when(way < 94)
        .then(name.str.to_lowercase())
        .when(way < 97)
        .then(pl.format(" {} ", name))
        .otherwise(pl.col(f"plain_{part}").str.to_titlecase())
    )


def _spelled_company() -> pl.Expr:
    way, company = pl.col("_firm"), pl.col("company")
    return (
        pl.when(way < 45)
        .then(company)
        .when(way < 85)
        .then(pl.format("{}{}", company, "legal_form"))
        .when(way < 92)
        .then(company.str.to_uppercase())
        .otherwise(pl.format("{}{}", company.str.to_lowercase(), pl.col("legal_form").str.to_lowercase()))
    )


# --- draws -----------------------------------------------------------------------------------------------


def _draw(numbers: Numbers, *of: str) -> NDArray[np.uint64]:
    """A number drawn for each number, for a purpose: SplitMix64, which is the same everywhere."""
    digest = blake2b(f"{SEED}/{'/'.join(of)}".encode(), digest_size=8).digest()
    salt = np.uint64(int.from_bytes(digest, "little"))
    mixed = (numbers.astype(np.uint64) ^ salt) * np.uint64(0x9E3779B97F4A7C15) + salt
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (mixed ^ (mixed >> np.uint64(31))) >> np.uint64(8)


def _pick(pool: Sequence[str], numbers: Numbers, of: str) -> pl.Series:
    """One of a pool for each number."""
    return pl.Series(of, pool).gather((_draw(numbers, of) % len(pool)).astype(np.int64))


def _where(numbers: Numbers, of: str, percent: int, value: pl.Expr) -> pl.Expr:
    """A value that so many of a hundred have."""
    return pl.when(pl.Series(_draw(numbers, of) % 100 < percent)).then(value)


def _plain(name: str) -> str:
    """A name in the letters of an address."""
    decomposed = unicodedata.normalize("NFKD", name.lower().replace("ø", "o"))
    return decomposed.encode("ascii", "ignore").decode()
