"""The documentation keeps its word: its code runs, its links lead somewhere, its tables are complete."""

from __future__ import annotations

import ast
import contextlib
import doctest
import inspect
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import buena_pipeline
from buena_pipeline import EnrichmentOptions, RateLimits, Sandbox, errors
from buena_pipeline.schema import BLOCKS, STATUSES
from buena_pipeline.store import encryption
from docs_build import site
from docs_build.command_line import command_line_page

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))
FENCE = re.compile(r"^( *)(`{3,})([^\n`]*)\n(.*?)^\1\2[ ]*$", flags=re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """Code of a page, with the output that stands below it, if any."""

    language: str
    code: str
    output: str | None
    line: int


def read(page: str) -> str:
    """The text of a page."""
    return (DOCS / page).read_text(encoding="utf-8")


def blocks(page: str) -> list[Block]:
    """The code of a page, in order. A block of text right below code is what the code prints."""
    text, found, end = read(page), list[Block](), 0
    for fence in FENCE.finditer(text):
        language, code = fence[3].strip().split(" ")[0], inspect.cleandoc("\n" + fence[4])
        line = text.count("\n", 0, fence.start()) + 1
        if language == "text" and found and not text[end : fence.start()].strip():
            found[-1] = Block(found[-1].language, found[-1].code, code, found[-1].line)
        else:
            found.append(Block(language, code, None, line))
        end = fence.end()
    return found


def is_run(block: Block) -> bool:
    """Whether the tests run a block: all Python, and what calls the command line and comes to an end."""
    shell = block.language == "sh" and re.search(r"^buena-pipeline (?!sandbox)", block.code, re.MULTILINE)
    return block.language == "python" or bool(shell)


EXAMPLES = [block.code for block in blocks("command-line.md") if is_run(block)]
PAGES_WITH_CODE = [
    page for page in PAGES if page != "command-line.md" and any(is_run(block) for block in blocks(page))
]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """A folder with tables of leads to work in, and a sandbox as the API."""
    shutil.copy(ROOT / "examples" / "leads.csv", tmp_path / "leads.csv")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(encryption, "_LOAD_CRYPTO", "set force_mbedtls_unsafe = true")
    for name in ("FORCE_COLOR", "NO_COLOR", "BUENA_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    leads = pl.read_csv("leads.csv")
    leads.with_columns(Country=pl.lit("Germany")).write_parquet("leads.parquet")
    leads.head(3).select("Work Email").write_csv("objections.csv")
    (tmp_path / "model.toml").write_text("cap = 30\n", encoding="utf-8")
    with Sandbox() as vendor:
        monkeypatch.setenv("BUENA_API_KEY", vendor.api_key)
        monkeypatch.setenv("BUENA_BASE_URL", vendor.url)
        yield vendor


@pytest.mark.parametrize("page", PAGES_WITH_CODE)
def test_the_code_of_the_page_runs(desk: Sandbox, page: str) -> None:
    """Block after block, in one session; what stands below a block is what it prints."""
    if page == "sql.md":  # which is about a store that is there
        buena_pipeline.enrich_frame(pl.read_csv("leads.csv"))
    names: dict[str, Any] = {"__name__": "docs"}
    for block in blocks(page):
        if not is_run(block):
            continue
        run = run_python if block.language == "python" else run_shell
        printed = run(block, page, names)
        if block.output is not None:
            assert_prints(block, printed, page)


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_examples_of_the_commands_run(desk: Sandbox, example: str) -> None:
    """Each for itself, in a folder where somebody has enriched a table before."""
    enriched = buena_pipeline.enrich_frame(pl.read_csv("leads.csv").head(20))
    enriched.write_parquet("enriched.parquet")
    run_shell(Block("sh", example, None, 1), "command-line.md", {})


def run_python(block: Block, page: str, names: dict[str, Any]) -> str:
    """What a block of Python prints, with warnings as errors."""
    printed = io.StringIO()
    source = "\n" * block.line + block.code  # so that a traceback names the line of the page
    with warnings.catch_warnings(), contextlib.redirect_stdout(printed):
        warnings.simplefilter("error")
        exec(compile(source, f"docs/{page}", "exec"), names)
    return printed.getvalue()


def run_shell(block: Block, page: str, names: dict[str, Any]) -> str:
    """What the commands of a block print; an exit code of 5 says that some people were deferred."""
    ran = subprocess.run(
        ["bash", "-uo", "pipefail", "-c", block.code], capture_output=True, text=True, check=False
    )
    assert ran.returncode in {0, 5}, f"docs/{page}, line {block.line}: {ran.stderr}"
    assert "error:" not in ran.stderr
    return ran.stdout


def assert_prints(block: Block, printed: str, page: str) -> None:
    """Three dots stand for anything, and white space counts as little as in the doctests of the library."""
    wanted = block.output or ""
    same = doctest.OutputChecker().check_output(
        wanted, printed, doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    )
    assert same, f"docs/{page}, line {block.line} prints\n{printed}\nand not\n{wanted}"


def test_much_of_the_documentation_is_code_that_runs() -> None:
    """A change of the fences must not make the tests above run nothing."""
    assert len(PAGES_WITH_CODE) >= 10
    assert sum(is_run(block) for page in PAGES for block in blocks(page)) >= 40


# --- links and navigation --------------------------------------------------------------------------------


def navigation() -> list[str]:
    """The pages in the order of the navigation."""
    config = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))

    def pages(entries: list[dict[str, Any]]) -> Iterator[str]:
        for entry in entries:
            for target in entry.values():
                yield from pages(target) if isinstance(target, list) else [target]

    return list(pages(config["project"]["nav"]))


