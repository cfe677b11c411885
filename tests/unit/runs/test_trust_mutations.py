"""Mutated configs of runs: the right model, or one line that says what is wrong; never code, a traceback or a hang."""

import copy
import random
import time
from pathlib import Path

import pytest
import torch
import yaml

import canthus
from canthus import zoo
from canthus.models.dan.cascade import DANCascade
from canthus.models.dan.module import DANModule
from canthus.runs import weights
from canthus.utils.errors import ConfigError

BYTES, STRUCTURES = 120, 100
TOKENS = [
    b"${oc.env:CANTHUS_MUTATION}", b"\\${oc.env:CANTHUS_MUTATION}", b"&a ", b"*a", b"!!python/name:os.system ",
    b"[", b"{",
    b"]", b"}", b"- ", b": ", b"\n", b"\t", b"? ", b"|\n", b">\n", b"#", b"---\n", b"%YAML 9.9\n", b"<<: ",
    b"'", b'"', b"\0",
    b"\xff", b"\xef\xbb\xbf", b"~", b".nan", b"-.inf", b"1e999", b"0x" + b"f" * 30, b"_target_: os.system\n", b"true",
    b"_args_: [1]", b"_partial_: true", b"999999999999",
]  # fmt: skip
VALUES = [
    None, True, False, 0, -1, 1, 3, 10**5, 10**9, 2**62, -(2**62), 0.0, -0.5, 1e-300, 1e300, float("nan"), float("inf"),
    "", "x", "68", "../../x", "/etc/passwd", "a\nb", "${oc.env:CANTHUS_MUTATION}", "$", "\\${x}", "???",
    "\ud7ff", "x" * 5000,
    [], [1], [[]], {}, {"a": 1}, {1: 2}, {"_target_": "os.system", "command": "true"}, {"_target_": "canthus.load"},
    {"_partial_": True}, {"_args_": ["true"]}, {"_recursive_": False}, {"_convert_": "object"}, {"defaults": ["x"]},
    "os.system", "canthus.runs.loading.os.system", "canthus.models.cfan.module.CFANModule",
    "canthus.callbacks.Evaluator",
]  # fmt: skip


class Ran(BaseException):
    """Code of the config has run; nothing turns this into a refusal."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run folder of a small DAN that was not trained."""
    folder = tmp_path_factory.mktemp("mutated") / "run"
    config = yaml.safe_load(weights.read_header(zoo.FOLDER / "dan.safetensors")["config"])
    config["model"] |= {"width": 0.05}
    config["data"] |= {"cache": "/nowhere", "root": "/nowhere"}
    config["paths"] |= {"cache": "/nowhere", "output_dir": str(folder)}
    settings = {key: value for key, value in config["model"].items() if key[0] != "_"}
    model = DANModule(**settings | {"optimizer": None, "scheduler": None})
    (folder / "checkpoints").mkdir(parents=True)
    torch.save({"state_dict": model.state_dict()}, folder / "checkpoints/best.ckpt")
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    assert isinstance(canthus.load(folder, detector=None).predictor.model, DANCascade)
    return folder


def loaded_or_refused(run: Path, what: object) -> bool:
    """Whether a run is loaded; by the rule of this file."""
    begin, model, refusal = time.monotonic(), None, ""
    try:
        model = canthus.load(run, detector=None, device="cpu").predictor.model
    except ConfigError as error:
        refusal = str(error)
    assert time.monotonic() - begin < 30, what
    if refusal:
        assert "\n" not in refusal, what
        assert "readers-secret" not in refusal, what
        assert len(refusal) < 1000, what
        return False
    assert type(model) is DANCascade, what
    assert all(value.isfinite().all() for value in model.state_dict().values()), what
    return True


@pytest.fixture(autouse=True)
def _nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    def ran(*arguments: object, **named: object) -> None:
        raise Ran

    monkeypatch.setenv("CANTHUS_MUTATION", "readers-secret")
    monkeypatch.setattr("os.system", ran)


