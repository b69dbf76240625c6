"""Identity: one person under many spellings has one key, two people never share one, no row is lost."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from buena_pipeline.columns import LeadColumns, find_columns
from buena_pipeline.errors import ColumnError
from buena_pipeline.identity import SEPARATOR, identify
from buena_pipeline.normalize import (
    clean_text,
    company_key,
    email_address,
    email_addresses,
    email_key,
    is_role_mailbox,
    linkedin_slug,
    linkedin_url,
    person_name_key,
    split_full_name,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    Block = Callable[[pl.Expr], pl.Expr]

ROOT = Path(__file__).parent.parent
WITHOUT_LINKEDIN = LeadColumns(("mail",), None, "first", "last", None, "firm")


def through(block: Block, *cells: str | None) -> list[str | None]:
    """What a building block makes of a column with these cells."""
    frame = pl.DataFrame({"x": cells}, schema={"x": pl.String})
    result = frame.select(block(pl.col("x"))).to_series()
    assert result.name == "x"
    return result.to_list()


def whole_name(expr: pl.Expr) -> pl.Expr:
    """The name key of a column with whole names."""
    return person_name_key(expr, pl.lit(None, pl.String))


def table(**columns: object) -> pl.DataFrame:
    """A frame of text columns."""
    return pl.DataFrame(columns, schema_overrides=dict.fromkeys(columns, pl.String))


# --- e-mail ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cell", "address"),
    [
        ("  Jane@X.com ", "jane@x.com"),
        ("Jane Doe <Jane.Doe@X.com>", "jane.doe@x.com"),
        ('"Doe, Jane" <jane@x.com>', "jane@x.com"),
        ("jane@old.com <jane@new.com>", "jane@new.com"),
        ("<jane@x.com>", "jane@x.com"),
        ("'jane@x.com'", "jane@x.com"),
        ("“jane@x.com”", "jane@x.com"),
        ("mailto:jane@x.com?subject=Hi, you; there", "jane@x.com"),
        ("[jane@x.com](mailto:jane@x.com)", "jane@x.com"),
        ("jane@x.com.", "jane@x.com"),
        ("jane@x.com,", "jane@x.com"),
        ("jane@x.com;", "jane@x.com"),
        ("jane@x.com (work)", "jane@x.com"),
        ("ja\u200bne@x.com\u00a0", "jane@x.com"),
        ("\ufeffjane@x.com", "jane@x.com"),
        ("jane＠ｘ.com", "jane@x.com"),
        ("jane+news@x.com", "jane+news@x.com"),
        ("j.a.n.e@gmail.com", "j.a.n.e@gmail.com"),
        ("o'brien@x.com", "o'brien@x.com"),
        ("jörg@x.com", "jörg@x.com"),
        ("jane@BÜCHER.example", "jane@xn--bcher-kva.example"),
        ("jane@xn--bcher-kva.example", "jane@xn--bcher-kva.example"),
        ("jane@faß.example", "jane@xn--fa-hia.example"),
        ("n/a; jane@x.com", "jane@x.com"),
    ],
)
def test_the_address_in_a_cell(cell: str, address: str) -> None:
    """The address to send is unwrapped and otherwise as it was, so that mail arrives."""
    assert through(email_address, cell) == [address]


@pytest.mark.parametrize(
    "cell",
    [
        *(None, "", " ", "n/a", "none", "-", "jane", "jane@", "@x.com", "jane@localhost", "a@b@x.com"),
        *("jane doe@x.com", "jane @x.com", "jane@x..com", "jane@-x.com", "jane@x_y.com", "jane@1.2.3.4"),
        *(
            "jane@x.c",
            ".jane@x.com",
            "jane@💩💩",
            "jane@\u0300.example",
            "x" * 250 + "@x.com",
            "mailto:",
            "<>",
        ),
    ],
)
def test_what_is_no_address(cell: str | None) -> None:
    """Placeholders and addresses that cannot exist are no addresses."""
    assert through(email_address, cell) == [None]
    assert through(email_key, cell) == [None]


@pytest.mark.parametrize(
    ("cell", "addresses"),
    [
        ("a@x.com; b@x.com", ["a@x.com", "b@x.com"]),
        ("a@x.com,b@x.com", ["a@x.com", "b@x.com"]),
        ("a@x.com b@x.com c@x.com", ["a@x.com", "b@x.com", "c@x.com"]),
        ("a@x.com\r\nb@x.com", ["a@x.com", "b@x.com"]),
        ("a@x.com / b@x.com | c@x.com", ["a@x.com", "b@x.com", "c@x.com"]),
        ("a@x.com ::: b@x.com", ["a@x.com", "b@x.com"]),
        ("A <a@x.com>; B <b@x.com>", ["a@x.com", "b@x.com"]),
        ("a@x.com; A@X.com", ["a@x.com"]),
        ("a@x.com; jane doe@x.com", ["a@x.com"]),
        ("a@x.com;b@x.com;c@x.com;d@x.com;e@x.com;f@x.com", ["a@x.com", "b@x.com", "c@x.com"]),
    ],
)
def test_several_addresses_in_a_cell(cell: str, addresses: list[str]) -> None:
    """All addresses of a cell are found in their order, each once, and no more than asked for."""
    fields = table(x=[cell]).select(email_addresses(pl.col("x"), most=3)).unnest("x")
    assert fields.columns == ["address_0", "address_1", "address_2"]
    assert [value for value in fields.row(0) if value is not None] == addresses


@pytest.mark.parametrize(
    ("cell", "key"),
    [
        ("Jane+a+b@x.com", "jane@x.com"),
        ("j.a.n.e@x.com", "j.a.n.e@x.com"),
        ("J.Doe+crm@GoogleMail.com", "jdoe@gmail.com"),
        ("j.doe@gmail.com.example", "j.doe@gmail.com.example"),
        ("j.doe@notgmail.com", "j.doe@notgmail.com"),
        ("+jane@x.com", "+jane@x.com"),
    ],
)
def test_the_mailbox_behind_an_address(cell: str, key: str) -> None:
    """Plus tags are dropped everywhere, dots at Google only."""
    assert through(email_key, cell) == [key]


@pytest.mark.parametrize(
    ("address", "role"),
    [
        *(("info@x.com", True), ("INFO@x.com", True), ("sales.de@x.com", True), ("support-emea@x.com", True)),
        *(("hr2@x.com", True), ("info+web@x.com", True), ("no-reply@x.com", True), ("noreply@x.com", True)),
        *(("ines.fowler@x.com", False), ("informant@x.com", False), ("jane.sales@x.com", False)),
        *(("sales.fowler@x.com", False), ("jane@info.com", False), (None, None)),
    ],
)
def test_role_mailboxes(address: str | None, *, role: bool | None) -> None:
    """An address of a function is told from that of a person."""
    assert through(is_role_mailbox, address) == [role]


# --- LinkedIn ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cell", "slug"),
    [
        ("https://www.linkedin.com/in/jane-doe", "jane-doe"),
        ("HTTP://LinkedIn.com/IN/Jane-Doe/", "jane-doe"),
        ("linkedin.com/in/jane-doe", "jane-doe"),
        ("//www.linkedin.com/in/jane-doe", "jane-doe"),
        ("https://www.linkedin.com:443/in/jane-doe", "jane-doe"),
        ("m.linkedin.com/in/jane-doe#top", "jane-doe"),
        ("https://de.linkedin.com/in/jane-doe/?trk=public&x=/in/other", "jane-doe"),
        ("https://www.linkedin.com/in/jane-doe/details/experience/", "jane-doe"),
        ("https://www.linkedin.com/in/jane-doe/de", "jane-doe"),
        ("https://www.linkedin.com/mwlite/in/jane-doe", "jane-doe"),
        ("https://www.linkedin.com/comm/in/jane-doe", "jane-doe"),
        ("in/jane-doe", "jane-doe"),
        ("/in/jane-doe/", "jane-doe"),
        ("<https://www.linkedin.com/in/jane-doe>", "jane-doe"),
        ("https://www.linkedin.com/in/jane-doe, https://www.linkedin.com/in/bob", "jane-doe"),
        ("\u200bhttps://www.linkedin.com/in/jane-doe\u200b", "jane-doe"),
        ("https://www.linkedin.com/in/j%C3%BCrgen-m%c3%bcller", "jürgen-müller"),
        ("https://www.linkedin.com/in/j%25C3%25BCrgen-müller", "jürgen-müller"),
        ("https://www.linkedin.com/in/JU\u0308RGEN-MÜLLER/", "jürgen-müller"),
        ("https://www.linkedin.com/in/李-明", "李-明"),
        ("http://sy.linkedin.com/pub/jane-doe/a7/576/b50?trk=x", "jane-doe-b50576a7"),
        ("http://www.linkedin.com/pub/jane-doe/1/2a/3", "jane-doe-00302a1"),
        ("http://www.linkedin.com/pub/jane-doe", "jane-doe"),
        ("https://www.linkedin.com/in/in/", "in"),
    ],
)
def test_linkedin_profiles(cell: str, slug: str) -> None:
    """One person has one slug, whatever way the URL is written."""
    assert through(linkedin_slug, cell) == [slug]


@pytest.mark.parametrize(
    "cell",
    [
        *(None, "", "n/a", "jane-doe", "yes", "linkedin.com", "https://www.linkedin.com/in/"),
        *("https://www.linkedin.com/company/acme", "https://www.linkedin.com/school/acme"),
        *(
            "https://www.linkedin.com/sales/lead/ACwAAA,NAME_SEARCH",
            "https://www.linkedin.com/posts/jane-doe_x",
        ),
        *("http://www.linkedin.com/pub/dir/Jane/Doe", "https://www.linkedin.com/profile/view?id=1"),
        *(
            "https://x.com/in/jane-doe",
            "https://notlinkedin.com/in/jane-doe",
            "https://linkedin.com.evil/in/jane",
        ),
        *("https://x.com/?to=linkedin.com/in/jane-doe", "https://www.linkedin.com/in/me/", "in/unknown"),
        *("https://www.linkedin.com/in/jane doe", "https://www.linkedin.com/in/jane%2Fdoe", "in/jane%"),
        *("https://www.linkedin.com/in/jane@x.com", "https://lnkd.in/abc", "\x1fjane-doe"),
    ],
)
def test_what_is_no_profile(cell: str | None) -> None:
    """Company pages, other sites, bare words and broken URLs are nobody's profile."""
    assert through(linkedin_slug, cell) == [None]
    assert through(linkedin_url, cell) == [None]


