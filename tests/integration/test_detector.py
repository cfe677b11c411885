"""canthus-predict with MTCNN: weights of a run or published ones, every kind of image."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from canthus.evaluation.external.predictions import read_predicted
from canthus.inference.face_detector import FaceFinder
from canthus.utils.errors import ConfigError
from tests.helpers.published import published_folder, random_network, write_facenet_pytorch

FINDING = "detector.thresholds=[0.5,0.1,0.1]"
"""With random weights."""


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_facenet_pytorch(random_network(1), tmp_path_factory.mktemp("weights"))


def blobs(height: int, width: int) -> np.ndarray:
    coarse = np.random.default_rng(0).integers(0, 256, (height // 6 + 1, width // 6 + 1, 3), dtype=np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def test_boxes_scores_and_points(trained: Path, weights: Path, run_command, images: Path, tmp_path: Path) -> None:
    (images / "broken.jpg").write_bytes(b"not a picture")
    cv2.imwrite(str(images / "none.png"), np.zeros((10, 10, 3), np.uint8))
    cv2.imwrite(str(images / "many.png"), blobs(120, 120))
    output = tmp_path / "out"
    arguments = [f"run={trained}", f"source={images}", f"output={output}", "detector=mtcnn", FINDING]
    tight = "detector.tight=[0.1,0.2,-0.1,0]"
    assert run_command("predict", *arguments, f"detector.weights={weights}", tight) == 0
    content = json.loads((output / "landmarks.json").read_text())
    assert "broken.jpg: not a readable image" in content["skipped"][str(images / "broken.jpg")]
    assert content["images"][str(images / "none.png")] == {"faces": []}
    faces = content["images"][str(images / "many.png")]["faces"]
    assert faces
    for face in faces:
        found = face["detection"]
        x1, y1, x2, y2 = found["box"]
        expected = [x1 + 0.1 * (x2 - x1), y1 + 0.2 * (y2 - y1), x2 - 0.1 * (x2 - x1), y2]
        np.testing.assert_allclose(face["box"], expected, atol=0.01)
        assert 0.1 <= found["score"] <= 1
        assert np.array(found["points"]).shape == (5, 2)
        assert np.array(face["landmarks"]).shape == (68, 2)
    scores = [face["detection"]["score"] for face in faces]
    assert scores == sorted(scores, reverse=True)
    assert (output / "overlays" / "none.png.jpg").is_file()
    assert len(read_predicted(output / "landmarks.json").faces[str(images / "many.png")]) == len(faces)


def test_unusual_pictures(trained: Path, weights: Path, run_command, tmp_path: Path) -> None:
    folder, picture = tmp_path / "odd", blobs(80, 90)
    folder.mkdir()
    cv2.imwrite(str(folder / "grey.png"), picture[..., 0])
    cv2.imwrite(str(folder / "alpha.png"), np.dstack([picture, picture[..., 0]]))
    cv2.imwrite(str(folder / "deep.png"), picture.astype(np.uint16) * 257)
    cv2.imwrite(str(folder / "thin.png"), blobs(1, 5000))
    cv2.imwrite(str(folder / "plain.png"), picture)
    cv2.imwrite(str(folder / "tiny.png"), blobs(10, 10))
    cv2.imwrite(str(folder / "flat.png"), np.full((60, 60, 3), 128, np.uint8))
    Image.fromarray(picture).convert("CMYK").save(folder / "cmyk.jpg")
    Image.fromarray(picture).quantize(32).save(folder / "palette.png")
    whole = (folder / "plain.png").read_bytes()
    (folder / "half.png").write_bytes(whole[: len(whole) // 2])
    arguments = [f"run={trained}", f"source={folder}", f"output={tmp_path / 'out'}", "detector=mtcnn", FINDING]
    assert run_command("predict", *arguments, f"detector.weights={weights}", "overlays=false") == 0
    content = json.loads((tmp_path / "out" / "landmarks.json").read_text())
    assert [Path(name).name for name in content["skipped"]] == ["half.png"]
    assert "not a readable image" in content["skipped"][str(folder / "half.png")]
    counts = {Path(name).name: len(entry["faces"]) for name, entry in content["images"].items()}
    assert counts.pop("thin.png") == counts.pop("tiny.png") == 0
    assert counts.keys() == {"grey.png", "alpha.png", "deep.png", "plain.png", "cmyk.jpg", "palette.png", "flat.png"}
    assert counts["deep.png"] == counts["alpha.png"] == counts["plain.png"] > 0


def test_a_runs_checkpoint(trained: Path, run_command, images: Path, tmp_path: Path) -> None:
    network, run = random_network(1), tmp_path / "mtcnn"
    (run / "checkpoints").mkdir(parents=True)
    state = {f"network.{key}": value for key, value in network.state_dict().items()}
    torch.save({"state_dict": state}, run / "checkpoints" / "best.ckpt")
    cv2.imwrite(str(images / "many.png"), blobs(120, 120))
    arguments = [f"run={trained}", f"source={images / 'many.png'}", f"output={tmp_path / 'out'}", FINDING]
    assert run_command("predict", *arguments, "detector=mtcnn", f"detector.run={run}") == 0
    found = json.loads((tmp_path / "out" / "landmarks.json").read_text())["images"]
    face = found[str(images / "many.png")]["faces"][0]
    np.testing.assert_allclose(face["box"], face["detection"]["box"], atol=0.002)  # a run's boxes are its labels'


def test_mistakes_are_explained(
    trained: Path, weights: Path, run_command, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [f"run={trained}", f"source={images}", f"output={tmp_path / 'out'}", "detector=mtcnn"]
    (tmp_path / "boxes.csv").write_text("image,x1,y1,x2,y2\na.jpg,1,2,3,4\n")
    for more, words in (
        ([f"detector.weights={weights}", "detector.run=a"], "give one of them"),
        (["detector.weights=nowhere"], "nowhere: no such file or folder"),
        (["detector.run=nowhere"], "checkpoint nowhere/checkpoints/best.ckpt does not exist"),
        ([f"detector.weights={weights}", "detector.layout=matlab"], "layout=matlab"),
        ([f"detector.weights={weights}", "detector.thresholds=[2,1,1]"], "need three probabilities"),
        ([f"detector.weights={weights}", "detector.tight=[0.6,0,-0.6,0]"], "four differences"),
        ([f"detector.weights={weights}", "detector.min_sise=30"], "unknown key 'detector.min_sise'"),
        ([f"detector.weights={weights}", f"boxes={tmp_path / 'boxes.csv'}"], "leave out one of them"),
    ):
        assert run_command("predict", *arguments, *more) == 2, more
        assert words in "".join(capsys.readouterr()), more


def test_tight_boxes_of_real_faces(real_data: Path) -> None:
    """The published detector's boxes, made tight, lie on the labels' tight boxes."""
    from torchvision.ops import box_iou

    from canthus.data.images import read_image
    from canthus.data.readers import W300

    finder, overlaps = FaceFinder(weights=str(published_folder())), []
    for face in W300(real_data / "300w", allow_partial=True).faces(["afw"])[:24]:
        found = finder(read_image(face.image, exif="ignore"))
        if found:
            tight = torch.tensor(np.concatenate([face.landmarks.min(0), face.landmarks.max(0)]))[None].double()
            overlaps.append(float(box_iou(tight, torch.tensor(np.array([each.box for each in found]))).max()))
    assert len(overlaps) >= 18
    assert float(np.median(overlaps)) > 0.7


def test_arrays_of_all_kinds(weights: Path) -> None:
    finder, picture = FaceFinder(weights=str(weights), thresholds=(0.5, 0.1, 0.1)), blobs(80, 90)
    turned = picture[..., ::-1]  # the channels of OpenCV, a view with negative steps
    found = finder(turned)
    assert [face.score for face in found] == [face.score for face in finder(np.ascontiguousarray(turned))]
    assert found
    for size in ((10, 10), (1, 5000), (0, 0)):
        assert finder(np.zeros((*size, 3), np.uint8)) == []
    for wrong, words in (
        (picture[..., 0], r"image 0 is \(80, 90\)"),
        (np.dstack([picture, picture[..., 0]]), r"image 0 is \(80, 90, 4\) .* drop alpha"),
        (picture.astype(np.uint16), "uint16: .* reduce 16 bit"),
        (picture / 255, "float64"),
    ):
        with pytest.raises(ValueError, match=words):
            finder(wrong)


def test_finder_needs_weights(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="one of them"):
        FaceFinder(run=str(tmp_path), weights=str(tmp_path))
    shutil.rmtree(tmp_path)
    with pytest.raises(ConfigError, match="no such file or folder"):
        FaceFinder(weights=str(tmp_path))
