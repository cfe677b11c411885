"""``canthus COMMAND ...``: one program for all commands, the same as ``canthus-COMMAND ...``.

Nothing but the chosen command is imported, so that ``canthus --help`` is there at once.
"""

import sys
from runpy import run_module

from canthus import __version__

COMMANDS = {
    "train": "train a model, or a sweep of models; evaluate the best epoch on held-out images",
    "eval": "evaluate a run, score another tool's predictions, or study several runs",
    "predict": "locate landmarks on images and videos",
    "data": "say what a data set holds and what is odd in it",
    "report": "write one page about any set of runs",
    "benchmark": "train, evaluate and compare all models under one protocol; resumable",
    "claims": "train, measure and judge what the papers claim; resumable",
    "export": "write a model as ONNX, TorchScript or safetensors",
}
"""Command -> what it does, in the order of the help."""
MODULES = {"eval": "evaluate"}
"""Modules of ``canthus.commands`` that are not called like their command."""


def overview() -> str:
    """What ``canthus --help`` prints."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}}  {line}" for name, line in COMMANDS.items()]
    return "\n".join(
        [
            f"canthus {__version__}: facial landmark localisation experiments",
            "",
            "canthus COMMAND [GROUP=CHOICE ...] [KEY=VALUE ...]",
            "",
            *lines,
            "",
            "canthus COMMAND --help shows the groups and keys of a command.",
        ]
    )


def main() -> None:
    """Entry point of ``canthus`` and ``python -m canthus``."""
    word = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if word in ("-h", "--help", "help"):
        print(overview())
    elif word == "--version":
        print(f"canthus {__version__}")
    elif word in COMMANDS:
        del sys.argv[1]
        # as `python -m` does, so that processes which repeat the command line (DDP) find the command in it
        run_module(f"canthus.commands.{MODULES.get(word, word)}", run_name="__main__", alter_sys=True)
    else:
        from canthus.utils.errors import suggest

        print(f"canthus: no command is called {word!r}: {suggest(word, COMMANDS)}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
