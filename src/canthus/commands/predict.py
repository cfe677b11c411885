"""canthus-predict: landmarks on images and videos, as files of points and annotated pictures."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from canthus import zoo
from canthus.commands import checks, launch, schemas
from canthus.utils import errors

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from omegaconf import DictConfig

    from canthus.inference.face_detector import FaceFinder, FoundFace
    from canthus.inference.landmark_files import LandmarkFile
    from canthus.inference.predictor import LocatedFace, Predictor

LARGEST_PICTURE = 4096
"""Pixels: longer side of a picture that is drawn; larger images are drawn smaller."""


def predict(cfg: DictConfig) -> None:
    """Locate landmarks on images, or in a video.

    Args:
        cfg: composed from predict.yaml.

    Raises:
        ConfigError: a setting that cannot work.
    """
    from canthus.inference.video.video import is_video

    checks.check(cfg, schemas.PredictConfig)
    if cfg.box != "whole":
        raise errors.ConfigError(
            f"box={cfg.box}: without boxes=FILE and detector=mtcnn, only box=whole (the image is the face box)"
        )
    if cfg.boxes and cfg.detector:
        raise errors.ConfigError(
            f"boxes={cfg.boxes} and a detector: leave out one of them, it is not clear whose boxes"
        )
    if not 0 <= cfg.box_margin < 0.5:
        raise errors.ConfigError(f"box_margin={cfg.box_margin}: a share of the image in [0, 0.5)")
    check_places(cfg)
    (_video if is_video(cfg.source) else _images)(cfg)


def check_places(cfg: DictConfig) -> None:
    """Refuse an output that would be written over an input, or be taken for one by the next run.

    Raises:
        ConfigError: naming both; or there is no such source.
    """
    from canthus.inference import sources as images
    from canthus.inference.video.video import check_source, is_video
    from canthus.utils import outputs

    output, source = Path(cfg.output), Path(cfg.source)
    if is_video(cfg.source):
        from canthus.inference.video.loop import check_video_output

        check_source(cfg.source)
        written = check_video_output(output, cfg.source, draw=cfg.overlays)
        sources = [] if not source.is_file() else [source]
    else:
        sources = images.find_images(cfg.source)
        pictures = output / "overlays"
        for place in (output, pictures) if cfg.overlays and source.is_dir() else ():
            if outputs.is_inside(place, source):
                raise errors.ConfigError(
                    f"output={output}: its pictures would lie inside source={source}, and the next run would take them "
                    "for images; name a folder elsewhere, or overlays=false"
                )
        if pictures.is_dir() and (own := next((one for one in sources if outputs.is_inside(one, pictures)), None)):
            raise errors.ConfigError(
                f"source={source}: {own} is a picture that canthus-predict drew in output={output}; name another source"
            )
        written = [output / "landmarks.json"]
        if cfg.overlays and pictures.is_dir():
            common = _common_folder(sources)
            written += [_picture_of(path, common, output) for path in sources]
    outputs.check_files(written, {"source": sources, "boxes": [Path(cfg.boxes)] if cfg.boxes else []})
    outputs.check_folder(output, {"run": [zoo.run_path(cfg.run)]})


def _model(cfg: DictConfig) -> Predictor:
    from canthus.inference.predictor import Predictor
    from canthus.runs.loading import open_run

    opened = open_run(cfg.run, cfg.checkpoint, trust=cfg.trust, flip_average=cfg.flip_average)
    return Predictor.of(opened, device=cfg.device, batch_size=cfg.batch_size)


def _finder(cfg: DictConfig, predictor: Predictor) -> FaceFinder | None:
    """The detector that was asked for; for models without a run folder of their own, the zoo's is at hand."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.utils import instantiate

    from canthus.inference.face_detector import FaceFinder

    if cfg.detector:
        finder: FaceFinder = instantiate(cfg.detector, device=predictor.device, _convert_="all")
        return finder
    if (
        HydraConfig.get().runtime.choices["detector"] == "auto"
        and not cfg.boxes
        and zoo.stored_file(zoo.run_path(cfg.run))
    ):
        return FaceFinder(device=predictor.device)
    return None


