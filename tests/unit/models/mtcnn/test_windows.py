import logging

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.ops import box_iou

from canthus.data.batch import InputSpec
from canthus.data.detection.datamodule import ImageBatch, ImageDataModule
from canthus.data.readers import WiderFace
from canthus.geometry.windows import decode, encode, mirror_offsets
from canthus.models.mtcnn.network import normalised
from canthus.models.mtcnn.windows import (
    NEGATIVE,
    PART,
    POSITIVE,
    MinedBoxes,
    Squares,
    cut,
    draw,
    joined,
    label,
)
from canthus.utils.errors import DataError
from tests.unit.data.detection.test_pyramids import pyramids_of


def batch_of(boxes, *, sizes=((300, 400),), ignored=(), complete=True):
    """Images that are grey, with each face box filled by a level of its own."""
    images = []
    for (height, width), some in zip(sizes, boxes, strict=True):
        pixels = np.full((height, width, 3), 40, dtype=np.uint8)
        for number, (x1, y1, x2, y2) in enumerate(some):
            pixels[round(y1 + 0.5) : round(y2 + 0.5), round(x1 + 0.5) : round(x2 + 0.5)] = 120 + 50 * number
        images.append(pixels)
    faces = torch.tensor([box for some in boxes for box in some], dtype=torch.float32).reshape(-1, 4)
    flags = torch.zeros(len(faces), dtype=torch.bool)
    flags[list(ignored)] = True
    pyramids = pyramids_of(*images)
    return ImageBatch(
        pixels=pyramids,
        sizes=pyramids.sizes,
        index=torch.arange(len(sizes)),
        shrink=torch.ones(len(sizes)),
        complete=torch.full((len(sizes),), complete),
        boxes=faces,
        owner=torch.tensor([row for row, some in enumerate(boxes) for _ in some], dtype=torch.long),
        ignored=flags,
        faces=None,
    )


TWO = [[(100.0, 80.0, 180.0, 170.0), (250.0, 60.0, 300.0, 120.0)]]


def test_overlaps_of_every_kind_are_those_of_the_paper():
    torch.manual_seed(0)
    batch = batch_of(TWO)
    squares, kind = draw(batch, 300, 100, 100)
    overlap = box_iou(squares.box, batch["boxes"]).amax(1)
    assert torch.bincount(kind, minlength=3).tolist() == [300, 100, 100]
    assert overlap[kind == NEGATIVE].max() < 0.3
    assert overlap[kind == POSITIVE].min() >= 0.65
    assert overlap[kind == PART].min() >= 0.4
    assert overlap[kind == PART].max() < 0.65
    sides = squares.box[:, 2:] - squares.box[:, :2]
    assert torch.allclose(sides[:, 0], sides[:, 1], atol=1e-3)
    assert sides[kind == NEGATIVE].min() >= 12
    assert sides[kind == NEGATIVE].max() <= 150.01
    assert len(torch.unique(encode(squares.box, batch["boxes"][:1]), dim=0)) > 450  # all are jittered


def test_half_of_the_negatives_lie_near_faces():
    torch.manual_seed(0)
    alone = [[(30.0, 30.0, 60.0, 60.0)]]
    squares, kind = draw(batch_of(alone, sizes=((1200, 1200),)), 400, 0, 0)
    assert kind.eq(NEGATIVE).all()
    near = (squares.box[:, :2] <= 60).all(1).float().mean()
    assert 0.35 < near < 0.65


def test_a_face_of_another_image_does_not_count():
    batch = batch_of([[(100.0, 80.0, 180.0, 160.0)], []], sizes=((300, 400), (300, 400)))
    squares = Squares(batch["boxes"].repeat(2, 1), torch.tensor([0, 1]))
    overlap, _, allowed = label(squares, batch)
    assert overlap.tolist() == [1, 0]
    assert allowed.tolist()[0]
    squares, kind = draw(batch, 60, 10, 10)
    assert squares.owner[kind != NEGATIVE].eq(0).all()
    assert squares.owner[kind == NEGATIVE].eq(1).any()


def test_images_without_faces_give_negatives_alone():
    squares, kind = draw(batch_of([[], []], sizes=((50, 20), (10, 10))), 30, 10, 10)
    assert len(squares) == 30
    assert kind.eq(NEGATIVE).all()
    windows = cut(batch_of([[], []], sizes=((50, 20), (10, 10))), squares, kind, 12)
    assert windows.image.shape == (30, 3, 12, 12)
    assert windows.offsets.abs().max() == 0


def test_ignored_faces_are_neither_negative_nor_positive():
    torch.manual_seed(0)
    batch = batch_of(TWO, ignored=[1])
    squares, kind = draw(batch, 200, 50, 50)
    overlap = box_iou(squares.box, batch["boxes"][1:])[:, 0]
    assert overlap.max() < 0.3
    assert kind.eq(POSITIVE).sum() == 50


def test_mined_boxes_come_first_and_are_moved():
    torch.manual_seed(0)
    batch = batch_of([TWO[0], [(50.0, 50.0, 110.0, 110.0)]], sizes=((300, 400), (300, 300)))
    wrong = torch.tensor([[10.0, 200.0, 50.0, 240.0], [300.0, 200.0, 360.0, 260.0]])
    hit = torch.tensor([[52.0, 50.0, 112.0, 110.0]])
    mined = MinedBoxes.of([wrong, hit])
    assert mined.begin.tolist() == [0, 2, 3]
    among = mined.among(torch.tensor([1, 0]))
    assert among.owner.tolist() == [0, 1, 1]
    assert torch.equal(among.box, torch.cat([hit, wrong]))
    squares, kind = draw(batch, 2, 1, 0, mined)
    negatives = squares.box[kind == NEGATIVE]
    assert box_iou(negatives, wrong).amax(0).min() > 0.7
    assert not torch.isin(negatives, wrong).any()
    assert box_iou(squares.box[kind == POSITIVE], hit).item() > 0.7


