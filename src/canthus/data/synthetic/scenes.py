"""The reader of rendered images with several faces and with none, for detection."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from canthus.data.face import Face, Reader, WholeImage
from canthus.data.synthetic.compose import paint
from canthus.data.synthetic.crowd import CROWDS, Crowd, draw_crowd, hidden
from canthus.data.synthetic.labels import landmarks, native_scheme, seen
from canthus.data.synthetic.render import RENDERER
from canthus.data.synthetic.source import at_least, check_parts, count_of, labelled, numbered, stream

__all__ = ["SyntheticScenes"]

FORMAT = "scenes-1"
"""Enters every fingerprint: change it whenever the same scene begins to give other pixels."""
SEEN = 0.2
"""Share of the points that must be seen; other faces are neither found nor missed."""


class SyntheticScenes(Reader):
    """Rendered images of people with exact labels. Image i of a part and seed is always the same.

    Args:
        size: images in part ``train``; part ``test`` has a fifth of that, at least one.
        render_seed: which images, see `Synthetic`.
        difficulty: ``easy``, ``medium`` or ``hard``.
        resolution: side of the images, pixels.
        faces: most faces of an image.
        empty: share of images without a face.
        scheme: of the labels, see `Synthetic`.
        contour: see `Synthetic`.

    Raises:
        ValueError: an unknown difficulty, a number out of its range.
    """

    processes = True
    renders = True

    def __init__(
        self,
        *,
        size: int = 600,
        render_seed: int = 0,
        difficulty: str = "medium",
        resolution: int = 384,
        faces: int = 8,
        empty: float = 0.2,
        scheme: str | int = "68",
        contour: bool = True,
    ) -> None:
        if difficulty not in CROWDS:
            raise ValueError(f"difficulty {difficulty!r} is none of {', '.join(CROWDS)}")
        at_least(size=(size, 1), render_seed=(render_seed, 0), resolution=(resolution, 128), faces=(faces, 1))
        if not 0 <= empty <= 1:
            raise ValueError(f"empty={empty} is no share; it must be between 0 and 1")
        self.size, self.render_seed, self.difficulty, self.resolution = size, render_seed, difficulty, resolution
        self.most, self.empty, self.scheme, self.contour = faces, empty, native_scheme(str(scheme)), contour
        self._labelled: dict[tuple[str, int], WholeImage] = {}

    def faces(self, parts: Sequence[str]) -> list[Face]:
        """Label the faces of the named parts, image by image; nothing is rendered.

        Raises:
            DataError: a part that is neither ``train`` nor ``test``.
        """
        return [face for whole in self.whole_images(parts) for face in whole.faces]

    def whole_images(self, parts: Sequence[str]) -> list[WholeImage]:
        """Also those without a face. Faces of which nearly nothing is seen are ignored, found or not.

        Raises:
            DataError: see `faces`.
        """
        check_parts(parts)
        wanted = [(part, index) for part in parts for index in range(count_of(part, self.size))]
        for part, index in wanted:  # asked for by image and by face
            if (part, index) not in self._labelled:
                self._labelled[part, index] = self._image(part, index)
        return [self._labelled[each] for each in wanted]

    def pixels(self, image: Path) -> NDArray[np.uint8]:
        """Render an image, (H, W, 3) uint8 RGB. Changes nothing, so threads may share a reader.

        Raises:
            DataError: not a name that ``images`` gave.
        """
        part, index = numbered(image, "scenes", self.size)
        return paint(self.crowd(part, index), partial(stream, self.render_seed, part, index), self.resolution)

    def made_from(self, face: Face | WholeImage) -> str:
        """The fingerprint: it holds everything that the image is made from."""
        return self.fingerprint(face)

    def fingerprint(self, face: Face | WholeImage) -> str:
        """Renderer, parameters and name; ``size`` is left out, for a larger set begins with the same images."""
        of = (FORMAT, RENDERER, self.render_seed, self.difficulty, self.resolution, self.most, self.empty)
        return ":".join(str(value) for value in (*of, face.image.as_posix()))

    def crowd(self, part: str, index: int) -> Crowd:
        """What image ``index`` of a part shows."""
        own = partial(stream, self.render_seed, part, index)
        # spread evenly, so that small sets have their share, too
        empty = int((index + 1) * self.empty) > int(index * self.empty)
        count = 0 if empty else int(own("faces").integers(1, self.most + 1))
        return draw_crowd(own, self.difficulty, self.resolution, count)

    def _image(self, part: str, index: int) -> WholeImage:
        crowd = self.crowd(part, index)
        image, photo = Path(f"scenes/{part}/{index:06d}.png"), f"{part}/{index:06d}"
        faces: list[Face] = []
        for number, scene in enumerate(crowd.people[: crowd.faces]):
            places = landmarks(scene, self.scheme, contour=self.contour)
            visible = seen(scene, places) & ~hidden(crowd.people[:number], scene.project(places))
            face = labelled(scene, self.scheme, visible, contour=self.contour)
            identity = f"{part}/{self.render_seed}/{index}/{number}"
            faces.append(replace(face, image=image, photo=photo, part=part, identity=identity))
        ignored = np.array([(face.visibility == 2).mean() < SEEN for face in faces], dtype=np.bool_)
        return WholeImage(image, photo, part, tuple(faces), ignored)
