"""The cascade on images of all kinds, and the published example to a twentieth of a pixel."""

import cv2
import numpy as np
import pytest
import torch
from torchvision.ops import box_iou

from canthus.data.images import read_image
from canthus.models.mtcnn import detect
from canthus.models.mtcnn.detect import Detector
from canthus.models.mtcnn.weights import load_weights
from tests.helpers.published import published_folder, random_network

MULTIFACE = torch.tensor([
    [859.19, 436.56, 953.56, 558.58, 0.9998],
    [554.09, 45.48, 632.84, 158.14, 1.0000],
    [420.14, 133.00, 502.67, 240.20, 1.0000],
    [225.80, 249.07, 304.81, 356.84, 0.9998],
    [722.15, 464.39, 797.57, 573.20, 0.9984],
    [622.18, 197.51, 694.83, 296.76, 0.9995],
])  # fmt: skip
FIRST_POINTS = torch.tensor([[877.45, 486.20], [918.97, 484.59], [895.73, 516.81], [884.36, 533.64], [920.15, 530.22]])


def noise(height: int, width: int, seed: int = 0) -> torch.Tensor:
    """An image of blobs, on which random networks disagree."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (height // 6 + 1, width // 6 + 1, 3), dtype=np.uint8)
    return torch.from_numpy(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC))


def finding(**options) -> Detector:
    """A detector with random weights that finds something."""
    return Detector(random_network(1), thresholds=(0.5, 0.1, 0.1), **options)


def same(ours: detect.Detections, others: detect.Detections) -> None:
    torch.testing.assert_close(ours.boxes, others.boxes, atol=2e-3, rtol=0)
    torch.testing.assert_close(ours.scores, others.scores, atol=1e-4, rtol=0)
    if ours.points is not None:
        torch.testing.assert_close(ours.points, others.points, atol=2e-3, rtol=0)


@pytest.mark.parametrize("parity", [False, True])
def test_a_batch_of_unequal_images_is_as_each_alone(parity: bool) -> None:
    detector = finding(parity=parity)
    images = [noise(60, 80), noise(51, 47, seed=1), noise(10, 10), noise(60, 80, seed=2)]
    together = detector.cascade(images)
    assert [len(stage) for stage in together] == [4, 4, 4]
    assert sum(len(found.boxes) for found in together[2]) > 5
    for number, image in enumerate(images):
        for stage, alone in enumerate(detector.cascade([image])):
            same(together[stage][number], alone[0])


@pytest.mark.parametrize("size", [(10, 10), (1, 5000), (5000, 1), (1, 1), (19, 300)])
@pytest.mark.parametrize("parity", [False, True])
def test_tiny_images_have_no_faces(size: tuple[int, int], parity: bool) -> None:
    found = finding(parity=parity)([torch.zeros(*size, 3, dtype=torch.uint8)])
    assert [len(found), *found[0].boxes.shape] == [1, 0, 4]
    assert found[0].scores.shape == (0,)
    assert found[0].points.shape == (0, 5, 2)


def test_nothing_is_found_where_nothing_is() -> None:
    detector = Detector(random_network(), thresholds=(0.999999,) * 3)
    found = detector([noise(60, 60), noise(80, 70)])
    assert [len(each.boxes) for each in found] == [0, 0]
    assert detector([]) == []


def test_memory_limits_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    detector, images = finding(), [noise(90, 100), noise(70, 60, seed=1)]
    usual = detector(images)
    monkeypatch.setattr(detect, "CPU", detect._Budget(strip=1500, sheet=10**6, crops=3 * 48**2))
    for ours, others in zip(detector(images), usual, strict=True):
        same(ours, others)
    monkeypatch.setattr(detect, "CPU", detect._Budget(strip=10**6, sheet=0, crops=10**6))
    for ours, others in zip(detector(images), usual, strict=True):
        same(ours, others)


@pytest.mark.parametrize("parity", [False, True])
@pytest.mark.parametrize("height", [82, 83, 84, 85])
def test_strips_of_any_height(height: int, parity: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    detector, image = finding(parity=parity, min_size=12), noise(height, 40)
    usual = detector.cascade([image], stages=1)[0][0]
    monkeypatch.setattr(detect, "CPU", detect._Budget(strip=1, sheet=0, crops=10**6))
    same(detector.cascade([image], stages=1)[0][0], usual)


def test_stages_and_thresholds() -> None:
    image = noise(120, 120)
    detector = finding()
    whole = detector.cascade([image])
    assert len(detector.cascade([image], stages=1)) == 1
    same(detector.cascade([image], stages=2)[1][0], whole[1][0])
    assert whole[0][0].points is whole[1][0].points is None
    for stage, threshold in enumerate((0.5, 0.1, 0.1)):
        scores = whole[stage][0].scores
        assert float(scores.min()) >= threshold
        assert torch.equal(scores, scores.sort(descending=True).values)


def test_candidates_are_the_surest() -> None:
    image = noise(150, 150)
    whole = finding(candidates=None).cascade([image], stages=1)[0][0]
    few = finding(candidates=20).cascade([image], stages=1)[0][0]
    assert len(whole.boxes) > 40
    assert len(few.boxes) == 20
    torch.testing.assert_close(few.scores[0], whole.scores[0])


def everything_is_a_face() -> torch.nn.Module:
    """A network that leaves every window where it is."""
    network = random_network()
    with torch.no_grad():
        for part in network.stages:
            for head in (part.logits, part.offsets):
                head.weight.zero_()
                head.bias.copy_(torch.arange(len(head.bias)) if head is part.logits else torch.zeros(4))
    return network


@pytest.mark.parametrize(
    ("stage", "shift", "left"),
    [
        (1, 8, 2),  # intersection over union 32 / 48 = 0.67
        (1, 6, 1),  # 34 / 46 = 0.74
        (2, 16, 2),  # over the smaller box 24 / 40 = 0.6
        (2, 10, 1),  # 30 / 40 = 0.75
    ],
)
def test_how_much_windows_may_overlap(stage: int, shift: int, left: int) -> None:
    """Both 0.7: of the union after R-Net, of the smaller window after O-Net."""
    detector = Detector(everything_is_a_face())
    boxes = torch.tensor([[10.0, 10, 50, 50], [10.0 + shift, 10, 50 + shift, 50]])
    windows = detect._Windows(boxes, torch.tensor([1.0, 2.0]), torch.tensor([0, 0]))
    kept = detector._refine(windows, [detect.Octaves(noise(80, 90), detector.device)], stage)
    assert len(kept.boxes) == left


@pytest.mark.parametrize(("overlap", "left"), [(0.51, 1), (0.49, 2)])
def test_how_much_windows_of_a_level_may_overlap(overlap: float, left: int) -> None:
    assert detect.OVERLAPS[0] == 0.5
    shift = 12 * (1 - overlap) / (1 + overlap)
    boxes = torch.tensor([[0.0, 0, 12, 12], [shift, 0, 12 + shift, 12]])
    assert len(detect.suppress(boxes, torch.tensor([1.0, 2.0]), torch.zeros(2).long(), detect.OVERLAPS[0])) == left


def test_points_are_averaged_with_those_of_the_mirror_image() -> None:
    """The mirror image then has the mirrored points."""
    network = everything_is_a_face()  # so that an image of 12 px is one window
    image = noise(12, 12)
    for mirror in (True, False):
        detector = Detector(network, min_size=12, mirror=mirror)
        found, reflected = detector([image, image.flip(1)])
        torch.testing.assert_close(found.boxes, torch.tensor([[-0.5, -0.5, 11.5, 11.5]]))
        points = reflected.points[:, [1, 0, 2, 4, 3]]
        points[..., 0] = 11 - points[..., 0]
        assert (float((found.points - points).abs().max()) < 1e-3) == mirror


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (torch.zeros(20, 20, dtype=torch.uint8), r"image 0 is \(20, 20\)"),
        (torch.zeros(3, 20, 20, dtype=torch.uint8), r"image 0 is \(3, 20, 20\)"),
        (torch.zeros(20, 20, 1, dtype=torch.uint8), r"image 0 is \(20, 20, 1\) torch.uint8: .* repeat grey"),
        (torch.zeros(20, 20, 4, dtype=torch.uint8), r"image 0 is \(20, 20, 4\) torch.uint8: .* drop alpha"),
        (torch.zeros(20, 20, 3, dtype=torch.uint16), r"torch.uint16: .* reduce 16 bit"),
        (torch.zeros(20, 20, 3), r"torch.float32: need a list of \(H, W, 3\) uint8"),
        (np.zeros((20, 20, 3), dtype=np.uint8), r"image 0 is a ndarray: .* torch.from_numpy"),
        (None, r"image 0 is a NoneType"),
    ],
)
def test_what_is_no_image_is_refused(image, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        finding()([image])


def test_one_image_is_no_list_of_them() -> None:
    with pytest.raises(ValueError, match=r"image 0 is \(24, 3\) torch.uint8: need a list of"):
        finding()(noise(20, 24))
    stacked = torch.stack([noise(40, 50), noise(40, 50, seed=1)])  # of one size they may be one tensor
    for one, image in zip(finding()(stacked), stacked, strict=True):
        same(one, finding()([image])[0])


@pytest.mark.parametrize(
    "options", [{"min_size": 0}, {"factor": 1.0}, {"thresholds": (0.5, 0.5)}, {"thresholds": (0, 1, 2)},
                {"candidates": 0}],
)  # fmt: skip
def test_impossible_settings(options: dict) -> None:
    with pytest.raises(ValueError, match="need"):
        Detector(random_network(), **options)


def image_of_many() -> torch.Tensor:
    return torch.from_numpy(read_image(published_folder() / "multiface.jpg", exif="ignore"))


def test_published_boxes_to_a_twentieth_of_a_pixel() -> None:
    found = Detector(load_weights(published_folder()), parity=True)([image_of_many()])[0]
    assert len(found.boxes) == 6
    rows = box_iou(MULTIFACE[:, :4], found.boxes).argmax(1)
    torch.testing.assert_close(found.boxes[rows], MULTIFACE[:, :4], atol=0.05, rtol=0)
    torch.testing.assert_close(found.scores[rows], MULTIFACE[:, 4], atol=2e-4, rtol=0)
    torch.testing.assert_close(found.points[rows[0]], FIRST_POINTS, atol=0.05, rtol=0)


def test_clean_boxes_are_near_the_published_ones() -> None:
    found = Detector(load_weights(published_folder()))([image_of_many()])[0]
    assert len(found.boxes) == 6
    assert float(box_iou(MULTIFACE[:, :4], found.boxes).max(1).values.min()) > 0.85


@pytest.mark.parametrize("parity", [False, True])
def test_a_face_at_the_border_is_found(parity: bool) -> None:
    image = image_of_many()[:, :935]  # through the cheek of the first face
    found = Detector(load_weights(published_folder()), parity=parity)([image])[0]
    assert float(box_iou(MULTIFACE[:1, :4], found.boxes).max()) > 0.6
