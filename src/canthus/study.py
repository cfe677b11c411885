"""canthus-eval study=alignment: does a better landmark make a better alignment?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from canthus import config

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from omegaconf import DictConfig
    from torch import Tensor

    from canthus.alignment import Aligner
    from canthus.data import Face
    from canthus.data.batch import InputSpec
    from canthus.data.datamodule import FaceDataModule

STUDIES = ("alignment",)


def study(cfg: DictConfig) -> None:
    """Align the faces of a data set by many methods and compare what the alignments are worth.

    Args:
        cfg: composed from study.yaml.

    Raises:
        ConfigError: a setting that cannot work.
    """
    import lightning
    import numpy as np
    import torch
    from rich.progress import track

    from canthus import alignment, runtime
    from canthus.geometry.generic_face import SCHEME
    from canthus.metrics import normaliser_distance
    from canthus.reporting.alignment import print_study, write_study
    from canthus.schemes import load_scheme

    config.check(cfg, config.StudyConfig)
    _check(cfg)
    runtime.hush()
    output, scheme = Path(cfg.output), load_scheme(SCHEME)
    with runtime.recorded(output, cfg):
        lightning.seed_everything(cfg.seed, workers=True, verbose=False)
        embedder = alignment.make_embedder(cfg.embedder, cfg.size)
        runs = list(_runs(cfg))
        faces, data = _faces(cfg)
        labels = torch.from_numpy(np.stack([face.landmarks for face in faces]))
        truth = alignment.alignment_points(labels, scheme)
        everything = [*_references(cfg, faces, labels, truth)]
        for name, located in runs:
            everything.append(located(name, faces))
        clips = [f"{face.identity}/{face.extra.get('video', face.photo)}" for face in faces]
        pairs = alignment.draw_pairs([str(face.identity) for face in faces], clips, cfg.pairs, cfg.seed)
        pictures = [data.reader.pixels(face.image) for face in track(faces, description="photographs", transient=True)]
        seen = torch.from_numpy(np.stack([face.visibility for face in faces]))
        box = torch.from_numpy(np.stack([_tight(face) for face in faces]))
        index = torch.arange(len(faces))
        distances = {
            name: normaliser_distance(labels, seen, box, name, scheme, index) for name in ("inter_ocular", "box")
        }
        shown = np.linspace(0, len(faces) - 1, 8).round().astype(int).tolist()
        measures = [
            alignment.measure(aligner, truth, labels, distances, clips, pictures, pairs, embedder, cfg.size, shown)
            for aligner in track(everything, description="alignments", transient=True)
        ]
        context = {
            "data": str(cfg.data.name),
            "faces": len(faces),
            "persons": len({face.identity for face in faces}),
            "pairs": len(pairs.same),
            "embedder": cfg.embedder,
            "box_noise": cfg.box_noise,
            "severity": cfg.severity,
        }
        yaw = _yaw(faces)
        content = write_study(output, measures, pairs.same, labels, yaw, context, seed=cfg.seed)
        print_study(content, output)


def _check(cfg: DictConfig) -> None:
    if cfg.study not in STUDIES:
        raise config.ConfigError(f"study={cfg.study}: {config.suggest(str(cfg.study), STUDIES)}")
    for key, low in (("size", 32), ("pairs", 10), ("box_noise", 0)):
        if cfg[key] < low:
            raise config.ConfigError(f"{key}={cfg[key]}: at least {low}")
    names = [Path(run).name for run in cfg.runs]
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise config.ConfigError(f"runs={doubled}: tables name runs by their folders, which have to differ")
    for run in cfg.runs:
        if not Path(run).is_dir():
            raise config.ConfigError(f"runs: {run} is no run folder")


def _module(cfg: DictConfig, spec: InputSpec, scheme: str) -> FaceDataModule:
    """The study's faces as a model wants to see them."""
    from hydra.utils import instantiate

    from canthus.alignment import StudyFaces

    data: FaceDataModule = instantiate(cfg.data, _partial_=True, _convert_="all")(input=spec, scheme=scheme)
    data.reader = StudyFaces(data.reader, cfg.persons, cfg.box_noise, cfg.seed)
    data.setup("test")
    return data


