"""Commands as the tests run them: real processes with real signals, streams and exit codes.

They are forked from a server that has imported torch, which alone takes seconds; `fresh` starts an
interpreter of its own, for what only that shows.
"""

import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(
    [
        "sunspring.api",
        "sunspring.cli.main",
        "sunspring.reports.doctor",
        "sunspring.cli.interactive",
        "torch._dynamo",
        "pytest",
    ]
)
_SECONDS = 120.0  # by which a test has hung

SMALL = (
    *("--preset", "tiny", "--set", "hidden_size=16", "--set", "embedding_size=8"),
    *("--set", "window=16", "--set", "batch_size=4", "--set", "precision=fp32"),
    *("--set", "counts=0"),  # whatever the network has learned in a few steps, they know better
)


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one object on stdout."""
        assert self.out.count("\n") == 1
        return json.loads(self.out)


class Command:
    """A command that runs.

    Args:
        arguments: after `sunspring`.
        stdin: content of its standard input, or the file, pipe or terminal to take.
        environment: variables to set.
    """

    def __init__(
        self,
        *arguments: str | Path,
        stdin: str | bytes | Path = b"",
        terminal: str | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._streams = tempfile.TemporaryDirectory()
        files = [Path(self._streams.name) / name for name in ("in", "out", "err")]
        self._out, self._err = files[1:]
        if isinstance(stdin, Path):
            files[0] = stdin
        else:
            files[0].write_bytes(stdin.encode() if isinstance(stdin, str) else stdin)
        paths = [terminal] * 3 if terminal else [str(file) for file in files]
        given = ([str(each) for each in arguments], paths, {**os.environ, **(environment or {})})
        self._process = _FORKS.Process(target=_become, args=(*given, str(Path.cwd())))
        self._process.start()

    @property
    def is_over(self) -> bool:
        return self._process.exitcode is not None

    def send(self, number: int) -> None:
        if self._process.pid is not None and not self.is_over:
            os.kill(self._process.pid, number)

    def wait(self) -> Done:
        self._process.join(_SECONDS)
        if self._process.exitcode is None:
            self._process.kill()
            raise AssertionError(f"the command hangs: {self.err}")
        done = Done(self._process.exitcode, self.out, self.err)
        self._streams.cleanup()
        return done

    @property
    def out(self) -> str:
        return self._out.read_text() if self._out.exists() else ""

    @property
    def err(self) -> str:
        return self._err.read_text() if self._err.exists() else ""


def _become(
    arguments: list[str], paths: list[str], environment: dict[str, str], folder: str
) -> None:
    """Be the command, in a process that was forked."""
    from sunspring.cli.main import main

    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    flags = (os.O_RDONLY, os.O_WRONLY | os.O_CREAT, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for number in (2, 1, 0):  # a pipe may block, as standard input alone may be one
        opened = os.open(paths[number], flags[number])
        os.dup2(opened, number)
        os.close(opened)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115
    sys.argv = ["sunspring", *arguments]
    main()


def run(*arguments: str | Path, **streams: Any) -> Done:
    """Run a command to its end."""
    return Command(*arguments, **streams).wait()


def succeed(*arguments: str | Path, **streams: Any) -> Done:
    """Run a command that must succeed."""
    done = run(*arguments, **streams)
    assert done.code == 0, done.err
    return done


def error_of(*arguments: str | Path, **streams: Any) -> str:
    """Run a command that must fail, with one line; returns the line."""
    done = run(*arguments, **streams)
    assert (done.code, done.out) == (1, ""), (done.code, done.out, done.err)
    assert done.err.count("\n") == 1, done.err
    assert done.err.startswith("sunspring: ")
    return done.err.removeprefix("sunspring: ").rstrip("\n")


def fresh(*command: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run Python with arguments in an interpreter of its own."""
    return subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, timeout=_SECONDS, **options
    )


def wait_for(condition: Callable[[], Any], what: str) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + _SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.002)
