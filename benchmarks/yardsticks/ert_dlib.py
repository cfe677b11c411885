"""The part of `ert.py` that runs in an environment of its own: needs numpy and dlib, and nothing of canthus.

ERT: Kazemi & Sullivan, "One millisecond face alignment with an ensemble of regression trees", CVPR 2014; dlib's code.
"""

import argparse
import json
import time
from pathlib import Path

import dlib
import numpy as np

OPTIONS = {
    "tree_depth": 4, "nu": 0.1, "cascade_depth": 15, "feature_pool_size": 400, "oversampling_amount": 10,
    "oversampling_translation_jitter": 0.03, "num_threads": 1, "random_seed": "0",
}  # fmt: skip


def rectangle(box):
    """A box (4,) ``xyxy`` in dlib's whole pixels, whose last row and column belong to it."""
    return dlib.rectangle(*(round(value) for value in box))


def labelled(face, image, mirror=None):
    """A face as dlib trains on it: its image and ``full_object_detection``; mirrored if ``mirror`` permutes points."""
    points, (left, top, right, bottom) = np.array(face["points"]), face["box"]
    if mirror is not None:
        last = image.shape[1] - 1
        image, points = np.ascontiguousarray(image[:, ::-1]), points[mirror]
        points[:, 0], left, right = last - points[:, 0], last - right, last - left
    places = dlib.points([dlib.point(*(round(value) for value in point)) for point in points])
    return image, dlib.full_object_detection(rectangle((left, top, right, bottom)), places)


def train(content, folder, model, options):
    """Train on the faces and their mirror images; writes the model and its seconds."""
    images, faces = [], []
    for face in content["train"]:
        image = np.load(folder / face["pixels"])
        for mirror in (None, content["mirror"]):
            pixels, detection = labelled(face, image, mirror)
            images.append(pixels)
            faces.append([detection])
    settings = dlib.shape_predictor_training_options()
    for name, value in options.items():
        setattr(settings, name, value)
    settings.be_verbose = True
    began, used = time.monotonic(), time.process_time()
    predictor = dlib.train_shape_predictor(images, faces, settings)
    spent = {"seconds": time.monotonic() - began, "cpu_seconds": time.process_time() - used}
    partial = model.with_suffix(".part")
    predictor.save(str(partial))
    partial.replace(model)
    model.with_suffix(".json").write_text(json.dumps({"options": options, "faces": len(content["train"]), **spent}))


def predict(content, folder, model):
    """Points of the test faces, as canthus-eval reads them: ``{image: [face, ...]}``, and milliseconds of a face."""
    predictor = dlib.shape_predictor(str(model))
    found, times = {}, []
    for face in content["test"]:
        image = np.load(folder / face["pixels"])
        began = time.perf_counter()
        shape = predictor(image, rectangle(face["box"]))
        times.append(1000 * (time.perf_counter() - began))
        points = [[part.x, part.y] for part in shape.parts()]
        found.setdefault(face["image"], []).append({"landmarks": points, "box": face["box"]})
    return found, float(np.median(times))


def main():
    """Train where there is no model yet, then predict."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where ert.py has put faces.json and pixels/")
    parser.add_argument("--model", type=Path, required=True, help="is trained first if it is not there")
    parser.add_argument("--predictions", type=Path, required=True)
    parser.add_argument("--remark", help="what has to be known of the model")
    parser.add_argument("--options", type=json.loads, default={}, help="other settings of dlib's trainer, as JSON")
    args = parser.parse_args()
    content = json.loads((args.folder / "faces.json").read_text())
    if not args.model.is_file():
        train(content, args.folder, args.model, OPTIONS | args.options)
    found, milliseconds = predict(content, args.folder, args.model)
    args.predictions.write_text(json.dumps(found))
    cost = {"milliseconds": milliseconds, "megabytes": args.model.stat().st_size / 1e6}
    trained = args.model.with_suffix(".json")
    if trained.is_file():
        cost["minutes"] = json.loads(trained.read_text())["cpu_seconds"] / 60
    if args.remark:
        cost["remark"] = args.remark
    args.predictions.with_suffix(".cost.json").write_text(json.dumps(cost))
    print(f"{args.predictions}: {sum(map(len, found.values()))} faces; {cost}")


if __name__ == "__main__":
    main()
