"""How sure a mean over trainings and over faces is, when all trainings are measured on the same few faces.

Legend: R trainings (seeds), B resamples of the faces.
"""

import numpy as np
from numpy.typing import ArrayLike

from canthus.metrics.statistics import CONFIDENCE

__all__ = ["crossed_interval"]


def crossed_interval(figures: ArrayLike, resampled: ArrayLike | None = None) -> tuple[float, float] | None:
    """95 % interval of the mean over trainings and faces, both taken for draws from many.

    Resampling three trainings would find two thirds of their variance and no tails, so only the faces are resampled.
    The trainings' part is Student's t of their figures; it holds the interplay of trainings and faces, too, which
    therefore is taken out of the faces' part. The two half-widths are added in squares, each side for itself (Banerjee
    1960: at least the nominal coverage for sums of such parts; Zou and Donner 2008 for sides of different length). That
    both sources of spread have to be in the interval is Bouthillier et al., MLSys 2021.

    Measured coverage with 3 trainings and 174 faces: 92.6 % (skewed faces, equal trainings) to 97.5 % (trainings and
    faces of equal weight), see tests/unit/metrics/test_crossed.py.

    Args:
        figures: (R,) of the trainings, over the faces as they are.
        resampled: (R, B) of the trainings over faces drawn again, the same draws for all; None where the figures are of
            no faces. NaN resamples are left out.

    Returns:
        Lower and upper end; None for fewer than two trainings, whose spread nobody knows.

    Raises:
        ValueError: shapes that do not belong together, or figures that are not finite.
    """
    from scipy.stats import t

    values = np.asarray(figures, dtype=np.float64)
    if values.ndim != 1 or not np.isfinite(values).all():
        raise ValueError(f"figures {values} are no finite numbers of trainings")
    count, middle = len(values), float(values.mean())
    if count < 2:
        return None
    of_trainings = float(t.ppf((1 + CONFIDENCE) / 2, count - 1) ** 2 * values.var(ddof=1) / count)
    below = above = 0.0
    if resampled is not None:
        drawn = np.asarray(resampled, dtype=np.float64)
        if drawn.ndim != 2 or len(drawn) != count:
            raise ValueError(f"{drawn.shape} resampled figures are not of {count} trainings")
        drawn = drawn[:, np.isfinite(drawn).all(0)]
        if drawn.shape[1] < 2:
            raise ValueError("no resample of the faces has a figure of every training")
        means = drawn.mean(0)
        whole = float(means.var())
        interplay = max(float(drawn.var(1).mean()) - whole, 0.0) / (count - 1)
        share = max(1 - interplay / whole, 0.0) if whole else 0.0
        low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]).tolist()
        below, above = share * min(low - middle, 0.0) ** 2, share * max(high - middle, 0.0) ** 2
    return middle - float(np.sqrt(of_trainings + below)), middle + float(np.sqrt(of_trainings + above))
