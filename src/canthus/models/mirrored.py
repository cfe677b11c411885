"""The flip test: the mean of what a model says about an image and about its mirror image."""

from dataclasses import replace

import torch
from torch import Tensor

from canthus.data.batch import Batch
from canthus.data.face import UNLABELLED
from canthus.geometry import affine, boxes
from canthus.geometry.pose import angles_of_rotation, rotation_of_angles, rotation_of_columns
from canthus.models.estimates import Estimates
from canthus.schemes import Scheme

__all__ = ["average_with_mirrored", "mirror_batch"]


def mirror_batch(batch: Batch, scheme: Scheme) -> Batch:
    """The batch as a mirror shows it: ``x -> W - 1 - x``, landmarks under their new names.

    Labels of another scheme than the model's, of an evaluation on fewer points, are not labelled in the mirror.
    """
    mirror = _mirror(batch["image"])
    flip = torch.as_tensor(scheme.flip, device=mirror.device)
    mirrored = Batch(**batch)
    mirrored["image"] = batch["image"].flip(-1)
    if batch["landmarks"].shape[1] == len(flip):
        mirrored["landmarks"] = affine.apply(mirror, batch["landmarks"])[:, flip]
        mirrored["visibility"] = batch["visibility"][:, flip]
    else:
        mirrored["landmarks"] = torch.full_like(batch["landmarks"], torch.nan)
        mirrored["visibility"] = torch.full_like(batch["visibility"], UNLABELLED)
    mirrored["box"] = boxes.box_of_points(affine.apply(mirror, boxes.corners(batch["box"])))
    mirrored["to_original"] = affine.compose(batch["to_original"], mirror)
    return mirrored


def average_with_mirrored(plain: Estimates, mirrored: Estimates, batch: Batch, scheme: Scheme) -> Estimates:
    """Average every stage's points, the scores and the pose; what else there is stays that of the plain image.

    Args:
        plain: of the batch.
        mirrored: of `mirror_batch` of the batch.
        batch: whose frame the result is in.
        scheme: names the mirrored landmarks.
    """
    mirror = _mirror(batch["image"])
    flip = torch.as_tensor(scheme.flip, device=mirror.device)
    pairs = zip(plain.points, mirrored.points, strict=True)
    points = [(one + affine.apply(mirror, other)[:, flip]) / 2 for one, other in pairs]
    scores = plain.scores
    if scores is not None and mirrored.scores is not None:
        scores = (scores + mirrored.scores[:, flip]) / 2
    pose = plain.pose
    if pose is not None and mirrored.pose is not None:
        turned = rotation_of_angles(pose) + rotation_of_angles(mirrored.pose * pose.new_tensor([-1.0, 1.0, -1.0]))
        pose = angles_of_rotation(rotation_of_columns(turned[..., :2].mT.flatten(-2)))
    return replace(plain, points=points, votes=None, scores=scores, pose=pose)


def _mirror(image: Tensor) -> Tensor:
    """(B, 2, 3) mirrors of whole images."""
    return affine.mirror(torch.ones(image.shape[0], dtype=torch.bool, device=image.device), (image.shape[-1] - 1) / 2)