def test_profile_urls_are_ascii_and_keep_what_matters() -> None:
    """The URL to send is percent-encoded; only in an internal id does case matter."""
    cells = ("in/Jane", "in/Jürgen", "https://www.linkedin.com/in/ACwAAAbCdEf?x=1")
    assert through(linkedin_url, *cells) == [
        "https://www.linkedin.com/in/jane",
        "https://www.linkedin.com/in/j%C3%BCrgen",
        "https://www.linkedin.com/in/ACwAAAbCdEf",
    ]


# --- names -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "last", "key"),
    [
        ("Jane", "Doe", "jane doe"),
        (" JANE ", "DOE", "jane doe"),
        ("Zoë", "García", "zoe garcia"),
        ("Łukasz", "Żak", "lukasz zak"),
        ("Søren", "Strauß", "soren strauss"),
        ("SØREN", "STRAUẞ", "soren strauss"),
        ("İbrahim", "Yılmaz", "ibrahim yilmaz"),
        ("Ｊａｎｅ", "Doe", "jane doe"),
        ("Jean-Luc", "O’Neill", "jean luc oneill"),
        ("Jean  Luc", "ONeill", "jean luc oneill"),
        ("Οδυσσεύς", "ΠΑΠΑΣ", "οδυσσευσ παπασ"),
        ("Dr. Jane", "Doe, PhD", "jane doe"),
        ("Jane (she/her)", "Doe 🚀", "jane doe"),
        ("राम", "शर्मा", "राम शर्मा"),
        ("伟", "李", "伟 李"),
        ("Jane", None, "jane"),
        (None, "Doe", "doe"),
        ("Mr", "Dr", "dr"),
        (None, None, None),
        ("?", "-", None),
    ],
)
def test_person_names(first: str | None, last: str | None, key: str | None) -> None:
    """Names are compared without case, accents, punctuation, titles and remarks, in any script."""
    names = table(first=[first], last=[last])
    assert names.select(person_name_key(pl.col("first"), pl.col("last")))["first"].to_list() == [key]


