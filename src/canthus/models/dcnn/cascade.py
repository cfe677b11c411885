"""Deep Convolutional Network Cascade, as prediction needs it."""

from collections.abc import Sequence

from canthus.data.batch import Batch, InputSpec
from canthus.geometry.boxes import centred_box
from canthus.models.cascade import Cascade
from canthus.models.dcnn.network import DCNN, NUM_LANDMARKS
from canthus.models.estimates import Estimates, Votes
from canthus.models.losses import check_loss

__all__ = ["DCNNCascade"]

BOX_SHARE = 0.7
"""Of the input's side: room for the largest patch (0.18) around a point on the edge of the face box."""


class DCNNCascade(Cascade):
    """Deep Convolutional Network Cascade.

    Args:
        scheme: landmark scheme; only the five points of the paper.
        levels: 1 to 3.
        networks: of level 1: F1, EN1, NM1 or some of them that place every point.
        structure: of F1: S0, or one of the ablations S3 to S7 (table 1).
        shifts: largest shift in x and y of the patches of levels 2 and 3 in training, in face boxes.
        size: side of the input, pixels. All patches are resampled from it; level 3 sees 68 pixels per face box.
        loss: ``published``, or ``l1``, ``smooth_l1`` or ``wing``, see `canthus.models.losses.coordinate_loss`.

    Raises:
        ValueError: an argument that does not describe a cascade.
    """

    name = "dcnn"
    schemes = ("5",)

    def __init__(
        self,
        *,
        scheme: str | int = "5",
        levels: int = 3,
        networks: Sequence[str] = ("F1", "EN1", "NM1"),
        structure: str = "S0",
        shifts: Sequence[float] = (0.05, 0.02),
        size: int = 100,
        loss: str = "published",
    ) -> None:
        super().__init__(scheme=scheme, stages=levels)
        self.loss = check_loss(loss)
        if len(shifts) < levels - 1:
            raise ValueError(f"model.shifts={list(shifts)} must name a shift for each of the {levels - 1} later levels")
        self._input = InputSpec(size, 1, centred_box(size, BOX_SHARE))
        self.network = DCNN(self._input.reference_box, levels=levels, networks=networks, structure=structure)
        self.shifts = tuple(shifts)

    @property
    def input(self) -> InputSpec:
        """A grey crop from which the patches of all levels are resampled."""
        return self._input

    def estimates(self, batch: Batch) -> Estimates:
        """Points of the active levels."""
        return self.averaged(self.network(batch["image"], depth=self.depth))

    def averaged(self, votes: list[Votes]) -> Estimates:
        """The mean of the votes of every level."""
        return Estimates(points=[level.average(NUM_LANDMARKS) for level in votes], votes=votes)
