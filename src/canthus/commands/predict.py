"""canthus-predict: landmarks on images and videos, as files of points and drawings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from canthus import zoo
from canthus.commands import checks, launch, schemas
from canthus.utils import errors

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    import torch
    from numpy.typing import NDArray
    from omegaconf import DictConfig

    from canthus.inference.api import ImageResult, Locator
    from canthus.inference.face_detector import FaceFinder
    from canthus.inference.landmark_files import LandmarkFile
    from canthus.inference.video.loop import VideoOptions
    from canthus.inference.video.video import FrameSource
    from canthus.schemes import Scheme

    Boxes = Callable[[Path, NDArray[np.uint8]], NDArray[np.float64]]

LARGEST_PICTURE = 4096
"""Pixels: longer side of a picture that is drawn; larger images are drawn smaller."""
DRAWN_TOGETHER = 4
"""Images that may wait to be drawn."""


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


def _locator(cfg: DictConfig) -> Locator:
    """The model and its detector, as `canthus.load` gives them."""
    import canthus

    return canthus.load(
        cfg.run,
        detector=_detector(cfg),
        checkpoint=cfg.checkpoint,
        device=cfg.device,
        batch_size=cfg.batch_size,
        flip_average=cfg.flip_average,
        trust=cfg.trust,
    )


def _detector(cfg: DictConfig) -> str | Callable[[torch.device], FaceFinder] | None:
    """The detector that was asked for; for models without a run folder of their own, the zoo's is at hand."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.utils import instantiate

    if cfg.detector:
        return lambda device: instantiate(cfg.detector, device=device, _convert_="all")
    auto = HydraConfig.get().runtime.choices["detector"] == "auto"
    return zoo.MTCNN if auto and not cfg.boxes and zoo.stored_file(zoo.run_path(cfg.run)) else None


def _images(cfg: DictConfig) -> None:
    from contextlib import closing
    from functools import partial

    from rich.progress import track

    from canthus.inference import sources as images
    from canthus.inference.ahead import Behind
    from canthus.inference.landmark_files import LandmarkFile

    sources = images.find_images(cfg.source)
    boxes, strangers = _boxes(cfg, sources)
    locator, output = _locator(cfg), Path(cfg.output)
    header = {"model": locator.predictor.model.name, "run": str(cfg.run), "scheme": locator.scheme.name}
    common, notes = _common_folder(sources), []
    with (
        LandmarkFile(output / "landmarks.json", header) as file,
        Behind[Path](DRAWN_TOGETHER, partial(_drawn, file)) as drawing,
        closing(locator.each(sources, boxes)) as results,
    ):
        for result in track(results, total=len(sources), description="images", transient=True):
            notes += _write(file, result)
            if cfg.overlays and result.reason is None:
                target = _picture_of(result.image, common, output)
                drawing.give(result.image, partial(_draw, target, result, locator.scheme))
    notes += [f"{cfg.boxes} has boxes for {name}, which is not among the images" for name in strangers]
    _sum_up(file, notes, len(sources), output)


def _boxes(cfg: DictConfig, sources: Sequence[Path]) -> tuple[Boxes | None, list[str]]:
    """What gives the boxes of an image, None for the detector, and names that have boxes and are no images."""
    from canthus.inference import sources as images
    from canthus.utils.errors import DataError

    if not cfg.boxes:
        if _detector(cfg) is not None:
            return None, []
        return lambda path, pixels: images.whole_box(pixels, cfg.box_margin), []
    given, strangers = images.boxes_by_image(images.read_boxes(Path(cfg.boxes)), sources, cfg.source)

    def of(path: Path, pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
        if path not in given:
            raise DataError(f"{path}: {cfg.boxes} has no box for it")
        return given[path]

    return of, strangers


def _write(file: LandmarkFile, result: ImageResult) -> list[str]:
    """Write the faces of an image, and why others have no points; what the user should know of them in the end."""
    from canthus.inference.landmark_files import face_entry

    path = result.image
    if result.reason is not None:
        file.skip(path, result.reason, faces=len(result.skipped))
        return []
    skipped = [{"box": one.box.tolist(), "reason": one.reason} for one in result.skipped]
    file.add(path, [face_entry(face) for face in result.faces], skipped)
    return [f"a face is skipped: {path}: {one.reason}" for one in result.skipped]


def _draw(target: Path, result: ImageResult, scheme: Scheme) -> None:
    """Draw the faces of an image."""
    from canthus.visualization import images
    from canthus.visualization.drawing import draw_prediction

    assert result.pixels is not None
    boxes, points = [face.box for face in result.faces], [face.landmarks for face in result.faces]
    images.save_picture(target, draw_prediction(result.pixels, boxes, points, scheme, largest=LARGEST_PICTURE))


def _drawn(file: LandmarkFile, path: Path, error: BaseException | None) -> None:
    """Go on after a drawing; an image that cannot be drawn, or named, goes without: its points are written."""
    if error is None:
        return
    reason = _why_not_drawn(path, error) if isinstance(error, Exception) else None
    if reason is None:
        raise error
    file.skip_picture(path, reason)


def _why_not_drawn(path: Path, error: Exception) -> str | None:
    """Why an image cannot be drawn while others can; None for what would end every other one too."""
    import errno

    from canthus.inference.api import why_skipped
    from canthus.visualization.images import PictureError

    of_the_name = isinstance(error, OSError) and error.errno in (errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ)
    if of_the_name or isinstance(error, PictureError):
        return f"{path}: {error}"
    return why_skipped(path, error)


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

    from canthus.inference import sources as images
    from canthus.inference.video.loop import VideoOptions, locate_in_video
    from canthus.inference.video.video import FrameSource

    options = VideoOptions(**cfg.video)
    with FrameSource(cfg.source) as source:
        given = _first_boxes(cfg, options)
        locator = _locator(cfg)
        _check_first_boxes(cfg, given, source)
        find = locator.finder

        def boxes(frame: NDArray[np.uint8]) -> NDArray[np.float64]:
            if find is not None:
                return np.array([face.box for face in find(frame)]).reshape(-1, 4)
            return images.whole_box(frame, cfg.box_margin) if given is None else given

        output = Path(cfg.output)
        summary = locate_in_video(source, locator.predictor, boxes, output, options, draw=cfg.overlays)
    log = getLogger("canthus.commands.predict")
    log.info("%d faces in %d frames: %s", summary["faces"], summary["frames"], output)


def _first_boxes(cfg: DictConfig, options: VideoOptions) -> NDArray[np.float64] | None:
    """(N, 4) boxes of a video's first frame, if a file of them was given."""
    from canthus.inference import sources as images

    if not cfg.boxes:
        return None
    film = Path(cfg.source)
    given = images.boxes_by_image(images.read_boxes(Path(cfg.boxes)), [film], cfg.source)[0].get(film)
    if given is None:
        raise errors.ConfigError(f"boxes={cfg.boxes} has no box for {cfg.source}: those of its first frame")
    if options.detect_every is not None:
        raise errors.ConfigError("boxes= are those of a video's first frame; follow them with video.detect_every=null")
    return given


def _check_first_boxes(cfg: DictConfig, given: NDArray[np.float64] | None, source: FrameSource) -> None:
    from canthus.data.store import box_fault

    for box in () if given is None else given:
        if fault := box_fault(box, source.size[::-1]):
            raise errors.ConfigError(f"boxes={cfg.boxes}: {fault}: give those of the video's first frame")


def main() -> None:
    """Entry point of ``canthus-predict`` and ``python -m canthus.commands.predict``."""
    launch.launch(predict, "predict", check=check_places)


if __name__ == "__main__":
    main()