def test_every_page_is_in_the_navigation_once() -> None:
    """And none is there that is not a page, but for one that is to come."""
    listed = navigation()
    assert len(listed) == len(set(listed))
    assert set(listed) == set(PAGES)


def anchors(page: str) -> set[str]:
    """The headings of a page as links name them, and ids that are given by hand."""
    text = FENCE.sub("", read(page))
    named = set(re.findall(r"\{ *#([\w-]+)", text)) | set(re.findall(r'id="([\w-]+)"', text))
    headings = re.findall(r"^#+ (.+?)(?: *\{.*\})?$", text, flags=re.MULTILINE)
    slugs = {re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", title).strip().lower()) for title in headings}
    references = set(re.findall(r"^::: ([\w.]+)", text, flags=re.MULTILINE))
    return named | slugs | references


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_pages_and_headings(page: str) -> None:
    """Relative links only; the web is not asked. The strict build checks them, too, where it is installed."""
    text = FENCE.sub("", read(page))
    for target in re.findall(r"\]\((?!https?://)([^)\s]+)", text):
        place, _, anchor = target.partition("#")
        there = ((DOCS / page).parent / place).resolve() if place else DOCS / page
        name = there.relative_to(DOCS).as_posix() if there.is_relative_to(DOCS) else ""
        assert name, f"docs/{page}: {target} leads out of the documentation"
        assert there.exists(), f"docs/{page} links to {target}, which is not there"
        if anchor and not anchor.startswith("buena_pipeline"):
            assert anchor in anchors(name), f"docs/{page} links to {target}, but has no such heading"


# --- what must be complete -------------------------------------------------------------------------------


def test_the_reference_has_every_public_name() -> None:
    """Those of the package; everything else is reached from them."""
    listed = re.findall(r"^::: buena_pipeline\.(\w+)", read("api.md"), flags=re.MULTILINE)
    assert sorted(listed) == sorted([*buena_pipeline.__all__, "polars_namespace"])


def test_the_page_of_the_command_line_is_what_the_commands_say() -> None:
    """``make docs`` writes it."""
    assert read("command-line.md") == command_line_page(), "run: make docs"


def error_classes() -> dict[str, type[errors.BuenaError]]:
    """The whole tree."""
    found = inspect.getmembers(errors, inspect.isclass)
    return {name: thing for name, thing in found if issubclass(thing, errors.BuenaError)}


def test_every_error_has_its_place_on_the_page_of_errors() -> None:
    """With a heading of its own, below the class it is a kind of, and what to do."""
    sections = dict(
        re.findall(r"^#{3,} (\w+)\n(.*?)(?=^#+ |\Z)", read("errors.md"), re.MULTILINE | re.DOTALL)
    )
    assert set(error_classes()) <= set(sections)
    for name in error_classes():
        assert "**Cure" in sections[name] or name == "BuenaError", f"{name} says no cure"


def spoken() -> str:
    """All texts in the code of the library, one a line; whatever is put into them is ``{}``."""
    texts = []
    for path in (ROOT / "buena_pipeline").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = [part.value if isinstance(part, ast.Constant) else "{}" for part in node.values]
                texts.append("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(node.value)
    return "\n".join(texts)


def test_every_sentence_quoted_as_a_message_is_in_the_code() -> None:
    """Quoted are lines that begin with a bar, and the reasons in tables; dots stand for what is put in."""
    page = read("errors.md").replace("\\[", "[")
    quoted = re.findall(r"^> (.+)$", page, flags=re.MULTILINE)
    reasons = re.findall(r"^\| `([^`]+)` \|", page, flags=re.MULTILINE)
    said = spoken()
    assert len(quoted) >= 30
    assert len(reasons) >= 18
    parts = [part.strip() for text in [*quoted, *reasons] for part in text.split("...")]

    def is_said(part: str) -> bool:
        """In one piece, or put together of two."""
        words = part.split(" ")
        cuts = ((words[:place], words[place:]) for place in range(3, len(words) - 2))
        return part in said or any(
            " ".join(left).rstrip(".") in said and " ".join(right).rstrip(".") in said for left, right in cuts
        )

    assert not [part for part in parts if not is_said(part)]


def test_every_status_is_on_the_page_of_errors() -> None:
    """In the order of the dtype."""
    listed = re.findall(r"^### `(\w+)`$", read("errors.md"), flags=re.MULTILINE)
    assert listed == list(STATUSES)


def test_the_tables_of_settings_are_complete() -> None:
    """Every variable that the code reads, every argument of a run, with its default."""
    page = read("settings.md")
    variables = set(re.findall(r"^BUENA_\w+$", spoken(), flags=re.MULTILINE))
    assert variables == set(re.findall(r"^\| `(BUENA_\w+)` \|", page, flags=re.MULTILINE))
    rows = dict(re.findall(r"^\| `([a-z_]+)` \| (.+?) \|", page, flags=re.MULTILINE))
    parameters = inspect.signature(buena_pipeline.enrich_frame).parameters
    assert set(parameters) - {"frame"} <= set(rows)
    assert "90 days" in rows["max_age"]
    for made in (EnrichmentOptions(), RateLimits()):
        for name in made.__dataclass_fields__:
            assert rows[name].strip("`").replace(",", "") == str(getattr(made, name))
    assert set(BLOCKS) <= set(rows)


# --- the built site --------------------------------------------------------------------------------------


def test_the_site_is_built_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    """Strictly: a warning fails. What pages load is in the site itself, so it is read without a network."""
    for name in ("docs", "docs_build"):
        shutil.copytree(ROOT / name, tmp_path / name)
    for name in ("zensical.toml", "CHANGELOG.md"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "buena_pipeline").symlink_to(ROOT / "buena_pipeline")
    built = site.build(tmp_path)
    made = {path.relative_to(built).with_suffix(".md").as_posix() for path in built.rglob("*.html")}
    assert made >= set(PAGES)
    assert not site.loaded_from_elsewhere(built)
    assert json.loads((built / "search.json").read_text(encoding="utf-8"))


def test_what_is_loaded_from_elsewhere_is_found(tmp_path: Path) -> None:
    """The check above can fail."""
    page = tmp_path / "index.html"
    page.write_text('<a href="https://a.example"></a><script src="https://b.example/x.js"></script>')
    (tmp_path / "x.css").write_text("@import url(//c.example/y.css);")
    assert site.loaded_from_elsewhere(tmp_path) == [
        "index.html: https://b.example/x.js",
        "x.css: //c.example/y.css",
    ]
