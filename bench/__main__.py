"""``python -m bench``: measures everything, writes the results and the chart, and prints how far it has come.

It ends with 1 if something broke, or if the library charged anybody another number of times than once; never
because something was slow.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Final

from bench.cases import CASES
from bench.figures import Results
from bench.machine import describe
from bench.measuring import PieceError
from bench.session import Session
from bench.sizes import FULL, QUICK, Sizes

HERE: Final = Path(__file__).parent


def main() -> int:
    """Reads the command line, and measures; 0 if all is sound."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="little of everything")
    parser.add_argument(
        "--only", nargs="+", choices=CASES, default=list(CASES), help="some cases; writes nothing"
    )
    parser.add_argument("--largest", type=int, help="rows of the largest tables, instead of ten million")
    parser.add_argument("--folder", type=Path, help="keep the inputs here for the next time")
    asked = parser.parse_args()
    if asked.folder:
        asked.folder.mkdir(parents=True, exist_ok=True)
    sizes = QUICK if asked.quick else FULL
    if asked.largest:
        sizes = sizes.up_to(asked.largest)
    if (room := shutil.disk_usage(asked.folder or tempfile.gettempdir()).free) < sizes.room:
        parser.error(
            f"the inputs need {sizes.room / 1e9:.0f} GB of disk, and there are {room / 1e9:.1f} GB left: set "
            "TMPDIR to a larger disk, or ask for smaller tables with --largest 1000000"
        )
    if asked.folder:
        results = measure(sizes, asked.only, asked.folder)
    else:
        with tempfile.TemporaryDirectory(prefix="buena-bench-") as folder:
            results = measure(sizes, asked.only, Path(folder))
    whole = len(asked.only) == len(CASES) and not asked.largest
    target = HERE / (f"results{'-quick' if asked.quick else ''}.json" if whole else "results-part.json")
    target.write_text(json.dumps(asdict(results), indent=1), encoding="utf-8")
    # in another process: altair and polars would only have made every measured process look larger
    told = subprocess.run([sys.executable, "-m", "bench.report", str(target)], check=False, cwd=HERE.parent)
    return 0 if results.sound and told.returncode == 0 else 1


def measure(sizes: Sizes, names: list[str], folder: Path) -> Results:
    """Measures some cases, with their inputs in a folder."""
    results = Results(describe(), sizes.name)
    session = Session(folder, sizes, results)
    began = time.monotonic()
    for name in names:
        try:
            results.figures += CASES[name](session)
        except PieceError as error:
            session.say(f"{name} broke: {error}")
            results.failures.append(f"{name}: {str(error).strip().splitlines()[-1]}")
    results.seconds = time.monotonic() - began
    return results


if __name__ == "__main__":
    sys.exit(main())
