"""``python -m docs_build``: the page of the command line written anew, the site built and checked."""

from __future__ import annotations

import sys

from docs_build import site
from docs_build.command_line import PAGE, command_line_page


def main() -> int:
    """Builds the site; the exit code."""
    PAGE.write_text(command_line_page(), encoding="utf-8")
    try:
        built = site.build()
    except RuntimeError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    if loaded := site.loaded_from_elsewhere(built):
        sys.stderr.write("The site would be loaded from elsewhere:\n" + "\n".join(loaded) + "\n")
        return 1
    sys.stdout.write(f"The documentation is in {built / 'index.html'}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
