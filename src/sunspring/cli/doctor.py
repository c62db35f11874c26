"""The command that examines this machine."""

from __future__ import annotations

from sunspring.cli import printing
from sunspring.cli.common import JsonOption
from sunspring.cli.console import print_json


def doctor(options: JsonOption) -> None:
    """Show what this machine can do.

    Its processor, speeds and versions, and what train would choose here.
    """
    from sunspring.reports.doctor import examine

    report = examine()
    if options.as_json:
        print_json(report)
    else:
        print(printing.describe_machine(report))
