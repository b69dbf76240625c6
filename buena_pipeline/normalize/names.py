"""Names of people and companies: when two of them are meant to be the same."""

from __future__ import annotations

import unicodedata
from typing import Final

import polars as pl

from buena_pipeline.normalize.text import clean_text, not_ascii, output_name, says_nothing, staged, where

# Letters that do not decompose into a base letter and an accent
_LETTERS: Final = dict(
    zip("ßæœþøłđðħıς", ("ss", "ae", "oe", "th", "o", "l", "d", "d", "h", "i", "σ"), strict=True)
)
# Accents of Latin, Greek and Cyrillic; the marks of other scripts are letters in all but name
_ACCENTS = r"[\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe00-\ufe0f\ufe20-\ufe2f\p{Cf}]"
_JOINING = r"[.'’‘`´ʼ]"


def _base(letter: str) -> str:
    """A letter without its accents."""
    decomposed = unicodedata.normalize("NFKD", letter).lower()
    return "".join(_LETTERS.get(part, part) for part in decomposed if not unicodedata.combining(part))


# All that most names need, in one go: the letters of European languages and the signs of ASCII
_USUAL_FORM: Final = {
    **{sign: " " for sign in map(chr, range(128)) if not sign.isalnum()},
    **dict.fromkeys(".'`’‘ʼ", ""),
    **{letter: base for letter in map(chr, range(0xC0, 0x250)) if (base := _base(letter)).isascii()},
}

_NOT_WORDS = "[^a-z0-9 ]|  |^ | $|^$"

_TITLES = r"^(?:(?:dr|prof|mr|mrs|ms|mx) )+"
_DEGREES = r"(?: (?:phd|mba))+$"
_NOT_BARE = f"{_NOT_WORDS}|{_TITLES}|{_DEGREES}"  # one search costs as much for all three as for one

# As they read without dots and with other punctuation as spaces: "S.A." is "sa", "A/S" is "a s"
_LEGAL_FORMS = (
    "inc|incorporated|llc|llp|lllp|lp|ltd|limited|plc|corp|corporation|company|co|cos|pllc|pc|pbc"
    "|gmbh|ggmbh|mbh|gesmbh|ag|kg|kgaa|cokg|ohg|gbr|ug|haftungsbeschrankt|ek|ev|eg|se|vof|bv|b v|bvba|nv|n v"
    "|cv|sa|s a|sas|sasu|sarl|eurl|snc|spa|srl|srls|sl|slu|lda|ltda|sa de cv|sapi de cv|s de rl de cv"
    "|oy|oyj|ab|as|a s|asa|aps|ivs|hf|ehf|ou|uab|sia|sp z oo|sp z o o|sp k|sro|s r o|spol s r o|kft|zrt|nyrt"
    "|doo|d o o|dd|ad|ood|eood|pty|pte|pvt|private limited|proprietary limited|sdn bhd|bhd|tbk|kk|gk|jsc|pjsc"
)
_AT_THE_END = rf"(?: (?:{_LEGAL_FORMS}))+$"

# First name and the rest, with nothing to leave out
_FULL_NAME = r"^\p{L}[\p{L}\p{M}'’-]*(?: \p{L}[\p{L}\p{M}'’-]*)*$"
_DRESSED_NAME = "(?i)^(?:dr|prof|mr|mrs|ms|mx) | (?:phd|mba|cpa|esq)$"

_PAIR: Final = pl.Struct(dict.fromkeys(("first", "last"), pl.String))
_NAMES: Final = pl.Struct(dict.fromkeys(("first", "last", "key"), pl.String))
_COMPANY: Final = pl.Struct(dict.fromkeys(("name", "key"), pl.String))

# What people without a company write; strangers share it, so it tells nobody apart
_NO_COMPANY: Final = (
    *(
        "self employed",
        "selfemployed",
        "self",
        "freelance",
        "freelancer",
        "independent",
        "independent consultant",
    ),
    *("consultant", "unemployed", "retired", "student", "private", "privat", "confidential", "various"),
    *("stealth", "stealth startup", "stealth mode", "stealth mode startup"),
)


def person_name_key(first: pl.Expr, last: pl.Expr) -> pl.Expr:
    """A person's name as far as it tells people apart.

    Case, accents, punctuation, white space, remarks in parentheses, leading titles (Dr, Prof, Mr ...) and
    trailing degrees (PhD, MBA) make no difference. Names in any script stay what they are.

    Args:
        first: first names, text.
        last: last names, text.

    Returns:
        String, as long as the input, named like ``first``: first and last name with a space between them, or
        the one that there is; null where there is none. The key of a key is the key.

    Example:
        >>> names = pl.DataFrame({"first": ["Dr. ZOË", "Søren (he)", None], "last": ["O'Brien", None, "李"]})
        >>> names.select(person_name_key(pl.col("first"), pl.col("last"))).to_series().to_list()
        ['zoe obrien', 'soren', '李']
    """
    joined = _joined(first, last)
    return staged(joined, lambda name: where(name.str.contains(_NOT_BARE), name, _bare_name)).alias(
        output_name(first)
    )


