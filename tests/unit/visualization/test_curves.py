import cv2
import matplotlib.pyplot as plt
import numpy as np
import pytest

from canthus.visualization.curves import ced_figure, ced_steps


def test_steps_agree_with_the_definition():
    errors = np.random.default_rng(0).gamma(4, 1.2, 200).round(1)  # rounding makes ties
    places, values = ced_steps(errors, 10.0)
    for t in np.linspace(0, 10, 101):
        drawn = values[np.searchsorted(places, t, side="right") - 1]
        assert drawn == pytest.approx((errors <= t).mean(), abs=1e-12)


def test_area_under_the_steps_is_the_exact_auc():
    errors = np.array([2.0, 5.0, 12.5, 6.0])  # AUC at 8 percent is 0.34375
    places, values = ced_steps(errors, 8.0)
    assert (np.diff(places) * values[:-1]).sum() / 8.0 == pytest.approx(0.34375, abs=1e-12)


def test_unmeasured_faces_are_left_out_and_failed_ones_count():
    places, values = ced_steps([2.0, np.nan, np.inf, 6.0], 8.0)
    np.testing.assert_allclose(places, [0, 2, 6, 8])
    np.testing.assert_allclose(values, [0, 1 / 3, 2 / 3, 2 / 3])


@pytest.mark.parametrize(("errors", "value"), [([9.0, 9.5], 0.0), ([0.0, 0.0], 1.0), ([8.0], 1.0)])
def test_steps_at_the_borders(errors, value):
    places, values = ced_steps(errors, 8.0)
    assert (places[0], places[-1], values[-1]) == (0.0, 8.0, value)
    assert (np.diff(places) >= 0).all()


def test_figure_is_a_picture_and_leaves_pyplot_alone(tmp_path):
    curves = {"stage 1": [2.0, 5.0, 12.5, 6.0], "stage 2": np.array([1.0, 2.0, 3.0, 4.0])}
    path = ced_figure(curves, tmp_path / "new" / "ced.png", threshold=8.0, normaliser="inter_ocular", title="full")
    picture = cv2.imread(str(path))
    assert picture is not None
    assert min(picture.shape[:2]) > 400
    assert (picture != 255).any()
    assert [p.name for p in path.parent.iterdir()] == ["ced.png"]
    assert not plt.get_fignums()


@pytest.mark.parametrize("curves", [{}, {"a": []}, {"a": [np.nan, np.nan]}])
def test_figure_refuses_what_it_cannot_draw(tmp_path, curves):
    with pytest.raises(ValueError, match="CED"):
        ced_figure(curves, tmp_path / "ced.png", threshold=8.0, normaliser="box")
    assert not list(tmp_path.iterdir())