def mutated(content: bytes, draw: random.Random) -> bytes:
    """Bytes flipped, cut out, put in, repeated or moved."""
    data = bytearray(content)
    for _ in range(draw.choice((1, 1, 1, 2, 5))):
        place = draw.randrange(len(data) + 1)
        kind = draw.randrange(6)
        if kind == 0 and place < len(data):
            data[place] ^= 1 << draw.randrange(8)
        elif kind == 1:
            del data[place : place + draw.choice((1, 3, 40, 4000))]
        elif kind == 2:
            data[place:place] = draw.choice(TOKENS)
        elif kind == 3:
            data[place:place] = data[place : place + draw.choice((5, 60, 600))] * draw.choice((1, 3, 50))
        elif kind == 4:
            data[place:place] = draw.choice(TOKENS) * draw.choice((10, 3000))
        else:
            lines = bytes(data).split(b"\n")
            draw.shuffle(lines)
            data = bytearray(b"\n".join(lines))
    return bytes(data)


def test_mutated_bytes(run: Path) -> None:
    path, draw, loaded = run / "config.yaml", random.Random(0), 0
    whole = path.read_bytes()
    try:
        for number in range(BYTES):
            path.write_bytes(mutated(whole, draw))
            loaded += loaded_or_refused(run, (number, path.read_bytes()))
    finally:
        path.write_bytes(whole)
    assert BYTES // 20 < loaded < BYTES - BYTES // 20  # else nothing was tried


def places(node: object, place: tuple = ()) -> list[tuple]:
    entries = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [place, *(below for key, value in entries for below in places(value, (*place, key)))]


def replaced(config: dict, draw: random.Random) -> object:
    """Another value or key at a random place, or none."""
    changed = copy.deepcopy(config)
    for _ in range(draw.choice((1, 1, 2, 4))):
        place = draw.choice(places(changed)[1:] or [()])
        if not place:
            return draw.choice(VALUES)
        parent = changed
        for key in place[:-1]:
            parent = parent[key]
        kind = draw.randrange(4)
        if kind == 0 and isinstance(parent, dict):
            del parent[place[-1]]
        elif kind == 1 and isinstance(parent, dict):
            parent[draw.choice(["_target_", "_args_", "_partial_", "defaults", "reader", 1, 2.5, True, "new"])] = (
                draw.choice(VALUES)
            )
        elif kind == 2:
            parent[place[-1]] = [parent[place[-1]]]
        else:
            parent[place[-1]] = copy.deepcopy(draw.choice(VALUES))
    return changed


def test_mutated_structure(run: Path) -> None:
    path, draw, loaded = run / "config.yaml", random.Random(1), 0
    whole = path.read_bytes()
    config = yaml.safe_load(whole)
    try:
        for number in range(STRUCTURES):
            path.write_text(yaml.safe_dump(replaced(config, draw)))
            loaded += loaded_or_refused(run, (number, path.read_text()))
    finally:
        path.write_bytes(whole)
    assert STRUCTURES // 20 < loaded < STRUCTURES - STRUCTURES // 20


def test_values_of_a_model(run: Path) -> None:
    """What it is built of, where wrong values cost most."""
    path = run / "config.yaml"
    whole = path.read_bytes()
    config = yaml.safe_load(whole)
    pairs = [(key, value) for key in [*config["model"], "new"] for value in VALUES]
    try:
        for key, value in random.Random(3).sample(pairs, 150):
            path.write_text(yaml.safe_dump(config | {"model": config["model"] | {key: copy.deepcopy(value)}}))
            loaded_or_refused(run, (key, value))
    finally:
        path.write_bytes(whole)


def test_mutated_weights(run: Path) -> None:
    path, draw, loaded = run / "checkpoints/best.ckpt", random.Random(2), 0
    whole = path.read_bytes()
    try:
        for number in range(40):
            data = bytearray(whole)
            kind = number % 4
            if kind == 0:
                data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
            elif kind == 1:
                del data[draw.randrange(len(data)) :]
            elif kind == 2:
                place = draw.randrange(2000)
                data[place : place + 8] = draw.randbytes(8)
            else:
                place = draw.randrange(len(data) - 5000, len(data))
                data[place : place + 4] = draw.randbytes(4)
            path.write_bytes(data)
            loaded += loaded_or_refused(run, number)
    finally:
        path.write_bytes(whole)
    assert 0 < loaded < 40