def test_other_scripts_keep_their_vowels() -> None:
    """Marks that are no accents tell names apart."""
    one, other = through(whole_name, "राम", "रमा")
    assert one != other


@pytest.mark.parametrize(
    "spelling",
    [
        *(
            "Acme",
            "ACME, Inc.",
            "acme inc",
            "Acme Incorporated",
            "Acme LLC",
            "Acme L.L.C.",
            "Acme Ltd.",
            "Acme PLC",
        ),
        *(
            "Acme Limited",
            "Acme Corp.",
            "Acme Corporation",
            "Acme Co., Ltd.",
            "Acme Company",
            "Acme GmbH",
            "Acme AG",
        ),
        *(
            "Acme GmbH & Co. KG",
            "Acme GmbH&Co.KG",
            "Acme UG (haftungsbeschränkt)",
            "Acme SE",
            "Acme S.A.",
            "Acme SAS",
        ),
        *(
            "Acme S. A.",
            "Acme SARL",
            "Acme S.r.l.",
            "Acme S.p.A.",
            "Acme B.V.",
            "Acme N.V.",
            "Acme Oy",
            "Acme AB",
        ),
        *(
            "Acme A/S",
            "Acme ApS",
            "Acme AS",
            "Acme Pty Ltd",
            "Acme Pte. Ltd.",
            "Acme Sp. z o.o.",
            "Acme s.r.o.",
        ),
        *(
            "Acme Kft.",
            "Acme LLP",
            "Acme LP",
            "Acme K.K.",
            "Acme S.A. de C.V.",
            "Acme Private Limited",
            "  ÁCME\t",
        ),
    ],
)
def test_legal_forms_make_no_difference(spelling: str) -> None:
    """A company is the same with and without its legal form."""
    assert through(company_key, spelling) == ["acme"]


