"""The threads of the loops: in company, after a fork, and beside PyTorch's."""

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from processors import loops_of
from torch import Tensor, nn

from sunspring.network.loops import loops_at_work, multiply


def product() -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(0)
    a, b = torch.randn(200, 300), torch.randn(300, 100)
    return a, b, a @ b


@pytest.fixture(autouse=True)
def several_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def test_calls_of_several_threads_at_once_do_not_disturb_one_another() -> None:
    a, b, expected = product()
    with loops_of("scalar"), ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: multiply(a, b), range(40)))
    for each in found:
        torch.testing.assert_close(each, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a system without fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_has_threads_of_its_own() -> None:
    a, b, expected = product()
    with loops_of("scalar"):
        first = multiply(a, b)
        child = os.fork()
        if child == 0:
            try:
                os._exit(0 if torch.equal(multiply(a, b), first) else 1)
            finally:
                os._exit(2)
        _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    torch.testing.assert_close(first, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a system without fork")
def test_a_forked_process_that_did_not_use_them_ends() -> None:
    code = (
        "import os, sys, torch; from sunspring.network.loops import loops_at_work, multiply\n"
        "torch.set_num_threads(2)\n"
        "with loops_at_work(): multiply(torch.ones(9, 9), torch.ones(9, 9))\n"
        "child = os.fork()\n"
        "if child == 0: sys.exit(0)\n"
        "sys.exit(os.waitpid(child, 0)[1])"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


def test_pytorch_has_one_thread_beside_them_and_then_its_own_again() -> None:
    with loops_at_work(nn.LSTM(64, 64)):
        assert torch.get_num_threads() == 1
        with loops_at_work():
            assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 3


@pytest.mark.parametrize("layer", [nn.GRU(64, 64), nn.LSTM(64, 100)])
def test_what_the_loops_cannot_take_is_left_to_pytorchs_threads(layer: nn.Module) -> None:
    with loops_at_work(layer):
        assert torch.get_num_threads() == 3
