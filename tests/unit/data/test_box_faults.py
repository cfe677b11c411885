import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from canthus.data.store import Store, StoreSpec, box_fault, crop
from canthus.utils.errors import DataError

SPEC = StoreSpec(pixels=48, box_pixels=16.0, channels=3)
SHAPE = (596, 615, 3)
FAR = st.floats(allow_nan=True, allow_infinity=True)


@pytest.mark.parametrize(
    ("box", "words"),
    [
        ([0, 0, 614, 595], None),
        ([-900, -900, 0, 0], None),  # touches the first pixel
        ([614, 595, 700, 700], None),  # and the last
        ([5000, 5000, 5100, 5100], "box (5000.0, 5000.0, 5100.0, 5100.0) lies outside the 615x596 image"),
        ([615, 0, 700, 90], "lies outside"),
        ([0, 596, 90, 700], "lies outside"),
        ([-90, 10, -0.5, 90], "lies outside"),
        ([10, -90, 90, -0.5], "lies outside"),
        ([10, -90, 90, 0], None),
        ([614.5, 10, 700, 90], "lies outside"),
        ([10, 595.5, 90, 700], "lies outside"),
        ([0, 0, 61500, 61500], None),
        ([0, 0, 61501, 10], "more than 100 times as large as the 615x596 image"),
        ([0, 0, 1e9, 1e9], "box (0.0, 0.0, 1e+09, 1e+09) is more than 100 times as large"),
        ([-1e300, -1e300, 1e300, 1e300], "more than 100 times"),
        ([-1.7e308, 0, 1.7e308, 10], "more than 100 times"),
        ([0, 0, np.inf, 10], "is not x1 < x2, y1 < y2"),
        ([np.nan, 0, 9, 10], "is not x1 < x2, y1 < y2"),
        ([9, 9, 9, 9], "is not x1 < x2, y1 < y2"),
        ([9, 9, 3, 3], "is not x1 < x2, y1 < y2"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_boxes_by_which_nothing_can_be_cut_out(box: list[float], words: str | None) -> None:
    fault = box_fault(np.array(box, dtype=np.float64), SHAPE)
    assert (fault is None) if words is None else (fault is not None and words in fault)


@given(st.tuples(FAR, FAR, FAR, FAR))
def test_whatever_is_not_refused_can_be_cut_out(corners: tuple[float, ...]) -> None:
    box, pixels = np.array(corners), np.full((40, 50, 3), 200, np.uint8)
    if box_fault(box, pixels.shape) is None:
        assert crop(pixels, SPEC.to_original(box), SPEC).shape == (48, 48, 3)


@given(st.floats(1e-3, 1e300), st.floats(-1e300, 1e300), st.floats(-1e300, 1e300))
def test_no_crop_overflows(scale: float, x: float, y: float) -> None:
    pixels = np.full((40, 50, 3), 200, np.uint8)
    assert crop(pixels, np.array([[scale, 0, x], [0, scale, y]]), SPEC).shape == (48, 48, 3)


@pytest.mark.parametrize("far", [1e9, 1e300])
def test_a_label_far_away_breaks_its_face_alone(far: float, dot_reader, tmp_path) -> None:
    reader = dot_reader({"a": 10})
    face = reader.faces(["a"])[3]
    reader.replace("a", 3, dataclasses.replace(face, box=np.array([0.0, 0.0, far, far])))
    store = Store.prepare(reader, reader.faces(["a"]), SPEC, tmp_path, workers=1, max_broken=0.5)
    assert len(store.faces) == 9
    assert "more than 100 times as large" in store.broken["a/003.png"]
    with pytest.raises(DataError, match=r"a/003\.png: box .* more than 100 times .*; check the box file"):
        Store.prepare(reader, reader.faces(["a"]), SPEC, tmp_path, workers=1, max_broken=0)