@pytest.mark.parametrize(
    ("name", "key"),
    [
        *(
            ("Inc.", "inc"),
            ("Co Inc", "co"),
            ("3M", "3m"),
            ("L'Oréal S.A.", "loreal"),
            ("J.P. Morgan", "jp morgan"),
        ),
        *(
            ("Incognito", "incognito"),
            ("AG Insurance", "ag insurance"),
            ("Straße AG", "strasse"),
            ("Yahoo!", "yahoo"),
        ),
        *(
            ("株式会社トヨタ", "株式会社トヨタ"),
            ("Self-Employed", None),
            ("Stealth Startup", None),
            ("...", None),
            (None, None),
        ),
    ],
)
def test_company_names(name: str | None, key: str | None) -> None:
    """Something is always left of a company's name; what people without a company write names none."""
    assert through(company_key, name) == [key]


@pytest.mark.parametrize(
    ("cell", "first", "last"),
    [
        ("Jane Doe", "Jane", "Doe"),
        ("Doe, Jane", "Jane", "Doe"),
        ("van der Berg, Jan", "Jan", "van der Berg"),
        ("Dr. Jane M. van der Berg", "Jane", "van der Berg"),
        ("Prof. Dr. Hans  Müller", "Hans", "Müller"),
        ("Jane Doe, PhD", "Jane", "Doe"),
        ("Jane (JD) Doe", "Jane", "Doe"),
        ("Drake Jones", "Drake", "Jones"),
        ("Jane", "Jane", None),
        ("Doe,", "Doe", None),
        ("N/A", None, None),
        (None, None, None),
    ],
)
def test_full_names(cell: str | None, first: str | None, last: str | None) -> None:
    """A full name comes apart in both orders, and without title, initials and degree."""
    parts = table(x=[cell]).select(split_full_name(pl.col("x"))).unnest("x")
    assert parts.row(0) == (first, last)


