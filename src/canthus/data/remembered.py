"""Which faces a training saw and which it held out: described by name and content, kept with the run, compared later.

A face is described by its split key, the name of its image (a path below the data root; for a rendered image, what it
was made from), a hash of its labels and a hash of its box. `FaceList` is the whole list, which a run folder keeps in
``faces.json.gz``; `Remembered` is what of it fits into the header of a file of weights: hashes of names and labels.
Both may come from a stranger: they are compared, never followed.
"""

import base64
import gzip
import json
import re
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from canthus.data.face import Face, Reader, WholeImage
from canthus.utils.files import replacing

if TYPE_CHECKING:
    from canthus.data.datamodule import FaceDataModule

__all__ = ["FaceList", "KnownFace", "Remembered", "changes"]

FORMAT = 1
DIGEST = 8
"""Bytes of a hash: of 200,000 names, two are equal once in a billion runs."""
LARGEST = 64_000_000
"""Bytes of a ``faces.json.gz``; one of 200,000 faces has 5 million."""
LARGEST_TEXT = 256_000_000
"""Bytes of it unpacked."""
STEPS = 1000
"""Steps of a pixel that hashes of labels and boxes tell apart: more than a text file keeps, less than the last bit."""
FEWEST_POINTS = 3
"""Labelled points by which a face is known again under another name."""
SHOWN = 3
"""Names in a message."""
KINDS = ("faces", "images")
SPLITS = ("train", "val")
EVERYTHING = tuple(f"{split}_{kind}" for kind in KINDS for split in SPLITS)


@dataclass(frozen=True, slots=True)
class KnownFace:
    """A face, or a whole image with its boxes, as it is remembered.

    Attributes:
        photo: split key.
        image: name of the image, the same on every machine.
        labels: hash of the points and their visibility; of an image, of its boxes; 16 hexadecimal digits.
        box: hash of the box; empty where ``labels`` says it.
    """

    photo: str
    image: str
    labels: str
    box: str = ""

    @classmethod
    def of(cls, face: Face | WholeImage, reader: Reader) -> "KnownFace":
        """Describe a face or an image of a reader."""
        scene = reader.made_from(face)
        if isinstance(face, WholeImage):
            content = scene or _numbers(face.boxes) + face.ignored.tobytes()
            return cls(face.photo, scene or image_name(face.image, reader), _hex("boxes", content))
        if scene:  # labels are computed from it
            return cls(face.photo, scene, _hex(face.scheme, scene))
        labels = _numbers(face.landmarks) + face.visibility.tobytes()
        return cls(
            face.photo, image_name(face.image, reader), _hex(face.scheme, labels), _hex("box", _numbers(face.box))
        )


def image_name(image: Path, reader: Reader) -> str:
    """Path of an image below the data root; of an image elsewhere, its last two parts."""
    root = getattr(reader, "root", None)
    if root is not None and image.is_relative_to(root):
        return image.relative_to(root).as_posix()
    return "/".join(image.parts[-2:]) if image.is_absolute() else image.as_posix()


