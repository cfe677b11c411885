# ruff: noqa: E501 - a row of the table is a line
"""Plant small mistakes, one at a time, and see whether the tests that should notice them do.

    python scripts/plant_mistakes.py --results mistakes.json
    python scripts/plant_mistakes.py --results before.json --tree OLD_CHECKOUT
    python scripts/plant_mistakes.py --results old.json --tests-of REVISION
    python scripts/plant_mistakes.py --check

A tree (by default the one of this script) is copied to a temporary folder. Each mistake of `MISTAKES` is put into the
copy, its tests run there until the first that fails, and the file is put back: the tree itself is never written. The
results file is written after every mistake, and a run that was stopped goes on from it. At the end the tests that
noticed something run without a mistake: those that fail then, too, prove nothing. A table says how many mistakes of
each area pass unnoticed, and which.

``--tests-of`` takes the tests of another revision; ``--tree`` another tree with its own tests. Code or tests that are
not there leave a mistake out. ``--check`` only says whether every mistake still fits the code: run it after a change of
the code below ``src``, and correct the table where it complains.

This is no part of the continuous checks: it takes about twenty minutes of one core. One process imports the large
libraries and is forked for every mistake. Needs Linux or macOS.
"""

import argparse
import ast
import contextlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
HEAVY = (
    "torch",
    "torchvision",
    "lightning",
    "torchmetrics",
    "cv2",
    "scipy.stats",
    "hydra",
    "kornia",
    "matplotlib.figure",
)
COPIED = ("src", "tests", "conf", "scripts", "benchmarks", "docs", "pyproject.toml", "README.md", "Makefile", "LICENSE")
WHOLE = 1800.0
"""Seconds for the tests that noticed something, without a mistake."""
NOTICED, PASSED, ABSENT, UNTESTED = "noticed", "passed", "absent", "untested"


@dataclass(frozen=True)
class Mistake:
    """A change of the code that a test should notice.

    Attributes:
        area: of the code.
        file: path below the repository.
        old: text that occurs there exactly once.
        new: what takes its place.
        tests: files, or tests in them, that should notice.
    """

    area: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    @property
    def key(self) -> str:
        """Name in the results."""
        return f"{self.file}: {self.old} -> {self.new}"


def _mistakes(area: str, *rows: tuple[str, str, str, str]) -> list[Mistake]:
    return [Mistake(area, file, old, new, tuple(tests.split())) for file, old, new, tests in rows]


# fmt: off
READERS = _mistakes(
    "readers and schemes",
    ("src/canthus/data/readers/pts.py", ".reshape(-1, 2) - 1.0", ".reshape(-1, 2)", "tests/unit/data/readers/test_pts.py"),
    ("src/canthus/data/readers/pts.py", "for x, y in array + 1.0)", "for x, y in array)", "tests/unit/data/readers/test_pts.py"),
    ("src/canthus/data/readers/wflw.py", '("pose", "expression",', '("expression", "pose",', "tests/unit/data/readers/test_wflw.py"),
    ("src/canthus/data/readers/wflw.py", 'if flag == "1")', 'if flag == "0")', "tests/unit/data/readers/test_wflw.py"),
    ("src/canthus/data/readers/cofw.py", "np.stack([x, y], axis=1) - 1", "np.stack([x, y], axis=1)", "tests/unit/data/readers/test_cofw.py"),
    ("src/canthus/data/readers/cofw.py", "1, OCCLUDED, VISIBLE)", "1, VISIBLE, OCCLUDED)", "tests/unit/data/readers/test_cofw.py"),
    ("src/canthus/data/readers/cofw.py", "rectangle, first_pixel=1)", "rectangle, first_pixel=0)", "tests/unit/data/readers/test_cofw.py"),
    ("src/canthus/data/readers/aflw.py", "[yaw, pitch, -roll]", "[yaw, pitch, roll]", "tests/unit/data/readers/test_aflw.py"),
    ("src/canthus/data/readers/w300.py", "_FACE_NUMBER.sub('', key) if part.images else key", "key", "tests/unit/data/readers/test_w300.py"),
    ("src/canthus/data/readers/coco_annotations.py", "points[codes == 0] = np.nan", "points[codes == 1] = np.nan", "tests/unit/data/readers/test_coco.py"),
    ("src/canthus/data/readers/coco_annotations.py", "[x, y, x + width, y + height]", "[x, y, x + height, y + width]", "tests/unit/data/readers/test_coco.py"),
    ("src/canthus/data/readers/csv_labels.py", "columns.box(place, row) - self.first_pixel", "columns.box(place, row)", "tests/unit/data/readers/test_csv_labels.py"),
    ("src/canthus/data/readers/biwi.py", "focal * _BOX_MM / 2 / z", "focal * _BOX_MM / z", "tests/unit/data/readers/test_biwi.py"),
    ("src/canthus/data/readers/bioid.py", "_FIVE = [0, 1, 14, 2, 3]", "_FIVE = [1, 0, 14, 2, 3]", "tests/unit/data/readers/test_bioid.py"),
    ("src/canthus/data/readers/w300lp.py", "[_WIDTH - 1, 0]", "[_WIDTH, 0]", "tests/unit/data/readers/test_w300lp.py"),
    ("src/canthus/data/readers/aflw19.py", "[:, [0, 2, 1, 3]]", "[:, [0, 1, 2, 3]]", "tests/unit/data/readers/test_aflw19.py"),
)

