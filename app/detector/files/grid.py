"""From rows of cells to named columns: titles, the header, and rows of another length."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from detector.files.content import Content
from detector.files.dates import is_dated, looks_date, looks_time
from detector.files.problems import FileError
from detector.files.table import Table, is_missing
from detector.files.values import looks_number

__all__ = ["MOST_COLUMNS", "Rows", "kind_of", "kinds_of", "table_of"]

Rows = Sequence[Sequence[Any]]
MOST_COLUMNS = 2000
_SAMPLE = 100
# Lines before the header, at most.
_MOST_TITLES = 50
# Of the cells of a column, at least this part is of its kind.
_MOST_OF = 0.5


def kind_of(cell: Any) -> str:
    """Return what one cell is: missing, numbers, dates, times or text."""
    if is_missing(cell):
        return "missing"
    if looks_number(cell):
        return "numbers"
    if looks_date(cell):
        return "dates"
    return "times" if looks_time(cell) else "text"


def kinds_of(cells: Sequence[Any]) -> str:
    """Return what most of the cells of a sample are, ``missing`` where there is nothing."""
    found = Counter(map(kind_of, cells))
    del found["missing"]
    if not found:
        return "missing"
    kind, count = found.most_common(1)[0]
    return kind if count > _MOST_OF * found.total() else "text"


def table_of(
    content: Content, rows: Rows, place: Callable[[int], str], *, delimiter: str = ""
) -> Table:
    """Find the header among rows, and return the columns below it.

    Parameters
    ----------
    content : Content
    rows : sequence of sequences
        Blank ones too; cells are strings, numbers, dates or None.
    place : callable
        Takes the number of a row; returns where it stands, such as ``line 57``.
    delimiter : str
        Between the columns, where the file is a text.

    Raises
    ------
    FileError
        If there is no row below the header, or one has more cells than it.
    """
    filled = [at for at, row in enumerate(rows) if _is_filled(row)]
    if not filled:
        raise content.problem("is empty: it must hold dates and numbers.")
    width = _width(rows, filled)
    if width > MOST_COLUMNS:
        raise content.problem(f"has {width} columns, and at most {MOST_COLUMNS} are read.")
    kinds = _kinds(rows, filled, width)
    if len(filled) > 1 and not {"dates", "numbers"} & set(kinds):
        raise content.problem(
            "has no columns of dates and numbers: they must stand apart by commas, semicolons, "
            "tabs or bars, or in a sheet."
        )
    start, header, notes = _header(rows, filled, kinds, place)
    body = filled[start:]
    if not body:
        raise content.problem("has a header and no rows below it.")
    if header is None:
        names: list[Any] = [""] * width
    else:
        names = [*rows[header]]
        # R gives the column of its row names no name; with commas it may be a decimal one.
        if 1 < len(names) == width - 1 and (delimiter != "," or kinds[0] != "dates"):
            names = ["", *names]
        width = len(names)
        while width > 1 and len(names) >= width and not _is_there(names[width - 1]):
            if any(len(rows[at]) >= width and _is_there(rows[at][width - 1]) for at in body):
                break
            width -= 1
    columns = _columns(content, rows, body, width, place, delimiter)
    named = _named([*names, *[""] * (width - len(names))][:width], header is None)
    kept = [
        at
        for at, name in enumerate(named)
        if not name.startswith("column ") or any(map(_is_there, columns[at]))
    ]
    return Table(
        content,
        [named[at] for at in kept],
        [columns[at] for at in kept],
        lambda row: place(body[row]),
        delimiter,
        notes=notes,
    )


def _is_filled(row: Sequence[Any]) -> bool:
    first = row[0] if row else None
    # Nearly all rows begin with something.
    return (isinstance(first, str) and first[:1] > " ") or any(map(_is_there, row))


def _is_there(cell: Any) -> bool:
    return cell is not None and cell != "" and not (isinstance(cell, str) and cell.isspace())


def _width(rows: Rows, filled: list[int]) -> int:
    """Return how many cells most rows have, without those that are empty at the end."""
    later = [rows[at] for at in filled[len(filled) // 2 :][:_SAMPLE]]
    full = max(
        max((at for at, cell in enumerate(row, 1) if _is_there(cell)), default=1) for row in later
    )
    lengths = Counter(map(len, later))
    # A column whose last values are missing is one still.
    return max(full, lengths.most_common(1)[0][0])


def _kinds(rows: Rows, filled: list[int], width: int) -> list[str]:
    later = filled[len(filled) // 2 :][:_SAMPLE] if len(filled) > 1 else filled
    return [
        kinds_of([rows[at][column] for at in later if column < len(rows[at])])
        for column in range(width)
    ]


def _header(
    rows: Rows, filled: list[int], kinds: list[str], place: Callable[[int], str]
) -> tuple[int, int | None, list[str]]:
    """Return how many rows stand before the first point, and which of them is the header."""
    titles = enumerate(filled[:_MOST_TITLES])
    # Where nothing fits, the first row is the header: what is below it will be said to be wrong.
    start = next((number for number, at in titles if _fits(rows[at], kinds)), 1)
    if start == 0 and len(filled) > 1 and _names_dates(rows[filled[0]]):
        # The names of the other columns are numbers, such as years.
        return 1, filled[0], []
    if start == 0:
        return 0, None, ["there is no header"]
    before = filled[:start]
    header = before[-1]
    needed = max(1, len(kinds) - kinds.count("missing") - 1)
    wide = [at for at in before if sum(map(_is_name, rows[at])) >= needed]
    if wide:
        dated = [at for at in wide if any(is_dated(str(cell)) for cell in rows[at])]
        header = (dated or wide)[-1]
    left_out = [place(at) for at in before if at != header]
    notes = [f"{', '.join(left_out[:5])} left out as a title or a unit"] if left_out else []
    return start, header, notes


def _is_name(cell: Any) -> bool:
    # No line of dashes, as below the header of Markdown.
    return _is_there(cell) and any(map(str.isalnum, str(cell)))


def _names_dates(row: Sequence[Any]) -> bool:
    """Say whether a row has a name of dates and no date."""
    kinds = list(map(kind_of, row))
    named = any(kind == "text" and is_dated(cell) for cell, kind in zip(row, kinds, strict=True))
    return named and "dates" not in kinds


def _fits(row: Sequence[Any], kinds: list[str]) -> bool:
    """Say whether a row is of points: whether any cell is of the kind of its column."""
    typed = [(cell, kind) for cell, kind in zip(row, kinds, strict=False) if kind != "missing"]
    if all(kind == "text" for _, kind in typed):
        return False
    fit = [kind_of(cell) == kind for cell, kind in typed if kind != "text"]
    return any(fit)


def _columns(
    content: Content,
    rows: Rows,
    body: list[int],
    width: int,
    place: Callable[[int], str],
    delimiter: str,
) -> list[Sequence[Any]]:
    content.check_cells(len(body), width)
    found = [rows[at] for at in body] if len(body) < len(rows) else rows
    if set(map(len, found)) != {width}:
        even: list[list[Any]] = [*map(list, found)]
        for at, row in enumerate(even):
            if len(row) > width and any(map(_is_there, row[width:])):
                hint = "" if delimiter != "," else "; a number with a comma must be in quotes"
                raise FileError(
                    f"{content.name}, {place(body[at])}: there are {len(row)} cells, and {width} "
                    f"columns{hint}."
                )
            row[width:] = []
            row += [""] * (width - len(row))
        found = even
    return [[row[column] for row in found] for column in range(width)]


def _named(cells: Sequence[Any], without_header: bool) -> list[str]:
    """Return names of columns, none empty and none twice."""
    names: list[str] = []
    for number, cell in enumerate(cells, 1):
        name = " ".join(str(cell).split()) if _is_there(cell) else ""
        if not name or without_header:
            name = f"column {number}"
        first, count = name, 2
        while name in names:
            name, count = f"{first} ({count})", count + 1
        names.append(name)
    return names
