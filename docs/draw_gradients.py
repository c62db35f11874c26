"""Save the first chart of a page made by `sunspring explain --gradients` as docs/gradients.svg.

python docs/draw_gradients.py page.html
"""

import re
import sys
from pathlib import Path

_PICTURE = Path(__file__).parent / "gradients.svg"
_GROUND = '<rect width="640" height="300" fill="var(--paper)"/>'


def picture(page: str) -> str:
    """Return the first chart of a page as a complete SVG file, with the page's style in it."""
    style, chart = page.partition("<style>")[2].partition("</style>")[0], page[page.index("<svg") :]
    head, _, body = chart[: chart.index("</svg>")].partition(">")
    size = ' xmlns="http://www.w3.org/2000/svg" width="640" height="300" font-family="sans-serif"'
    without_points = re.sub(r"<circle.*?</circle>", "", body)  # an image has no tooltips
    return f"{head}{size}><style>{style}</style>{_GROUND}{without_points}</svg>\n"


if __name__ == "__main__":
    page = Path(sys.argv[1]).read_text(encoding="utf-8")
    _PICTURE.write_text(picture(page), encoding="utf-8")
