"""Supervised Descent Method, as prediction needs it."""

from collections.abc import Sequence

from canthus.data.batch import Batch, InputSpec
from canthus.geometry.boxes import centred_box
from canthus.models.cascade import Cascade
from canthus.models.cfan.network import from_unit
from canthus.models.estimates import Estimates
from canthus.models.sdm.network import SDM

__all__ = ["SDMCascade"]


class SDMCascade(Cascade):
    """Supervised Descent Method.

    Args:
        scheme: landmark scheme.
        sizes: see `SDM`; the largest is the side of the network input.
        face_share: side of the face box in the crop, as a share of the crop's side.
        ridge: see `canthus.models.sdm.network.NormalEquations.solve`.
        perturbations: starts of each face in an epoch: the mean shape moved and scaled at random.
        shift: standard deviation of these moves, face boxes.
        scale: standard deviation of the logarithm of these scales.

    Raises:
        ValueError: an argument that does not describe a cascade, named.
    """

    name = "sdm"

    def __init__(
        self,
        *,
        scheme: str | int = "68",
        sizes: Sequence[int] = (100, 100, 100, 100),
        face_share: float = 0.7,
        ridge: float = 0.1,
        perturbations: int = 10,
        shift: float = 0.05,
        scale: float = 0.05,
    ) -> None:
        if ridge < 0 or perturbations < 1:
            raise ValueError(f"ridge={ridge}, perturbations={perturbations}: at least 0 and 1")
        super().__init__(scheme=scheme, stages=len(sizes))
        self.network = SDM(self.scheme.num_landmarks, sizes)
        self.ridge, self.perturbations = ridge, perturbations
        self.spread = face_share * shift, scale
        self._input = InputSpec(max(sizes), 1, centred_box(max(sizes), face_share))

    @property
    def input(self) -> InputSpec:
        """The crop at the highest resolution of the cascade."""
        return self._input

    def estimates(self, batch: Batch) -> Estimates:
        """Points of the active steps."""
        points = self.network(batch["image"], depth=self.depth)
        start = from_unit(self.network.mean_shape, self.input.size)
        return Estimates(points=points, initial=start.expand_as(points[0]))
