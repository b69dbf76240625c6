"""The error tree: one root, drawn as it is, and able to travel between processes."""

from __future__ import annotations

import inspect
import pickle
import re

import pytest

import buena_pipeline
from buena_pipeline import errors
from buena_pipeline.errors import (
    BuenaError,
    ColumnError,
    InputError,
    MissingExtraError,
    NotAStoreError,
    PermissionDeniedError,
    SettingsError,
    StoreError,
    VendorError,
)

CLASSES = {
    name: kind
    for name, kind in vars(errors).items()
    if inspect.isclass(kind) and kind.__module__ == errors.__name__
}


def drawn_parents() -> dict[str, str | None]:
    """Each class of the drawing in the module's docstring, with the class it hangs from."""
    parents: dict[str, str | None] = {}
    path: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        entry = re.match(r"^ {4}(?P<branches>[│├└─ ]*)(?P<name>[A-Z]\w+)", line)
        if entry is None:
            continue
        depth = len(entry["branches"])
        while path and path[-1][0] >= depth:
            path.pop()
        parents[entry["name"]] = path[-1][1] if path else None
        path.append((depth, entry["name"]))
    return parents


def test_the_drawing_is_the_real_tree() -> None:
    """The docstring draws every class once, below the class it really inherits from."""
    real = {
        name: next((base.__name__ for base in kind.__bases__ if base.__module__ == errors.__name__), None)
        for name, kind in CLASSES.items()
    }
    assert drawn_parents() == real


def test_one_except_is_enough() -> None:
    """Everything the module defines is a BuenaError, and that one is exported from the package."""
    assert all(issubclass(kind, BuenaError) for kind in CLASSES.values())
    assert "BuenaError" in buena_pipeline.__all__
    assert buena_pipeline.BuenaError is BuenaError


@pytest.mark.parametrize("kind", CLASSES.values(), ids=CLASSES)
def test_every_error_says_what_it_is_for(kind: type[BuenaError]) -> None:
    """Each class has a docstring of its own and a name that ends in Error."""
    assert "__doc__" in vars(kind)
    assert kind.__doc__
    assert kind.__name__.endswith("Error")


def test_errors_of_input_and_settings_are_value_errors() -> None:
    """Callers that know only the built-in errors catch bad input, bad settings and missing packages too."""
    assert issubclass(InputError, ValueError)
    assert issubclass(SettingsError, ValueError)
    assert issubclass(MissingExtraError, ImportError)
    assert not issubclass(VendorError, ValueError)


def test_missing_extra_names_the_command() -> None:
    """The message says what is missing and the exact command that brings it."""
    error = MissingExtraError.for_extra("The sandbox", "sandbox")
    assert type(error) is MissingExtraError
    assert str(error) == (
        'The sandbox needs packages that are not installed: pip install "buena-pipeline[sandbox]"'
    )


@pytest.mark.parametrize(
    ("error", "about"),
    [
        (ColumnError("two", columns=("a", "b")), {"columns": ("a", "b")}),
        (ColumnError("none"), {"columns": ()}),
        (
            PermissionDeniedError("no", required="leads:enrich", available=("leads:read",)),
            {"required": "leads:enrich", "available": ("leads:read",)},
        ),
        (StoreError("held", path="leads.duckdb"), {"path": "leads.duckdb"}),
        (NotAStoreError("foreign"), {"path": ""}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_errors_carry_what_they_are_about(error: BuenaError, about: dict[str, object]) -> None:
    """The facts of an error are attributes, beside the message."""
    assert {name: getattr(error, name) for name in about} == about
    assert str(error) == error.args[0]


@pytest.mark.parametrize(
    "error",
    [
        BuenaError("any"),
        ColumnError("two", columns=("a",)),
        MissingExtraError.for_extra("The sandbox", "sandbox"),
        NotAStoreError("foreign", path="leads.duckdb"),
        PermissionDeniedError("no", required="leads:enrich", available=("leads:read",)),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_travel_between_processes(error: BuenaError) -> None:
    """A worker process can hand an error back: it survives pickling with its message and its facts."""
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is type(error)
    assert (str(back), vars(back)) == (str(error), vars(error))
