"""Write the program's own help into reference/command-line.md; run it after a change of options.

    python docs/update_command_line.py

A test compares the page with what the program says.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parent / "reference" / "command-line.md"
LISTING = re.compile(r"(?<=```text\n)\$ (sunspring[^\n]*--help)\n.*?(?=```)", re.DOTALL)


def with_help(page: str) -> str:
    """Replace each listing `$ sunspring … --help` of a page by what the program prints."""
    return LISTING.sub(lambda match: f"$ {match[1]}\n{_output(match[1])}", page)


def _output(command: str) -> str:
    environment = {**os.environ, "COLUMNS": "90"}
    program = Path(sys.executable).with_name("sunspring")
    ran = subprocess.run(
        [program, *command.split()[1:]],
        env=environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    ran.check_returncode()
    return ran.stdout


if __name__ == "__main__":
    PAGE.write_text(with_help(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
