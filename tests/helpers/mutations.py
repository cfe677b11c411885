"""Command lines as they go wrong: valid ones with a few words changed, the same for the same seed."""

import random
from collections.abc import Iterator
from pathlib import Path

VALUES = (
    "", "null", "none", "true", "abc", "-1", "0", "1e300", "-1e300", "nan", "inf", "99999999999999999999", "0.5", "1.5",
    "[]", "[1,2]", "[a,b]", "{}", "{a:1}", "[[1]]", "'quoted'", "it's", "ünï/çödé", "a=b", "~/nowhere",
    "/nowhere/at/all", "${oc.env:HOME}", "${nothing}", "${", "x,y", "1,2", "glob(*)", "sort(1,2)", "\x00", "\n",
    "\ufeff", "a" * 300, "..",
    "/dev/null", "/dev/full", "/proc/1/mem", "canthus.utils.errors.ConfigError", "os.getcwd", "2026_12_01",
    "#", "%s", "{0}",
)  # fmt: skip
"""What people, scripts and shells put behind ``key=``."""


def files(folder: Path) -> tuple[str, ...]:
    """Files and folders of the wrong kind."""
    folder.mkdir(parents=True, exist_ok=True)
    deep = 100_000
    contents = {
        "empty.json": b"",
        "deep.json": b"[" * deep + b"]" * deep,
        "list.json": b"[1, 2]",
        "latin.csv": "image,x1,y1,x2,y2\nf\u00fc.jpg,1,2,3,4\n".encode("latin-1"),
        "nul.csv": b"\x00" * 100,
        "text.jpg": b"no image",
        "deep.yaml": b"a: " + b"[" * 3000 + b"]" * 3000,
        "bytes.yaml": bytes(range(256)),
        "x.safetensors": b"\xff" * 64,
        "x.ckpt": b"PK\x03\x04",
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    (folder / "folder.json").mkdir(exist_ok=True)
    (folder / "empty").mkdir(exist_ok=True)
    return (*(str(folder / name) for name in contents), str(folder / "folder.json"), str(folder / "empty"), str(folder))


def mutated(words: list[str], keys: list[str], values: tuple[str, ...], seed: int, count: int) -> Iterator[list[str]]:
    """So many command lines, in each of which one to three things are wrong or odd.

    Args:
        words: a command line that works.
        keys: what may be set besides.
        values: to set it to, see `VALUES` and `files`.
        seed: of the choices.
        count: of command lines.
    """
    choose = random.Random(seed)
    for _ in range(count):
        line = list(words)
        for _ in range(choose.choice((1, 1, 1, 2, 3))):
            kind = choose.randrange(10)
            if kind == 0 and line:
                line.pop(choose.randrange(len(line)))
            elif kind == 1 and line:  # a letter lost
                place = choose.randrange(len(line))
                letter = choose.randrange(len(line[place]))
                line[place] = line[place][:letter] + line[place][letter + 1 :]
            else:
                key = choose.choice([*keys, *(word.partition("=")[0] for word in words)])
                line = [word for word in line if word.partition("=")[0] != key]
                line.append(f"{key}={choose.choice(values)}")
        yield [word for word in line if word]
