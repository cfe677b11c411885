"""canthus-predict: landmarks on photographs and videos, as files of points and annotated pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from canthus import command_line, config, config_schemas, zoo

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from omegaconf import DictConfig

    from canthus.detection import FaceFinder, FoundFace
    from canthus.inference import LocatedFace, Predictor


def predict(cfg: DictConfig) -> None:
    """Locate landmarks on photographs, or in a video.

    Args:
        cfg: composed from predict.yaml.

    Raises:
        ConfigError: a setting that cannot work.
    """
    from canthus.live import is_video

    config.check(cfg, config_schemas.PredictConfig)
    if cfg.box != "whole":
        raise config.ConfigError(
            f"box={cfg.box}: without boxes=FILE and detector=mtcnn, only box=whole (the photograph is the face box)"
        )
    if cfg.boxes and cfg.detector:
        raise config.ConfigError(
            f"boxes={cfg.boxes} and a detector: leave out one of them, it is not clear whose boxes"
        )
    if not 0 <= cfg.box_margin < 0.5:
        raise config.ConfigError(f"box_margin={cfg.box_margin}: a share of the photograph in [0, 0.5)")
    (_video if is_video(cfg.source) else _photographs)(cfg)


def _model(cfg: DictConfig) -> Predictor:
    from canthus.api import load_predictor

    return load_predictor(
        Path(cfg.run),
        cfg.checkpoint,
        device=cfg.device,
        batch_size=cfg.batch_size,
        flip_average=cfg.flip_average,
        trust=cfg.trust,
    )


def _finder(cfg: DictConfig, predictor: Predictor) -> FaceFinder | None:
    """The detector that was asked for; for models without a run folder of their own, the zoo's is at hand."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.utils import instantiate

    from canthus.detection import FaceFinder

    if cfg.detector:
        finder: FaceFinder = instantiate(cfg.detector, device=predictor.device, _convert_="all")
        return finder
    if HydraConfig.get().runtime.choices["detector"] == "auto" and not cfg.boxes and zoo.stored_file(Path(cfg.run)):
        return FaceFinder(device=predictor.device)
    return None


def _photographs(cfg: DictConfig) -> None:
    import json
    import os
    from logging import getLogger

    import numpy as np
    from rich.progress import track

    from canthus import photographs
    from canthus.data import DataError
    from canthus.data.images import read_image
    from canthus.files import replacing

    log = getLogger("canthus.predict")
    sources = photographs.find_photographs(cfg.source)
    boxes = photographs.read_boxes(Path(cfg.boxes)) if cfg.boxes else None
    predictor = _model(cfg)
    find, output, model = _finder(cfg, predictor), Path(cfg.output), predictor.model
    common = Path(os.path.commonpath([path.parent for path in sources]))  # equal names in other folders do not collide
    located: dict[str, Any] = {}
    skipped: dict[str, str] = {}
    for path in track(sources, description="photographs", transient=True):
        try:
            pixels = read_image(path, exif="apply")
        except DataError as error:
            skipped[str(path)] = str(error)
            continue
        found: list[FoundFace] | None = None
        given: NDArray[np.float64] | None
        if find is not None:
            found = find(pixels)
            given = np.array([face.box for face in found]).reshape(-1, 4)
        elif boxes is None:
            given = photographs.whole_box(pixels, cfg.box_margin)
        else:
            given = photographs.boxes_for(path, boxes)
        if given is None:
            skipped[str(path)] = f"{path}: {cfg.boxes} has no box for it"
            continue
        faces = predictor(pixels, given)
        entries = [_entry(face) for face in faces]
        for entry, detection in zip(entries, found or [], strict=False):
            entry["detection"] = _detection(detection)
        located[str(path)] = {"faces": entries}
        if cfg.overlays:
            _draw(output / "overlays" / path.relative_to(common), pixels, faces, model.scheme)
    if boxes is not None:
        names = {name for path in sources for name in (str(path), path.name)}
        for name in sorted(set(boxes) - names):
            log.warning("%s has boxes for %s, which is not among the photographs", cfg.boxes, name)
    for reason in skipped.values():
        log.warning("skipped: %s", reason)
    output.mkdir(parents=True, exist_ok=True)
    content = {"model": model.name, "run": str(cfg.run), "scheme": model.scheme.name, "photographs": located}
    with replacing(output / "landmarks.json") as temporary:
        temporary.write_text(json.dumps({**content, "skipped": skipped}, indent=1))
    total = sum(len(entry["faces"]) for entry in located.values())
    log.info("%d faces on %d photographs, %d skipped: %s", total, len(located), len(skipped), output)
    if not located:
        raise config.ConfigError(f"none of the {len(sources)} photographs could be used; the reasons are above")


def _video(cfg: DictConfig) -> None:
    from logging import getLogger

    import numpy as np

    from canthus import photographs
    from canthus.live import FrameSource
    from canthus.live.loop import VideoOptions, locate_in_video

    options = VideoOptions(**cfg.video)
    with FrameSource(cfg.source) as source:
        given = None
        if cfg.boxes:
            given = photographs.boxes_for(Path(cfg.source), photographs.read_boxes(Path(cfg.boxes)))
            if given is None:
                raise config.ConfigError(f"boxes={cfg.boxes} has no box for {cfg.source}: those of its first frame")
            if options.detect_every is not None:
                raise config.ConfigError(
                    "boxes= are those of a video's first frame; follow them with video.detect_every=null"
                )

        predictor = _model(cfg)
        find = _finder(cfg, predictor)

        def boxes(frame: NDArray[np.uint8]) -> NDArray[np.float64]:
            if find is not None:
                return np.array([face.box for face in find(frame)]).reshape(-1, 4)
            return photographs.whole_box(frame, cfg.box_margin) if given is None else given

        output = Path(cfg.output)
        summary = locate_in_video(source, predictor, boxes, output, options, entry=_entry, draw=cfg.overlays)
    log = getLogger("canthus.predict")
    log.info("%d faces in %d frames: %s", summary["faces"], summary["frames"], output)


def _entry(face: LocatedFace) -> dict[str, Any]:
    import numpy as np

    entry: dict[str, Any] = {"box": face.box.round(3).tolist(), "landmarks": face.landmarks.round(3).tolist()}
    if face.scores is not None:
        entry["scores"] = face.scores.round(4).tolist()
    if face.pose is not None:
        degrees = np.degrees(face.pose).round(2).tolist()
        entry["pose_degrees"] = dict(zip(("yaw", "pitch", "roll"), degrees, strict=True))
    return entry


def _detection(face: FoundFace) -> dict[str, Any]:
    return {
        "box": face.detected.round(3).tolist(),
        "score": round(face.score, 4),
        "points": face.points.round(3).tolist(),
    }


def _draw(path: Path, pixels: Any, faces: list[LocatedFace], scheme: Any) -> None:
    """One picture per photograph, in the same subfolders as the sources."""
    from canthus.callbacks.drawing import draw_prediction
    from canthus.picture_files import save_picture

    picture = draw_prediction(pixels, [face.box for face in faces], [face.landmarks for face in faces], scheme)
    save_picture(path.with_suffix(path.suffix + ".jpg"), picture)


def main() -> None:
    """Entry point of ``canthus-predict`` and ``python -m canthus.predict``."""
    command_line.launch(predict, "predict")


if __name__ == "__main__":
    main()