@pytest.mark.parametrize(
    ("cell", "clean"),
    [
        *(
            (" Jane \t Ann\n", "Jane Ann"),
            ("\u00a0Zoë\u00a0", "Zoë"),
            ("Jane\u200b", "Jane"),
            ("McDonald & Co.",) * 2,
        ),
        *(
            ("Na", "Na"),
            ("Nan", "Nan"),
            ("3M", "3M"),
            ("NA", None),
            ("nan", None),
            ("N/A", None),
            ("None", None),
        ),
        *(
            ("#N/A", None),
            ("UNKNOWN", None),
            ("(blank)", None),
            ("Not Available", None),
            ("—", None),
            ("🚀", None),
        ),
        *(("", None), (" ", None), (None, None)),
    ],
)
def test_clean_text(cell: str | None, clean: str | None) -> None:
    """Text stays as it was written, without needless space; what only says "nothing" is null."""
    assert through(clean_text, cell) == [clean]


# --- properties of the building blocks ---------------------------------------------------------------------

TEXTS = st.lists(st.text(max_size=30) | st.text("aZé.@+-_ ;,<>/%3Aß(İＡ", max_size=20), max_size=20)
WORD = st.text("abcxyz0189", min_size=1, max_size=8)


@pytest.mark.parametrize(
    "block", [email_address, email_key, linkedin_url, whole_name, company_key, clean_text]
)
@given(texts=TEXTS)
def test_normalising_twice_changes_nothing(block: Block, texts: list[str]) -> None:
    """A key of a key is that key; for a profile the URL stands for the slug."""
    once = through(block, *texts, *(f"a.{text}@x.com" for text in texts), *(f"in/{text}" for text in texts))
    assert through(block, *once) == once


@given(WORD, WORD, WORD)
def test_spellings_of_an_address_have_one_key(local: str, tag: str, domain: str) -> None:
    """Case, wrapping, white space and plus tag make no difference."""
    address = f"{local}@{domain}.example"
    spellings = (
        *(address, address.upper(), f" {address}\n", f"<{address}>", f"{local}+{tag}@{domain}.example"),
        *(f"Some One <{address}>", f"mailto:{address}?subject={tag}", f"{address}; {address}"),
    )
    assert set(through(email_key, *spellings)) == {address}


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=6), st.data())
def test_dots_at_google_make_no_difference(letters: list[str], data: st.DataObject) -> None:
    """All dotted forms of a Gmail address are one mailbox, at both domains."""
    dots = data.draw(
        st.lists(st.sampled_from(["", "."]), min_size=len(letters) - 1, max_size=len(letters) - 1)
    )
    local = "".join(letter + dot for letter, dot in zip(letters, [*dots, ""], strict=True))
    spellings = [f"{local}@gmail.com", f"{local}@googlemail.com"]
    assert set(through(email_key, *spellings)) == {"".join(letters) + "@gmail.com"}