@dataclass(frozen=True)
class Remembered:
    """Faces of a training as sets of hashes.

    Attributes:
        data: name of the data set.
        trained: images that the run was trained on.
        labels: labels that it was trained on, by which an image is known under another name.
        before: images that the run which it started from was trained on; likewise ``labels_before``.
        kept: split keys of the held-out faces and images.
        seen: split keys of the others.
        period: of an endless training, the images of an epoch: image n + period follows image n.
    """

    data: str
    trained: frozenset[bytes] = frozenset()
    labels: frozenset[bytes] = frozenset()
    before: frozenset[bytes] = frozenset()
    labels_before: frozenset[bytes] = frozenset()
    kept: frozenset[bytes] = frozenset()
    seen: frozenset[bytes] = frozenset()
    period: int | None = None

    def side(self, photo: str, kind: str = "faces") -> str | None:
        """``val`` or ``train`` for a split key of the training, None for another."""
        key = _photo_hash(kind, photo)
        return "val" if key in self.kept else "train" if key in self.seen else None

    def held_out(self, photos: Sequence[str], kind: str = "faces") -> NDArray[np.bool_] | None:
        """(N,) which split keys are held out; new ones are not. None if not one of them is known: other data."""
        sides = [self.side(photo, kind) for photo in photos]
        return np.array([side == "val" for side in sides], dtype=np.bool_) if any(sides) else None

    def trained_on(
        self, faces: Sequence[Face | WholeImage], reader: Reader, data: str, *, before: bool = True
    ) -> NDArray[np.bool_]:
        """(N,) which faces lie on images that were trained on.

        Args:
            faces: of some data set.
            reader: of it.
            data: its name.
            before: count what the run that this one started from was trained on, too.
        """
        images = self.trained | self.before if before else self.trained
        labels = self.labels | self.labels_before if before else self.labels
        return np.array([self._known(face, reader, data, images, labels) for face in faces], dtype=np.bool_)

    def _known(
        self, face: Face | WholeImage, reader: Reader, data: str, images: frozenset[bytes], labels: frozenset[bytes]
    ) -> bool:
        known = KnownFace.of(face, reader)
        if self._image_hash(data, known) in images:
            return True
        few = isinstance(face, WholeImage) or (face.visibility > 0).sum() < FEWEST_POINTS
        return not few and bytes.fromhex(known.labels) in labels

    def _image_hash(self, data: str, known: KnownFace) -> bytes:
        photo, image = known.photo, known.image
        if self.period:
            photo, image = (_within(text, self.period) for text in (photo, image))
        return image_hash(data, photo, image)

    def with_earlier(self, other: "Remembered | None") -> "Remembered":
        """The same with what another run was trained on as the training before."""
        if other is None:
            return self
        return Remembered(
            self.data, self.trained, self.labels, self.before | other.trained | other.before,
            self.labels_before | other.labels | other.labels_before, self.kept, self.seen, self.period,
        )  # fmt: skip

    def header(self) -> dict[str, Any]:
        """What JSON can say, for the header of a file of weights."""
        return {"format": FORMAT, "data": self.data, "period": self.period} | {
            name: base64.b64encode(b"".join(sorted(getattr(self, name)))).decode() for name in SETS
        }

    @classmethod
    def from_header(cls, content: Any) -> "Remembered":
        """What `header` gave.

        Raises:
            ValueError: something else.
        """
        try:
            if content["format"] != FORMAT:
                raise ValueError(f"format {content['format']}")
            period = content["period"]
            sets = {name: _digests(base64.b64decode(content[name], validate=True)) for name in SETS}
            return cls(str(content["data"]), period=None if period is None else int(period), **sets)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"no list of faces ({type(error).__name__}: {error})") from error


SETS = ("trained", "labels", "before", "labels_before", "kept", "seen")


