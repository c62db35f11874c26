"""Run the command line by `python -m sunspring`."""

from sunspring.cli import main

main()
