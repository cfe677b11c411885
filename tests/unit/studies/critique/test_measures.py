"""What the critique of benchmarks counts: normalisers over yaw, and noise of the labels."""

import numpy as np
import pytest
import torch

from canthus.geometry import boxes
from canthus.geometry.generic_face import generic_face
from canthus.schemes import load_scheme
from canthus.studies.alignment.label_noise import noise_floor, unforeseen
from canthus.studies.critique.measures import errors_over_yaw, normalisers_over_yaw, yaw_bins

SCHEME = load_scheme(68)


def faces(count: int, noise: float) -> torch.Tensor:
    """(N, 68, 2) faces from the front that vary along the generic face's modes, eyes about 79 apart."""
    torch.manual_seed(0)
    face = generic_face()
    own = face.points + torch.einsum("nm,mkc->nkc", torch.randn(count, len(face.modes)), face.modes)
    clean = own[..., :2].double() * (0.5 + torch.rand(count, 1, 1, dtype=torch.float64)) + 300
    eyes = (clean[:, 36] - clean[:, 45]).norm(dim=1)[:, None, None]
    return clean + noise / 100 * eyes * torch.randn_like(clean)


def test_normalisers_shrink_with_yaw_as_in_the_reference() -> None:
    """Eyes 76.3, 66.0, 37.9, 12.9 px and box 123.1, 119.7, 113.4, 107.6 px of the published face at 0, 30, 60, 80."""
    rows = normalisers_over_yaw([0, 30, 60, 80])
    np.testing.assert_allclose([row["inter_ocular"] for row in rows], [76.3, 66.0, 37.9, 12.9], atol=0.8)
    np.testing.assert_allclose([row["box"] for row in rows], [123.1, 119.7, 113.4, 107.6], rtol=0.05)
    assert rows[-1]["inter_ocular_factor"] == pytest.approx(5.9, abs=0.2)
    assert rows[-1]["box_factor"] == pytest.approx(1.14, abs=0.1)


def test_bins_of_yaw() -> None:
    labels = faces(6, 0)
    yaw = torch.tensor([0.1, -0.2, 0.3, -0.4, 1.0, torch.nan], dtype=torch.float64)
    rows = yaw_bins(labels, yaw)
    assert [(row["from"], row["faces"]) for row in rows] == [(0, 2), (15, 2), (45, 1)]
    assert all(0.4 < row["ratio"] < 0.8 for row in rows)
    errors = errors_over_yaw({"box": np.arange(6.0)}, yaw)
    assert [row["box"] for row in errors] == [0.5, 2.5, 4.0]
    assert yaw_bins(labels, torch.full((6,), torch.nan)) == []


def test_a_perfect_method_scores_the_noise() -> None:
    """The mean length of normal noise in the plane is its deviation times the root of pi / 2."""
    labels = faces(60, 0)
    box = boxes.box_of_points(labels)
    eyes = (labels[:, 36] - labels[:, 45]).norm(dim=1)
    distances = {"inter_ocular": eyes, "box": (box[:, 2:] - box[:, :2]).prod(1).sqrt()}
    small, large = noise_floor(labels, SCHEME, distances, [1, 3], seed=0)
    assert small["nme_inter_ocular"] == pytest.approx((torch.pi / 2) ** 0.5, rel=0.03)
    assert large["nme_box"] == pytest.approx(3 * small["nme_box"], rel=1e-6)
    assert 0 < small["pose"] < small["points"] < large["points"]
    assert 0 < small["turn"] < large["turn"] < 5
    assert small["lost"] <= large["lost"] < 60
    few = {name: value[:4] for name, value in distances.items()}
    (useless,) = noise_floor(labels[:4], SCHEME, few, [30], seed=0)
    assert (useless["turn"], useless["lost"]) == (None, 4)


def test_what_the_other_points_let_expect_bounds_the_noise() -> None:
    found = unforeseen(faces(400, 2.0), SCHEME, [str(i // 2) for i in range(400)])
    assert set(found) == {"all", *SCHEME.regions}
    assert 2.0 < found["all"] < 3.2  # from above, and not far: learning from noisy points adds some
    with pytest.raises(ValueError, match="2 images"):
        unforeseen(faces(4, 1), SCHEME, ["a", "a", "b", "b"])
