"""Run the two commands of the README, and save what a terminal shows as docs/terminal.svg.

python docs/record_terminal.py [SOURCES…] [--minutes 3]
"""

import argparse
import io
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

_PICTURE = Path(__file__).parent / "terminal.svg"
_SHOWN = 14  # lines shown of the beginning of a long output, and of its end


def run(console: Console, arguments: list[str], out: str, shown: str) -> None:
    """Run a Sunspring command, and record its output under the command that a user would type."""
    console.print(Text("$ ", style="bold green") + Text(shown, style="bold"))
    command = [sys.executable, "-m", "sunspring", *arguments]
    done = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    lines = done.stdout.replace(out, "romeo").rstrip("\n").splitlines()
    if len(lines) > 2 * _SHOWN:
        lines = [*lines[:_SHOWN], "  …", *lines[-_SHOWN:]]
    for line in lines:
        is_sample = line.startswith("  ") and "%" not in line[:6]
        console.print(Text(line, style="dim" if is_sample else ""))
    console.print()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sources", nargs="*")
    parser.add_argument("--minutes", default="3")
    arguments = parser.parse_args()
    console = Console(record=True, width=106, file=io.StringIO())
    with tempfile.TemporaryDirectory() as folder:
        out = str(Path(folder) / "run")
        names = [Path(source).name for source in arguments.sources]
        run(
            console,
            ["train", *arguments.sources, "--minutes", arguments.minutes, "--out", out],
            out,
            " ".join(["sunspring train", *names, "--out romeo"]),
        )
        run(
            console,
            ["write", out, "--prompt", "ROMEO:", "--length", "400", "--seed", "1"],
            out,
            'sunspring write romeo --prompt "ROMEO:" --length 400 --seed 1',
        )
    svg = console.export_svg(title="sunspring")
    # The picture must not load a font from the web.
    head, _, rest = svg.partition("@font-face")
    while rest:
        rest = rest.partition("}")[2]
        more, _, rest = rest.partition("@font-face")
        head += more
    _PICTURE.write_text(head, encoding="utf-8")


if __name__ == "__main__":
    main()