METRICS = _mistakes(
    "metrics",
    ("src/canthus/metrics/functional.py", "(nme > threshold).to", "(nme >= threshold).to", "tests/unit/metrics/test_functional.py"),
    ("src/canthus/metrics/functional.py", "right=True", "right=False", "tests/unit/metrics/test_functional.py"),
    ("src/canthus/metrics/functional.py", "(threshold - nme).clamp(min=0), nme)", "(threshold - nme), nme)", "tests/unit/metrics/test_functional.py"),
    ("src/canthus/metrics/functional.py", "size.prod(1).sqrt()", "size.mean(1)", "tests/unit/metrics/test_functional.py"),
    ("src/canthus/metrics/functional.py", "visibility >= VISIBLE if", "visibility > 0 if", "tests/unit/metrics/test_functional.py"),
    ("src/canthus/metrics/table.py", "measured = self.nme[:, -1], self.nme[self.found]", "measured = self.nme[:, -1], self.nme", "tests/unit/metrics/test_landmarks.py"),
    ("src/canthus/metrics/landmarks.py", "torch.promote_types(torch.promote_types(points.dtype, landmarks.dtype), torch.float32)", "torch.promote_types(points.dtype, landmarks.dtype)", "tests/unit/metrics/test_landmarks.py"),
    ("src/canthus/metrics/landmarks.py", "self.box.append(box.detach().to(dtype))", "self.box.append(box.detach().half())", "tests/unit/metrics/test_landmarks.py"),
    ("src/canthus/metrics/detection.py", "np.maximum(proposed[ends], 1)", "(proposed[ends] + 1)", "tests/unit/metrics/test_detection.py"),
    ("src/canthus/metrics/pose.py", "2 * torch.asin((apart / 2)", "torch.asin((apart / 2)", "tests/unit/metrics/test_pose.py"),
)

GEOMETRY = _mistakes(
    "geometry",
    ("src/canthus/geometry/boxes.py", "middle, half = (size - 1) / 2, share", "middle, half = size / 2, share", "tests/unit/geometry/test_boxes.py"),
    ("src/canthus/geometry/boxes.py", "target_sides.norm(dim=-1) / source_sides.norm(dim=-1)", "target_sides.mean(-1) / source_sides.mean(-1)", "tests/unit/geometry/test_boxes.py"),
    ("src/canthus/geometry/boxes.py", "target_sides.amax(-1) / source_sides.amax(-1)", "(target_sides / source_sides).amax(-1)", "tests/unit/geometry/test_boxes.py"),
    ("src/canthus/geometry/affine.py", "torch.where(flags, 2 * axis, zero)", "torch.where(flags, 2 * axis + 1, zero)", "tests/unit/geometry/test_affine.py"),
    ("src/canthus/geometry/affine.py", "n = (w * s.square()).sum((-2, -1))", "n = s.square().sum((-2, -1))", "tests/unit/geometry/test_affine.py"),
    ("src/canthus/geometry/affine.py", "[cos, -sin], -1), torch.stack([sin, cos], -1)", "[cos, sin], -1), torch.stack([-sin, cos], -1)", "tests/unit/geometry/test_affine.py"),
    ("src/canthus/geometry/windows.py", "(windows[:, :2] + scale / 2)", "(windows[:, :2] + scale)", "tests/unit/geometry/test_windows.py"),
    ("src/canthus/geometry/windows.py", "torch.minimum(area[:, :, None], area[:, None])", "torch.maximum(area[:, :, None], area[:, None])", "tests/unit/geometry/test_windows.py"),
    ("src/canthus/geometry/shapes.py", "mean = (mean + mirrored) / 2", "mean = mean", "tests/unit/geometry/test_shapes.py"),
    ("src/canthus/geometry/pose.py", "torch.atan2(-m[..., 0, 2], cosine)", "torch.atan2(m[..., 0, 2], cosine)", "tests/unit/geometry/test_camera_pose.py"),
)

