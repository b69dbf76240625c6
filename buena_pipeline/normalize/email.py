"""E-mail addresses: which ones a cell holds, which mailbox each of them is, and whose."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import idna
import polars as pl

from buena_pipeline.normalize.text import each_distinct, not_ascii, output_name, staged, where

MAX_ADDRESSES: Final = 5
"""How many addresses of one cell identify; a cell with more is a distribution list, not a person."""

_LONGEST = 254  # bytes; RFC 5321 leaves room for no more
_DOMAIN = r"(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+[a-z](?:[a-z0-9-]*[a-z0-9])"
_PLAIN = rf"^[a-z0-9_][a-z0-9._%+'-]*@{_DOMAIN}$"
_GOOGLE: Final = ("@gmail.com", "@googlemail.com")
_NEVER = r"\s@<>()\[\],;:|\\\x22\x00-\x1f\x7f"
_POSSIBLE = rf"^[^.{_NEVER}][^{_NEVER}]*@[^{_NEVER}]+\.[^{_NEVER}]+$"
_AROUND = " \t\"'`´‘’“”«»:/\\*"
# Around one address and nothing else, without what has another form; a name in which no address can be
_BEFORE_ONE = " \t\r\n\"'`:/\\*"
_AFTER_ONE = " \t\r\n\"'`/\\*."
_DISPLAY_FORM = r"""^[\p{L}\p{M}\p{N} .'"&()/_-]*<([^<>]*)> *$"""

# Addresses of a function, or of nobody at all: they do not say which person reads them.
_ROLES = (
    "abuse|accounting|accounts|admin|administration|administrator|anfrage|bewerbung|billing|booking|bookings"
    "|buchhaltung|career|careers|commercial|compta|contact|contacto|customercare|customerservice|datenschutz|dev"
    "|do-not-reply|donotreply|einkauf|email|empfang|enquiries|enquiry|events|feedback|finance|frontdesk|general"
    "|hallo|hello|help|helpdesk|hi|hola|hostmaster|hr|info|information|inquiries|inquiry|invoice|invoices|it|jobs"
    "|kontakt|legal|mail|mailbox|marketing|media|na|news|newsletter|nobody|noemail|nomail|none|noreply|no-reply"
    "|office|online|order|orders|partner|partners|payroll|post|postmaster|pr|press|presse|privacy|procurement"
    "|purchasing|reception|recruiting|recruitment|rh|root|sales|security|sekretariat|service|shop|spam|support|team"
    "|tech|test|unknown|unsubscribe|ventas|vertrieb|verwaltung|web|webmaster|welcome|zentrale"
)
_ROLE_MAILBOX = rf"(?i)^(?:{_ROLES})(?:[._-](?:[a-z]{{2}}|emea|apac|latam|team)|\d{{1,3}})?(?:\+[^@]*)?@"


def email_addresses(expr: pl.Expr, *, most: int = MAX_ADDRESSES) -> pl.Expr:
    """The usable e-mail addresses of each cell, in the order in which they are written there.

    Args:
        expr: one column: an address, a display form such as ``Jane Doe <jane@x.com>``, a ``mailto:`` link, or
            several of these with commas, semicolons, white space or line breaks between them.
        most: how many addresses of a cell to look for; at least 1.

    Returns:
        Struct, as long as the input, with the String fields ``address_0`` to ``address_{most - 1}``: lower
        case, nothing invisible, the domain in its ASCII form; plus tag and dots as they were, so that mail
        arrives. Null where a cell has fewer addresses, or where no such address can exist.

    Example:
        >>> cells = pl.DataFrame({"mail": ["Jane <Jane+x@Bücher.example>; j@x.com", "jane doe@x.com", "n/a"]})
        >>> cells.select(email_addresses(pl.col("mail"), most=2)).unnest("mail").to_dict(as_series=False)
        {'address_0': ['jane+x@xn--bcher-kva.example', None, None], 'address_1': ['j@x.com', None, None]}
    """
    names = [f"address_{nth}" for nth in range(most)]
    text = pl.field("text")
    cell = pl.struct(text=expr.cast(pl.String).str.to_lowercase())
    cell = cell.struct.with_fields(addresses=_plain_or(text, names, _dressed, given=text))
    return cell.struct.field("addresses").alias(output_name(expr))


def email_address(expr: pl.Expr) -> pl.Expr:
    """The first usable e-mail address of each cell, as mail can be sent to it.

    Args:
        expr: one column, see ``email_addresses``.

    Returns:
        String, as long as the input, null where there is no usable address.

    Example:
        >>> cells = pl.DataFrame({"mail": ["mailto:Jane.Doe+x@GMail.com?subject=Hi", "jane@localhost"]})
        >>> cells.select(email_address(pl.col("mail"))).to_series().to_list()
        ['jane.doe+x@gmail.com', None]
    """
    names = [f"address_{nth}" for nth in range(MAX_ADDRESSES)]
    first = email_addresses(expr).struct.with_fields(first=pl.coalesce([pl.field(name) for name in names]))
    return first.struct.field("first").alias(output_name(expr))


def email_key(expr: pl.Expr) -> pl.Expr:
    """The mailbox behind the first usable e-mail address of each cell: equal for all its spellings.

    Args:
        expr: one column, see ``email_addresses``.

    Returns:
        String, as long as the input: the address without its plus tag, and for gmail.com and googlemail.com
        without dots, at gmail.com. Null where there is no usable address. The key of a key is the key.

    Example:
        >>> cells = pl.DataFrame({"mail": ["J.Doe+crm@googlemail.com", "J.Doe+crm@X.com", "-"]})
        >>> cells.select(email_key(pl.col("mail"))).to_series().to_list()
        ['jdoe@gmail.com', 'j.doe@x.com', None]
    """
    text = pl.field("text")
    usual = text.str.contains(_PLAIN) & (text.str.len_bytes() <= _LONGEST) & ~_is_alias(text)
    cell = pl.struct(text=expr.cast(pl.String).str.to_lowercase())
    key = where(~usual, text, lambda some: mailbox_of(email_address(some)))
    return cell.struct.with_fields(key=key).struct.field("key").alias(output_name(expr))


def _is_alias(address: pl.Expr) -> pl.Expr:
    """Whether ``mailbox_of`` makes something else of an address."""
    at_google = address.str.ends_with(_GOOGLE[0]) | address.str.ends_with(_GOOGLE[1])
    return address.str.contains("+", literal=True) | at_google


def mailbox_of(address: pl.Expr) -> pl.Expr:
    """The mailbox that an address, as ``email_addresses`` gives it, is delivered to; String."""
    return staged(
        address,
        lambda text: where(text.str.contains("+", literal=True), text, _without_tag),
        lambda text: where(text.str.ends_with(_GOOGLE[0]) | text.str.ends_with(_GOOGLE[1]), text, _at_google),
    )


def is_role_mailbox(expr: pl.Expr) -> pl.Expr:
    """Whether an address is read by whoever does a job (``info@``, ``sales.de@``), not by one person.

    Args:
        expr: one column of addresses, such as ``email_address`` gives.

    Returns:
        Boolean, as long as the input, null where the address is.

    Example:
        >>> cells = pl.DataFrame({"mail": ["info@x.com", "sales-uk@x.com", "ines.fowler@x.com"]})
        >>> cells.select(is_role_mailbox(pl.col("mail"))).to_series().to_list()
        [True, True, False]
    """
    return expr.str.contains(_ROLE_MAILBOX)


def _without_tag(address: pl.Expr) -> pl.Expr:
    """Addresses without plus tag."""
    return address.str.replace(r"^([^@+]+)\+[^@]*@", "${1}@")


def _at_google(address: pl.Expr) -> pl.Expr:
    """Addresses of Google's mail with the first of its two domains and without dots."""
    name = address.str.strip_suffix(_GOOGLE[0]).str.strip_suffix(_GOOGLE[1])
    return name.str.replace_all(".", "", literal=True) + _GOOGLE[0]


def _plain_or(
    bare: pl.Expr, names: list[str], otherwise: Callable[[pl.Expr, list[str]], pl.Expr], *, given: pl.Expr
) -> pl.Expr:
    """A Struct of addresses: ``bare`` where it simply is one, else what ``otherwise`` makes of ``given``."""
    plain = bare.str.contains(_PLAIN) & (bare.str.len_bytes() <= _LONGEST)
    one = pl.struct(bare.alias(names[0]), *(pl.lit(None, pl.String).alias(name) for name in names[1:]))
    dtype = pl.Struct(dict.fromkeys(names, pl.String))
    return where(~plain, one, lambda some: otherwise(some, names), given=given, dtype=dtype)


def _dressed(text: pl.Expr, names: list[str]) -> pl.Expr:
    """The addresses in lower-case cells that are not simply one address: most often one all the same."""
    cell = pl.struct(text=text).struct.with_fields(bare=_undressed(pl.field("text")))
    addresses = _plain_or(pl.field("bare"), names, _written, given=pl.field("text"))
    return cell.struct.with_fields(addresses=addresses).struct.field("addresses")


def _undressed(text: pl.Expr) -> pl.Expr:
    """The one address of lower-case cells that hold no other, out of its display form or link."""
    return staged(
        where(text.str.contains("<", literal=True), text, lambda some: some.str.replace(_DISPLAY_FORM, "$1")),
        lambda cell: cell.str.strip_chars_start(_BEFORE_ONE).str.strip_prefix("mailto:"),
        lambda cell: cell.str.strip_chars_start(_BEFORE_ONE).str.strip_chars_end(_AFTER_ONE),
    )


def _written(text: pl.Expr, names: list[str]) -> pl.Expr:
    """The distinct addresses in lower-case cells of any form: a Struct of them."""
    parts = staged(
        where(not_ascii(text), text, _compatible),
        # A mailto link has a query behind its address
        lambda cell: cell.str.replace_all("mailto:", "", literal=True),
        lambda cell: cell.str.replace_all(r"(@[^\s<>;,?]*)\?[^\s<>;,]*", "$1"),
        # What stands before <...> is a display name, even where it looks like an address
        lambda cell: cell.str.replace_all(r"[^;,\r\n<>]*<([^<>]*)>", ";$1;"),
        # Behind an address and a space comes the next one or a remark; a space before it is a mistake
        lambda cell: cell.str.replace_all(r"(@[^\s;,|]+)\s+", "$1;"),
        lambda cell: cell.str.replace_all(r"[,|<>()\[\]\r\n\t]", ";"),
    ).str.split(";")
    part = pl.element().str.strip_chars(_AROUND).str.strip_chars_end(_AROUND + ".")
    possible = parts.list.eval(part.filter(part.str.contains(_POSSIBLE))).list.unique(maintain_order=True)
    nth = {name: pl.field("possible").list.get(place, null_on_oob=True) for place, name in enumerate(names)}
    addresses = pl.struct([_deliverable(nth[name]).alias(name) for name in names])
    return pl.struct(possible=possible).struct.with_fields(addresses=addresses).struct.field("addresses")


def _compatible(text: pl.Expr) -> pl.Expr:
    """Text in compatibility form (no full-width letters), nothing invisible, lower case."""
    return text.str.normalize("NFKC").str.replace_all(r"\p{Cf}", "").str.to_lowercase()


def _deliverable(address: pl.Expr) -> pl.Expr:
    """Possible addresses with their domain in ASCII; null where such a domain or address cannot exist."""
    usable = rf"^.+@{_DOMAIN}$"
    return staged(
        address,
        lambda text: where(not_ascii(text.str.replace("^[^@]*@", "")), text, _with_ascii_domain),
        lambda text: pl.when(text.str.contains(usable) & (text.str.len_bytes() <= _LONGEST)).then(text),
    )


def _with_ascii_domain(address: pl.Expr) -> pl.Expr:
    """Addresses with their international domain in its ASCII form; null where it has none."""
    return address.str.replace("@.*$", "@") + each_distinct(address.str.replace("^[^@]*@", ""), _ascii_domain)


def _ascii_domain(domain: str) -> str | None:
    """An international domain in its ASCII form, None if it has none."""
    try:
        return idna.encode(domain, uts46=True).decode("ascii")
    except (idna.IDNAError, UnicodeError):
        return None
