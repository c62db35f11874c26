"""Run the command line with `python -m sunspring`."""

from sunspring.cli.main import main

main()
