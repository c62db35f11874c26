"""What all tests share: one thread for tiny models, a cache of their own, an empty folder."""

import os
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import settings

os.environ["OMP_NUM_THREADS"] = "1"  # of subprocesses too; set before torch is imported

# how long an example takes says more about the machine's load than about the code
settings.register_profile("sunspring", deadline=None)
settings.load_profile("sunspring")

collect_ignore: list[str] = []
if find_spec("sunspring.network.engine") is None:
    names = ("engine*", "endings", "generation", "proposals", "session")
    here = Path(__file__).parent
    collect_ignore += [
        str(path.relative_to(here)) for name in names for path in here.rglob(f"test_{name}.py")
    ]


def pytest_report_header() -> str:
    if not collect_ignore:
        return "with the native engine"
    return f"without a native engine (there was no C++ compiler): no {', '.join(collect_ignore)}"


@pytest.fixture(scope="session", autouse=True)
def cache_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    os.environ["SUNSPRING_CACHE"] = str(folder)
    return folder


@pytest.fixture(scope="session")
def english(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text of 40,000 characters."""
    from files import write_english

    return write_english(tmp_path_factory.mktemp("text"), 40_000)


@pytest.fixture(scope="session")
def trained(english: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on that text, to be left as it is."""
    from commands import SMALL, succeed

    folder = tmp_path_factory.mktemp("run") / "trained"
    succeed("train", english, "--out", folder, "--steps", "20", *SMALL)
    return folder


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