def company_key(expr: pl.Expr) -> pl.Expr:
    """A company's name as far as it tells companies apart.

    Case, accents, punctuation and white space make no difference, and the legal forms at its end are dropped
    (Inc, LLC, Ltd, GmbH & Co. KG, S.A., S.p.A., B.V., A/S, Pty Ltd, Sp. z o.o. ...), but never all of it.

    Args:
        expr: one column of text.

    Returns:
        String, as long as the input; null where nothing is left, and for what people without a company
        write (``self-employed``, ``freelance``, ``stealth startup`` ...). The key of a key is the key.

    Example:
        >>> names = pl.DataFrame({"company": ["Müller & Söhne GmbH & Co. KG", "MULLER SOHNE", "Inc", "Self"]})
        >>> names.select(company_key(pl.col("company"))).to_series().to_list()
        ['muller sohne', 'muller sohne', 'inc', None]
    """
    return staged(
        expr.cast(pl.String).str.to_lowercase(),
        lambda name: where(name.str.contains(_NOT_WORDS), name, _words),
        _without_legal_form,
    )


def cleaned_names(first: pl.Expr, last: pl.Expr) -> pl.Expr:
    """First and last names through ``clean_text``, and their ``person_name_key``.

    Both at once, because one look at plain names tells that there is nothing to do for either.

    Args:
        first: first names.
        last: last names.

    Returns:
        Struct, as long as the input, of the Strings ``first``, ``last`` and ``key``.

    Example:
        >>> names = pl.DataFrame({"first": ["Jane", " Dr. ZOË", "n/a"], "last": ["Doe", None, "Li"]})
        >>> names.select(cleaned_names(pl.col("first"), pl.col("last"))).unnest("first").rows()
        [('Jane', 'Doe', 'jane doe'), ('Dr. ZOË', None, 'zoe'), (None, 'Li', 'li')]
    """
    one, other, key = pl.field("first"), pl.field("last"), pl.field("key")
    unclean = key.str.contains(_NOT_BARE) | says_nothing(one) | says_nothing(other)
    names = pl.struct(first=first.cast(pl.String), last=last.cast(pl.String))
    names = names.struct.with_fields(key=_joined(one, other))
    names = names.struct.with_fields(
        names=where(
            unclean, pl.struct(one, other, key), _cleaned_names, given=pl.struct(one, other), dtype=_NAMES
        )
    )
    return names.struct.field("names").alias(output_name(first))


def cleaned_company(expr: pl.Expr) -> pl.Expr:
    """Companies through ``clean_text``, and their ``company_key``, at once as in ``cleaned_names``.

    Args:
        expr: one column.

    Returns:
        Struct, as long as the input, of the Strings ``name`` and ``key``.

    Example:
        >>> names = pl.DataFrame({"company": ["Acme", "Acme,  Inc. ", "self-employed", "n/a"]})
        >>> names.select(cleaned_company(pl.col("company"))).unnest("company").rows()
        [('Acme', 'acme'), ('Acme, Inc.', 'acme'), ('self-employed', None), (None, None)]
    """
    name, key = pl.field("name"), pl.field("key")
    unclean = key.str.contains(_NOT_WORDS) | says_nothing(name)
    both = pl.struct(name=expr.cast(pl.String)).struct.with_fields(key=name.str.to_lowercase())
    both = both.struct.with_fields(
        both=where(unclean, pl.struct(name, key), _cleaned_company, given=name, dtype=_COMPANY)
    ).struct.field("both")
    return both.struct.with_fields(key=_without_legal_form(key)).alias(output_name(expr))


def split_full_name(expr: pl.Expr) -> pl.Expr:
    """First and last name out of one column with both.

    Args:
        expr: one column of text, such as ``Jane Doe``, ``Dr. Jane M. van der Berg`` or ``Doe, Jane``.

    Returns:
        Struct, as long as the input, of the Strings ``first`` and ``last``. Without a comma the first word is
        the first name, initials after it are left out, the rest is the last name. One word is a first name.

    Example:
        >>> names = pl.DataFrame({"name": ["Dr. Jane M. van der Berg", "Doe, Jane", "Jane", None]})
        >>> names.select(split_full_name(pl.col("name"))).unnest("name").to_dict(as_series=False)
        {'first': ['Jane', 'Jane', 'Jane', None], 'last': ['van der Berg', 'Doe', None, None]}
    """
    name, first, last = pl.field("name"), pl.field("first"), pl.field("last")
    plain = name.str.contains(_FULL_NAME) & ~name.str.contains(_DRESSED_NAME)
    words = name.str.splitn(" ", 2).struct.rename_fields(["first", "last"])
    cell = pl.struct(name=clean_text(expr))
    cell = cell.struct.with_fields(pair=where(~plain, words, _split, given=name, dtype=_PAIR))
    pair = cell.struct.field("pair").struct.with_fields(
        first=pl.when(~says_nothing(first)).then(first), last=pl.when(~says_nothing(last)).then(last)
    )
    return pair.alias(output_name(expr))


