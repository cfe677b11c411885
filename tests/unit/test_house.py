"""The house: what stands at the root, how long functions are, and that every place that prose names is there."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "canthus"
LONGEST = 55
"""Lines of a function's body without its docstring: about fifty."""


def test_only_the_entry_stands_at_the_root() -> None:
    files = {path.name for path in SOURCE.iterdir() if path.is_file()}
    assert files == {"__init__.py", "__main__.py", "py.typed"}


def test_functions_are_short() -> None:
    long = []
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                first = node.body[1] if ast.get_docstring(node, clean=False) and node.body[1:] else node.body[0]
                lines = (node.body[-1].end_lineno or 0) - first.lineno + 1
                if lines > LONGEST:
                    long.append(f"{path.relative_to(ROOT)}: {node.name} has {lines} lines")
    assert not long


def test_modules_and_files_that_prose_names_are_there() -> None:
    """Dotted names of canthus, and paths of its source, scripts and tests, in docs, READMEs and conf/."""
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "benchmarks").glob("*.md")]
    pages += [*SOURCE.glob("models/*/README.md"), *(ROOT / "conf").rglob("*.yaml")]
    missing, seen = [], 0
    for page in pages:
        text = page.read_text(encoding="utf-8")
        names = set(re.findall(r"(?<![\w/@.-])canthus(?:\.[A-Za-z_]\w*)+", text)) - {"canthus.json"}
        paths = set(re.findall(r"(?<![\w./-])(?:src|scripts|benchmarks|docs|conf|tests)/[\w./-]*\w", text))
        seen += len(names) + len(paths)
        missing += [f"{page.name}: {name}" for name in sorted(names) if not _is_there(name)]
        missing += [
            f"{page.name}: {path}"
            for path in sorted(paths)
            if not ((ROOT / path).exists() or (SOURCE / path).exists() or any(word in path for word in OWN))
        ]
    assert seen > 150
    assert not missing


OWN = ("myfaces", "glance", "NAME")
"""What readers of docs/adding-a-*.md write themselves, and a placeholder."""


def _is_there(dotted: str) -> bool:
    """Whether a module is there, or a name in one."""
    parts = dotted.split(".")[1:]
    for count in range(len(parts), -1, -1):
        place = SOURCE.joinpath(*parts[:count])
        file = place.with_suffix(".py") if count else place / "__init__.py"
        file = file if file.is_file() else place / "__init__.py"
        if file.is_file():
            rest = parts[count:]
            return not rest or re.search(rf"\b{rest[0]}\b", file.read_text(encoding="utf-8")) is not None
        if place.is_dir() and count == len(parts):
            return True
    return False