DATA = _mistakes(
    "data",
    ("src/canthus/data/split.py", "count = round(share * len(images))", "count = int(share * len(images))", "tests/unit/data/test_split.py"),
    ("src/canthus/data/split.py", "default_rng(0).permutation(len(rows))[:count]", "default_rng(count).permutation(len(rows))[:count]", "tests/unit/data/test_split.py"),
    ("src/canthus/data/sampling.py", "mix(self.seed, self.epoch)", "mix(self.seed, 0)", "tests/unit/data/test_loaders.py"),
    ("src/canthus/data/sampling.py", "order[: self.kept][self.rank", "order[self.rank", "tests/unit/data/test_loaders.py"),
    ("src/canthus/data/datamodule.py", "weight = (labels.visibility[view.rows] > 0)[..., None]", "weight = (labels.visibility[view.rows] >= 0)[..., None]", "tests/unit/data/test_datamodule.py"),
    ("src/canthus/data/datamodule.py", "visibility = permute_mirrored(visibility, mirrored, self.scheme.flip)", "visibility = visibility.clone()", "tests/unit/data/test_datamodule.py tests/unit/data/test_augment.py"),
    ("src/canthus/data/augment.py", "torch.pi / 180 * self.rotation", "torch.pi / 90 * self.rotation", "tests/unit/data/test_augment.py"),
    ("src/canthus/data/augment.py", "shift * (reference[2:] - reference[:2])", "shift * reference[2:]", "tests/unit/data/test_augment.py"),
    ("src/canthus/data/corruptions.py", ".all(-1) & (visibility == VISIBLE)", ".all(-1)", "tests/unit/data/test_corruptions.py"),
    ("src/canthus/data/corruptions.py", "on_landmark[..., None]).sum(1), anywhere)", "on_landmark[..., None]).sum(1) + 3, anywhere)", "tests/unit/data/test_corruptions.py"),
    ("src/canthus/data/synthetic/labels.py", '"lid_0_upper_6", "lid_0_lower_6"', '"lid_0_lower_6", "lid_0_upper_6"', "tests/unit/data/synthetic/test_synthetic.py"),
    ("src/canthus/data/synthetic/labels.py", '*PUPILS, "wing_l", "wing_r"', '*PUPILS, "wing_r", "wing_l"', "tests/unit/data/synthetic/test_synthetic.py"),
    ("src/canthus/data/store.py", "(moved[:, 2] - low + 0.5) / factor - 0.5", "(moved[:, 2] - low) / factor", "tests/unit/data/test_store.py"),
)

MODELS = _mistakes(
    "models",
    ("src/canthus/models/dan/network.py", "affine.apply(affine.invert(to_upright), upright_points + displacement), hidden", "points + displacement, hidden", "tests/unit/models/dan/test_network.py"),
    ("src/canthus/models/dan/network.py", "warp(image, affine.invert(to_upright)", "warp(image, to_upright", "tests/unit/models/dan/test_network.py"),
    ("src/canthus/models/dan/network.py", "refine(image, points[-1], hidden", "refine(image, points[0], hidden", "tests/unit/models/dan/test_network.py"),
    ("src/canthus/models/san/cascade.py", "decode_maps(stage[0][:, :-1]", "decode_maps(stage[-1][:, :-1]", "tests/unit/models/san/test_module.py"),
    ("src/canthus/models/san/module.py", "factor = 1.0 if stage == 0 else self.later_rate", "factor = self.later_rate", "tests/unit/models/san/test_module.py"),
    ("src/canthus/models/mtcnn/detect.py", "OVERLAPS = (0.5, 0.7, 0.7, 0.7)", "OVERLAPS = (0.5, 0.7, 0.7, 0.5)", "tests/unit/models/mtcnn/test_detect.py"),
    ("src/canthus/models/mtcnn/detect.py", "OVERLAPS = (0.5, 0.7, 0.7, 0.7)", "OVERLAPS = (0.5, 0.7, 0.5, 0.7)", "tests/unit/models/mtcnn/test_detect.py"),
    ("src/canthus/models/mtcnn/losses.py", "torch.where(hard, ranked, 0).sum() / kept.clamp_min(1)", "torch.where(hard, ranked, 0).sum() / len(losses)", "tests/unit/models/mtcnn/test_losses.py"),
    ("src/canthus/models/heatmaps.py", "(points.float() - (self.stride - 1) / 2) / self.stride", "points.float() / self.stride", "tests/unit/models/test_heatmaps.py"),
    ("src/canthus/models/cfan/network.py", "return points * size - 0.5", "return points * size", "tests/unit/models/cfan/test_network.py"),
    ("src/canthus/models/mdm/module.py", "weight = (visibility > 0)[..., None]", "weight = (visibility >= 0)[..., None]", "tests/unit/models/mdm/test_module.py"),
    ("src/canthus/models/facepose/labels.py", "depth = turned[:, 2] / scale", "depth = turned[:, 2] * scale", "tests/unit/models/facepose/test_module.py"),
    ("src/canthus/models/mirrored.py", "affine.apply(mirror, other)[:, flip]) / 2", "affine.apply(mirror, other)) / 2", "tests/unit/models/test_mirrored.py tests/unit/models/mdm/test_module.py"),
)

