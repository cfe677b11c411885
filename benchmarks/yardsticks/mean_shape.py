"""The mean shape of the training faces, laid into the box of each test face: what a method has to improve on.

It is the Procrustes mean of the labels, centred in the box and as large as its diagonal, as MDM starts.
"""

import argparse
import json

import torch
from faces import PREDICTIONS, add_arguments

from canthus.data.readers import W300
from canthus.geometry.boxes import shape_in_box
from canthus.geometry.shapes import procrustes_mean
from canthus.schemes import load_scheme


def main() -> None:
    """Leaves OUT/mean_shape.predictions.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_arguments(parser)
    args = parser.parse_args()
    reader = W300(args.data, allow_partial=True)
    shapes = torch.tensor([face.landmarks.tolist() for face in reader.faces(args.train_parts)])
    mean = procrustes_mean(shapes, torch.ones(shapes.shape[:2]), load_scheme("68").flip)
    found: dict[str, list[object]] = {}
    for face in reader.faces(args.test_parts):
        box = torch.tensor(face.box.tolist())
        points = shape_in_box(mean, box[None], by="diagonal")[0]
        name = face.image.relative_to(args.data).with_suffix("").as_posix()
        found.setdefault(name, []).append({"landmarks": points.tolist(), "box": face.box.tolist()})
    args.output.mkdir(parents=True, exist_ok=True)
    target = args.output / PREDICTIONS.format("mean_shape")
    target.write_text(json.dumps(found))
    target.with_suffix(".cost.json").write_text(json.dumps({"minutes": 0.0, "milliseconds": 0.0, "megabytes": 0.0}))
    print(target)


if __name__ == "__main__":
    main()
