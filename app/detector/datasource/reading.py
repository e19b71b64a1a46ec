"""From the address of training data to a table."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import BinaryIO

import numpy as np
import pandas as pd

from detector.arrays import Floats, Ints
from detector.datasource import archive, blob, local, s3, table, web
from detector.datasource.access import Access
from detector.datasource.folder import is_part
from detector.datasource.stream import Budget, Counted, File, shorten
from detector.errors import DetectionError, listed
from detector.multivariate.alignment import MOST_ROWS
from detector.multivariate.requests import redacted

__all__ = ["check", "describe", "read"]

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_VALUE = "value"
_MULTI_TABLE = "MultiTable"
_WHAT_MAY_BE = (
    "It may be an s3:// address in the store, an http or https address on an allowed host, or a "
    "path below an allowed folder."
)


def check(source: str, access: Access) -> None:
    """Refuse an address that may not be read, without reading anything from it.

    Raises
    ------
    DetectionError
        ``InvalidBlobURL``; ``FileNotExist`` for a path where nothing is.
    """
    scheme = _scheme(source)
    if scheme == "s3":
        s3.parse(source, access)
    elif scheme in web.SCHEMES:
        web.parse(source, access)
    else:
        local.path_of(source, access)


def read(
    source: str,
    access: Access,
    *,
    schema: str = "OneTable",
    start: pd.Timestamp,
    end: pd.Timestamp,
    look_back: int,
) -> pd.DataFrame:
    """Read the rows of a data source from ``start`` to ``end``, and some before.

    Parameters
    ----------
    source : str
        The ``dataSource``: of a CSV file of all variables (``timestamp`` and a column for each),
        or of a zip, a folder, an S3 prefix, or a container or folder of blob storage, with one CSV
        file for each (``timestamp,value``) or with the parts of one table, as Spark names them.
    schema : str
        ``OneTable`` or ``MultiTable``. What the source is decides; but a single CSV file with the
        columns ``timestamp,value`` is a variable called ``value`` in the first, and called as the
        file in the second.
    start, end : Timestamp
        Both included; without a zone, UTC.
    look_back : int
        How many rows before ``start`` are returned where there are so many: rows with a value
        of every variable, and those between them.

    Returns
    -------
    DataFrame
        Index ``timestamp`` in UTC without zone, rising, none twice (the last row of a file
        counts); the variables as columns of float64, sorted by name, NaN where missing.

    Raises
    ------
    DetectionError
        With Azure's codes: ``FileNotExist``, ``InvalidBlobURL``, ``GetDataError`` and so on.
    """
    window = table.Window(_nanoseconds(start), _nanoseconds(end), look_back)
    budget = Budget(access)
    found = _find(source, access)
    if isinstance(found, list):
        return _read_folder(found, redacted(source), window, budget)
    with found.open() as opened:
        if _is_zip(opened):
            return _read_folder(archive.members(opened, found.name), found.name, window, budget)
        return _read_file(found, opened, window, budget, as_variable=schema == _MULTI_TABLE)


def describe(opened: BinaryIO, name: str, access: Access) -> str:
    """Return the suffix of what a file is, ``.csv`` or ``.zip``; refuse one that is neither."""
    if _is_zip(opened):
        if not archive.members(opened, name):
            raise _no_variables(name)
        return ".zip"
    table.header(Counted(opened, name, Budget(access)))
    return ".csv"


def _scheme(source: str) -> str:
    if not source.strip():
        raise DetectionError("InvalidBlobURL", f"The 'dataSource' is empty. {_WHAT_MAY_BE}")
    found = _SCHEME.match(source)
    scheme = found[1].lower() if found else "file"
    if scheme not in ("s3", "file", *web.SCHEMES):
        raise DetectionError(
            "InvalidBlobURL",
            f"The 'dataSource' has the scheme '{shorten(scheme)}', which is not read. "
            + _WHAT_MAY_BE,
        )
    return scheme


def _find(source: str, access: Access) -> File | list[File]:
    scheme = _scheme(source)
    if scheme == "s3":
        return s3.find(source, access)
    if scheme in web.SCHEMES:
        return blob.find(source, access)
    return local.find(source, access)


def _nanoseconds(moment: pd.Timestamp) -> int:
    moment = moment.tz_convert(None) if moment.tzinfo else moment
    return moment.as_unit("ns").value


def _is_zip(opened: BinaryIO) -> bool:
    start = opened.read(len(archive.SIGNATURE))
    opened.seek(0)
    # An empty zip has the end of a directory only.
    return start in (archive.SIGNATURE, b"PK\x05\x06")


def _read_file(
    file: File, opened: BinaryIO, window: table.Window, budget: Budget, *, as_variable: bool
) -> pd.DataFrame:
    """Read a CSV file of all variables, or of a single one that is called as the file."""
    stream = Counted(opened, file.name, budget)
    names = table.header(stream)
    times, values = table.collect(stream, names, window, budget, alone=True)
    variables = sorted(name for name in names if name != table.TIMESTAMP)
    if as_variable and variables == [_VALUE]:
        variables = [file.stem]
    return table.frame(times, values, variables)


def _read_folder(
    files: Sequence[File], name: str, window: table.Window, budget: Budget
) -> pd.DataFrame:
    """Read one CSV file for each variable; where there is a single file, one of all variables."""
    if not files:
        raise _no_variables(name)
    if is_part(files[0].name):
        return _read_parts(files, name, window, budget)
    if len(files) == 1:
        with files[0].open() as opened:
            return _read_file(files[0], opened, window, budget, as_variable=True)
    _check_variables(files, name)
    columns = {}
    for file in files:
        with file.open() as opened:
            stream = Counted(opened, file.name, budget)
            names = table.header(stream)
            if sorted(names) != [table.TIMESTAMP, _VALUE]:
                raise DetectionError(
                    "FileColumnsNotExist",
                    f"Columns timestamp or value in file '{stream.name}' do not exist. In a zip or "
                    "folder, each CSV file is one variable, and has these two columns and no other "
                    f"one; this has {', '.join(repr(shorten(each)) for each in names[:10])}.",
                )
            columns[file.stem] = table.collect(stream, names, window, budget, alone=False)
    return _merge(columns, name, window, budget)


def _read_parts(
    files: Sequence[File], name: str, window: table.Window, budget: Budget
) -> pd.DataFrame:
    """Read one table of all variables, whose rows are spread over files in any order."""
    variables: list[str] = []
    rows: table.Rows | None = None
    for file in sorted(files, key=lambda file: file.name):
        with file.open() as opened:
            stream = Counted(opened, file.name, budget)
            # A task of Spark's that had no rows may leave a file of no bytes.
            if not stream.peek():
                continue
            names = table.header(stream)
            found = sorted(each for each in names if each != table.TIMESTAMP)
            if rows is None:
                variables = found
                rows = table.Rows(len(variables), window, budget, shorten(name), alone=True)
            elif found != variables:
                raise DetectionError(
                    "FileColumnsNotExist",
                    f"'{stream.name}' has other columns ({listed(found)}) than the parts before it "
                    f"({listed(variables)}). Parts of one table have the same.",
                )
            rows.read(stream, names)
    if rows is None:
        raise _no_variables(name)
    return table.frame(*rows.finish(), variables)


def _no_variables(name: str) -> DetectionError:
    return DetectionError(
        "NoVariablesFound",
        f"No variables found: '{shorten(name)}' has no CSV file at its top level, or only empty "
        "parts. Each variable is one, with the columns timestamp and value; those in folders below "
        "are left out.",
    )


def _check_variables(files: Sequence[File], name: str) -> None:
    stems = [file.stem for file in files]
    twice = sorted({stem for stem in stems if stems.count(stem) > 1})
    if twice:
        raise DetectionError(
            "DuplicatedVariables",
            f"'{shorten(name)}' has more than one file for the variable '{shorten(twice[0])}'.",
        )
    if table.TIMESTAMP in stems:
        raise DetectionError(
            "DuplicatedVariables",
            f"'{shorten(name)}' has a variable called '{table.TIMESTAMP}', as the column of every "
            "variable is. Rename the file.",
        )


def _merge(
    columns: dict[str, tuple[Ints, Floats]],
    name: str,
    window: table.Window,
    budget: Budget,
) -> pd.DataFrame:
    """Put variables of timestamps of their own into one table."""
    first = _first_wanted([times for times, _ in columns.values()], window)
    times = np.empty(0, np.int64)
    for own, _ in columns.values():
        times = np.union1d(times, own[own >= first])
        if np.count_nonzero(times >= window.start) > MOST_ROWS:
            raise table.too_many_rows(shorten(name))
    budget.hold_cells(len(times) * len(columns), shorten(name))
    variables = sorted(columns)
    values = np.full((len(variables), len(times)), np.nan)
    for row, variable in zip(values, variables, strict=True):
        own, own_values = columns.pop(variable)
        wanted = own >= first
        row[np.searchsorted(times, own[wanted])] = own_values[0, wanted]
    return table.frame(times, values, variables)


def _first_wanted(all_times: Sequence[Ints], window: table.Window) -> int:
    """Return the earliest time that the look-back needs, also where only complete rows count."""
    common = all_times[0][all_times[0] < window.start]
    for times in all_times[1:]:
        common = np.intersect1d(common, times, assume_unique=True)
    if not window.look_back:
        return window.start
    if len(common) >= window.look_back:
        return int(common[-window.look_back])
    return np.iinfo(np.int64).min