BASE = _mistakes(
    "base",
    ("src/canthus/models/base.py", "epochs = self.phase_epochs or self.trainer.max_epochs", "epochs = self.trainer.max_epochs", "tests/unit/models/test_base.py tests/unit/models/dan/test_module.py tests/unit/models/mdm/test_module.py tests/unit/callbacks/test_stages.py"),
    ("src/canthus/models/base.py", "value.detach().float() * count, faces + count)", "value.detach().float() * count, faces + 1)", "tests/unit/models/test_base.py tests/unit/models/dan/test_module.py tests/unit/callbacks/test_metrics_file.py"),
    ("src/canthus/models/base.py", "value.detach().float() * count, faces + count)", "value.detach().float(), faces + 1)", "tests/unit/models/test_base.py tests/unit/models/dan/test_module.py tests/unit/callbacks/test_metrics_file.py"),
    ("src/canthus/models/base.py", "self._depth = max(stages) + 1", "self._depth = len(stages)", "tests/unit/models/test_base.py tests/unit/callbacks/test_stages.py"),
    ("src/canthus/models/base.py", '"interval": "step"', '"interval": "epoch"', "tests/unit/models/test_base.py tests/unit/models/dan/test_module.py tests/unit/models/fan_zhou/test_module.py"),
    ("src/canthus/models/base.py", 'group["lr"] *= group.pop("rate", 1.0)', 'group.pop("rate", 1.0)', "tests/unit/models/test_base.py tests/unit/models/san/test_module.py"),
)

CALLBACKS = _mistakes(
    "callbacks",
    ("src/canthus/callbacks/ema.py", "self._average_model.n_averaged.zero_()", "self._average_model.n_averaged", "tests/unit/callbacks/test_ema.py"),
    ("src/canthus/callbacks/ema.py", "average.lerp(value, 1 - ((1 + n)", "average.lerp(value, 1 - ((2 + n)", "tests/unit/callbacks/test_ema.py"),
    ("src/canthus/callbacks/ema.py", "if id(weight) not in begun", "if id(weight) in begun", "tests/unit/callbacks/test_ema.py"),
    ("src/canthus/callbacks/stages.py", "round(passed / total * trainer.max_epochs)", "int(passed / total * trainer.max_epochs)", "tests/unit/callbacks/test_stages.py"),
    ("src/canthus/callbacks/stages.py", "begin = self.ends[self.phase - 1] if self.phase else 0", "begin = 0", "tests/unit/callbacks/test_stages.py"),
    ("src/canthus/callbacks/seeding.py", "[self.seed, trainer.current_epoch, trainer.global_rank]", "[self.seed, trainer.global_rank]", "tests/unit/callbacks/test_seeding.py tests/unit/callbacks/test_ema.py"),
    ("src/canthus/callbacks/seeding.py", "[self.seed, trainer.current_epoch, trainer.global_rank]", "[self.seed, trainer.current_epoch]", "tests/unit/callbacks/test_seeding.py tests/unit/callbacks/test_ema.py"),
    ("src/canthus/callbacks/evaluator.py", "table.nme.nanmean(0)", "table.nme.mean(0)", "tests/unit/callbacks/test_evaluator.py"),
    ("src/canthus/callbacks/evaluator.py", "initial = table.nme[:, 0]", "initial = table.nme[:, 1]", "tests/unit/callbacks/test_evaluator.py"),
    ("src/canthus/callbacks/metrics_file.py", "if known > epoch", "if known >= epoch", "tests/unit/callbacks/test_metrics_file.py"),
    ("src/canthus/callbacks/finite.py", "(self._first < 0) & ~loss", "(self._first < 0) & loss", "tests/unit/callbacks/test_finite.py"),
)

