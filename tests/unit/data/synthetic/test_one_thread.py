"""Rendered faces are the same to the bit on any number of threads: else stores are rendered again for nothing."""

import hashlib
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info, threadpool_limits

from canthus.data.synthetic import Synthetic, SyntheticScenes, hair, labels, light, mesh, person, surface
from canthus.data.synthetic.one_thread import one_thread

MADE_ONCE = (
    surface.controls,
    surface._field,
    mesh.head_mesh,
    person.shape_modes,
    person._bump,
    hair._meridians,
    labels._outward,
    light._seen,
    light._open,
    light._triangles_at_corners,
)


def digest(faces=12, pictures=3):
    """Of labels and pictures, of scenes with one head and with several."""
    sums = hashlib.sha256()
    reader = Synthetic(size=faces, resolution=96, difficulty="hard", scheme=98)
    scenes = SyntheticScenes(size=2, resolution=128)
    found = [*reader.faces(["train"]), *scenes.faces(["train"])]
    for face in found:
        for values in (face.landmarks, face.box, face.visibility, face.pose):
            sums.update(values.tobytes())
        sums.update(repr(sorted(face.attributes)).encode())
    for face in found[:pictures]:
        sums.update(reader.pixels(face.image).tobytes())
    sums.update(scenes.pixels(found[-1].image).tobytes())
    return sums.hexdigest()


def blas_threads():
    return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]


@pytest.fixture(scope="module")
def usual():
    return digest()


@pytest.mark.parametrize(
    "threads", [pytest.param(1, marks=pytest.mark.slow), 2, pytest.param(4, marks=pytest.mark.slow)]
)
def test_any_number_of_threads_in_one_process(threads, usual):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with threadpool_limits(threads):
            for function in MADE_ONCE:
                function.cache_clear()
            assert digest() == usual
            assert set(blas_threads()) == {threads}  # as the caller had it
    finally:
        torch.set_num_threads(before)


def test_any_number_of_threads_that_a_process_starts_with(usual):
    code = "import sys; sys.path.insert(0, sys.argv[1]); from test_one_thread import digest; print(digest())"
    environment = {key: value for key, value in os.environ.items() if "_NUM_THREADS" not in key}
    environment |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "3")
    command = [sys.executable, "-c", code, os.path.dirname(__file__)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == usual


def test_callers_of_several_threads_share_the_limit():
    """The last to leave sets the libraries free; nobody inside ever sees more than one thread."""

    @one_thread
    def product(number):
        a = np.random.default_rng(number).random((200, 200))
        for _ in range(5):
            a = a @ a / 100
            assert set(blas_threads()) == {1}
        return a

    with threadpool_limits(2):
        alone = [product(i) for i in range(16)]
        with ThreadPoolExecutor(8) as pool:
            together = list(pool.map(product, range(16)))
        assert set(blas_threads()) == {2}
    assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))
    with threadpool_limits(2), pytest.raises(IndexError):
        one_thread([].pop)()
    with threadpool_limits(2):
        assert set(blas_threads()) == {2}
