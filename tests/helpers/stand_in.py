"""A program in Python's place, to see what becomes of a command's child processes without training anything."""

from pathlib import Path

PROGRAM = r"""#!/bin/sh
# Notes its words in $CALLS. Behaves as $BEHAVE/<train|evaluate|report> says, if there is such a script, else succeeds.
module=${2#canthus.commands.}; shift 2
for word in "$@"; do case $word in
  hydra.run.dir=*|resume=*|output=*) folder=${word#*=};;
esac; done
case " $* " in *\ resume=*) how=resume;; *) how=$module;; esac
echo "$module $*" >> "$CALLS"
ended() { mkdir -p "$folder"; printf '{"status": "%s"}' "$1" > "$folder/provenance.json"; }
if [ -f "$BEHAVE/$how" ]; then . "$BEHAVE/$how"; fi
case $module in
train) ended finished; touch "$folder/config.yaml";;
evaluate) ended finished;;
report) touch "$folder";;
esac
"""


class StandIn:
    """The program, what it was called with, and how it behaves.

    Args:
        folder: that takes its files.
    """

    def __init__(self, folder: Path) -> None:
        self.program, self.behaviours, self.log = folder / "python", folder / "behave", folder / "calls"
        self.behaviours.mkdir(parents=True)
        self.program.write_text(PROGRAM)
        self.program.chmod(0o755)
        self.log.touch()

    @property
    def environment(self) -> dict[str, str]:
        return {"CALLS": str(self.log), "BEHAVE": str(self.behaviours)}

    def behaves(self, how: str, script: str) -> None:
        """Let ``train``, ``resume`` (of a training), ``evaluate`` or ``report`` run a script first; it may exit."""
        (self.behaviours / how).write_text(script)

    def succeeds(self, how: str) -> None:
        (self.behaviours / how).unlink()

    def calls(self) -> list[str]:
        """Commands since the last call of this: module and words."""
        lines = self.log.read_text().splitlines()
        self.log.write_text("")
        return lines
