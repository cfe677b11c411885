"""The reader of rendered faces: labels at once, pixels on demand."""

import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from zlib import crc32

import numpy as np
import torch
from numpy.typing import NDArray

from canthus.data.face import OCCLUDED, VISIBLE, Face, Reader, WholeImage
from canthus.data.parallel import side_by_side
from canthus.data.synthetic.draw import DIFFICULTIES, WITHOUT, draw_scene
from canthus.data.synthetic.labels import landmarks, native_scheme, seen
from canthus.data.synthetic.render import RENDERER, render
from canthus.data.synthetic.scene import Scene
from canthus.utils.errors import DataError

__all__ = ["PARTS", "Synthetic", "at_least", "check_parts", "count_of", "labelled", "numbered", "stream", "tight"]

PARTS = ("train", "test")
MANY = 400
"""Faces that are labelled by several processes."""


class Synthetic(Reader):
    """Rendered faces with exact labels. Image i of a part and seed is always the same image, whoever asks and when.

    Args:
        size: faces in part ``train``; part ``test`` has a fifth of that, at least one.
        render_seed: which faces; parts and seeds share none. Not called `seed`, which a run passes to its data module,
            so that runs with different seeds train on the same faces.
        difficulty: ``easy``, ``medium`` or ``hard``.
        resolution: side of the images, pixels.
        scheme: of the labels: ``68``, ``98`` and ``29`` are labelled, others reduced from one of them.
        contour: jaw points on the border of the face in the image, as people label; false: on the jaw itself.
        images_per_person: images of the same person in a row.
        without: parts of the renderer to leave out.

    Raises:
        ValueError: an unknown difficulty or part, a size or number below 1, render_seed below 0 or resolution below 64.
    """

    processes = True
    renders = True

    def __init__(
        self,
        *,
        size: int = 2000,
        render_seed: int = 0,
        difficulty: str = "medium",
        resolution: int = 256,
        scheme: str | int = "68",
        contour: bool = True,
        images_per_person: int = 1,
        without: Sequence[str] = (),
    ) -> None:
        if difficulty not in DIFFICULTIES:
            raise ValueError(f"difficulty {difficulty!r} is none of {', '.join(DIFFICULTIES)}")
        at_least(
            size=(size, 1),
            render_seed=(render_seed, 0),
            resolution=(resolution, 64),
            images_per_person=(images_per_person, 1),
        )
        unknown = [part for part in without if part not in WITHOUT]
        if unknown:
            raise ValueError(f"without={unknown[0]!r} is no part of the renderer; the parts are {', '.join(WITHOUT)}")
        self.size, self.render_seed, self.difficulty, self.resolution = size, render_seed, difficulty, resolution
        self.scheme, self.contour, self.images_per_person = native_scheme(str(scheme)), contour, images_per_person
        self.without = tuple(sorted(without))

    def faces(self, parts: Sequence[str]) -> list[Face]:
        """Label the faces of the named parts, in order; nothing is rendered.

        Raises:
            DataError: a part that is neither ``train`` nor ``test``.
        """
        check_parts(parts)
        wanted = [(part, index) for part in parts for index in range(count_of(part, self.size))]
        # a few are drawn before processes have started
        workers = (os.cpu_count() or 1) if len(wanted) >= MANY else 1
        return list(side_by_side(_Labelling(self, wanted), len(wanted), workers, processes=True))

    def pixels(self, image: Path) -> NDArray[np.uint8]:
        """Render the image that a face names, (H, W, 3) uint8 RGB. Keeps no state, so threads may share a reader.

        Raises:
            DataError: not a name that ``faces`` gave.
        """
        part, index = numbered(image, "synthetic", self.size)
        return np.asarray(self.painted(part, [index], [self.scene(part, index)])[0])

    def painted(
        self, part: str, indices: Sequence[int], scenes: Sequence[Scene], device: str | torch.device = "cpu"
    ) -> NDArray[np.uint8]:
        """Render images of a part whose scenes are drawn, (B, H, W, 3) uint8 RGB."""
        # appearance has a stream of its own: changing how faces are painted leaves the labels as they are
        streams = [self.stream(part, index, "render") for index in indices]
        return render(scenes, streams, self.resolution, device, self.without)

    def made_from(self, face: Face | WholeImage) -> str:
        """The fingerprint: it holds everything that the image is made from."""
        return self.fingerprint(face)

    def fingerprint(self, face: Face | WholeImage) -> str:
        """Renderer, parameters and name; ``size`` is left out, for a larger set begins with the same faces."""
        of = (
            RENDERER,
            self.render_seed,
            self.difficulty,
            self.resolution,
            self.images_per_person,
            "-".join(self.without),
        )
        return ":".join(str(value) for value in (*of, face.image.as_posix()))

    def scene(self, part: str, index: int) -> Scene:
        """What image ``index`` of a part shows."""

        def stream(purpose: str) -> np.random.Generator:
            # a person keeps shape, colours and hair in all images
            who = index // self.images_per_person if purpose in ("person", "hair") else index
            return self.stream(part, who, purpose)

        return draw_scene(stream, DIFFICULTIES[self.difficulty], self.resolution, self.without)

    def stream(self, part: str, index: int, purpose: str) -> np.random.Generator:
        """The random numbers of an image for one purpose, the same on every call."""
        return stream(self.render_seed, part, index, purpose)

    def drawn(self, part: str, index: int) -> tuple[Scene, Face]:
        """What image ``index`` of a part shows, and its labels. There is no end to a part here."""
        scene = self.scene(part, index)
        return scene, self._labelled(scene, part, index)

    def _labelled(self, scene: Scene, part: str, index: int) -> Face:
        visible = seen(scene, landmarks(scene, self.scheme, contour=self.contour))
        return replace(
            labelled(scene, self.scheme, visible, contour=self.contour),
            image=Path(f"synthetic/{part}/{index:06d}.png"),
            photo=f"{part}/{index:06d}",
            part=part,
            identity=f"{part}/{self.render_seed}/{index // self.images_per_person}",
        )