@given(
    st.sampled_from(["", "http://", "https://", "HTTPS://"]),
    st.sampled_from(["", "www.", "m.", "de.", "uk."]),
    st.sampled_from(["in", "mwlite/in"]),
    st.text("abcXYZ019-", min_size=1, max_size=12).filter(lambda slug: slug.lower() != "me"),
    st.sampled_from(["", "/", "?trk=a/b", "/?x=1#y", "/details/skills", "/en"]),
)
def test_spellings_of_a_profile_have_one_slug(
    scheme: str, host: str, path: str, slug: str, rest: str
) -> None:
    """Scheme, subdomain, path form, sub-page, query, fragment and case make no difference."""
    url = f"{scheme}{host}linkedin.com/{path}/{slug}{rest}"
    assert through(linkedin_slug, url) == [slug.lower()]
    assert through(linkedin_slug, *through(linkedin_url, url)) == [slug.lower()]


# --- whole tables ------------------------------------------------------------------------------------------


def test_a_row_in_full() -> None:
    """What could be sent stays as it was written, the keys are normalised."""
    frame = table(
        mail=["Jane <J.Doe+x@googlemail.com>"],
        url=["de.linkedin.com/in/Jane-Doe/"],
        first=[" Jane "],
        last=["Döe"],
        firm=["Acme,  Inc."],
    )
    rows = identify(frame, LeadColumns(("mail",), "url", "first", "last", None, "firm"))
    assert rows.to_dict(as_series=False) == {
        "email": ["j.doe+x@googlemail.com"],
        "linkedin_url": ["https://www.linkedin.com/in/jane-doe"],
        "first_name": ["Jane"],
        "last_name": ["Döe"],
        "company": ["Acme, Inc."],
        "key_linkedin": ["jane-doe"],
        "key_member": [None],
        "key_email_0": ["jdoe@gmail.com"],
        "key_mailbox_0": [None],
        "key_name": [f"jane doe{SEPARATOR}acme"],
    }


def test_role_mailboxes_need_a_name() -> None:
    """A role mailbox identifies alone where the row has no name, else together with the name."""
    frame = table(
        mail=["info@x.com"] * 3, first=["Jane", "n/a", None], last=[None, "-", "Doe"], firm=[None] * 3
    )
    rows = identify(frame, WITHOUT_LINKEDIN)
    assert rows["key_email_0"].to_list() == [None, "info@x.com", None]
    assert rows["key_mailbox_0"].to_list() == [
        f"info@x.com{SEPARATOR}jane",
        None,
        f"info@x.com{SEPARATOR}doe",
    ]
    assert rows["email"].to_list() == ["info@x.com"] * 3


@pytest.mark.parametrize(
    ("first", "last", "firm", "complete"),
    [
        ("Jane", "Doe", "Acme", True),
        ("Jane", None, "Acme", False),
        (None, "Doe", "Acme", False),
        ("Jane", "(x)", "Acme", False),
        ("Jane", "Doe", "unknown", False),
        ("Jane", "Doe", "Freelance", False),
    ],
)
def test_the_name_key_needs_all_three(
    first: str | None, last: str | None, firm: str, *, complete: bool
) -> None:
    """Without first name, last name and a real company nobody is recognised by name."""
    rows = identify(table(mail=[None], first=[first], last=[last], firm=[firm]), WITHOUT_LINKEDIN)
    assert rows["key_name"].is_not_null().to_list() == [complete]


def test_a_full_name_fills_in() -> None:
    """The full name is read only in rows without first and last name."""
    frame = table(
        first=["Jane", None, None], last=[None, None, None], name=["No One", "Doe, Jo", None], firm="X"
    )
    rows = identify(frame, LeadColumns((), None, "first", "last", "name", "firm"))
    assert rows.select("first_name", "last_name").rows() == [("Jane", None), ("Jo", "Doe"), (None, None)]
    assert rows["key_name"].to_list() == [None, f"jo doe{SEPARATOR}x", None]


