"""Run the command line by `python -m sunspring`."""

from sunspring.cli.main import main

main()