@dataclass(frozen=True)
class FaceList:
    """The faces and, for methods that detect, the whole images of a training.

    Attributes:
        data: name of the data set.
        entries: ``train_faces``, ``val_faces``, ``train_images``, ``val_images``.
        period: see `Remembered`.
        earlier: what the training before it was trained on.
    """

    data: str
    entries: Mapping[str, Sequence[KnownFace]]
    period: int | None = None
    earlier: Remembered = field(default_factory=lambda: Remembered(""))

    @classmethod
    def of(cls, data: "FaceDataModule", earlier: Remembered | None = None) -> "FaceList":
        """Describe a data module that was set up for training."""
        entries = {
            f"{split}_{kind}": [KnownFace.of(face, reader) for face in faces]
            for split in SPLITS
            for kind, faces, reader in data.lists(split)
        }
        return cls(str(data.name), entries, data.period, earlier or Remembered(""))

    @classmethod
    def of_faces(cls, data: str, reader: Reader, **splits: Iterable[Face]) -> "FaceList":
        """Describe faces by split, ``train`` and ``val``."""
        return cls(data, {f"{split}_faces": [KnownFace.of(face, reader) for face in splits[split]] for split in splits})

    def remembered(self) -> Remembered:
        """The hashes of the list."""
        trained = [*self._of("train_faces"), *self._of("train_images")]
        sides = {
            split: frozenset(_photo_hash(kind, one.photo) for kind in KINDS for one in self._of(f"{split}_{kind}"))
            for split in SPLITS
        }
        return Remembered(
            self.data,
            trained=frozenset(image_hash(self.data, one.photo, one.image) for one in trained),
            labels=frozenset(bytes.fromhex(one.labels) for one in self._of("train_faces")),
            kept=sides["val"],
            seen=sides["train"] - sides["val"],
            period=self.period,
        ).with_earlier(self.earlier)

    def _of(self, place: str) -> Sequence[KnownFace]:
        return self.entries.get(place, ())

    def write(self, path: Path) -> None:
        """Write the list, compressed; the same list gives the same bytes."""
        content = {"format": FORMAT, "data": self.data, "period": self.period, "earlier": self.earlier.header()}
        content |= {
            place: [[one.photo, one.image, one.labels, one.box] for one in self._of(place)] for place in EVERYTHING
        }
        text = json.dumps(content, separators=(",", ":")).encode()  # ASCII, so that any file name can be kept
        with replacing(path) as temporary:
            temporary.write_bytes(gzip.compress(text, 6, mtime=0))

    @classmethod
    def read(cls, path: Path) -> "FaceList | None":
        """What `write` wrote; None without the file.

        Raises:
            ValueError: a file that is too large or something else.
        """
        if not path.exists():
            return None
        try:
            if not path.is_file() or path.stat().st_size > LARGEST:
                raise ValueError(f"no file of at most {LARGEST} bytes")
            with gzip.open(path) as file:
                text = file.read(LARGEST_TEXT + 1)
            if len(text) > LARGEST_TEXT:
                raise ValueError(f"more than {LARGEST_TEXT} bytes unpacked")
            content = json.loads(text)
            if content["format"] != FORMAT:
                raise ValueError(f"format {content['format']}")
            period = content["period"]
            entries = {place: [_known(row) for row in content[place]] for place in EVERYTHING}
            earlier = Remembered.from_header(content["earlier"])
            return cls(str(content["data"]), entries, None if period is None else int(period), earlier)
        except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError, RecursionError) as error:
            reason = " ".join(str(error).split())[:100]
            raise ValueError(
                f"{path}: no list of a run's faces ({type(error).__name__}: {reason}); take it from a copy of the run, "
                "or remove it to go on without"
            ) from error


def _known(row: Any) -> KnownFace:
    photo, image, labels, box = row
    if not all(isinstance(value, str) for value in row) or len(bytes.fromhex(labels)) != DIGEST:
        raise ValueError("a face is not described by four texts")
    return KnownFace(photo, image, labels, box)


def changes(before: FaceList, now: FaceList) -> list[str]:
    """How the faces of a training differ from those it began with, in words; nothing where they are the same.

    The order of the faces does not count.
    """
    found = []
    for kind, one in zip(KINDS, ("face", "image"), strict=True):
        old, new = _sides(before, kind), _sides(now, kind)
        total = {split: len(before.entries.get(f"{split}_{kind}", ())) for split in SPLITS}
        gone, moved, boxed, added, crossed = _compared(old, new)
        for split, word in (("train", "training"), ("val", "held-out")):
            names = [name for name, side in gone if side == split]
            found += _said(names, f"of {total[split]} {word} {one}s", "gone")
        found += _said(moved, f"{one}s", "labelled otherwise")
        found += _said(boxed, f"{one}s", "in another box")
        found += _said([name for name, _ in added], f"{one}s", "new")
        found += _said(crossed, f"{one}s", "on the other side of the split")
    return found


Described = tuple[str, str, str]
"""Side, labels and box of one face."""


def _sides(faces: FaceList, kind: str) -> dict[tuple[str, str], list[Described]]:
    """What is on every image."""
    found: dict[tuple[str, str], list[Described]] = defaultdict(list)
    for split in SPLITS:
        for one in faces.entries.get(f"{split}_{kind}", ()):
            found[one.photo, one.image].append((split, one.labels, one.box))
    return found


