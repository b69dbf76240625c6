"""Settings: arguments before environment before defaults, and messages that say what to do."""

from __future__ import annotations

import itertools
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import pytest

from buena_pipeline.errors import SettingsError
from buena_pipeline.schema import BLOCKS
from buena_pipeline.settings import (
    PRODUCTION_URL,
    EnrichmentOptions,
    RateLimits,
    resolve_api_key,
    resolve_base_url,
    resolve_store_path,
)

KEY = "bna_" + "0123456789abcdef" * 4

# --- options ---------------------------------------------------------------------------------------------


def test_options_default_to_the_vendors_flags() -> None:
    """Without arguments everything but the social profiles is bought, as the vendor documents it."""
    assert EnrichmentOptions() == EnrichmentOptions(personal=True, company=True, social=False, contact=True)
    assert EnrichmentOptions().blocks == ("personal", "company", "contact")


@pytest.mark.parametrize(
    "flags", [flags for flags in itertools.product([True, False], repeat=4) if any(flags)]
)
def test_options_and_blocks_say_the_same(flags: tuple[bool, ...]) -> None:
    """Flags become blocks in the order of the schema, and blocks in any order become the same flags."""
    options = EnrichmentOptions(**dict(zip(BLOCKS, flags, strict=True)))
    assert options.blocks == tuple(itertools.compress(BLOCKS, flags))
    assert EnrichmentOptions.of(reversed(options.blocks)) == options


def test_options_of_one_name() -> None:
    """A single block may be given as a plain string."""
    assert EnrichmentOptions.of("social").blocks == ("social",)


def test_options_are_frozen() -> None:
    """Nobody changes what is bought after the plan is made."""
    with pytest.raises(FrozenInstanceError):
        EnrichmentOptions().social = True  # type: ignore[misc]


@pytest.mark.parametrize("value", [1, 0, "yes", None])
def test_options_take_booleans_only(value: Any) -> None:
    """Anything but True and False is refused, because a truthy "no" would cost money."""
    with pytest.raises(SettingsError, match=r"^EnrichmentOptions\(social=\.\.\.\) takes True or False\.$"):
        EnrichmentOptions(social=value)


def test_options_that_buy_nothing() -> None:
    """All four flags off is a mistake, and the message lists what could be switched on."""
    with pytest.raises(SettingsError, match=r"nothing to buy.*personal, company, social, contact\.$"):
        EnrichmentOptions(personal=False, company=False, social=False, contact=False)
    with pytest.raises(SettingsError, match="nothing to buy"):
        EnrichmentOptions.of([])


def test_options_of_an_unknown_block() -> None:
    """A name that is no block is refused with the names that are."""
    with pytest.raises(SettingsError) as caught:
        EnrichmentOptions.of(["contact", "phone", "bio"])
    assert str(caught.value) == (
        "No such block: bio, phone. Name some of personal, company, social, contact."
    )


@pytest.mark.parametrize("blocks", [[1], [1, "bio"], None, 5])
def test_options_of_something_that_is_no_name(blocks: Any) -> None:
    """Whatever is given instead of names is a SettingsError, as documented."""
    with pytest.raises(SettingsError):
        EnrichmentOptions.of(blocks)


# --- the key ---------------------------------------------------------------------------------------------


def test_key_from_argument_then_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """An argument wins over BUENA_API_KEY; both lose the white space of a careless copy."""
    monkeypatch.setenv("BUENA_API_KEY", "  from-environment\n")
    assert resolve_api_key(f"\t{KEY} ") == KEY
    assert resolve_api_key(None) == "from-environment"
    assert resolve_api_key("") == "from-environment"