def test_all_email_columns_identify_and_the_first_filled_is_sent() -> None:
    """Each e-mail column has its key; the address to send comes from the first with a usable one."""
    frame = table(a=["n/a", "a@x.com", None], b=["b@x.com", "B@x.com", None])
    rows = identify(frame, LeadColumns(("a", "b")))
    assert rows["email"].to_list() == ["b@x.com", "a@x.com", None]
    assert rows.select("key_email_0", "key_email_1").rows() == [
        (None, "b@x.com"),
        ("a@x.com", "b@x.com"),
        (None,) * 2,
    ]


def test_further_addresses_of_a_cell_have_keys_of_their_own() -> None:
    """Columns with several addresses in a cell get further keys, after those of all columns, at most five."""
    many = "; ".join(f"m{number}@x.com" for number in range(9))
    frame = table(a=["a@x.com", "b@x.com, c@x.com"], b=[None, many])
    rows = identify(frame, LeadColumns(("a", "b")))
    keys = [name for name in rows.columns if name.startswith("key_email_")]
    assert rows.select(keys).rows() == [
        ("a@x.com", *(None,) * 6),
        ("b@x.com", "m0@x.com", "c@x.com", "m1@x.com", "m2@x.com", "m3@x.com", "m4@x.com"),
    ]
    assert sum(name.startswith("key_mailbox_") for name in rows.columns) == len(keys)


def test_the_email_sent_is_the_first_of_the_first_column() -> None:
    """A second address in the first column goes before the second column."""
    frame = table(a=["jane@💩.example; a@x.com"], b=["b@x.com"])
    assert identify(frame, LeadColumns(("a", "b")))["email"].to_list() == ["a@x.com"]


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([12, None], "12"),
        ([1.5, None], "1.5"),
        ([True, None], "true"),
        ([date(2026, 1, 2), None], "2026-01-02"),
        ([Decimal("1.50"), None], "1.50"),
        (pl.Series(["Acme", None], dtype=pl.Categorical), "Acme"),
        (pl.Series(["Acme", None], dtype=pl.Enum(["Acme"])), "Acme"),
        ([None, None], None),
    ],
)
def test_any_readable_dtype_becomes_text(values: list[object], text: str | None) -> None:
    """Numbers, booleans, dates, categories and null columns are read as text, in every role."""
    frame = pl.DataFrame({"x": values})
    assert identify(frame, LeadColumns(company="x"))["company"].to_list() == [text, None]
    rows = identify(frame, LeadColumns(email=("x",)))
    assert rows["email"].null_count() == 2
    assert set(rows.dtypes) == {pl.String}
    assert identify(frame, LeadColumns(linkedin_url="x"))["key_linkedin"].null_count() == 2


@pytest.mark.parametrize(
    "columns", [LeadColumns(), LeadColumns(email=("nope",)), LeadColumns(email=("x",), company="tags")]
)
def test_unusable_columns_are_refused(columns: LeadColumns) -> None:
    """No columns, missing ones and nested ones are an error of ours, not one from inside polars."""
    with pytest.raises(ColumnError):
        identify(pl.DataFrame({"x": ["a"], "tags": [["a"]]}), columns)


@pytest.mark.parametrize("engine", ["in-memory", "streaming"])
def test_lazy_frames_stay_lazy_and_say_the_same(engine: str) -> None:
    """A lazy frame gives a lazy frame with the same rows and the schema it announces, in both engines."""
    leads = pl.read_csv(ROOT / "tests/data/leads-duplicates-1000.csv")
    columns = find_columns(leads.schema)
    lazy = identify(leads.lazy(), columns)
    assert isinstance(lazy, pl.LazyFrame)
    collected = lazy.collect(engine=engine)  # type: ignore[call-overload]
    assert collected.equals(identify(leads, columns))
    assert lazy.collect_schema() == collected.schema


def test_an_empty_table_has_the_same_schema() -> None:
    """Without rows there are the same columns, and no error."""
    full = table(mail=["a@x.com"], first=["Jane"], last=["Doe"], firm=["X"])
    empty = identify(full.clear(), WITHOUT_LINKEDIN)
    assert empty.schema == identify(full, WITHOUT_LINKEDIN).schema
    assert empty.height == 0


