"""Docstrings on their way into the reference: what they mean to a reader, in the form the parser knows."""

from __future__ import annotations

import re
from typing import Any, Final

import griffe

_EXAMPLE: Final = re.compile(r"^([ \t]*)Example:[ \t]*$", flags=re.MULTILINE)

_RETURNS: Final = re.compile(r"^((?:Returns|Yields):\n[ \t]+)(?=\S)", flags=re.MULTILINE)


class PlainSections(griffe.Extension):
    """Examples are code, and what stands before a colon in "Returns" is part of the sentence."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Called with every object, before anybody has parsed its docstring.

        Args:
            obj: a module, class, function or attribute.
        """
        if obj.docstring is None:
            return
        text = _EXAMPLE.sub(r"\1Examples:", obj.docstring.value)
        returns = getattr(obj, "returns", None)
        if returns is not None:
            # the parser takes what stands before the first colon for the type
            text = _RETURNS.sub(lambda begin: f"{begin[1]}{returns}: ", text)
        obj.docstring.value = text