def _images(cfg: DictConfig) -> None:
    from rich.progress import track

    from canthus.inference import sources as images
    from canthus.inference.landmark_files import LandmarkFile

    sources = images.find_images(cfg.source)
    boxes: Mapping[Path, NDArray[np.float64]] | None = None
    strangers: list[str] = []
    if cfg.boxes:
        given = images.read_boxes(Path(cfg.boxes))
        boxes, strangers = images.boxes_by_image(given, sources, cfg.source)
    predictor, output = _model(cfg), Path(cfg.output)
    header = {"model": predictor.model.name, "run": str(cfg.run), "scheme": predictor.model.scheme.name}
    finder, common = _finder(cfg, predictor), _common_folder(sources)
    with LandmarkFile(output / "landmarks.json", header) as file:
        work = _Images(cfg, predictor, finder, boxes, file)
        for path in track(sources, description="images", transient=True):
            try:
                pixels, faces = work.locate(path)
            except Exception as error:
                if (reason := _why_skipped(path, error)) is None:
                    raise
                file.skip(path, reason)
                continue
            if cfg.overlays:
                work.draw(path, _picture_of(path, common, output), pixels, faces)
    work.notes += [f"{cfg.boxes} has boxes for {name}, which is not among the images" for name in strangers]
    _sum_up(file, work.notes, len(sources), output)


@dataclass
class _Images:
    """What happens to each image.

    Attributes:
        cfg: of the command.
        predictor: of the model.
        find: seeks faces, if there is a detector.
        boxes: of the file that was given, if one was.
        file: of the points.
        notes: what the user should know in the end.
    """

    cfg: DictConfig
    predictor: Predictor
    find: FaceFinder | None
    boxes: Mapping[Path, NDArray[np.float64]] | None
    file: LandmarkFile
    notes: list[str] = field(default_factory=list)

    def locate(self, path: Path) -> tuple[NDArray[np.uint8], list[LocatedFace]]:
        """Write the faces of an image, and why others have no points; returns its pixels, and faces to draw.

        Raises:
            DataError: a file that is no image, or one of which no face can be located though there are boxes.
        """
        from canthus.data.images import read_image
        from canthus.data.store import box_fault
        from canthus.inference.landmark_files import detection_entry, face_entry
        from canthus.utils.errors import DataError

        pixels = read_image(path, exif="apply")
        boxes, found = self._boxes(path, pixels)
        faults = {row: fault for row, box in enumerate(boxes) if (fault := box_fault(box, pixels.shape))}
        usable = [row for row in range(len(boxes)) if row not in faults]
        faces, entries = [], []
        for row, face in zip(usable, self.predictor(pixels, boxes[usable]), strict=True):
            if not face.found:
                faults[row] = f"the points in box {_in_words(boxes[row])} are not finite numbers; check the model"
                continue
            faces.append(face)
            entries.append(face_entry(face) | ({"detection": detection_entry(found[row])} if found else {}))
        if faults and not faces:
            self.file.faces_skipped += len(faults)
            raise DataError("; ".join(f"{path}: {fault}" for fault in dict.fromkeys(faults.values())))
        self.file.add(path, entries, [{"box": boxes[row].tolist(), "reason": faults[row]} for row in sorted(faults)])
        self.notes += [f"a face is skipped: {path}: {faults[row]}" for row in sorted(faults)]
        return pixels, faces

    def _boxes(self, path: Path, pixels: NDArray[np.uint8]) -> tuple[NDArray[np.float64], Sequence[FoundFace] | None]:
        """(N, 4) boxes of an image's faces, and what the detector says of each, if there is one."""
        import numpy as np

        from canthus.inference import sources as images
        from canthus.utils.errors import DataError

        if self.find is not None:
            found = self.find(pixels)
            return np.array([face.box for face in found]).reshape(-1, 4), found
        if self.boxes is None:
            return images.whole_box(pixels, self.cfg.box_margin), None
        given = self.boxes.get(path)
        if given is None:
            raise DataError(f"{path}: {self.cfg.boxes} has no box for it")
        return given, None

    def draw(self, path: Path, target: Path, pixels: NDArray[np.uint8], faces: Sequence[LocatedFace]) -> None:
        """Draw an image; one that cannot be drawn, or named, goes without a picture: its points are written."""
        from canthus.visualization.drawing import draw_prediction
        from canthus.visualization.images import save_picture

        boxes, points = [face.box for face in faces], [face.landmarks for face in faces]
        scheme = self.predictor.model.scheme
        try:
            save_picture(target, draw_prediction(pixels, boxes, points, scheme, largest=LARGEST_PICTURE))
        except Exception as error:
            if (reason := _why_not_drawn(path, error)) is None:
                raise
            self.file.skip_picture(path, reason)


