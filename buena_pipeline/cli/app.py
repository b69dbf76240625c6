"""The Typer application: which commands there are, and how any of them ends."""

from __future__ import annotations

import os
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Final, TextIO

import typer
from typer.core import TyperGroup

from buena_pipeline import __version__
from buena_pipeline.cli.enriching import demo, enrich, plan, score
from buena_pipeline.cli.exits import EXIT_CODES, INTERRUPTED, OWN_FAULT, USAGE, exit_code
from buena_pipeline.cli.ledger import ledger
from buena_pipeline.cli.privacy import forget, retention, suppress
from buena_pipeline.cli.report import report
from buena_pipeline.cli.runs import end_early
from buena_pipeline.cli.tools import backup, doctor, sandbox, sql
from buena_pipeline.cli.wording import as_on_the_shell
from buena_pipeline.errors import BuenaError
from buena_pipeline.interrupt import Interrupted, Terminated
from buena_pipeline.store import JournalWarning

_EXAMPLES: Final[dict[Callable[..., None], str]] = {
    enrich: "buena-pipeline enrich leads.csv -o out.parquet --max-credits 500 --score",
    plan: "buena-pipeline plan leads.csv --options company --max-age none",
    score: "buena-pipeline score enriched.parquet -o scored.csv --model model.toml",
    demo: "buena-pipeline demo && buena-pipeline ledger --store demo.duckdb",
    sql: "buena-pipeline sql 'from credits_by_day' --format csv",
    ledger: "buena-pipeline ledger --store buena.duckdb",
    report: "buena-pipeline report --store buena.duckdb -o report.html",
    backup: "buena-pipeline backup monday.duckdb",
    forget: "buena-pipeline forget jane@acme.example --yes",
    suppress: "buena-pipeline suppress --from objections.csv",
    retention: "buena-pipeline retention --older-than 365d --yes",
    sandbox: "buena-pipeline sandbox --no-limits --latency 0.2",
    doctor: "buena-pipeline doctor --store buena.duckdb",
}


class _Commands(TyperGroup):
    """Ends a command that fails with one message and an exit code instead of a traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Runs the command that was named."""
        try:
            return super().invoke(ctx)
        except BuenaError as error:
            if ctx.params.get("debug"):
                traceback.print_exc()
            sys.stderr.write(f"error: {as_on_the_shell(str(error))}\n")
            raise typer.Exit(exit_code(error)) from None
        except (Interrupted, Terminated) as stop:
            end_early(stop)
        except KeyboardInterrupt:
            sys.stderr.write("interrupted\n")
            raise typer.Exit(INTERRUPTED) from None


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    epilog="\n".join(
        [
            "\b",
            "Example:",
            "  buena-pipeline demo",
            "",
            "\b",
            "Exit codes:",
            *(f" {code:<3}  {text}" for code, text in EXIT_CODES.items()),
        ]
    ),
)


def run(args: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code; ``cli.main`` says more."""
    try:
        with warnings.catch_warnings():  # puts showwarning back in the end
            warnings.showwarning = _show_warning
            app(args=args, prog_name="buena-pipeline")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    except OSError as error:
        sys.stderr.write(f"error: what was asked for cannot be written: {error.strerror or error}.\n")
        return USAGE
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - a fault of ours, or a panic; what it says may quote a lead
        if os.environ.get("BUENA_DEBUG") or "--debug" in (sys.argv if args is None else args):
            traceback.print_exc()
        sys.stderr.write(
            f"error: buena-pipeline itself failed ({type(error).__name__}). What was bought is in the store. "
            "With --debug before the command it shows where: please report that.\n"
        )
        return OWN_FAULT
    return 0


def _show_warning(  # noqa: PLR0917 - the signature of warnings.showwarning
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Ours as one line, as of an error: where in the library it comes from tells a user nothing."""
    ours = issubclass(category, JournalWarning)
    shown = (
        f"warning: {as_on_the_shell(str(message))}\n"
        if ours
        else warnings.formatwarning(message, category, filename, lineno, line)
    )
    (file or sys.stderr).write(shown)


def _show_version(wanted: bool) -> None:  # noqa: FBT001 - called by position
    if wanted:
        typer.echo(f"buena-pipeline {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
    debug: Annotated[
        bool,
        typer.Option(
            "--debug",
            envvar="BUENA_DEBUG",
            show_envvar=False,
            help="Show where an error comes from; as BUENA_DEBUG=1.",
        ),
    ] = False,
) -> None:
    """Enrich tables of leads: nobody is paid for twice, all rows come back."""


for _command, _example in _EXAMPLES.items():
    app.command(epilog=f"\b\nExample:\n  {_example}")(_command)