def _compared(
    old: Mapping[tuple[str, str], list[Described]], new: Mapping[tuple[str, str], list[Described]]
) -> tuple[list[tuple[str, str]], list[str], list[str], list[tuple[str, str]], list[str]]:
    """Names, and sides of the gone and the new; an entry per face."""
    gone: list[tuple[str, str]] = []
    moved: list[str] = []
    boxed: list[str] = []
    added: list[tuple[str, str]] = []
    crossed: list[str] = []
    for photo, image in dict.fromkeys([*old, *new]):
        missing, more = Counter(old.get((photo, image), ())), Counter(new.get((photo, image), ()))
        missing, more = missing - more, more - missing
        left, fresh = list(missing.elements()), list(more.elements())
        pairs = _paired(left, fresh)
        crossed += [image] * sum(a[0] != b[0] for a, b in pairs)
        moved += [image] * sum(a[1] != b[1] for a, b in pairs)
        boxed += [image] * sum(a[1] == b[1] and a[2] != b[2] for a, b in pairs)
        gone += [(image, one[0]) for one in left]
        added += [(image, one[0]) for one in fresh]
    return gone, moved, boxed, added, crossed


def _paired(left: list[Described], fresh: list[Described]) -> list[tuple[Described, Described]]:
    """Take faces of one image from both lists: those with equal labels first, then any two."""
    pairs: list[tuple[Described, Described]] = []
    for same in (lambda a, b: a[1] == b[1], lambda a, b: True):
        for one in list(left):
            other = next((candidate for candidate in fresh if same(one, candidate)), None)
            if other is not None:
                left.remove(one)
                fresh.remove(other)
                pairs.append((one, other))
    return pairs


def _said(names: Iterable[str], of: str, what: str) -> list[str]:
    """``3 of 18 training faces are gone (a.jpg, b.jpg, c.jpg)``."""
    listed = list(names)
    if not listed:
        return []
    count = len(listed)
    subject = of if count > 1 or of.startswith("of ") else of.removesuffix("s")
    return [f"{count} {subject} {'are' if count > 1 else 'is'} {what} ({some(listed)})"]


def some(names: Iterable[str]) -> str:
    """Up to three names, and how many more; a stranger's control characters are shown, not sent."""
    listed = list(dict.fromkeys(names))
    shown = [name if name.isprintable() else ascii(name)[1:-1] for name in listed[:SHOWN]]
    return ", ".join(shown) + (f" and {len(listed) - SHOWN} more" if len(listed) > SHOWN else "")


def image_hash(data: str, photo: str, image: str) -> bytes:
    """Hash of the name of an image of a data set."""
    return _hash("image", "\0".join((data, photo, image)))


def _photo_hash(kind: str, photo: str) -> bytes:
    return _hash(kind, photo)


def _within(name: str, period: int) -> str:
    """Name of a rendered image with its number counted within an epoch."""
    return re.sub(r"\d{6,}(?=(\.png)?$)", lambda match: f"{int(match[0]) % period:06d}", name)


def _numbers(values: NDArray[np.float64]) -> bytes:
    """Positions to a thousandth of a pixel, the same bytes on every machine; what is not a number is 0."""
    finite = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    return (np.round(finite * STEPS) + 0.0).astype("<f8").tobytes()  # -0 becomes 0


def _hash(purpose: str, content: str | bytes) -> bytes:
    data = content.encode("utf-8", "surrogateescape") if isinstance(content, str) else content
    return blake2b(purpose.encode() + b"\0" + data, digest_size=DIGEST).digest()


def _hex(purpose: str, content: str | bytes) -> str:
    return _hash(purpose, content).hex()


def _digests(joined: bytes) -> frozenset[bytes]:
    if len(joined) % DIGEST:
        raise ValueError(f"{len(joined)} bytes are no hashes")
    return frozenset(joined[i : i + DIGEST] for i in range(0, len(joined), DIGEST))
