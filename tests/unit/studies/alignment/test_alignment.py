"""Alignment: frames, embedders, pairs and verification."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import timm
import torch

from canthus.data.synthetic import Synthetic
from canthus.geometry import affine
from canthus.schemes import load_scheme
from canthus.studies.alignment.aligners import Aligner
from canthus.studies.alignment.embedding import make_embedder
from canthus.studies.alignment.faces import StudyFaces
from canthus.studies.alignment.frames import aligned, alignment_maps, alignment_points, template
from canthus.studies.alignment.measures import measure, verification_link
from canthus.studies.alignment.pairs import draw_pairs, resampled_accuracy, verification
from canthus.utils.errors import DataError

SOURCE = Synthetic(size=24, resolution=96, difficulty="easy")
FACES = SOURCE.faces(["train"])
LABELS = torch.from_numpy(np.stack([face.landmarks for face in FACES]))
TRUTH = alignment_points(LABELS, load_scheme(68))
PICTURES = [SOURCE.pixels(face.image) for face in FACES]
SIZE = 64


def test_the_template_is_a_face_in_the_middle() -> None:
    points = template(SIZE)
    assert points.shape == (5, 2)
    middle = (SIZE - 1) / 2
    torch.testing.assert_close(points[0, 0] - middle, middle - points[1, 0])
    assert points[2, 0].item() == pytest.approx(middle, abs=1e-4)
    assert points[0, 1] < points[2, 1] < points[3, 1]
    torch.testing.assert_close(template(2 * SIZE)[1] - template(2 * SIZE)[0], 2 * (points[1] - points[0]))


def test_aligned_pictures_show_the_points_at_the_template() -> None:
    picture = np.zeros((96, 96, 3), np.uint8)
    points = affine.apply(
        affine.rotation_scale(torch.tensor([0.4]), torch.tensor([0.8]), torch.full((1, 2), 40.0)),
        template(SIZE).float()[None] + 10,
    ).double()
    for x, y in points[0].round().int().tolist():
        cv2.circle(picture, (x, y), 1, (255, 255, 255), -1)
    maps = alignment_maps(points, SIZE)
    torch.testing.assert_close(affine.apply(maps, points)[0], template(SIZE), atol=1e-3, rtol=0)
    (face,) = aligned([picture], maps, SIZE)
    for x, y in template(SIZE).round().int().tolist():
        assert face[y, x].max() > 100


@pytest.mark.parametrize("name", ["hog", "pixels"])
def test_embedders_find_the_same_picture(name: str) -> None:
    embed = make_embedder(name, SIZE)
    faces = np.stack(list(aligned(PICTURES, alignment_maps(TRUTH, SIZE), SIZE)))
    vectors = embed(faces)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    noisy = np.clip(faces + np.random.default_rng(0).normal(0, 6, faces.shape), 0, 255).astype(np.uint8)
    assert ((embed(noisy) @ vectors.T).argmax(1) == np.arange(len(faces))).mean() > 0.95


def test_wrong_embedders() -> None:
    with pytest.raises(ValueError, match="embedder=arc: hog, pixels, or a network of timm"):
        make_embedder("arc", SIZE)
    with pytest.raises(ValueError, match="a multiple of 16"):
        make_embedder("hog", 60)
    with pytest.raises(ValueError, match="embedder=hog has no weights"):
        make_embedder("hog", SIZE, Path("weights.pth"))


@pytest.mark.parametrize("name", ["test_resnet", "test_vit"])  # of any input, of 160 pixels only
def test_a_network_of_timm_with_weights_of_a_file(name: str, tmp_path) -> None:
    torch.manual_seed(0)
    network = timm.create_model(name, num_classes=3)  # what it was trained for does not matter
    path = tmp_path / "weights.pth"
    torch.save({"state_dict": network.state_dict()}, path)
    faces = np.stack(list(aligned(PICTURES[:4], alignment_maps(TRUTH[:4], SIZE), SIZE)))
    vectors = make_embedder(name, SIZE, path)(faces)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    settings = timm.data.resolve_model_data_config(network)
    pixels = torch.from_numpy(faces).permute(0, 3, 1, 2).float() / 255
    if name == "test_vit":
        pixels = torch.nn.functional.interpolate(pixels, size=(160, 160), mode="bilinear", antialias=True)
    mean, deviation = (torch.tensor(settings[key])[:, None, None] for key in ("mean", "std"))
    network.reset_classifier(0)
    with torch.inference_mode():
        expected = network.eval()((pixels - mean) / deviation).numpy()
    np.testing.assert_allclose(vectors, expected / np.linalg.norm(expected, axis=1)[:, None], atol=1e-4)


def test_weights_that_do_not_belong_to_a_network(tmp_path, monkeypatch) -> None:
    path = tmp_path / "weights.pth"
    torch.save(timm.create_model("test_vit").state_dict(), path)
    with pytest.raises(ValueError, match=r"are not of embedder=test_resnet: Missing key"):
        make_embedder("test_resnet", SIZE, path)
    torch.save({"state_dict": Path("code")}, path)
    with pytest.raises(ValueError, match="cannot be loaded safely"):
        make_embedder("test_resnet", SIZE, path)
    with pytest.raises(ValueError, match="timm has no weights of it; give embedder_weights=FILE"):
        make_embedder("convnextv2_small", SIZE)

    def unreachable(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.setattr(timm, "create_model", unreachable)
    with pytest.raises(ValueError, match=r"its weights cannot be fetched \(OSError\); give embedder_weights=FILE"):
        make_embedder("test_resnet", SIZE)


def test_pairs_are_of_different_clips_and_never_twice() -> None:
    persons = [f"p{i // 6}" for i in range(60)]
    clips = [f"{i // 3}" for i in range(60)]
    pairs = draw_pairs(persons, clips, 50, seed=0)
    assert len(pairs.same) == 100
    assert pairs.same.sum() == 50
    for a, b, same in zip(pairs.first, pairs.second, pairs.same, strict=True):
        assert (persons[a] == persons[b]) == same
        assert clips[a] != clips[b]
    assert len({(a, b) for a, b in zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)}) == 100
    again = draw_pairs(persons, clips, 50, seed=0)
    np.testing.assert_array_equal(pairs.second, again.second)
    person = np.array([int(persons[a][1:]) for a in pairs.first[pairs.same]])
    np.testing.assert_array_equal(pairs.fold[pairs.same], person % 10)
    with pytest.raises(DataError, match="no person has pictures of two clips"):
        draw_pairs(persons, persons, 50, seed=0)
    with pytest.raises(DataError, match="1 persons are named"):
        draw_pairs(["p0", None, "p0"], ["a", "b", "c"], 50, seed=0)


def test_there_are_as_many_pairs_of_two_persons_as_of_one() -> None:
    """One person with twelve clips and one with a single picture: 66 pairs of one person, 12 of two."""
    pairs = draw_pairs([*["p0"] * 12, None, "p1"], [str(i) for i in range(14)], 50, seed=0)
    assert (pairs.same.sum(), (~pairs.same).sum()) == (12, 12)
    assert 12 not in {*pairs.first.tolist(), *pairs.second.tolist()}  # nobody knows who that is
    np.testing.assert_array_equal(pairs.persons[0] == pairs.persons[1], pairs.same)


def test_intervals_are_over_persons() -> None:
    """All pairs of one person are right or wrong together: 20 persons say as much as 20 pairs, not as 600."""
    persons = [f"p{i // 8}" for i in range(160)]
    pairs = draw_pairs(persons, [str(i) for i in range(160)], 300, seed=0)
    lucky = np.random.default_rng(0).random(20) < 0.7
    right = np.where(pairs.same, lucky[pairs.persons[0]], lucky[pairs.persons].all(0)) * 100.0
    drawn = resampled_accuracy(np.stack([right, np.full_like(right, 100)]), pairs, seed=0)
    assert drawn.shape == (2, 2000)
    assert drawn[0].mean() == pytest.approx(right.mean(), abs=3)
    assert drawn[0].std() > 3 * right.std() / len(right) ** 0.5
    np.testing.assert_allclose(drawn[1], 100)


def test_verification_of_perfect_and_of_useless_vectors() -> None:
    persons = [f"p{i // 6}" for i in range(120)]
    pairs = draw_pairs(persons, [str(i) for i in range(120)], 300, seed=0)
    random = np.random.default_rng(0)
    centres = random.standard_normal((20, 16))
    good = np.repeat(centres, 6, 0) + 0.1 * random.standard_normal((120, 16))
    bad = random.standard_normal((120, 16))
    right, area = verification((good / np.linalg.norm(good, axis=1)[:, None]).astype(np.float32), pairs)
    assert right.mean() > 97
    assert area > 99
    right, area = verification((bad / np.linalg.norm(bad, axis=1)[:, None]).astype(np.float32), pairs)
    assert 38 < right.mean() < 62
    assert 42 < area < 58


def measured(name: str, points: torch.Tensor, corrupted=None):
    clips = [str(i // 3) for i in range(24)]
    pairs = draw_pairs([str(i // 6) for i in range(24)], clips, 20, seed=0)
    distances = {"box": torch.full((24,), 50.0, dtype=torch.float64)}
    aligner = Aligner(name, "run", points, corrupted or {}, range(12))
    embed = make_embedder("pixels", SIZE)
    return measure(aligner, TRUTH, LABELS, distances, clips, PICTURES, pairs, embed, SIZE, [0, 5]), pairs


def test_measures_of_an_alignment() -> None:
    exact, _ = measured("truth", TRUTH, {"blur": TRUTH[:12]})
    assert exact.nme["box"].max() < 1e-9
    assert exact.shifts["blur"].max() < 1e-9
    moved, _ = measured("moved", TRUTH + torch.tensor([3.0, 4.0]), {"blur": TRUTH[:12]})
    np.testing.assert_allclose(moved.nme["box"], 10.0)  # 5 of 50 pixels
    assert (moved.shifts["blur"] > 1).all()
    torch.manual_seed(0)
    shaky, _ = measured("shaky", TRUTH + 4 * torch.randn_like(TRUTH))
    assert shaky.jitter.mean() > exact.jitter.mean()
    assert exact.mean_face.shape == (SIZE, SIZE, 3)
    row = shaky.row()
    low, high = row["nme_box_interval"]
    assert low < row["nme_box"] < high


def test_the_link_is_a_rank_correlation() -> None:
    nme, accuracy = np.array([1.0, 2, 3, 4]), np.array([90.0, 80, 70, 60])
    noise = np.random.default_rng(0).normal(0, 1, (4, 500))
    noise[:, 0] = np.nan  # a draw without pairs
    link = verification_link(nme, accuracy, accuracy[:, None] + noise)
    assert link["correlation"] == pytest.approx(-1)
    assert link["interval"] == pytest.approx([-1, -1])
    low, high = verification_link(nme, accuracy, accuracy[:, None] + 30 * noise)["interval"]
    assert low < -0.9 < 0 < high
    assert verification_link(nme[:2], accuracy[:2], noise[:2])["correlation"] is None


def test_study_faces_are_the_same_for_every_method() -> None:
    faces = StudyFaces(SOURCE, 5, 0.05, seed=1).faces(["train"])
    again = StudyFaces(SOURCE, 5, 0.05, seed=1).faces(["train"])
    assert len({face.identity for face in faces}) == 5
    for one, other in zip(faces, again, strict=True):
        np.testing.assert_array_equal(one.box, other.box)
    originals = {face.image: face.box for face in FACES}
    moved = [np.abs(face.box - originals[face.image]).max() for face in faces]
    assert 0.1 < np.mean(moved) < 15
