"""Memory that is kept and threads that sleep: set once, told, and left alone where somebody has chosen."""

import ctypes
import json
import os
import subprocess
import sys

import pytest

from canthus.runs import tuning as module
from canthus.runs.tuning import tune, tuning
from canthus.utils.errors import ConfigError

GLIBC = "CS_GNU_LIBC_VERSION" in getattr(os, "confstr_names", {})
OWN = (*module.OF_THE_USER, *module.WAITING, module.SWITCH)


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    """A process in which nothing was chosen or set."""
    for name in OWN:
        monkeypatch.delenv(name, raising=False)
    for setting in (module._keep_memory, module._let_threads_sleep):
        setting.cache_clear()
    yield
    monkeypatch.undo()
    for setting in (module._keep_memory, module._let_threads_sleep):
        setting.cache_clear()


@pytest.fixture
def calls(monkeypatch):
    """What would have been said to the C library."""
    said = {}

    class Library:
        def __init__(self, name):
            assert name is None

        def mallopt(self, option, size):
            said[option] = size
            return 1

    monkeypatch.setattr(module.ctypes, "CDLL", Library)
    return said


FAULTS = """
import ctypes, json, resource
from canthus.runs.tuning import tune, tuning
tune()
library, size = ctypes.CDLL(None), 64 * 2**20  # above any threshold that glibc finds by itself
library.malloc.restype, library.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
library.free.argtypes = [ctypes.c_void_p]
faults = []
for _ in range(3):
    block = library.malloc(size)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    ctypes.memset(block, 1, size)
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    library.free(block)
print(json.dumps([faults, size / resource.getpagesize(), tuning()["memory"]]))
"""


@pytest.mark.skipif(not GLIBC, reason="another allocator")
def test_a_large_block_keeps_its_pages_from_one_step_to_the_next() -> None:
    """In a process of its own: one that has freed gigabytes gives memory back at any setting."""
    done = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True)
    faults, pages, said = json.loads(done.stdout)
    assert faults[0] > pages / 2
    assert faults[2] < pages / 10
    assert said == "kept up to 2 GB"


@pytest.mark.skipif(not GLIBC, reason="another allocator")
def test_what_is_said_to_glibc_fits_its_integers(calls) -> None:
    tune()
    assert calls == {-3: 2**30, -1: 2**31 - 1}
    assert all(ctypes.c_int(size).value == size for size in calls.values())


def test_threads_sleep_if_the_library_is_still_to_be_loaded(monkeypatch, calls) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", "")  # so that it is taken away again
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    tune()
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"
    assert tuning()["threads"] == "OMP_WAIT_POLICY=PASSIVE"


def test_a_library_that_is_loaded_is_not_told_any_more(monkeypatch, calls) -> None:
    monkeypatch.setitem(sys.modules, "torch", sys)
    tune()
    assert "OMP_WAIT_POLICY" not in os.environ
    assert tuning()["threads"] == "as they come (torch was there before)"


def test_off_leaves_everything(monkeypatch, calls) -> None:
    monkeypatch.setenv("CANTHUS_TUNING", "off")
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    tune()
    assert calls == {}
    assert "OMP_WAIT_POLICY" not in os.environ
    assert all("CANTHUS_TUNING=off" in how for how in tuning().values())


@pytest.mark.parametrize("name", [*module.OF_THE_USER, *module.WAITING])
def test_what_the_user_has_set_stands(name, monkeypatch, calls) -> None:
    monkeypatch.setenv(name, "ACTIVE")
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    tune()
    if name in module.OF_THE_USER:
        assert calls == {}
        assert name in tuning()["memory"]
        os.environ.pop("OMP_WAIT_POLICY")
    else:
        assert os.environ.get("OMP_WAIT_POLICY") == {"OMP_WAIT_POLICY": "ACTIVE"}.get(name)
        assert tuning()["threads"] == f"{name}=ACTIVE"


def test_another_c_library_is_not_asked(monkeypatch, calls) -> None:
    monkeypatch.setattr(module.os, "confstr_names", {"CS_PATH": 0})
    tune()
    assert calls == {}
    assert tuning()["memory"] == "as the system has it (not glibc)"


def test_a_switch_that_is_neither_on_nor_off(monkeypatch) -> None:
    monkeypatch.setenv("CANTHUS_TUNING", "yes")
    with pytest.raises(ConfigError, match="CANTHUS_TUNING=yes: on, or off"):
        tune()
