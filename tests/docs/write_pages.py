"""Writes the generated parts of docs/: run `python tests/docs/write_pages.py` after changes of options, keys or parity
rows, of the interface to plugins.

With `--release`, as part of a release, it records the public names: from then on the changelog has to name each change.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from support.docs import api_page, conformance_page, control_man_page, man_page, options_page, settings_page
from support.parity import parity_page
from support.parity.rules import all_rows


def main() -> None:
    for page in (conformance_page, man_page, options_page, settings_page):
        page.PAGE.write_text(page.generated(page.PAGE.read_text()))
    control_man_page.PAGE.write_text(control_man_page.page())
    api_page.PAGE.write_text(api_page.page())
    parity_page.PAGE.write_text(parity_page.page(all_rows()))
    if "--release" in sys.argv:
        api_page.record()


if __name__ == "__main__":
    main()
