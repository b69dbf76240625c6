"""The site: built strictly, and checked to load nothing from elsewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent.parent

_LOADS: Final = re.compile(
    r"<(?:script|img|iframe|source|embed)\b[^>]*?\ssrc=[\"']?((?:https?:)?//[^\s\"'>]+)"
    r"|<link\b(?=[^>]*\srel=[\"']?(?:stylesheet|preload|preconnect|icon|modulepreload))[^>]*?\shref=[\"']?"
    r"((?:https?:)?//[^\s\"'>]+)"
    r"|(?:url\(|@import\s+)[\"']?((?:https?:)?//[^\s\"')]+)"
)


def build(root: Path = ROOT) -> Path:
    """Builds the site, with warnings as errors.

    Args:
        root: the folder with configuration, pages and package.

    Returns:
        The folder with the site.

    Raises:
        RuntimeError: if there was anything to warn of; says what.
    """
    ran = subprocess.run(
        [sys.executable, "-m", "zensical", "build", "--strict", "--clean"],
        capture_output=True,
        text=True,
        check=False,
        cwd=root,
    )
    if ran.returncode:
        raise RuntimeError(f"The documentation cannot be built:\n{_warnings(ran.stdout + ran.stderr)}")
    return root / "site"


def _warnings(told: str) -> str:
    """What there is to warn of and where, a line each, without the drawings around it."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", told)
    found = re.findall(r"^Warning: (.*)\n(?:.*\[ (\S+) \])?", plain, flags=re.MULTILINE)
    return "\n".join(f"{where or 'somewhere'}: {what}" for what, where in found) or plain


def loaded_from_elsewhere(site: Path) -> list[str]:
    """What a browser would load over the network to show the pages.

    Args:
        site: a built site.

    Returns:
        Page and address of each, ordered by page. Links that a reader may follow are none of them.
    """
    return [
        f"{path.relative_to(site)}: {next(filter(None, loaded))}"
        for path in sorted([*site.rglob("*.html"), *site.rglob("*.css")])
        for loaded in _LOADS.findall(path.read_text(encoding="utf-8"))
    ]
