"""Requests about many variables, checked: what is asked, with every default filled in."""

import contextlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from detector.api.multivariate.fields import bad, given, moments, number, whole
from detector.api.versions import PREVIEWS
from detector.arrays import LARGEST_VALUE, Floats
from detector.errors import DetectionError, shown
from detector.multivariate.alignment import AlignPolicy, Times
from detector.multivariate.model import DEFAULT_WINDOW, MultivariateModel, TrainingOptions
from detector.multivariate.requests import (
    DATA_SCHEMAS,
    DEFAULT_CONTRIBUTORS,
    MOST_CONTRIBUTORS,
    MULTI_TABLE,
    ONE_TABLE,
    DetectionRequest,
    TrainingRequest,
)
from detector.multivariate.wire import NAMES, time_to_wire
from detector.series.names import Names

__all__ = ["DATA_SCHEMAS", "Latest", "detection", "latest", "page", "training"]

LONGEST_NAME = 24
MOST_TIMESTAMPS, MOST_VARIABLES, MOST_POINTS = 2880, 300, 10
# Of a variable, beside its timestamps and values; names may hold commas.
_VALUES_BESIDE = 100
MOST_LISTED = 1000

# The previews had no such field, and told of every variable.
_EVERY_CONTRIBUTOR = 301
_LISTED = {"v1.1": 10}
_LISTED_BY_PREVIEWS = 5
# MLflow keeps what was asked in a tag, which has at most 8,000 characters.
_LONGEST_SOURCE = 4096
_LARGEST_SKIP = 2**31 - 1
# Of all variables together: as many as a day has seconds.
MOST_DIFFERENT = 86_400
# Of the request, of its alignPolicy and of each of its variables.
_FIELDS = Names(
    (
        *("dataSource", "source", "dataSchema", "startTime", "endTime", "displayName"),
        *("slidingWindow", "alignPolicy", "topContributorCount", "variables", "detectingPoints"),
    )
)
_POLICY = Names(("alignMode", "fillNAMethod", "paddingValue"))
_VARIABLE = Names(("variable", "name", "timestamps", "values"))


def training(body: Any, version: str) -> TrainingRequest:
    """Return what a request to train asks for.

    Raises
    ------
    DetectionError
        ``InvalidJsonFormat``, ``RequiredSource``, ``RequiredStartTime``, ``RequiredEndTime``,
        ``InvalidTimestampFormat``, ``InvalidSlidingWindow``, ``InvalidAlignMode``,
        ``InvalidFillNAMethod``, ``RequiredPaddingValue``, or ``BadArgument`` for another field.
    """
    asked = given(body, _FIELDS)
    source = _source(asked, version)
    start, end = _span(asked)
    # A preview's zip has one CSV for each variable.
    schema = MULTI_TABLE if version in PREVIEWS else asked.get("dataSchema", ONE_TABLE)
    if schema not in DATA_SCHEMAS:
        choices = " or ".join(map(repr, DATA_SCHEMAS))
        raise bad("dataSchema", f"be one of {choices}", schema)
    name = asked.get("displayName", "")
    if not (isinstance(name, str) and len(name) <= LONGEST_NAME and name.isprintable()):
        raise bad("displayName", f"have at most {LONGEST_NAME} characters, all printable", name)
    window = asked.get("slidingWindow", DEFAULT_WINDOW)
    rows = whole(window)
    options = TrainingOptions(sliding_window=window if rows is None else rows, names=NAMES)
    return TrainingRequest(
        source=source,
        schema=schema,
        start=start,
        end=end,
        display_name=name,
        sliding_window=options.sliding_window,
        align=_policy(asked),
    )


def detection(body: Any, version: str) -> DetectionRequest:
    """Return what a request for a batch detection asks for.

    Raises
    ------
    DetectionError
        As for `training`.
    """
    asked = given(body, _FIELDS)
    source, top = _source(asked, version), _contributors(asked, version)
    start, end = _span(asked)
    return DetectionRequest(source=source, start=start, end=end, top_contributors=top)


@dataclass(frozen=True)
class Latest:
    """A request to score the last timestamps of the values that come with it.

    Attributes
    ----------
    frame : DataFrame
        A column for each variable, NaN where it has no value; the index in UTC, rising. It has the
        timestamps to score and those that the model looks back on, and none before.
    points : int
        How many timestamps to score.
    contributors : int
        How many variables are told of for each anomaly, at most.
    """

    frame: pd.DataFrame
    points: int
    contributors: int


def latest(body: Any, version: str, model: MultivariateModel) -> Latest:
    """Return what a request for the last timestamps asks of a model.

    Its memory is that of the timestamps that the model looks at, however many there are.

    Raises
    ------
    DetectionError
        ``InvalidJsonFormat``, ``DataExceedsLimit``, ``DuplicatedVariables``, ``ColumnNotFound``,
        ``NumColumnsMismatch``, ``MergeDataFailed``, ``NoData``, ``InvalidTimestampFormat``,
        ``VariableParseError``, or ``BadArgument`` for another field.
    """
    asked = given(body, _FIELDS)
    points = 1
    if version in PREVIEWS:
        points = _between(asked, "detectingPoints", 1, MOST_POINTS, default=1)
    contributors = _contributors(asked, version)
    variables = _variables(asked.get("variables"))
    model.check_variables(variables)
    _check_different(variables)
    rows = points + model.options.sliding_window - 1
    frame = _frame(variables, rows, shared_only=model.options.align.mode == "Inner")
    return Latest(frame, points, contributors)