@pytest.mark.parametrize("environment", [None, "", "  \n"])
def test_no_key(environment: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a key the message names the variable, the argument and the way to try it for nothing."""
    if environment is not None:
        monkeypatch.setenv("BUENA_API_KEY", environment)
    with pytest.raises(
        SettingsError,
        match=r"^No API key, .*BUENA_API_KEY.*BuenaClient\(api_key=.*sandbox",
    ):
        resolve_api_key(None)


@pytest.mark.parametrize("key", ["two words", "line\nbreak", "schlüssel", "tab\tbed", "nul\x00", "bell\x07"])
def test_key_that_no_header_carries(key: str) -> None:
    """A key with characters that HTTP cannot carry is refused without being shown."""
    with pytest.raises(SettingsError, match="no HTTP header can carry") as caught:
        resolve_api_key(key)
    assert key not in str(caught.value)


@pytest.mark.parametrize("key", [KEY, "legacy", "sk-live/+=.~"])
def test_key_of_any_form(key: str) -> None:
    """Legacy keys have no form, so none is demanded."""
    assert resolve_api_key(key) == key


# --- the base URL ----------------------------------------------------------------------------------------


def test_base_url_from_argument_then_environment_then_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """Argument, BUENA_BASE_URL, production - and an empty value counts as none."""
    assert resolve_base_url(None) == PRODUCTION_URL
    monkeypatch.setenv("BUENA_BASE_URL", "")
    assert resolve_base_url("") == PRODUCTION_URL
    monkeypatch.setenv("BUENA_BASE_URL", "http://127.0.0.1:8765/api/v2/")
    assert resolve_base_url(None) == "http://127.0.0.1:8765/api/v2"
    assert (
        resolve_base_url(" https://staging-api.buena.ai/api/v2// ") == "https://staging-api.buena.ai/api/v2"
    )


@pytest.mark.parametrize(
    "url", ["api.buena.ai/api/v2", "ftp://api.buena.ai", "https:/api.buena.ai", "//x", "http://"]
)
def test_base_url_that_is_none(url: str) -> None:
    """A URL without http or https is refused, and the message gives the default."""
    with pytest.raises(SettingsError, match=f"https:// or http://.*{PRODUCTION_URL}"):
        resolve_base_url(url)


@pytest.mark.parametrize(
    "url",
    ["http://host:abc", "http://host:99999", "http://[::1", "http://a..b", "http:///api", "http://a\x00b"],
)
def test_base_url_that_no_client_can_use(url: str) -> None:
    """A URL with an impossible host or port is a SettingsError here, not a traceback when buying begins."""
    with pytest.raises(SettingsError, match="base URL"):
        resolve_base_url(url)


@pytest.mark.parametrize("url", ["https://user:hunter2@api.buena.ai", "https://api.buena.ai/?key=hunter2"])
def test_base_url_with_a_secret_in_it(url: str) -> None:
    """The base URL is shown in messages, so one that carries a password or a query is refused unseen."""
    with pytest.raises(SettingsError, match="base URL") as caught:
        resolve_base_url(url)
    assert "hunter2" not in str(caught.value)


def test_key_in_the_place_of_the_base_url() -> None:
    """Swapping the two arguments must not print the key."""
    with pytest.raises(SettingsError, match="base URL") as caught:
        resolve_base_url(KEY)
    assert KEY not in str(caught.value)


def test_base_url_scheme_in_capitals() -> None:
    """The scheme of a URL has no case."""
    assert resolve_base_url("HTTPS://api.buena.ai/api/v2").lower() == PRODUCTION_URL


# --- the store's file ------------------------------------------------------------------------------------


def test_store_path_from_argument_then_environment_then_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Argument, BUENA_STORE, the working directory - and an empty value counts as none."""
    assert resolve_store_path(None) == Path("buena.duckdb")
    monkeypatch.setenv("BUENA_STORE", "")
    assert resolve_store_path("") == Path("buena.duckdb")
    monkeypatch.setenv("BUENA_STORE", str(tmp_path / "team.duckdb"))
    assert resolve_store_path(None) == tmp_path / "team.duckdb"
    assert resolve_store_path(tmp_path / "mine.duckdb") == tmp_path / "mine.duckdb"


def test_store_path_knows_the_home_directory() -> None:
    """A leading ~ is the user's home, also where no shell has replaced it."""
    assert resolve_store_path("~/buena.duckdb") == Path.home() / "buena.duckdb"


# --- the request limits ----------------------------------------------------------------------------------


def test_limits_default_to_the_vendors() -> None:
    """What every key may do, as the contract has it; None lifts one."""
    assert RateLimits() == RateLimits(minute=60, hour=1_000, day=10_000)
    assert RateLimits(day=None).day is None


@pytest.mark.parametrize("name", ["minute", "hour", "day"])
@pytest.mark.parametrize("value", [0, -1, 1.5, True, "60", float("inf")])
def test_limits_are_whole_numbers_from_one_on(name: str, value: Any) -> None:
    """A limit of nothing would wait for ever; the message names the limit and how to lift it."""
    with pytest.raises(SettingsError, match=rf"^RateLimits\({name}=\.\.\.\) takes a whole number .* or None"):
        RateLimits(**{name: value})
