"""A training process's use of the CPU and its memory."""

import ctypes
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import torch
from threadpoolctl import threadpool_limits

from utils.distributed import local_world

LIMITS = {"": ("memory.max", "memory.current"), "memory": ("memory.limit_in_bytes", "memory.usage_in_bytes")}
"""Files of a control group with its limit and its use of memory: in version 2, and in version 1."""

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3


def cores() -> int:
    """Cores of the processor that this process may use, which batch jobs restrict; all where the system cannot."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def use_threads(count: int | None) -> int:
    """Sets the number of computing threads and returns it; by default two at most: small networks gain from no more.

    It holds for torch and for the libraries that compute for NumPy, SciPy and scikit-learn, those that are loaded and
    those that read the variable when they are. Processes of torchrun divide the cores among them.
    """
    count = count or max(1, min(2, cores() // local_world()))
    torch.set_num_threads(count)
    threadpool_limits(count)
    os.environ["OMP_NUM_THREADS"] = str(count)
    return torch.get_num_threads()


def keep_freed_memory() -> None:
    """Asks glibc to keep freed blocks for the next step instead of returning them to the system.

    A training step frees and asks for the same megabytes again; without this each step pays thousands of page faults
    (a fifth of CONV's step). Does nothing where the C library is another one.
    """
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return
    mallopt(M_MMAP_THRESHOLD, 1 << 30)
    mallopt(M_TRIM_THRESHOLD, (1 << 31) - 1)


def available_memory() -> int:
    """Bytes of memory that this process could still take; a container's or a batch job's limit counts.

    Where the system does not tell, as macOS and Windows, half of all memory or, without that either, a guess of 4 GB.
    """
    try:
        lines = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
        free = 1024 * int(lines["MemAvailable"].split()[0])
    except (OSError, ValueError, KeyError):
        free = _half_of_memory()
    return min([free, *_left_of_limits()])


def _left_of_limits() -> Iterator[int]:
    """Bytes that are left of the limits on this process's control group and on those around it."""
    try:
        groups = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
    except OSError:  # another system
        return
    for _, kind, path in groups:
        group = Path("/sys/fs/cgroup", kind, path.lstrip("/"))
        for place in (group, *group.parents) if kind in LIMITS else ():
            with suppress(OSError, ValueError):  # a container sees its own group alone; there may be no limit
                limit, used = (int((place / name).read_text()) for name in LIMITS[kind])
                yield limit - used


def _half_of_memory() -> int:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    except (AttributeError, OSError, ValueError):
        return 4 << 30
