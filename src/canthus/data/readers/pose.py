"""Head pose of the data sets that know it, in one convention.

``Face.pose`` is yaw, pitch, roll in radians in the convention of `canthus.geometry.pose`, which has the signs of
300W-LP's labels (3DDFA).
"""

import numpy as np
from numpy.typing import NDArray


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
