"""What the command line looks like: help on one screen, completion, nothing but text where nobody looks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from buena_pipeline import Sandbox
from buena_pipeline.cli.app import app

ROOT = Path(__file__).parents[1]
COMMANDS = [command.callback.__name__ for command in app.registered_commands if command.callback]
LINES, COLUMNS = 40, 80


def shell(*args: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Runs the command line in a process of its own, without a terminal."""
    own = ("COLUMNS", "FORCE_COLOR", "NO_COLOR", "TERM")
    surroundings = {name: text for name, text in os.environ.items() if name not in own}
    return subprocess.run(
        [sys.executable, "-m", "buena_pipeline.cli", *args],
        env={**surroundings, "PYTHONPATH": str(ROOT), **env},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_help_fits_one_screen_and_shows_an_example(name: str) -> None:
    """Of 80 columns and 40 lines; each example begins with the command that is typed."""
    done = shell(*([name] if name else []), "--help", COLUMNS=str(COLUMNS))
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert len(lines) <= LINES
    assert max(map(len, lines)) <= COLUMNS
    assert lines[lines.index("  Example:") + 1].strip().startswith(f"buena-pipeline {name}".strip())
    assert "\x1b" not in done.stdout


@pytest.mark.parametrize("how", ["bash", "zsh", "fish"])
def test_completion(how: str) -> None:
    """The script that a shell reads, and the words that it then asks for: commands, options, values."""
    source = shell(_BUENA_PIPELINE_COMPLETE=f"source_{how}")
    assert source.returncode == 0
    assert f"_BUENA_PIPELINE_COMPLETE=complete_{how}" in source.stdout

    def words(line: str) -> str:
        typed = line.split(" ")
        asked = shell(
            _BUENA_PIPELINE_COMPLETE=f"complete_{how}",
            COMP_WORDS=line,
            COMP_CWORD=str(len(typed) - 1),
            _TYPER_COMPLETE_ARGS=line,
            _TYPER_COMPLETE_FISH_ACTION="get-args",
        )
        assert asked.stderr == ""
        return asked.stdout

    assert "enrich" in words("buena-pipeline en")
    assert "plan" not in words("buena-pipeline en")
    assert "--max-credits" in words("buena-pipeline enrich --max-c")
    assert "parquet" in words("buena-pipeline sql --format ")


def test_bash_completes_by_that_script(tmp_path: Path) -> None:
    """As a shell does it that has sourced it."""
    script = tmp_path / "complete.sh"
    script.write_text(shell(_BUENA_PIPELINE_COMPLETE="source_bash").stdout)
    command = tmp_path / "buena-pipeline"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m buena_pipeline.cli "$@"\n')
    command.chmod(0o755)
    ask = f"""
source {script}
COMP_WORDS=({command} ret) COMP_CWORD=1
_buena_pipeline_completion {command} ret {command}
echo "${{COMPREPLY[@]}}"
"""
    done = subprocess.run(
        ["bash", "-c", ask],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.split() == ["retention"]


def test_the_script_is_shown_and_installed_on_request(tmp_path: Path) -> None:
    """Into the home folder of whoever asks."""
    shown = shell("--show-completion", "bash", _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    assert "complete -o default -F _buena_pipeline_completion buena-pipeline" in shown.stdout
    done = shell(
        "--install-completion",
        "bash",
        _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1",
        HOME=str(tmp_path),
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / ".bash_completions" / "buena-pipeline.sh").is_file()


@pytest.mark.parametrize("env", [{}, {"NO_COLOR": "1"}, {"TERM": "xterm-256color"}, {"TERM": "dumb"}])
def test_without_a_terminal_there_is_text_only(tmp_path: Path, env: dict[str, str]) -> None:
    """No escape codes, no bar, no carriage returns: in files, pipes and the logs of a job."""
    leads, store, out = (str(tmp_path / name) for name in ("leads.csv", "buena.duckdb", "out.csv"))
    Path(leads).write_text("Email\n" + "".join(f"person{n}@acme.example\n" for n in range(120)))
    with Sandbox(limits=None) as sandbox:
        env = {**env, "BUENA_BASE_URL": sandbox.url, "BUENA_API_KEY": sandbox.api_key, "BUENA_STORE": store}
        for args in (
            ["enrich", leads, "-o", out, "--score"],
            ["plan", leads],
            ["ledger"],
            ["sql", "from coverage"],
            ["doctor"],
            ["enrich", "missing.csv", "-o", out],
            ["enrich", "--max-credit", "5"],
        ):
            done = shell(*args, **env)
            for text in (done.stdout, done.stderr):
                assert not set(text) & {"\x1b", "\r", "━", "\b"}, text
            if args == ["enrich", leads, "-o", out, "--score"]:
                assert "120 of 120 people (100%)" in done.stderr
                assert done.stdout == ""