RUNNING = _mistakes(
    "running",
    ("src/canthus/runs/record.py", '"dirty": bool(status) if inside', '"dirty": False if inside', "tests/unit/runs/test_record.py tests/integration/test_train.py::test_a_run_folder_holds_everything"),
    ("src/canthus/runs/resume.py", '"callbacks.overlays.",', '"callbacks.",', "tests/unit/runs/test_resume.py tests/integration/test_resume.py::test_only_the_length_may_change"),
    ("src/canthus/runs/resume.py", '"trainer.max_epochs": ":', '"model.width": "", "trainer.max_epochs": ":', "tests/unit/runs/test_resume.py tests/integration/test_resume.py::test_only_the_length_may_change"),
    ("src/canthus/evaluation/external/matching.py", "overlap[overlap < LEAST_OVERLAP] = 0", "overlap[overlap < 0] = 0", "tests/unit/evaluation/external/test_matching.py"),
    ("src/canthus/evaluation/external/predictions.py", "points = read_pts(file) + 1.0", "points = read_pts(file)", "tests/unit/evaluation/external/test_predictions.py"),
    ("src/canthus/inference/video/smoothing.py", "self.cutoff + self.beta * speed", "self.cutoff + speed", "tests/unit/inference/video/test_smoothing.py"),
    ("src/canthus/inference/video/tracking.py", "(now + growth * (corners - before))", "(now + (corners - before))", "tests/unit/inference/video/test_tracking.py"),
)

REPORTING = _mistakes(
    "reporting",
    ("src/canthus/reporting/results.py", "landmarks=table.points[row, -1]", "landmarks=table.points[row, 0]", "tests/unit/reporting/test_results.py tests/unit/reporting/test_tables.py tests/unit/callbacks/test_evaluator.py"),
    ("src/canthus/reporting/results.py", "nme_per_stage=table.nme[row].cpu()", "nme_per_stage=table.nme[row].flip(0).cpu()", "tests/unit/reporting/test_results.py tests/unit/reporting/test_tables.py tests/unit/callbacks/test_evaluator.py"),
    ("src/canthus/reporting/results.py", "name: values[table.found].nanmean(0).tolist()", "name: values.nan_to_num().mean(0).tolist()[::-1]", "tests/unit/reporting/test_results.py tests/unit/callbacks/test_evaluator.py"),
    ("src/canthus/reporting/tables.py", 'subset["auc"], subset["failure_rate"]])', 'subset["failure_rate"], subset["auc"]])', "tests/unit/reporting/test_tables.py"),
    ("src/canthus/reporting/tables.py", 'row += [subset.get("nme_initial")] if start', 'row += [subset.get("nme")] if start', "tests/unit/reporting/test_tables.py"),
    ("src/canthus/evaluation/files.py", "landmarks=values[4 + stages :]", "landmarks=values[4 + stages :][::-1]", "tests/unit/reporting/test_tables.py"),
    ("src/canthus/reporting/comparison.py", "for key in first])[:, -1] for rows", "for key in first])[:, 0] for rows", "tests/unit/reporting/test_comparison.py"),
    ("src/canthus/reporting/corruptions.py", "100 * (error - base) / base", "100 * (error - base) / error", "tests/unit/reporting/test_corruptions.py"),
    ("src/canthus/reporting/sweep.py", "stages = enumerate(full[\"nme_per_stage\"], 1)", "stages = enumerate(reversed(full[\"nme_per_stage\"]), 1)", "tests/unit/reporting/test_sweep.py"),
    ("src/canthus/reporting/sweep.py", "sign = -1 if higher_is_better(objective) else 1", "sign = 1 if higher_is_better(objective) else -1", "tests/unit/reporting/test_sweep.py"),
    ("src/canthus/reporting/summary.py", 'row += [subset["other_normalisers"][other]["nme"]', 'row += [subset["nme"]', "tests/unit/reporting/test_results.py tests/unit/reporting/test_summary.py"),
    ("src/canthus/reporting/page/significance.py", "value = sign * pair.numbers.mean_difference", "value = pair.numbers.mean_difference", "tests/unit/reporting/page/test_protocols.py tests/unit/reporting/page/test_page.py tests/unit/reporting/page/test_significance.py"),
)

LOCKS = _mistakes(
    "locks",
    ("src/canthus/utils/locks.py", "fcntl.LOCK_EX | fcntl.LOCK_NB", "fcntl.LOCK_SH | fcntl.LOCK_NB", "tests/unit/runs/test_folders.py"),
    ("src/canthus/utils/locks.py", "if not _is_at(path, descriptor):  # the one", "if False:  # the one", "tests/unit/runs/test_folders.py"),
    ("src/canthus/runs/folders.py", "if not processes.requeued():\n        raise", "if False:\n        raise", "tests/unit/runs/test_folders.py tests/integration/test_locks.py::test_a_training_is_not_written_over"),
    ("src/canthus/runs/folders.py", "processes.next_name()", "pass", "tests/unit/runs/test_folders.py"),
)