class _Labelling:
    """Labels faces by number."""

    def __init__(self, reader: Synthetic, wanted: Sequence[tuple[str, int]]) -> None:
        self.reader, self.wanted = reader, wanted

    def __call__(self, number: int) -> Face:
        return self.reader.drawn(*self.wanted[number])[1]


def at_least(**options: tuple[int, int]) -> None:
    """Check options, each a value and its bound.

    Raises:
        ValueError: a value below its bound.
    """
    for name, (value, bound) in options.items():
        if value < bound:
            raise ValueError(f"synthetic faces: {name}={value}, but it must be at least {bound}")


def check_parts(parts: Sequence[str]) -> None:
    """Check names of parts.

    Raises:
        DataError: a part that is neither ``train`` nor ``test``.
    """
    unknown = [part for part in parts if part not in PARTS]
    if unknown:
        raise DataError(f"synthetic faces have no part {unknown[0]!r}; the parts are {', '.join(PARTS)}")


def count_of(part: str, size: int) -> int:
    """How many images a part has: ``test`` a fifth of ``train``, at least one."""
    return size if part == "train" else max(size // 5, 1)


def numbered(image: Path, folder: str, size: int) -> tuple[str, int]:
    """Part and index of an image ``folder/part/index.png``.

    Raises:
        DataError: not a name of a set of this size.
    """
    match = re.fullmatch(rf"{folder}/(train|test)/(\d{{6,}})\.png", image.as_posix())
    if match is None or int(match[2]) >= count_of(match[1], size):
        raise DataError(f"{image}: no picture of this set; names run from {folder}/train/000000.png")
    return match[1], int(match[2])


def stream(seed: int, part: str, index: int, purpose: str) -> np.random.Generator:
    """The random numbers of an image for one purpose, the same on every call."""
    key = np.random.SeedSequence([seed, PARTS.index(part), index, crc32(purpose.encode())])
    return np.random.Generator(np.random.Philox(key))


def tight(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """(4,) box of (K, 2) points."""
    return np.concatenate([points.min(0), points.max(0)])


def labelled(scene: Scene, scheme: str, visible: NDArray[np.bool_], *, contour: bool = True) -> Face:
    """The face of a scene without the name of an image; ``visible``: (K,) which points are seen."""
    points = scene.project(landmarks(scene, scheme, contour=contour))
    # boxes are those of the 68 points in every scheme, so that the same image has the same box
    whole = points if scheme == "68" else scene.project(landmarks(scene, "68", contour=contour))
    return Face(
        image=Path(),
        landmarks=points,
        visibility=np.where(visible, VISIBLE, OCCLUDED).astype(np.uint8),
        box=tight(whole),
        scheme=scheme,
        photo="",
        attributes=scene.conditions(visible),
        pose=scene.angles,
        extra=_pose_and_style(scene),
    )


def _pose_and_style(scene: Scene) -> dict[str, object]:
    """The rest of the 6-DoF pose, and looks by name."""
    return {
        "translation": np.array([0.0, 0.0, scene.distance]),
        "focal": scene.scale * scene.distance,
        "principal_point": scene.centre,
        "style": "grey" if scene.film.grey else "colour",
        "hair": scene.person.style,
        "beard": scene.person.beard,
        "glasses": scene.glasses or "none",
    }
