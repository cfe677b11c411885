"""Head pose of the data sets that know it, in one convention.

``Face.pose`` is yaw, pitch, roll in radians with the signs of 300W-LP's labels (3DDFA)::

    Rx = [[1, 0, 0], [0, c, s], [0, -s, c]]    R = Rx(pitch) Ry(yaw) Rz(roll)
    Ry = [[c, 0, -s], [0, 1, 0], [s, 0, c]]
    Rz = [[c, s, 0], [-s, c, 0], [0, 0, 1]]

This is the TRANSPOSE of the right-handed ``Rz Ry Rx`` that 6DRepNet makes of the same three numbers: geodesic distances
agree when both sides use one convention. The model's y axis points up and its z axis to the camera, so that positive
yaw turns the nose to the image's left, positive pitch lifts it, and positive roll turns the head clockwise. Mirroring a
photograph negates yaw and roll.
"""

import numpy as np
from numpy.typing import NDArray


def rotation_3ddfa(pose: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the rotation matrix (3, 3) of yaw, pitch, roll in radians."""
    yaw, pitch, roll = pose
    (cx, sx), (cy, sy), (cz, sz) = ((np.cos(angle), np.sin(angle)) for angle in (pitch, yaw, roll))
    x = np.array([[1, 0, 0], [0, cx, sx], [0, -sx, cx]])
    y = np.array([[cy, 0, -sy], [0, 1, 0], [sy, 0, cy]])
    z = np.array([[cz, sz, 0], [-sz, cz, 0], [0, 0, 1]])
    return np.asarray(x @ y @ z)


def pose_of_rotation(rotation: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give yaw, pitch, roll of a rotation matrix (3, 3): the inverse of `rotation_3ddfa` for yaws within 90 degrees."""
    yaw = -np.arcsin(np.clip(rotation[0, 2], -1, 1))
    pitch = np.arctan2(rotation[1, 2], rotation[2, 2])
    roll = np.arctan2(rotation[0, 1], rotation[0, 0])
    return np.array([yaw, pitch, roll])


def pose_of_parameters(parameters: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give yaw, pitch, roll of ``Pose_Para``, which holds pitch, yaw, roll, three translations and a scale."""
    pitch, yaw, roll = parameters.reshape(-1)[:3]
    return np.array([yaw, pitch, roll])


def pose_of_biwi(rotation: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give yaw, pitch, roll of BIWI's rotation matrix (3, 3), with the signs of 300W-LP (formula of FSA-Net)."""
    m = rotation.T
    roll = -np.arctan2(m[1, 0], m[0, 0])
    yaw = -np.arctan2(-m[2, 0], np.hypot(m[2, 1], m[2, 2]))
    pitch = np.arctan2(m[2, 1], m[2, 2])
    return np.array([yaw, pitch, roll])