STORES = _mistakes(
    "stores",
    ("src/canthus/data/cache.py", "if record[key] != value:", "if False:", "tests/unit/data/test_cache.py"),
    ("src/canthus/data/cache.py", "sorted({0, *some, count - 1})", "sorted({0, *some})", "tests/unit/data/test_cache.py"),
    ("src/canthus/data/cache.py", "replaced = sources.replaced(np.load(folder / SOURCES))", "replaced = None", "tests/unit/data/test_cache.py"),
    ("src/canthus/data/cache.py", "time.time() - last > IDLE", "time.time() - last > 0", "tests/unit/data/test_cache.py"),
    ("src/canthus/data/store.py", "if x2 < 0 or y2 < 0 or", "if x2 < 0 or", "tests/unit/data/test_box_faults.py"),
    ("src/canthus/data/store.py", "file.seek(begin + old * size)", "file.seek(begin + new * size)", "tests/unit/data/test_store.py tests/unit/data/test_cache.py"),
)

ESCAPING = _mistakes(
    "escaping",
    ("src/canthus/utils/escaping.py", "[=+\\\\-@\\uff1d", "[=+\\\\-\\uff1d", "tests/unit/utils/test_escaping.py"),
    ("src/canthus/utils/escaping.py", '"<": "&lt;"', '"<": "<"', "tests/unit/utils/test_escaping.py"),
    ("src/canthus/utils/escaping.py", 'options |= {"markup": False, "emoji": False}', 'options |= {"emoji": False}', "tests/unit/utils/test_escaping.py"),
    ("src/canthus/utils/escaping.py", "return cell[1:] if cell[:1]", "return cell if cell[:1]", "tests/unit/utils/test_escaping.py"),
    ("src/canthus/utils/escaping.py", '"`" * max(least, longest + 1)', '"`" * max(least, longest)', "tests/unit/utils/test_escaping.py"),
)

FRAMES = _mistakes(
    "image frames",
    ("src/canthus/data/images.py", "if orientation in (2, 3, 6, 7):", "if orientation in (2, 3, 7, 8):", "tests/unit/data/test_image_frames.py tests/unit/data/test_images.py"),
    ("src/canthus/data/images.py", "{6: 8, 8: 6}", "{}", "tests/unit/data/test_image_frames.py tests/unit/data/test_images.py tests/unit/data/test_orientations.py"),
    ("src/canthus/data/images.py", 'exif = "ignore" if stated == header.stored else "apply"', 'exif = "apply"', "tests/unit/data/test_image_frames.py"),
    ("src/canthus/data/images.py", "if self.orientation >= 5 else (self.width", "if self.orientation > 5 else (self.width", "tests/unit/data/test_image_frames.py tests/unit/data/test_images.py"),
    ("src/canthus/data/images.py", "if header.width * header.height > max_pixels():", "if header.width > max_pixels():", "tests/unit/data/test_images.py tests/unit/data/test_damaged_images.py"),
)

NAMES = _mistakes(
    "names",
    ("src/canthus/data/image_names.py", "if len(found) > 1:", "if len(found) > 2:", "tests/unit/data/test_image_names.py"),
    ("src/canthus/data/image_names.py", "return name, lower, stem if suffix in SUFFIXES else lower", "return lower, lower, stem if suffix in SUFFIXES else lower", "tests/unit/data/test_image_names.py"),
    ("src/canthus/data/image_names.py", "path if path is None or path not in named or _called(path, name) else None", "path", "tests/unit/data/test_image_names.py"),
    ("src/canthus/data/image_names.py", "if folder in self._roots else None", "if folder else None", "tests/unit/data/test_image_names.py"),
)

REMEMBERED = _mistakes(
    "remembered faces",
    ("src/canthus/data/remembered.py", "moved += [image] * sum(a[1] != b[1] for", "moved += [image] * sum(a[2] != b[2] for", "tests/unit/data/test_remembered.py"),
    ("src/canthus/data/remembered.py", "crossed += [image] * sum(a[0] != b[0]", "crossed += [image] * sum(a[0] == b[0]", "tests/unit/data/test_remembered.py"),
    ("src/canthus/data/remembered.py", "not few and bytes.fromhex(known.labels) in labels", "bytes.fromhex(known.labels) in labels", "tests/unit/data/test_remembered.py"),
    ("src/canthus/data/remembered.py", "self.before | other.trained | other.before", "self.before | other.before", "tests/unit/data/test_remembered.py"),
    ("src/canthus/data/remembered.py", "% period:06d", ":06d", "tests/unit/data/test_remembered.py"),
)

TRUST = _mistakes(
    "trust",
    ("src/canthus/runs/trust.py", 'isinstance(word, str) and "${" in word', 'isinstance(word, str) and word.startswith("${oc.")', "tests/unit/runs/test_trust_mutations.py"),
    ("src/canthus/runs/trust.py", "if not real.is_relative_to(_resolved(folder)):", "if False:", "tests/unit/runs/test_trust_mutations.py tests/integration/test_trust.py::test_a_run_is_no_way_out_of_itself"),
    ("src/canthus/runs/trust.py", r"[^./\\~][^/\\]{0,79}", r"[^~].{0,79}", "tests/unit/runs/test_trust_mutations.py tests/integration/test_trust.py::test_a_run_is_no_way_out_of_itself"),
    ("src/canthus/runs/trust.py", "wrong = key in SPECIAL", "wrong = False", "tests/unit/runs/test_trust_mutations.py tests/integration/test_trust.py::test_a_run_is_no_way_out_of_itself"),
    ("src/canthus/runs/trust.py", "if isinstance(event, yaml.AliasEvent):", "if False:", "tests/unit/runs/test_trust_mutations.py"),
)

