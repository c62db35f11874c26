"""What this machine has: device, processor, memory, versions.

PyTorch is imported only where it is needed: writing asks for the number of cores alone.
"""

from __future__ import annotations

import os
import platform
import shutil
import signal
import stat
import time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from sunspring.errors import SettingsError
from sunspring.storage import existing_part

if TYPE_CHECKING:
    import torch

Precision = Literal["fp32", "bf16"]
DeviceChoice = Literal["auto", "cpu", "cuda"]

INSTRUCTION_SET = "SUNSPRING_ENGINE_ISA"
"""The environment variable that forces an instruction set on the C++ code."""

HANG_UP = getattr(signal, "SIGHUP", None)  # not on Windows
"""What a process gets whose terminal was closed."""

ENDING_SIGNALS = [each for each in (signal.SIGINT, signal.SIGTERM, HANG_UP) if each is not None]
"""What a process gets that is to end."""

_LEAST_SECONDS = 0.1  # in which the system's count of processor time, in hundredths, says something
_IDLE_COLUMNS = (3, 4)  # of a line in /proc/stat: idle, and waiting for a disk
_GUEST_COLUMNS = 8  # from here on, what stands in other columns too

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h of glibc


def forced_instruction_set() -> str:
    """Return the instruction set that the user asks for; empty for the fastest available."""
    return os.environ.get(INSTRUCTION_SET, "")


def has_torch() -> bool:
    """Return whether PyTorch is installed, without importing it."""
    return find_spec("torch") is not None


def check_device(name: str) -> None:
    """Check the name of a device, without looking for it.

    Raises:
        SettingsError: it is neither `auto`, `cpu` nor `cuda`.
    """
    if name not in get_args(DeviceChoice):
        raise SettingsError(f"device is {name!r}: choose auto, cpu or cuda")


def choose_device(name: str) -> torch.device:
    """Choose the device: `auto` takes a CUDA GPU if there is one.

    Raises:
        SettingsError: the name is unknown, or `cuda` is asked for and there is none.
    """
    import torch

    check_device(name)
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise SettingsError(
            "there is no CUDA GPU that PyTorch can use: take --device cpu, or see sunspring doctor"
        )
    return torch.device("cuda" if available and name != "cpu" else "cpu")


def describe_machine(cache: Path) -> dict[str, Any]:
    """Collect what a report about this machine needs: processor, disk, versions.

    If PyTorch is installed, also its threads and GPU.
    """
    return {
        "processor": processor_name(),
        "cores": usable_cores(),
        **(_describe_torch() if has_torch() else {}),
        "free_disk_gb": {"here": _free_gigabytes(Path.cwd()), "cache": _free_gigabytes(cache)},
        "cache": str(cache),
        "versions": {"python": platform.python_version(), **package_versions()},
    }


def _describe_torch() -> dict[str, Any]:
    import torch

    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {"threads": torch.get_num_threads(), "gpu": gpu}


def keep_freed_memory() -> None:
    """Keep the memory of freed tensors for the next ones, if the C library is glibc.

    A training step allocates and frees tensors of several megabytes; returning their pages to the
    system and fetching them again takes about a twentieth of the step.
    """
    import ctypes

    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, TypeError, AttributeError):
        return
    mallopt(_M_MMAP_THRESHOLD, 32 << 20)  # the most that glibc accepts
    mallopt(_M_TRIM_THRESHOLD, 256 << 20)


def memory_bytes(device: torch.device) -> float:
    """Return the memory of a device in bytes; infinity if the system does not say."""
    import torch

    if device.type == "cuda":
        return float(torch.cuda.get_device_properties(device).total_memory)
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return float("inf")


def leave_terminal() -> None:
    """Send to nowhere what would go to a terminal that is closed, where writing fails."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        if stat.S_ISCHR(os.fstat(descriptor).st_mode):
            os.dup2(nowhere, descriptor)
    os.close(nowhere)


def usable_cores() -> int:
    """Count the processor cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class OtherWork:
    """How busy other programs keep the processor cores that this process may use, from now on."""

    def __init__(self) -> None:
        self._began, self._before = time.perf_counter(), _others_seconds()
        self._load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None

    def cores(self) -> float | None:
        """Return how many cores' worth of time they have had since this was made.

        Waits if that was only just now. Where the system is not Linux, it is the system's load when
        this was made; None if it does not tell that.
        """
        time.sleep(max(0.0, self._began + _LEAST_SECONDS - time.perf_counter()))
        others = _others_seconds()
        if others is None or self._before is None:
            return self._load
        cores = (others - self._before) / (time.perf_counter() - self._began)
        return min(max(0.0, cores), float(usable_cores()))


def _others_seconds() -> float | None:
    """Return the time that other processes have had on the usable cores, if the system tells it.

    Time that another virtual machine took counts as theirs.
    """
    busy = _busy_seconds()
    return None if busy is None else busy - sum(os.times()[:4])


def _busy_seconds() -> float | None:
    """Return for how long the usable cores have been busy; None if the system is not Linux."""
    try:
        lines = Path("/proc/stat").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    usable = {f"cpu{core}" for core in os.sched_getaffinity(0)}
    columns = (line.split() for line in lines)
    ticks = (
        int(count)
        for name, *counts in columns
        if name in usable
        for column, count in enumerate(counts[:_GUEST_COLUMNS])
        if column not in _IDLE_COLUMNS
    )
    return sum(ticks) / os.sysconf("SC_CLK_TCK")


def _free_gigabytes(path: Path) -> float:
    return round(shutil.disk_usage(existing_part(path)).free / 1e9, 1)


def package_versions() -> dict[str, str]:
    """Return the versions of this package and of those that it computes with."""
    from importlib.metadata import PackageNotFoundError, version  # a tenth of the start-up time

    names = ("sunspring", "torch", "numpy", "tokenizers", "safetensors")
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def processor_name() -> str:
    """Return the processor's name: from /proc/cpuinfo on Linux, elsewhere from `platform`."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(
            line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")
        )
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