def test_windows_show_what_they_are_labelled_with():
    """Targets lead from each window, mirrored or not, to where the pixels change."""
    torch.manual_seed(0)
    batch = batch_of(TWO)
    squares, kind = draw(batch, 20, 60, 60)
    windows = cut(batch, squares, kind, 48)
    unit = torch.tensor([0.0, 0.0, 1.0, 1.0])
    checked = 0
    for image, offsets in zip(windows.image[kind == POSITIVE], windows.offsets[kind == POSITIVE], strict=True):
        box = decode(unit, offsets) * 48 - 0.5
        bright = image[0] * 255 > 80
        columns, rows = torch.nonzero(bright.any(0)).flatten(), torch.nonzero(bright.any(1)).flatten()
        low = torch.tensor([columns.min(), rows.min()]) - 0.5
        high = torch.tensor([columns.max(), rows.max()]) + 0.5
        inside = box.clamp(-0.5, 47.5)
        assert torch.allclose(torch.cat([low, high]), inside, atol=1.6)
        checked += 1
    assert checked == 60


def test_mirroring_offsets():
    square, face = torch.tensor([[25.0, 38.0, 85.0, 98.0]]), torch.tensor([[30.0, 40.0, 80.0, 95.0]])
    offsets = encode(square, face)
    assert offsets[0].tolist() == pytest.approx([0.08333, 0.03333, -0.08333, -0.05], abs=1e-5)
    flipped = mirror_offsets(offsets)
    assert torch.equal(mirror_offsets(flipped), offsets)
    width = 200
    mirror = [width - 1 - square[0, 2], square[0, 1], width - 1 - square[0, 0], square[0, 3]]
    other = [width - 1 - face[0, 2], face[0, 1], width - 1 - face[0, 0], face[0, 3]]
    assert torch.allclose(encode(torch.tensor([mirror]), torch.tensor([other])), flipped, atol=1e-6)


def test_joined_and_normalised():
    batch = batch_of(TWO)
    squares, kind = draw(batch, 4, 2, 2)
    windows = cut(batch, squares, kind, 24)
    assert len(joined(windows, windows).kind) == 16
    assert normalised(torch.tensor([0.0, 1.0])).tolist() == pytest.approx([-0.99609375, 0.99609375])


@pytest.fixture
def odd_wider(tmp_path):
    """WIDER FACE with images of every kind, half of them without a face, and a file that is none."""
    folder = tmp_path / "WIDER_train/images/0--Odd"
    folder.mkdir(parents=True)
    picture = np.random.default_rng(0).integers(0, 256, (90, 100, 3), dtype=np.uint8)
    pictures = {
        "plain.png": picture, "grey.png": picture[..., 0], "alpha.png": np.dstack([picture, picture[..., 0]]),
        "deep.png": picture.astype(np.uint16) * 257, "tiny.png": picture[:10, :10],
        "thin.png": np.resize(picture, (1, 5000, 3)),
    }  # fmt: skip
    for name, pixels in pictures.items():
        assert cv2.imwrite(str(folder / name), pixels)
    Image.fromarray(picture).convert("CMYK").save(folder / "cmyk.jpg")
    (folder / "broken.jpg").write_bytes(b"not a picture")
    lines = []
    for name in (*pictures, "cmyk.jpg", "broken.jpg"):
        faces = ["30 20 40 50 0 0 0 0 0 0"] if name not in ("tiny.png", "thin.png") else []
        lines += [f"0--Odd/{name}", str(len(faces)), *(faces or [" ".join("0" * 10)])]
    (tmp_path / "wider_face_split").mkdir()
    (tmp_path / "wider_face_split/wider_face_train_bbx_gt.txt").write_text("\n".join(lines) + "\n")
    return tmp_path


def test_images_of_every_kind_give_windows(odd_wider, tmp_path, caplog):
    source = {"reader": "canthus.data.synthetic.Synthetic", "size": 8, "resolution": 96, "train_parts": ["train"]}
    options = {"name": "wider_face", "train_parts": ["train"], "scheme": "5", "validation": 0, "landmarks": source}
    options |= {"cache": tmp_path / "cache", "batch_size": 7, "landmark_faces": 7}
    reader = WiderFace(odd_wider, allow_partial=True)
    with pytest.raises(DataError, match=r"broken\.jpg: not a readable image"):
        ImageDataModule(InputSpec(96, 3, (24, 24, 71, 71)), reader, **options).prepare_data()
    data = ImageDataModule(InputSpec(96, 3, (24, 24, 71, 71)), reader, max_broken=0.2, **options)
    with caplog.at_level(logging.WARNING):
        data.prepare_data()
    assert "broken.jpg: not a readable image" in caplog.text
    data.setup("fit")
    (batch,) = data.train_dataloader()
    shown = [data.images("train")[i].image.name for i in batch["index"]]
    assert sorted(shown) == ["alpha.png", "cmyk.jpg", "deep.png", "grey.png", "plain.png", "thin.png", "tiny.png"]
    plain, same = (batch["pixels"].image(shown.index(name)) for name in ("plain.png", "alpha.png"))
    assert np.array_equal(plain, same)
    squares, kind = draw(batch, 140, 20, 20)
    assert torch.bincount(kind).tolist() == [140, 20, 20]
    assert set(squares.owner.tolist()) == set(range(7))
    windows = cut(batch, squares, kind, 24)
    assert windows.image.isfinite().all()
    assert windows.offsets[kind == NEGATIVE].eq(0).all()