MISTAKES = [
    *READERS, *METRICS, *GEOMETRY, *DATA, *MODELS, *BASE, *CALLBACKS, *RUNNING, *REPORTING, *LOCKS, *STORES, *ESCAPING,
    *FRAMES, *NAMES, *REMEMBERED, *TRUST,
]
# fmt: on


# -- the copy --------------------------------------------------------------------------------------------------------


def copied(tree: Path, folder: Path, tests_of: str | None) -> None:
    """Copy a tree without what version control ignores; with the tests of another revision if asked for."""
    for name in COPIED:
        source = tree / name
        if source.is_dir():
            shutil.copytree(source, folder / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.is_file():
            shutil.copy2(source, folder / name)
    if tests_of is not None:
        archive = subprocess.run(
            ["git", "archive", tests_of, "tests"], cwd=tree, capture_output=True, check=True
        ).stdout
        shutil.rmtree(folder / "tests")
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            tar.extractall(folder, filter="data")


def fits(mistake: Mistake, tree: Path) -> str | None:
    """Why a mistake cannot be planted; None if it can."""
    path = tree / mistake.file
    if not path.is_file():
        return "no such file"
    text = path.read_text(encoding="utf-8")
    if (count := text.count(mistake.old)) != 1:
        return f"its text occurs {count} times"
    if path.suffix == ".py":
        try:
            ast.parse(text.replace(mistake.old, mistake.new))
        except SyntaxError as error:
            return f"it is no Python: {error}"
    return None


def present(tests: Sequence[str], tree: Path) -> list[str]:
    """Those of some tests whose files are there."""
    return [test for test in tests if (tree / test.partition("::")[0]).is_file()]


@contextlib.contextmanager
def planted(mistake: Mistake, tree: Path) -> Iterator[None]:
    """Put a mistake into a copy, and take it out again."""
    path = tree / mistake.file
    before = path.read_text(encoding="utf-8")
    path.write_text(before.replace(mistake.old, mistake.new), encoding="utf-8")
    _forget(path)
    try:
        yield
    finally:
        path.write_text(before, encoding="utf-8")
        _forget(path)


def _forget(path: Path) -> None:
    """Remove what Python compiled: of two files of one size in one second it would take the first."""
    for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"):
        compiled.unlink()


# -- running tests ---------------------------------------------------------------------------------------------------


def run_tests(tests: Sequence[str], tree: Path, timeout: float, *options: str) -> tuple[int | None, str]:
    """Run pytest in a forked process.

    Returns:
        Its exit status, None if it took too long; and what it wrote.
    """
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output:
        process = os.fork()
        if process == 0:
            _child(
                [*tests, "-q", "--no-header", "--tb=line", "-p", "no:cacheprovider", *options], tree, output.fileno()
            )
        end = time.monotonic() + timeout
        status = None
        while status is None and time.monotonic() < end:
            done, code = os.waitpid(process, os.WNOHANG)
            if done:
                status = os.waitstatus_to_exitcode(code)
            else:
                time.sleep(0.05)
        with contextlib.suppress(ProcessLookupError):  # also what the tests started and left
            os.killpg(process, signal.SIGKILL)
        if status is None:
            os.waitpid(process, 0)
        output.seek(0)
        return status, output.read()


def _child(arguments: Sequence[str], tree: Path, output: int) -> None:
    code = 99
    try:
        os.setsid()
        for descriptor in (1, 2):
            os.dup2(output, descriptor)
        os.chdir(tree)
        sys.path[:0] = [str(tree), str(tree / "src")]
        os.environ["PYTHONPATH"] = str(tree / "src")
        import pytest

        code = int(pytest.main(list(arguments)))
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


def failed(output: str) -> list[str]:
    """Names of the tests that failed."""
    lines = (line for line in output.splitlines() if line.startswith(("FAILED ", "ERROR ")))
    return [line.split(" ", 1)[1].split(" - ")[0] for line in lines]


def judged(mistake: Mistake, tree: Path, broken: Sequence[str], timeout: float) -> dict[str, object]:
    """Plant a mistake and say what became of it."""
    begin = time.monotonic()
    if reason := fits(mistake, tree):
        return {"area": mistake.area, "outcome": ABSENT, "by": reason}
    tests = present(mistake.tests, tree)
    if not tests:
        return {"area": mistake.area, "outcome": UNTESTED, "by": ""}
    with planted(mistake, tree):
        options = [word for name in broken for word in ("--deselect", name)]
        status, output = run_tests(tests, tree, timeout, "-x", *options)
    if status is None:
        outcome, by = NOTICED, "time"
    elif status in (1, 2):
        outcome, by = NOTICED, (failed(output) or ["?"])[0]
    elif status in (0, 5):
        outcome, by = PASSED, ""
    elif status == 4:  # of pytest: a test that is not there
        outcome, by = UNTESTED, output.strip().splitlines()[-1]
    else:
        outcome, by = NOTICED, f"status {status}: {output.strip().splitlines()[-1:]}"
    return {"area": mistake.area, "outcome": outcome, "by": by, "seconds": round(time.monotonic() - begin, 1)}


# -- the whole -------------------------------------------------------------------------------------------------------


def table(results: dict[str, dict[str, object]]) -> str:
    """Mistakes by area, and those that nobody noticed."""
    planted_in, passed_in = Counter[str](), Counter[str]()
    for one in results.values():
        if one["outcome"] != ABSENT:
            planted_in[str(one["area"])] += 1
            passed_in[str(one["area"])] += one["outcome"] in (PASSED, UNTESTED)
    lines = [f"{'area':22}{'planted':>9}{'passed':>9}"]
    lines += [f"{area:22}{count:9}{passed_in[area]:9}" for area, count in planted_in.items()]
    total, passed = planted_in.total(), passed_in.total()
    lines.append(f"{'all':22}{total:9}{passed:9}   {100 * passed / max(total, 1):.1f} %")
    for outcome in (PASSED, UNTESTED, ABSENT):
        lines += [f"{outcome}: {key}" for key, one in results.items() if one["outcome"] == outcome]
    return "\n".join(lines)


def main() -> None:
    """Run what is left to run, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, help="json file outside of the tree; read first if it is there")
    parser.add_argument("--tree", type=Path, default=REPOSITORY, help="tree to copy; this one by default")
    parser.add_argument("--tests-of", metavar="REVISION", help="take the tests of another revision")
    parser.add_argument("--area", action="append", help="only mistakes of this area; may be repeated")
    parser.add_argument("--again", action="store_true", help="plant those again that passed")
    parser.add_argument("--timeout", type=float, default=240, help="seconds for the tests of one mistake")
    parser.add_argument("--check", action="store_true", help="only say which mistakes do not fit the code")
    arguments = parser.parse_args()
    tree = arguments.tree.resolve()
    chosen = [one for one in MISTAKES if not arguments.area or one.area in arguments.area]
    if arguments.check:
        wrong = [f"{one.key}: {reason}" for one in chosen if (reason := fits(one, tree))]
        wrong += [f"{one.key}: no {test}" for one in chosen for test in one.tests if not present([test], tree)]
        print("\n".join([*wrong, f"{len(chosen)} mistakes, {len(wrong)} complaints"]))
        sys.exit(bool(wrong))
    if arguments.results is None or arguments.results.resolve().is_relative_to(tree):
        parser.error("--results has to name a file outside of the tree")
    content = json.loads(arguments.results.read_text()) if arguments.results.is_file() else {}
    results = content.setdefault("mistakes", {})
    for name in HEAVY:
        with contextlib.suppress(ImportError):
            __import__(name)
    with tempfile.TemporaryDirectory(prefix="mistakes") as name:
        copy = Path(name) / "tree"
        copy.mkdir()
        copied(tree, copy, arguments.tests_of)
        broken = content.setdefault("broken", [])
        for number, mistake in enumerate(chosen, 1):
            known = results.get(mistake.key)
            if known and not (arguments.again and known["outcome"] in (PASSED, UNTESTED)):
                continue
            results[mistake.key] = judged(mistake, copy, broken, arguments.timeout)
            arguments.results.write_text(json.dumps(content, indent=1))
            print(f"{number}/{len(chosen)} {results[mistake.key]['outcome']:8} {mistake.key}", flush=True)
        witnesses = sorted({str(one["by"]).partition("[")[0] for one in results.values() if "::" in str(one["by"])})
        fresh = [name.partition("[")[0] for name in failed(run_tests(witnesses, copy, WHOLE)[1])] if witnesses else []
        for key in [key for key, one in results.items() if str(one["by"]).partition("[")[0] in fresh]:
            del results[key]
        broken += fresh
        arguments.results.write_text(json.dumps(content, indent=1))
    if fresh:
        sys.exit(f"these fail without a mistake, too: {', '.join(fresh)}; run this again to do without them")
    print(table({one.key: results[one.key] for one in chosen}))


if __name__ == "__main__":
    main()