CELLS = (
    st.none()
    | st.text(max_size=25)
    | st.sampled_from(["info@x.com", "a@x.com; b@x.com", "in/jane", "Jane", "n/a"])
)


@given(st.lists(st.tuples(CELLS, CELLS, CELLS, CELLS, CELLS, CELLS), max_size=12), st.randoms())
def test_every_row_is_identified_by_itself(rows: list[tuple[str | None, ...]], random: object) -> None:
    """For arbitrary text nothing raises, height and order stay, and a row's keys depend on that row only."""
    names = ["mail", "url", "first", "last", "name", "firm"]
    frame = pl.DataFrame(rows, schema=dict.fromkeys(names, pl.String), orient="row")
    columns = LeadColumns(("mail",), "url", "first", "last", "name", "firm")
    identified = identify(frame, columns)
    assert identified.height == frame.height
    assert set(identified.dtypes) == {pl.String}
    order = list(range(frame.height))
    random.shuffle(order)  # type: ignore[attr-defined]
    assert identify(frame[order], columns).equals(identified[order])


@given(st.lists(CELLS, max_size=12))
def test_keys_hold_one_separator_at_most(cells: list[str | None]) -> None:
    """No text of a user can look like a key made of two parts."""
    frame = table(mail=cells, first=cells, last=cells, firm=cells)
    for key in identify(frame, WITHOUT_LINKEDIN).select("^key_.*$").iter_columns():
        expected = 1 if key.name.startswith(("key_mailbox", "key_name")) else 0
        assert set(key.drop_nulls().str.count_matches(SEPARATOR, literal=True)) <= {expected}


def test_the_truth_about_duplicates() -> None:
    """In a table whose duplicates are known, every duplicate shares a key with its original."""
    leads = pl.read_csv(ROOT / "tests/data/leads-duplicates-1000.csv")
    rows = identify(leads, find_columns(leads.schema))
    keys = pl.concat(
        leads.select("Account Id", key=rows[name]).drop_nulls() for name in ("key_email_0", "key_email_1")
    )
    assert keys.group_by("key").agg(pl.col("Account Id").n_unique())["Account Id"].max() == 1
    rows_of = leads.group_by("Account Id").len()
    reached = keys.group_by("Account Id", "key").len().group_by("Account Id").agg(pl.col("len").max())
    together = rows_of.join(reached, on="Account Id", suffix="_reached")
    assert (together["len_reached"] >= together["len"]).all()


def test_the_example_table_is_as_messy_as_the_real_thing() -> None:
    """The example has all kinds of keys, many duplicates and rows that nobody can use."""
    leads = pl.read_csv(ROOT / "examples/leads.csv")
    rows = identify(leads, find_columns(leads.schema))
    keys = rows.select("^key_.*$")
    assert all(column.n_unique() > 1 for column in keys.select("key_linkedin", "key_mailbox_0", "key_name"))
    assert "key_email_2" in keys.columns
    assert keys.select(pl.all_horizontal(pl.all().is_null()).sum()).item() >= 10
    assert rows["key_email_0"].drop_nulls().is_duplicated().sum() > 50


def test_a_list_of_addresses_reads_as_the_text_that_has_them_all() -> None:
    """Nulls and empty lists say nothing."""
    lists = [["Jane@acme.example", None, "jd@home.example"], [], None, [None], ["bo@b.example"]]
    table = pl.DataFrame({"mails": lists}, schema={"mails": pl.List(pl.String)})
    columns = LeadColumns(email=("mails",))
    rows = identify(table, columns)
    assert rows.equals(identify(table.with_columns(pl.col("mails").list.join(";")), columns))
    assert rows["key_email_1"].to_list() == ["jd@home.example", *[None] * 4]
    assert identify(table.lazy(), columns).collect().equals(rows)