def _faces(cfg: DictConfig) -> tuple[list[Face], FaceDataModule]:
    """The faces, and a module that reads their photographs; small stored pictures cost little."""
    from canthus.data.batch import InputSpec
    from canthus.geometry.boxes import centred_box
    from canthus.geometry.generic_face import SCHEME

    data = _module(cfg, InputSpec(16, 1, centred_box(16, 0.5)), SCHEME)
    return data.faces("test"), data


def _runs(cfg: DictConfig) -> Iterator[tuple[str, Any]]:
    """Load every run before anything slow, so that a wrong one is told at once."""
    import torch

    from canthus import runtime
    from canthus.alignment import Aligner, alignment_points
    from canthus.data.corruptions import Corruption
    from canthus.geometry import affine

    for folder in map(Path, cfg.runs):
        trained = runtime.load_config(folder)
        model = runtime.load_model(folder, trained, cfg.checkpoint, trust=cfg.trust).eval()

        @torch.inference_mode()
        def points(data: FaceDataModule, model: Any = model) -> Tensor:
            found = []
            for batch in data.inputs("test"):
                last = model.final_estimates(batch).points[-1].float()
                found.append(affine.apply(batch["to_original"], last).double())
            return alignment_points(torch.cat(found), model.scheme)

        def located(name: str, faces: Sequence[Face], model: Any = model, points: Any = points) -> Aligner:
            data = _module(cfg, model.input, model.scheme.name)
            if [face.image for face in data.faces("test")] != [face.image for face in faces]:
                raise config.ConfigError(f"{name}: its store holds other faces than the study; clear {cfg.data.cache}")
            plain = points(data)
            corrupted = {}
            for corruption in cfg.corruptions:
                data.corruption = Corruption(corruption, cfg.severity, cfg.seed)
                corrupted[corruption] = points(data)
            return Aligner(name, "run", plain, corrupted)

        yield folder.name, located


def _references(cfg: DictConfig, faces: Sequence[Face], labels: Tensor, truth: Tensor) -> Iterator[Aligner]:
    """Alignments that need no model: the labels, the labels with noise, their projected pose, the mean shape."""
    import numpy as np
    import torch

    from canthus.alignment import Aligner, alignment_points
    from canthus.geometry import boxes
    from canthus.geometry.generic_face import SCHEME, generic_face
    from canthus.schemes import load_scheme

    scheme = load_scheme(SCHEME)
    yield Aligner("ground truth", "reference", truth)
    eyes = (labels[:, 36] - labels[:, 45]).norm(dim=1)[:, None, None]
    random = torch.Generator().manual_seed(cfg.seed)
    for percent in cfg.label_noise:  # the same noise on every point of the five
        noise = torch.randn(truth.shape, generator=random, dtype=truth.dtype) * eyes * percent / 100
        yield Aligner(f"ground truth + {percent:g} %", "reference", truth + noise)
    box = torch.from_numpy(np.stack([face.box for face in faces]))
    _, projected = _projected(labels)
    yield Aligner("projected pose", "reference", alignment_points(projected, scheme))
    front = generic_face().points[:, :2].double()
    yield Aligner("mean shape", "reference", alignment_points(boxes.shape_in_box(front, box), scheme))


def _projected(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Yaw (N,), NaN without a pose, and (N, 68, 2) points of the generic face under the pose of the labels."""
    import torch

    from canthus.geometry import affine, boxes
    from canthus.geometry.camera import Camera, crop_box, placed
    from canthus.geometry.generic_face import face_poses, generic_face

    camera = Camera()
    frame = torch.tensor(crop_box(camera.side), dtype=labels.dtype)
    to_crop = boxes.box_map(boxes.box_of_points(labels), frame, by="longer")
    poses = face_poses(affine.apply(to_crop, labels), torch.full(labels.shape[:2], 2), camera.side)
    points = camera.pixels(placed(generic_face().points.to(labels), poses.rotation, poses.translation))
    yaw = torch.where(poses.valid, poses.angles[:, 0], torch.nan)
    return yaw, affine.apply(affine.invert(to_crop), points)


def _yaw(faces: Sequence[Face]) -> Tensor:
    import numpy as np
    import torch

    return _projected(torch.from_numpy(np.stack([face.landmarks for face in faces])))[0]


def _tight(face: Face) -> Any:
    """Box of the labels; the face's own was moved."""
    import numpy as np

    return np.concatenate([face.landmarks.min(0), face.landmarks.max(0)])
