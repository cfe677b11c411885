"""What a run remembers of its faces, and how it tells others from them."""

import gzip
import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from canthus.data import remembered
from canthus.data.face import Face, Reader, WholeImage
from canthus.data.remembered import FaceList, KnownFace, Remembered, changes
from canthus.data.synthetic import Synthetic


class Files(Reader):
    scheme = "none"

    def __init__(self, root: Path | None = None) -> None:
        if root is not None:
            self.root = root

    def faces(self, parts):
        return []


READER = Files()


def face(name: str, photo: str | None = None, seed: int = 0, points: int = 5) -> Face:
    landmarks = np.random.default_rng([seed, *name.encode(errors="surrogateescape")]).uniform(0, 100, (points, 2))
    box = np.array([0.0, 0.0, 100.0, 100.0])
    return Face(Path(name), landmarks, np.full(points, 2, np.uint8), box, "none", photo or name)


def listed(train: list[Face], val: list[Face], data: str = "own") -> FaceList:
    return FaceList.of_faces(data, READER, train=train, val=val)


def why_not(read: Callable[..., object], source: object) -> str | None:
    """The message of a ValueError, the only error that a damaged source may raise."""
    try:
        read(source)
    except ValueError as error:
        return str(error)
    return None


TRAIN, VAL = [face(f"{i}.jpg") for i in range(18)], [face(f"v{i}.jpg") for i in range(6)]
LIST = listed(TRAIN, VAL)


def test_names_are_below_the_root_and_name_no_folder_above_it(tmp_path: Path) -> None:
    inside = replace(face("x"), image=tmp_path / "deep/er/a.jpg")
    assert KnownFace.of(inside, Files(tmp_path)).image == "deep/er/a.jpg"
    assert KnownFace.of(inside, Files(tmp_path / "other")).image == "er/a.jpg"
    assert KnownFace.of(inside, READER) == KnownFace.of(inside, Files(tmp_path / "other"))


def test_written_and_read_again(tmp_path: Path) -> None:
    known = listed([*TRAIN, face("caf\u00e9 \udce9.jpg")], VAL)
    known = FaceList(known.data, known.entries, 60, LIST.remembered())
    known.write(tmp_path / "one.gz")
    known.write(tmp_path / "two.gz")
    assert (tmp_path / "one.gz").read_bytes() == (tmp_path / "two.gz").read_bytes()
    read = FaceList.read(tmp_path / "one.gz")
    assert read is not None
    assert changes(known, read) == []
    assert (read.data, read.period, read.earlier) == ("own", 60, LIST.remembered())
    assert read.remembered() == known.remembered()
    assert FaceList.read(tmp_path / "three.gz") is None


def test_a_header_says_the_same(tmp_path: Path) -> None:
    known = LIST.remembered().with_earlier(listed(VAL[:2], []).remembered())
    assert Remembered.from_header(json.loads(json.dumps(known.header()))) == known


@pytest.mark.parametrize("key", ["format", "data", "trained", "period"])
@pytest.mark.parametrize("value", [None, 7, "x", "AAA=", [1]])
def test_a_strangers_header_is_a_value_error_or_a_header(key, value) -> None:
    content = LIST.remembered().header() | {key: value}
    reason = why_not(Remembered.from_header, content)
    assert reason is None or "no list of faces" in reason
    with pytest.raises(ValueError, match="no list of faces"):
        Remembered.from_header([])


def test_damaged_files_are_value_errors(tmp_path: Path) -> None:
    """A hundred files with bytes flipped, cut or appended, packed and unpacked."""
    path, draw = tmp_path / "faces.json.gz", random.Random(0)
    LIST.write(path)
    packed = path.read_bytes()
    text = gzip.decompress(packed)
    refused = 0
    for number in range(100):
        source = bytearray(packed if number % 2 else text)
        place = draw.randrange(len(source))
        if number % 3 == 0:
            source[place] ^= 1 << draw.randrange(8)
        elif number % 3 == 1:
            del source[place:]
        else:
            source += bytes(draw.randrange(1, 256) for _ in range(9))
        path.write_bytes(bytes(source) if number % 2 else gzip.compress(bytes(source)))
        reason = why_not(FaceList.read, path)
        assert reason is None or (str(path) in reason and "\n" not in reason)
        refused += reason is not None  # one letter in a name may have become another
    assert refused > 70