def _why_skipped(path: Path, error: Exception) -> str | None:
    """Why one image cannot be used while others can; None for what would end every other one too."""
    import cv2

    from canthus.runs.faults import is_out_of_memory
    from canthus.utils.errors import DataError

    short = (str(error).splitlines() or [""])[0] or type(error).__name__
    if isinstance(error, DataError):
        return str(error)
    if is_out_of_memory(error):
        return f"{path}: too little memory for it ({short}); make it smaller"
    return f"{path}: OpenCV cannot work on it ({short})" if isinstance(error, cv2.error) else None


def _why_not_drawn(path: Path, error: Exception) -> str | None:
    """The same of its picture."""
    import errno

    from canthus.visualization.images import PictureError

    of_the_name = isinstance(error, OSError) and error.errno in (errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ)
    if of_the_name or isinstance(error, PictureError):
        return f"{path}: {error}"
    return _why_skipped(path, error)


def _sum_up(file: LandmarkFile, notes: Sequence[str], count: int, output: Path) -> None:
    """Say what was done and what was not.

    Raises:
        ConfigError: nothing was done.
    """
    from logging import getLogger

    log = getLogger("canthus.commands.predict")
    reasons = [f"skipped: {reason}" for reason in file.skipped.values()]
    pictures = [f"no picture: {reason}" for reason in file.without_picture.values()]
    for note in (*notes, *reasons, *pictures):
        log.warning("%s", note)
    more = f", {file.faces_skipped} faces without points" if file.faces_skipped else ""
    more += f", {len(pictures)} without a picture" if pictures else ""
    log.info("%d faces on %d images, %d skipped%s: %s", file.faces, file.located, len(reasons), more, output)
    if not file.located:
        raise errors.ConfigError(f"none of the {count} images could be used; the reasons are above")


def _in_words(box: NDArray[np.float64]) -> str:
    return f"({', '.join(f'{value:.1f}' for value in box)})"


def _common_folder(sources: Sequence[Path]) -> Path:
    """Below which the names of images differ."""
    import os

    return Path(os.path.commonpath([os.path.abspath(path.parent) for path in sources]))


def _picture_of(path: Path, common: Path, output: Path) -> Path:
    """Where an image is drawn: in the subfolders that it has below the common one, under its whole name."""
    import os

    inside = Path(os.path.abspath(path)).relative_to(common)
    return output / "overlays" / inside.with_name(inside.name + ".jpg")


def _video(cfg: DictConfig) -> None:
    from logging import getLogger

    import numpy as np

    from canthus.data.store import box_fault
    from canthus.inference import sources as images
    from canthus.inference.video.loop import VideoOptions, locate_in_video
    from canthus.inference.video.video import FrameSource

    options = VideoOptions(**cfg.video)
    with FrameSource(cfg.source) as source:
        given = None
        if cfg.boxes:
            film = Path(cfg.source)
            given = images.boxes_by_image(images.read_boxes(Path(cfg.boxes)), [film], cfg.source)[0].get(film)
            if given is None:
                raise errors.ConfigError(f"boxes={cfg.boxes} has no box for {cfg.source}: those of its first frame")
            if options.detect_every is not None:
                raise errors.ConfigError(
                    "boxes= are those of a video's first frame; follow them with video.detect_every=null"
                )

        predictor = _model(cfg)
        find = _finder(cfg, predictor)

        for box in () if given is None else given:
            if fault := box_fault(box, source.size[::-1]):
                raise errors.ConfigError(f"boxes={cfg.boxes}: {fault}: give those of the video's first frame")

        def boxes(frame: NDArray[np.uint8]) -> NDArray[np.float64]:
            if find is not None:
                return np.array([face.box for face in find(frame)]).reshape(-1, 4)
            return images.whole_box(frame, cfg.box_margin) if given is None else given

        output = Path(cfg.output)
        summary = locate_in_video(source, predictor, boxes, output, options, draw=cfg.overlays)
    log = getLogger("canthus.commands.predict")
    log.info("%d faces in %d frames: %s", summary["faces"], summary["frames"], output)


def main() -> None:
    """Entry point of ``canthus-predict`` and ``python -m canthus.commands.predict``."""
    launch.launch(predict, "predict", check=check_places)


if __name__ == "__main__":
    main()
