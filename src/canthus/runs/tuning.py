"""Settings of this process that make it quicker and change no result: memory that is kept, threads that sleep.

- *Memory.* The activations of a step are given back to the system and taken from it again, page by page, in the next
  one: glibc maps every block above its threshold (at most 32 MB) anew. `mallopt` lets it keep up to 2 GB.
- *Threads.* OpenMP's threads wait for work in a loop that burns the processor. Beside other work they take the time
  of those that they wait for, so they are told to sleep (``OMP_WAIT_POLICY``), which the library reads as it loads.

Both are set before torch is imported, so this module is kept free of it. What the user has set stands, and
``CANTHUS_TUNING=off`` leaves everything as the system has it. Other C libraries (musl, macOS, Windows) keep their own
allocator. Figures: benchmarks/README.md.
"""

import ctypes
import os
import sys
from functools import cache

from canthus.utils.errors import ConfigError

__all__ = ["tune", "tuning"]

SWITCH = "CANTHUS_TUNING"
"""The variable that turns all of it off."""
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Numbers of glibc's ``malloc.h``."""
KEPT = {M_MMAP_THRESHOLD: 2**30, M_TRIM_THRESHOLD: 2**31 - 1}
"""Bytes: a block above the first is still mapped by itself; free memory above the second is given back."""
OF_THE_USER = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_MAX_", "GLIBC_TUNABLES", "LD_PRELOAD")
"""Variables by which somebody has chosen the allocator or its settings."""
WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
"""Variables by which somebody has chosen how threads wait."""


def tune() -> None:
    """Make the settings, once; to be called before torch is imported.

    Raises:
        ConfigError: the switch is neither ``on`` nor ``off``.
    """
    if _asked():
        _keep_memory()
        _let_threads_sleep()


def tuning() -> dict[str, str]:
    """What holds in this process, for its log and its record."""
    if not _asked():
        return {"memory": f"as the system has it ({SWITCH}=off)", "threads": f"as they come ({SWITCH}=off)"}
    return {"memory": _keep_memory(), "threads": _let_threads_sleep()}


def _asked() -> bool:
    value = os.environ.get(SWITCH, "on").lower()
    if value not in ("on", "off"):
        raise ConfigError(f"{SWITCH}={value}: on, or off for memory and threads as the system has them")
    return value == "on"


@cache
def _keep_memory() -> str:
    own = [name for name in OF_THE_USER if os.environ.get(name)]
    if own:
        return f"as {own[0]} has it"
    if "CS_GNU_LIBC_VERSION" not in getattr(os, "confstr_names", {}):
        return "as the system has it (not glibc)"
    library = ctypes.CDLL(None)
    done = all([library.mallopt(option, size) for option, size in KEPT.items()])
    return "kept up to 2 GB" if done else "as the system has it (mallopt refused)"


@cache
def _let_threads_sleep() -> str:
    own = [name for name in WAITING if os.environ.get(name)]
    if own:
        return f"{own[0]}={os.environ[own[0]]}"
    if "torch" in sys.modules:  # the library has read its variables
        return "as they come (torch was there before)"
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    return "OMP_WAIT_POLICY=PASSIVE"
