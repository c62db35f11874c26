"""What all tests share: one thread for tiny models, and a cache of their own."""

import os
from pathlib import Path

import pytest

os.environ["OMP_NUM_THREADS"] = "1"  # of subprocesses too; set before torch is imported


@pytest.fixture(scope="session", autouse=True)
def cache_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    os.environ["SUNSPRING_CACHE"] = str(folder)
    return folder