def test_no_more_is_unpacked_than_the_limit(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(remembered, "LARGEST_TEXT", 1000)
    path = tmp_path / "faces.json.gz"
    path.write_bytes(gzip.compress(b" " * 2000))
    with pytest.raises(ValueError, match="more than 1000 bytes unpacked"):
        FaceList.read(path)
    monkeypatch.setattr(remembered, "LARGEST", 10)
    with pytest.raises(ValueError, match="no file of at most 10 bytes"):
        FaceList.read(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(ValueError, match="no file of at most"):
        FaceList.read(path)


def test_two_hundred_thousand_faces_are_six_megabytes(tmp_path: Path) -> None:
    digests = np.random.default_rng(0).bytes(16 * 200_000).hex()
    rows = (digests[i : i + 32] for i in range(0, len(digests), 32))
    names = (f"img_celeba/{number:06d}.jpg" for number in range(200_000))
    entries = [KnownFace(name[11:-4], name, row[:16], row[16:]) for name, row in zip(names, rows, strict=True)]
    FaceList("celeba", {"train_faces": entries}).write(tmp_path / "faces.json.gz")
    assert (tmp_path / "faces.json.gz").stat().st_size < 6e6


def test_equal_data_have_not_changed_whatever_their_order() -> None:
    assert changes(LIST, listed(TRAIN[::-1], VAL[::-1])) == []


HIDDEN = np.full(5, 1, np.uint8)


def moved(one: Face, by: float) -> Face:
    return replace(one, landmarks=one.landmarks + by)


@pytest.mark.parametrize(
    ("train", "val", "expected"),
    [
        ([moved(TRAIN[0], 0.01), *TRAIN[1:]], VAL, ["1 face is labelled otherwise (0.jpg)"]),
        ([moved(TRAIN[0], 1e-6), *TRAIN[1:]], VAL, []),
        (TRAIN[:9], VAL, ["9 of 18 training faces are gone (9.jpg, 10.jpg, 11.jpg and 6 more)"]),
        (TRAIN, VAL[:-1], ["1 of 6 held-out faces is gone (v5.jpg)"]),
        (TRAIN, [*VAL, face("w.jpg")], ["1 face is new (w.jpg)"]),
        ([*TRAIN, VAL[0]], VAL[1:], ["1 face is on the other side of the split (v0.jpg)"]),
        ([*TRAIN[:-1], replace(TRAIN[-1], box=VAL[0].box + 1)], VAL, ["1 face is in another box (17.jpg)"]),
        ([*TRAIN[:-1], replace(TRAIN[-1], visibility=HIDDEN)], VAL, ["1 face is labelled otherwise (17.jpg)"]),
    ],
)  # fmt: skip
def test_what_has_changed_is_counted_and_named(train, val, expected) -> None:
    assert changes(LIST, listed(train, val)) == expected


def test_several_faces_of_an_image() -> None:
    crowd = [face("crowd.jpg", seed=i) for i in range(4)]
    before = listed(crowd, VAL)
    assert changes(before, listed(crowd[::-1], VAL)) == []
    assert changes(before, listed(crowd[1:], VAL)) == ["1 of 4 training faces is gone (crowd.jpg)"]
    assert changes(before, listed([*crowd[:3], moved(crowd[3], 1)], VAL)) == [
        "1 face is labelled otherwise (crowd.jpg)"
    ]


@pytest.mark.parametrize("number", range(20))
def test_random_changes_are_counted(number: int) -> None:
    """Images gone, added and labelled anew, at once."""
    draw = random.Random(number)
    faces = [face(f"{i}.jpg") for i in range(50)]
    gone, new, other = (draw.randrange(5) for _ in range(3))
    draw.shuffle(faces)
    kept = [moved(one, 2.0) for one in faces[gone : gone + other]] + faces[gone + other :]
    kept += [face(f"n{i}.jpg") for i in range(new)]
    draw.shuffle(kept)
    found = " ".join(changes(listed(faces, VAL), listed(kept, VAL)))
    for count, word in ((gone, "gone"), (new, "new"), (other, "labelled otherwise")):
        assert (word in found) == (count > 0)
        if count > 1:
            assert f"{count} faces are {word}" in found or f"{count} of 50 training faces are {word}" in found


def test_trained_on_by_name_by_labels_or_not() -> None:
    known = LIST.remembered()
    assert known.trained_on([*TRAIN, *VAL], READER, "own").tolist() == [True] * 18 + [False] * 6
    assert known.trained_on([moved(TRAIN[0], 5.0)], READER, "own").tolist() == [True]  # labelled anew, the same image
    renamed = [replace(one, image=Path(f"copy/{i}.png"), photo=f"{i}") for i, one in enumerate([TRAIN[3], VAL[3]])]
    assert known.trained_on(renamed, READER, "other").tolist() == [True, False]
    same_name = [face("0.jpg", seed=9)]  # of another data set
    assert known.trained_on(same_name, READER, "other").tolist() == [False]
    few = face("a.jpg", points=2)
    copy = replace(few, image=Path("b.jpg"), photo="b.jpg")
    assert listed([few], []).remembered().trained_on([few, copy], READER, "own").tolist() == [True, False]


def test_the_run_before_counts_unless_it_is_left_out() -> None:
    known = listed(TRAIN[:2], VAL).remembered().with_earlier(listed([VAL[0]], []).remembered())
    assert known.trained_on(VAL[:2], READER, "own").tolist() == [True, False]
    assert known.trained_on(VAL[:2], READER, "own", before=False).tolist() == [False, False]


def test_sides_of_a_grown_set() -> None:
    known = LIST.remembered()
    photos = ["new.jpg", *(one.photo for one in VAL), *(one.photo for one in TRAIN), "newer.jpg"]
    assert known.held_out(photos).tolist() == [False] + [True] * 6 + [False] * 19
    assert known.held_out(["a", "b"]) is None  # other data


def test_persons_stay_on_their_side() -> None:
    """Frames of a person: a new one belongs to the person's side, and was not trained on."""
    train, val = [face(f"ann{i}.jpg", "ann") for i in range(3)], [face(f"bob{i}.jpg", "bob") for i in range(3)]
    known = listed(train, val).remembered()
    assert known.held_out(["ann", "bob", "ann"]).tolist() == [False, True, False]
    assert known.trained_on([face("ann3.jpg", "ann"), train[0]], READER, "own").tolist() == [False, True]


def test_images_with_boxes_are_remembered_beside_faces() -> None:
    images = [
        WholeImage(Path(f"{i}.jpg"), f"{i}.jpg", "", (face(f"{i}.jpg"),), np.zeros(1, np.bool_)) for i in range(3)
    ]
    known = FaceList("own", {"train_images": [KnownFace.of(one, READER) for one in images[:2]],
                             "val_images": [KnownFace.of(images[2], READER)]})  # fmt: skip
    assert known.remembered().trained_on(images, READER, "own").tolist() == [True, True, False]
    assert known.remembered().held_out(["0.jpg", "2.jpg"], "images").tolist() == [False, True]
    assert known.remembered().held_out(["0.jpg", "2.jpg"], "faces") is None
    ignored = replace(images[0], ignored=np.ones(1, np.bool_))
    other = FaceList(
        "own", {**known.entries, "train_images": [KnownFace.of(one, READER) for one in (ignored, images[1])]}
    )
    assert changes(known, other) == ["1 image is labelled otherwise (0.jpg)"]


def test_rendered_faces_are_known_by_what_they_are_made_from() -> None:
    reader = Synthetic(size=6, resolution=128)
    faces = reader.faces(["train"])
    known = FaceList.of_faces("synthetic", reader, train=faces[:4], val=faces[4:]).remembered()
    noisy = [replace(one, landmarks=one.landmarks + 0.1, box=one.box + 0.1) for one in faces]
    assert known.trained_on(noisy, reader, "synthetic").tolist() == [True] * 4 + [False] * 2
    assert FaceList.of_faces("s", reader, train=noisy).entries == FaceList.of_faces("s", reader, train=faces).entries
    others = Synthetic(size=6, resolution=128, render_seed=1)
    assert not known.trained_on(others.faces(["train"]), others, "synthetic").any()
    larger = Synthetic(size=12, resolution=128)
    assert known.trained_on(larger.faces(["train"]), larger, "synthetic").tolist() == [True] * 4 + [False] * 8
    endless = replace(known, period=6)
    assert endless.trained_on(larger.faces(["train"]), larger, "synthetic").tolist() == ([True] * 4 + [False] * 2) * 2


def test_names_are_shown_and_not_sent_to_the_console() -> None:
    assert remembered.some(["a", "a", "\x1b[2J", "c", "d", "e"]) == "a, \\x1b[2J, c and 2 more"