def most_values(variables: int) -> int:
    """Return how many values in JSON the largest request for so many variables has, generously.

    A body above this is refused unread. One that is only slightly too large passes, and is refused
    later with the field that is wrong.
    """
    return _VALUES_BESIDE * MOST_VARIABLES + 2 * variables * 2 * MOST_TIMESTAMPS


def page(query: Mapping[str, str], version: str) -> tuple[int, int]:
    """Return how many models to skip and how many to list, in either spelling.

    Raises
    ------
    DetectionError
        ``InvalidRequestParameterError``.
    """
    listed = _LISTED.get(version, _LISTED_BY_PREVIEWS)
    skip = _parameter(query, "skip", 0, 0, _LARGEST_SKIP)
    return skip, _parameter(query, "top", listed, 1, MOST_LISTED)


def _parameter(query: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    text = query.get(name, query.get(f"${name}", str(default)))
    if not re.fullmatch(r"\d{1,10}", text, re.ASCII) or not least <= int(text) <= most:
        raise DetectionError(
            "InvalidRequestParameterError",
            f"Invalid values for $skip or $top. '{name}' is {shown(text)}, and must be a whole "
            f"number from {least} to {most}.",
        )
    return int(text)


def _source(asked: Mapping[str, Any], version: str) -> str:
    name = "source" if version in PREVIEWS else "dataSource"
    source = asked.get(name, "")
    if not isinstance(source, str) or not source.strip():
        raise DetectionError(
            "RequiredSource",
            f"The '{name}' field is required in the request. It says where the data lies, such as "
            "what PUT /datasets/{name} answered.",
        )
    if len(source) > _LONGEST_SOURCE or not source.isprintable():
        raise DetectionError(
            "InvalidBlobURL",
            f"The '{name}' field must have at most {_LONGEST_SOURCE} characters, all printable; it "
            f"has {len(source)}.",
        )
    return source


def _span(asked: Mapping[str, Any]) -> tuple[pd.Timestamp, pd.Timestamp]:
    required = {"startTime": "RequiredStartTime", "endTime": "RequiredEndTime"}
    for name, code in required.items():
        if name not in asked:
            raise DetectionError(
                code,
                f"The '{name}' field is required in the request, such as 2021-01-02T00:00:00Z.",
            )
    start, end = (times[0] for times in moments([(name, [asked[name]]) for name in required]))
    if end < start:
        raise DetectionError(
            "BadArgument",
            f"The 'endTime' field ({time_to_wire(end)}) must not lie before the 'startTime' field "
            f"({time_to_wire(start)}).",
        )
    return start, end


def _policy(asked: Mapping[str, Any]) -> AlignPolicy:
    sent = asked.get("alignPolicy", {})
    if not isinstance(sent, Mapping):
        raise bad("alignPolicy", "be an object", sent)
    policy = given(sent, _POLICY)
    padding = policy.get("paddingValue")
    value = number(padding)
    if padding is not None and value is None:
        raise DetectionError(
            "RequiredPaddingValue",
            "The 'paddingValue' field must be a number within "
            f"{LARGEST_VALUE:g} of zero; it is {shown(padding)}.",
        )
    default = AlignPolicy()
    return AlignPolicy(
        mode=policy.get("alignMode", default.mode),
        fill=policy.get("fillNAMethod", default.fill),
        padding_value=value,
        names=NAMES,
    )


def _contributors(asked: Mapping[str, Any], version: str) -> int:
    if version in PREVIEWS:
        return _EVERY_CONTRIBUTOR
    return _between(
        asked, "topContributorCount", 1, MOST_CONTRIBUTORS, default=DEFAULT_CONTRIBUTORS
    )


def _between(asked: Mapping[str, Any], name: str, least: int, most: int, *, default: int) -> int:
    sent = asked.get(name, default)
    count = whole(sent)
    if count is None or not least <= count <= most:
        raise bad(name, f"be a whole number from {least} to {most}", sent)
    return count


def _variables(sent: Any) -> dict[str, tuple[list[Any], list[Any]]]:
    """Return the timestamps and the values of each variable, which are not read yet."""
    if not isinstance(sent, Sequence) or isinstance(sent, str) or not sent:
        raise bad("variables", "be a list with an object for each variable", sent)
    if len(sent) > MOST_VARIABLES:
        raise DetectionError(
            "DataExceedsLimit",
            f"The 'variables' field must have at most {MOST_VARIABLES} variables; it has "
            f"{len(sent)}.",
        )
    variables: dict[str, tuple[list[Any], list[Any]]] = {}
    for place, each in enumerate(sent):
        if not isinstance(each, Mapping):
            raise bad("variables", f"have an object at index {place}", each)
        fields = _VARIABLE.usual(each)
        name = _variable(place, fields)
        if name in variables:
            raise DetectionError(
                "DuplicatedVariables", f"The variable {shown(name)} is given more than once."
            )
        variables[name] = _pair(name, fields)
    if not any(timestamps for timestamps, _ in variables.values()):
        raise DetectionError("NoData", "In the 'variables' field there is not one timestamp.")
    return variables


def _check_different(variables: Mapping[str, tuple[list[Any], list[Any]]]) -> None:
    """Refuse more different timestamps than are worth reading, before any is read."""
    different: set[Any] = set()
    last: list[Any] = []
    for name, (timestamps, _) in variables.items():
        # Nearly always they are the same for all variables.
        if timestamps == last:
            continue
        last = timestamps
        different.update(each for each in timestamps if isinstance(each, str))
        if len(different) > MOST_DIFFERENT:
            raise DetectionError(
                "DataExceedsLimit",
                f"The 'timestamps' of all 'variables' together may be at most {MOST_DIFFERENT} "
                f"different ones, and up to the variable {shown(name)} they are {len(different)}: "
                "read the variables at the same times, or send only the last ones.",
            )


def _frame(
    variables: Mapping[str, tuple[list[Any], list[Any]]], rows: int, *, shared_only: bool
) -> pd.DataFrame:
    """Return the last rows of all timestamps, or of those at which every variable has a value."""
    of_each = _times(variables)
    read = [
        (times, _values(name, values))
        for times, (name, (_, values)) in zip(of_each, variables.items(), strict=True)
    ]
    index = np.unique(np.concatenate(list({id(times): times for times in of_each}.values())))
    if shared_only:
        for times, numbers in read:
            index = index[np.isin(index, times[~np.isnan(numbers)])]
    index = index[-rows:]
    table = np.full((len(index), len(read)), np.nan)
    placed: Times | None = None
    for column, (times, numbers) in enumerate(read):
        if times is not placed:
            place, kept = np.searchsorted(index, times), np.isin(times, index)
            placed = times
        table[place[kept], column] = numbers[kept]
    return pd.DataFrame(table, index=pd.DatetimeIndex(index), columns=list(variables))


def _times(variables: Mapping[str, tuple[list[Any], list[Any]]]) -> list[Times]:
    """Return the times of each variable, the same array for those that follow on each other."""
    # Reading timestamps takes longest.
    different: list[tuple[str, list[Any]]] = []
    which = []
    for name, (timestamps, _) in variables.items():
        if not different or timestamps != different[-1][1]:
            different.append((name, timestamps))
        which.append(len(different) - 1)
    times: list[Times] = []
    fields = [(f"timestamps of the variable {shown(name)}", sent) for name, sent in different]
    for (name, _), read in zip(different, moments(fields), strict=True):
        if not read.is_unique:
            twice = read[int(read.duplicated().argmax())]
            raise DetectionError(
                "MergeDataFailed",
                f"The timestamp {time_to_wire(twice)} is there more than once in the variable "
                f"{shown(name)}; each may be there once.",
            )
        times.append(read.to_numpy())
    return [times[each] for each in which]


def _variable(place: int, fields: Mapping[str, Any]) -> str:
    # Called `name` by the previews, and by an example of version v1.1.
    name = fields.get("variable", fields.get("name"))
    if not isinstance(name, str) or not name:
        raise bad("variables", f"have a name in 'variable' at index {place}", name)
    return name


def _pair(name: str, fields: Mapping[str, Any]) -> tuple[list[Any], list[Any]]:
    lists = []
    for field in ("timestamps", "values"):
        of = fields.get(field)
        if not isinstance(of, list):
            raise bad("variables", f"have a list in '{field}' of the variable {shown(name)}", of)
        if len(of) > MOST_TIMESTAMPS:
            raise DetectionError(
                "DataExceedsLimit",
                f"The '{field}' of the variable {shown(name)} are {len(of)}; there may be at "
                f"most {MOST_TIMESTAMPS}.",
            )
        lists.append(of)
    timestamps, values = lists
    if len(timestamps) != len(values):
        raise DetectionError(
            "BadArgument",
            f"The variable {shown(name)} has {len(timestamps)} 'timestamps' and {len(values)} "
            "'values'; there must be a value, or null, for each timestamp.",
        )
    return timestamps, values


def _values(name: str, sent: list[Any]) -> Floats:
    """Return numbers, NaN for null and for a literal NaN."""
    if {type(value) for value in sent} <= {int, float, type(None)}:
        with contextlib.suppress(OverflowError):
            read = np.array(sent, dtype=np.float64)
            if not np.any(np.abs(read) > LARGEST_VALUE):
                return read
    values = [np.nan if value is None else number(value, nan=True) for value in sent]
    if None in values:
        place = values.index(None)
        raise DetectionError(
            "VariableParseError",
            f"The value at index {place} of the variable {shown(name)} is "
            f"{shown(sent[place])}, and must be a number within {LARGEST_VALUE:g} of zero, or "
            "null.",
        )
    return np.array(values, dtype=np.float64)
