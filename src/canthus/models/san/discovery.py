"""From features of faces to two domains of style: k-means, the choice of clusters, and the table that keeps them."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from canthus.utils.errors import DataError
from canthus.utils.escaping import csv_value, writing_csv

__all__ = ["choose_domains", "cluster", "read_domains", "write_clusters"]

STARTS = 10
"""Of k-means; the released run has one and no seed, and finds other clusters each time."""


def cluster(features: NDArray[np.float32], clusters: int, seed: int) -> NDArray[np.int64]:
    """Divide faces by k-means.

    Args:
        features: (N, F) pooled features.
        clusters: how many; the paper: 3.
        seed: of the starts.

    Returns:
        (N,) cluster of each face, numbered by size: 0 is the smallest.

    Raises:
        DataError: fewer faces than clusters.
    """
    from sklearn.cluster import KMeans

    if len(features) < clusters:
        raise DataError(f"{len(features)} faces cannot make {clusters} clusters of style; lower callbacks.clusters")
    labels = KMeans(clusters, n_init=STARTS, random_state=seed).fit_predict(features)
    rank = np.argsort(np.argsort(np.bincount(labels, minlength=clusters), kind="stable"))
    return np.asarray(rank[labels], dtype=np.int64)


def choose_domains(labels: NDArray[np.int64], minimum: float) -> tuple[int, int]:
    """The smallest cluster and the largest, as in the released scripts, but one too small to learn from is passed by.

    Args:
        labels: (N,) from `cluster`.
        minimum: share of the faces that a domain needs (the author's advice: the two largest, if one is tiny).

    Returns:
        Clusters A and B.

    Raises:
        DataError: fewer than two clusters are large enough.
    """
    sizes = np.bincount(labels)
    enough = np.flatnonzero(sizes >= max(minimum * len(labels), 1))
    if len(enough) < 2:
        raise DataError(
            f"the clusters of style have {', '.join(map(str, sizes))} faces, and two domains need {minimum:.0%} of "
            f"{len(labels)} each: lower callbacks.clusters.minimum, or look for another number of clusters"
        )
    return int(enough[0]), int(enough[-1])


def write_clusters(
    folder: Path, keys: Sequence[str], labels: NDArray[np.int64], domains: tuple[int, int], styles: Sequence[str]
) -> None:
    """Write ``clusters.csv``, a row a face, and ``clusters.json``, their sizes and the domains.

    Args:
        folder: of the run.
        keys: names of the faces, see `canthus.data.corruptions.face_keys`.
        labels: (N,) their clusters.
        domains: A and B.
        styles: that the features were taught to tell apart.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with writing_csv(folder / "clusters.csv") as write:
        write(["face", "cluster"])
        for row in zip(keys, labels.tolist(), strict=True):
            write(row)
    record = {
        "sizes": np.bincount(labels).tolist(),
        "domains": dict(zip("AB", domains, strict=True)),
        "styles": [*styles],
    }
    (folder / "clusters.json").write_text(json.dumps(record, indent=1))


def read_domains(run: Path, keys: Sequence[str], option: str) -> tuple[list[int], list[int]]:
    """The faces of both domains.

    Args:
        run: folder of `write_clusters`.
        keys: names of the faces that there are now.
        option: key of the config that names the run, for the message.

    Returns:
        Places in ``keys`` of the faces of A, and of B.

    Raises:
        DataError: no clusters there, or of other faces.
    """
    try:
        with (run / "clusters.csv").open(newline="", encoding="utf-8") as file:
            known = {csv_value(row["face"]): int(row["cluster"]) for row in csv.DictReader(file)}
        domains = json.loads((run / "clusters.json").read_text())["domains"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(f"{option}={run}: no clusters of style there ({error}); run model=san_classifier") from error
    absent = [key for key in keys if key not in known]
    if absent:
        raise DataError(
            f"{option}={run}: {len(absent)} of {len(keys)} faces are in no cluster there, {absent[0]} for one: the "
            "styles were found on other images; use the same data.train_parts and data.validation in both runs"
        )
    first, second = ([place for place, key in enumerate(keys) if known[key] == domains[name]] for name in "AB")
    return first, second
