"""MediaPipe's 478 (or 468) points of a face as the 68 of the other tools, for ``predictions=``.

You run MediaPipe's Face Landmarker, whose model you have fetched, in an environment of your own, and write
``{image: [[[x, y], ...], ...]}``: for each image (its path without the ending, below 300-W's folder) the faces found,
each with all its points in pixels. This file turns that into OUT/mediapipe.predictions.json.

The meshes have no jaw line and no brows as annotators draw them, so that this is an approximation: errors along the
contour are partly the mapping's.
"""

import argparse
import json
from pathlib import Path

import numpy as np

REMARK = "trained by its authors on other data, perhaps on these faces; its points are mapped to the 68, which costs"

JAW = [
    (127,), (234,), (93,), (132, 58), (58, 172), (136,), (150,), (176,), (152,), (400,), (379,), (365,), (397, 288),
    (288, 361), (323,), (454,), (356,),
]  # fmt: skip
BROWS = [(70,), (63,), (105,), (66,), (107,), (336,), (296,), (334,), (293,), (300,)]
NOSE = [(168,), (197,), (5,), (4,), (75,), (97,), (2,), (326,), (305,)]
EYES = [(33,), (160,), (158,), (133,), (153,), (144,), (362,), (385,), (387,), (263,), (373,), (380,)]
MOUTH = [
    (61,), (39,), (37,), (0,), (267,), (269,), (291,), (405,), (314,), (17,), (84,), (181,),
    (78,), (82,), (13,), (312,), (308,), (317,), (14,), (87,),
]  # fmt: skip
POINTS = [*JAW, *BROWS, *NOSE, *EYES, *MOUTH]
"""For each of the 68 the points of the mesh whose mean it is; left and right take mirrored ones."""


def mapped(mesh: object) -> list[list[float]]:
    """68 points of a mesh.

    Args:
        mesh: (468 or 478, 2) pixels.

    Raises:
        ValueError: another number of points.
    """
    points = np.asarray(mesh, dtype=np.float64)
    if points.shape not in ((468, 2), (478, 2)):
        raise ValueError(f"a face has {points.shape} values; 468 or 478 points with x and y in pixels")
    return [points[list(group)].mean(0).tolist() for group in POINTS]


def main() -> None:
    """Turn a file of meshes into predictions."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("meshes", type=Path, help="JSON as above")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--milliseconds", type=float, help="of a face, if you measured them")
    parser.add_argument("--megabytes", type=float, help="of the model")
    args = parser.parse_args()
    content = json.loads(args.meshes.read_text())
    found = {name: [{"landmarks": mapped(mesh)} for mesh in faces] for name, faces in content.items()}
    args.output.mkdir(parents=True, exist_ok=True)
    target = args.output / "mediapipe.predictions.json"
    target.write_text(json.dumps(found))
    cost = {"milliseconds": args.milliseconds, "megabytes": args.megabytes, "remark": REMARK}
    target.with_suffix(".cost.json").write_text(json.dumps({k: v for k, v in cost.items() if v is not None}))
    print(f"{target}: {sum(map(len, found.values()))} faces")


if __name__ == "__main__":
    main()
