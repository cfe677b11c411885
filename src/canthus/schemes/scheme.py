"""The record of a landmark scheme and the checks that every scheme passes before anyone sees it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

Indices = tuple[int, ...]
Weights = Mapping[int, Fraction]


@dataclass(frozen=True)
class Blend:
    """A point made of weighted points of a larger scheme. Weights are exact and sum to 1 in each coordinate.

    Attributes:
        x: point -> its share of the x coordinate.
        y: point -> its share of the y coordinate.
    """

    x: Weights
    y: Weights

    @classmethod
    def mean(cls, points: Indices) -> "Blend":
        """Equal shares, of a point named twice two of them."""
        shares: dict[int, Fraction] = {}
        for point in points:
            shares[point] = shares.get(point, Fraction(0)) + Fraction(1, len(points))
        return cls(shares, shares)

    @property
    def points(self) -> Indices:
        """Every point that has a share."""
        return tuple(sorted({*self.x, *self.y}))

    def moved(self, permutation: Sequence[int]) -> "Blend":
        """The same shares of other points."""
        return Blend(*({permutation[point]: share for point, share in axis.items()} for axis in (self.x, self.y)))


@dataclass(frozen=True)
class Scheme:
    """A landmark markup. Indices are 0-based; left and right in names are the image's left and right.

    Attributes:
        name: for example ``"68"``.
        num_landmarks: K.
        names: K names of points.
        flip: K indices; point k of a mirrored face is point ``flip[k]`` of the face.
        regions: name -> points.
        normalisers: name -> two groups of points. The distance between the means of the groups divides errors.
        skeleton: polylines for drawing, each as its points and whether the last joins the first.
        reductions: name of another scheme -> what each of its points is made of.
    """

    name: str
    num_landmarks: int
    names: tuple[str, ...]
    flip: Indices
    # mappings are not hashable; the name and the tuples tell schemes apart
    regions: Mapping[str, Indices] = field(hash=False)
    normalisers: Mapping[str, tuple[Indices, Indices]] = field(hash=False)
    skeleton: tuple[tuple[Indices, bool], ...]
    reductions: Mapping[str, tuple[Blend, ...]] = field(hash=False)

    def __post_init__(self) -> None:
        """Check that the scheme is consistent in itself.

        Raises:
            ValueError: naming the entry that is wrong.
        """
        k = self.num_landmarks
        if len(self.names) != k or len(self.flip) != k:
            raise self._error(
                f"num_landmarks is {k}, but there are {len(self.names)} names and flip has {len(self.flip)}"
            )
        doubled = sorted({name for name in self.names if self.names.count(name) > 1})
        if doubled:
            raise self._error(f"names: {', '.join(doubled)} occur more than once")
        if sorted(self.flip) != list(range(k)):
            raise self._error(f"flip is not a permutation of 0..{k - 1}")
        for i, j in enumerate(self.flip):
            if self.flip[j] != i:
                raise self._error(f"flip is not an involution: {i} goes to {j}, but {j} goes to {self.flip[j]}")
            if "left" in self.names[i].split("_") and self.names[j] != mirrored_name(self.names[i]):
                raise self._error(
                    f"flip takes {self.names[i]} to {self.names[j]}, not to {mirrored_name(self.names[i])}"
                )
        for place, points in self._groups():
            if not points or not all(0 <= point < k for point in points):
                raise self._error(f"{place}: {list(points)} should be one or more indices from 0 to {k - 1}")
        self._check_shares()
        self._check_regions()

    def check_reduction(self, target: str, flip: Sequence[int]) -> None:
        """Check that reducing a mirrored face and mirroring a reduced face give the same points.

        Args:
            target: name of the scheme reduced to.
            flip: that scheme's permutation.

        Raises:
            ValueError: naming the target point for which they differ, or a wrong number of points.
        """
        groups = self.reductions[target]
        if len(groups) != len(flip):
            raise self._error(f"reductions: {target}: {len(groups)} points, but scheme {target!r} has {len(flip)}")
        for i, blend in enumerate(groups):
            if blend.moved(self.flip) != groups[flip[i]]:
                raise self._error(
                    f"reductions: {target}: point {i} and its mirror image {flip[i]} do not mirror each other"
                )

    def _check_shares(self) -> None:
        for name, blends in self.reductions.items():
            for i, blend in enumerate(blends):
                for axis, shares in (("x", blend.x), ("y", blend.y)):
                    if sum(shares.values()) != 1:
                        total = float(sum(shares.values()))
                        raise self._error(
                            f"reductions: {name}: weights of {axis} of point {i} sum to {total}, not to 1"
                        )

    def _check_regions(self) -> None:
        for name, points in self.regions.items():
            mirrored = mirrored_name(name)
            if mirrored not in self.regions:
                raise self._error(f"regions: {name} has no counterpart {mirrored}")
            if {self.flip[point] for point in points} != set(self.regions[mirrored]):
                raise self._error(f"regions: flip does not take {name} to {mirrored}")

    def _groups(self) -> list[tuple[str, Indices]]:
        """Every set of indices with the place where it stands."""
        groups = [(f"regions: {name}", points) for name, points in self.regions.items()]
        groups += [(f"normalisers: {name}", points) for name, pair in self.normalisers.items() for points in pair]
        groups += [("skeleton", points) for points, _ in self.skeleton]
        groups += [(f"reductions: {name}", blend.points) for name, rows in self.reductions.items() for blend in rows]
        return groups

    def _error(self, message: str) -> ValueError:
        return ValueError(f"schemes/{self.name}.yaml: {message}")


def mirrored_name(name: str) -> str:
    """Exchange the words ``left`` and ``right`` of a name: ``brow_left_0`` to ``brow_right_0``."""
    swap = {"left": "right", "right": "left"}
    return "_".join(swap.get(word, word) for word in name.split("_"))
