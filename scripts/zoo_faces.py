"""Write the faces that the models of the zoo were trained on, as hashes: ``zoo_faces.py DIR``, the folder of 300-W.

Files that canthus-export writes hold theirs themselves; those of the zoo are older, and all of one training set.
"""

import json
import sys

import yaml

from canthus import zoo
from canthus.data import make_reader
from canthus.data.remembered import FaceList, KnownFace
from canthus.data.split import hold_out
from canthus.runs import faces as run_faces
from canthus.runs import weights
from canthus.utils.files import replacing


def main() -> None:
    """Divide the faces as every one of the trainings did."""
    entries: dict[str, dict[str, object]] = {}
    for path in zoo.files():
        header = weights.read_header(path)
        if run_faces.HEADER in header:
            continue
        data = yaml.safe_load(header["config"])["data"]
        reader = make_reader(data["reader"], {**data, "root": sys.argv[1]})
        faces = FaceList(data["name"], {})
        for kind, found in (
            ("faces", reader.faces(data["train_parts"])),
            ("images", reader.whole_images(data["train_parts"])),
        ):
            held = hold_out(found, data["validation"], data["validation_seed"])
            for split, wanted in (("val", True), ("train", False)):
                known = [KnownFace.of(one, reader) for one, out in zip(found, held, strict=True) if out == wanted]
                faces = FaceList(faces.data, {**faces.entries, f"{split}_{kind}": known})
        entry = faces.remembered().header()
        key = json.dumps(entry, sort_keys=True)
        entries.setdefault(key, {"models": [], "faces": entry})["models"].append(path.stem)  # type: ignore[attr-defined]
    with replacing(zoo.FOLDER / zoo.FACES) as temporary:
        temporary.write_text(json.dumps(list(entries.values()), indent=1) + "\n")


if __name__ == "__main__":
    main()
