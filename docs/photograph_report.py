"""Photograph the top of a report, light and dark, as docs/report-light.png and report-dark.png.

python docs/photograph_report.py report.html
"""

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

_FOLDER = Path(__file__).parent
_WIDTH, _HEIGHT = 960, 1060


def main(page: Path) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        for scheme in ("light", "dark"):
            tab = browser.new_page(
                viewport={"width": _WIDTH, "height": _HEIGHT}, color_scheme=scheme
            )
            tab.goto(page.resolve().as_uri())
            tab.screenshot(path=_FOLDER / f"report-{scheme}.png")
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
