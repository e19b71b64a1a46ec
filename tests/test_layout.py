"""Files and functions stay of a size that reads, and tests lie where one looks for them."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]
LONGEST_FILE, LONGEST_FUNCTION = 450, 60
FILES = [
    file for name in ("app", "backup", "mlflow", "spark") for file in (ROOT / name).rglob("*.py")
]


def test_no_file_is_too_long() -> None:
    page = [file for file in (ROOT / "app/detector/page").rglob("*") if file.is_file()]
    lengths = {
        str(file.relative_to(ROOT)): len(file.read_text().splitlines()) for file in [*FILES, *page]
    }
    assert len(lengths) > 50
    assert page
    assert {name: n for name, n in lengths.items() if n > LONGEST_FILE} == {}


def test_every_function_fits_a_screen() -> None:
    long = {}
    for file in FILES:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                documented = ast.get_docstring(node) is not None
                described = node.body[0].end_lineno or 0 if documented else node.lineno
                length = (node.end_lineno or 0) - described + 1
                if length > LONGEST_FUNCTION:
                    long[f"{file.relative_to(ROOT)}:{node.name}"] = length
    assert long == {}


def test_the_tests_have_the_folders_of_the_package() -> None:
    package, tests = ROOT / "app" / "detector", ROOT / "tests"
    # Data, measurements, attacks, clients, backups and the stack are of no folder of the package.
    others = {"attack", "backup", "bench", "clients", "recorded", "stack"}
    folders = {str(file.parent.relative_to(tests)) for file in tests.rglob("test_*.py")} - {"."}
    tested = {folder for folder in folders if folder.split("/")[0] not in others}
    assert {folder for folder in tested if not (package / folder).is_dir()} == set()
    rooms = {str(file.parent.relative_to(package)) for file in package.rglob("*.py")} - {"."}
    assert rooms - tested == set()
