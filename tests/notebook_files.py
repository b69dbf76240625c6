"""The notebooks as git has them: no outputs, no counts, nothing of the machine they were run on.

``python -m tests.notebook_files`` makes them so.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import nbformat

from tests.loopback import ROOT

FOLDER: Final = ROOT / "notebooks"

_METADATA: Final = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def notebooks() -> list[Path]:
    """The files, in order."""
    return sorted(FOLDER.glob("*.ipynb"))


def cleaned(text: str) -> str:
    """A notebook's file without what running it leaves there.

    Args:
        text: of the file.
    """
    notebook = nbformat.reads(text, as_version=4)
    notebook.metadata = nbformat.from_dict(_METADATA)
    notebook.nbformat_minor = 5
    for number, cell in enumerate(notebook.cells, start=1):
        cell.id = f"cell-{number:02}"
        cell.metadata = nbformat.from_dict({})
        cell.source = cell.source.strip()
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    nbformat.validate(notebook)
    written: str = nbformat.writes(notebook)
    return written.rstrip("\n") + "\n"


def main() -> None:
    """Cleans all of them."""
    for path in notebooks():
        path.write_text(cleaned(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