def _split(name: pl.Expr) -> pl.Expr:
    """First and last name out of clean names of any form."""
    marked = staged(
        name,
        lambda name: name.str.replace_all(r"\([^()]*\)|\x1f", " ").str.strip_chars(),
        lambda name: name.str.replace(r"(?i)^(?:(?:dr|prof|mr|mrs|ms|mx)(?:\.\s*|\s+))+", ""),
        lambda name: name.str.replace(r"(?i)(?:,\s*|\s+)(?:ph\.?d|mba|m\.d|cpa|esq)\.?$", ""),
        lambda name: name.str.replace(r"^([^,]*[^,\s])\s*,\s*([^,]+)$", "$2\x1f$1"),
        lambda name: name.str.replace(r"^([^\s\x1f]+)(?:\s+\p{L}\.)*\s+([^\x1f]+)$", "$1\x1f$2"),
    )
    pair = marked.str.splitn("\x1f", 2).struct.rename_fields(["first", "last"])
    part = {name: clean_text(pl.field(name).str.strip_chars(" ,")) for name in ("first", "last")}
    return pair.struct.with_fields(**part)


def _joined(first: pl.Expr, last: pl.Expr) -> pl.Expr:
    """Names as one text in lower case."""
    return pl.concat_str(first, last, separator=" ", ignore_nulls=True).str.to_lowercase()


def _cleaned_names(names: pl.Expr) -> pl.Expr:
    """What ``cleaned_names`` says of names that are not plain."""
    first, last = (names.struct.field(name) for name in ("first", "last"))
    cleaned = pl.struct(first=clean_text(first), last=clean_text(last))
    return cleaned.struct.with_fields(key=_bare_name(_joined(pl.field("first"), pl.field("last"))))


def _cleaned_company(expr: pl.Expr) -> pl.Expr:
    """Companies that are not plain: the clean name, and its words."""
    cleaned = pl.struct(name=clean_text(expr))
    return cleaned.struct.with_fields(key=_words(pl.field("name").str.to_lowercase()))


def _without_legal_form(words: pl.Expr) -> pl.Expr:
    """Keys of companies out of the words of their names."""
    return staged(
        words.str.replace(_AT_THE_END, ""),
        lambda name: pl.when((name != "") & ~name.is_in(_NO_COMPANY)).then(name),
    )


def _words(name: pl.Expr) -> pl.Expr:
    """Lower-case text as words of base letters and digits with single spaces between them."""
    text, plain = pl.field("text"), pl.field("plain")
    words = where(not_ascii(plain), plain, _words_of_any_script, given=text)
    both = pl.struct(text=name).struct.with_fields(plain=text.str.replace_many(_USUAL_FORM))
    both = both.struct.with_fields(words=words.str.replace_all("  +", " ").str.strip_chars(" "))
    return both.struct.field("words")


def _words_of_any_script(name: pl.Expr) -> pl.Expr:
    """The same for text with more than the usual letters and signs."""
    joined = _without_accents(name).str.replace_all(_JOINING, "")
    return joined.str.replace_all(r"[^\p{L}\p{M}\p{N}]+", " ")


def _without_accents(text: pl.Expr) -> pl.Expr:
    """Text in compatibility form, lower case, with base letters only."""
    lowered = text.str.normalize("NFKD").str.to_lowercase()
    return lowered.str.replace_all(_ACCENTS, "").str.replace_many(_LETTERS)


def _without_remarks(name: pl.Expr) -> pl.Expr:
    """Names without what stands in parentheses."""
    return name.str.replace_all(r"\([^()]*\)", " ")


def _bare_name(name: pl.Expr) -> pl.Expr:
    """The words of lower-case names, without remarks, titles and degrees; null for none."""
    return staged(
        where(name.str.contains("(", literal=True), name, _without_remarks),
        _words,
        lambda bare: where(bare.str.contains(f"{_TITLES}|{_DEGREES}"), bare, _untitled),
        lambda bare: pl.when(bare != "").then(bare),
    )


def _untitled(name: pl.Expr) -> pl.Expr:
    """Names without leading titles and trailing degrees."""
    return name.str.replace(_TITLES, "").str.replace(_DEGREES, "")
