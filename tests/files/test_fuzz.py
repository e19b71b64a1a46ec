"""Any bytes give a reading or one sentence; what is written in any dialect comes back."""

from __future__ import annotations

import gzip
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
from files.test_shapes import READ
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from detector import files
from detector.errors import DetectionError

BOUNDS = files.Bounds(bytes=1_000_000, cells=100_000)
SOME = [each.encode() if isinstance(each, str) else each for _, each, _ in READ]
WORDS = """NA - 1,5 1.5 1.234 1,234.5 2021-12-16 16/12/2021 03/04/21 now today 2021Q4 2021-W53
1639629572 44546 2021年12月16日 10:30 1e999 -0 5% Date " # nan 9999-12-31 31.12.
999 (5) 2021-10-31T02:30+02:00 2021-10-31T02:30Z 0001-01-01 ² \u2212 \uff19
12/16/2021\u00a04:39\u00a0AM"""
CELLS = st.one_of(
    st.sampled_from(["", *WORDS.split()]),
    st.text(max_size=8),
    st.floats().map(str),
    st.integers().map(str),
    st.datetimes().map(str),
)
FUZZED = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)


def read(content: bytes, **options: Any) -> files.Reading | None:
    """Return what is understood, None for what is refused in one sentence."""
    try:
        reading = files.read(content, name="file", bounds=BOUNDS, **options)
    except DetectionError as error:
        refused = error.message
    else:
        refused = ""
    if refused:
        assert refused.endswith(".")
        assert "\n" not in refused
        return None
    assert "\n" not in reading.description
    assert len(reading.frame) == len(reading)
    frame = reading.series()
    assert np.isfinite(frame["value"]).all()
    if reading.times is not None:
        assert reading.times.is_monotonic_increasing
        assert reading.times.is_unique
    return reading


@FUZZED
@given(st.binary(max_size=400))
def test_any_bytes(content: bytes) -> None:
    read(content)


@FUZZED
@given(st.sampled_from(SOME), st.data())
def test_a_file_that_was_damaged(content: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(content)))
    length = data.draw(st.integers(0, 20))
    put = data.draw(st.binary(max_size=20))
    read(content[:at] + put + content[at + length :])


@FUZZED
@given(
    st.lists(st.lists(CELLS, min_size=1, max_size=4), max_size=15),
    st.sampled_from(",;\t|"),
    st.booleans(),
    st.sampled_from([None, "*"]),
    st.sampled_from([None, True, False]),
)
def test_a_table_of_anything(
    rows: list[list[str]], between: str, with_header: bool, values: str | None, first: bool | None
) -> None:
    lines = [between.join(row) for row in rows]
    text = "\n".join(["Date,Sales,c,d".replace(",", between), *lines] if with_header else lines)
    read(text.encode(errors="replace"), values=values, day_first=first)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | CELLS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["timestamp", "value", "series", "data", "columns"]), inner
        )
    ),
    max_leaves=12,
)


@FUZZED
@given(JSON)
def test_any_json(body: Any) -> None:
    read(pd.io.json.ujson_dumps(body).encode(errors="replace"))


NOTATIONS = {
    "%Y-%m-%d %H:%M:%S": None,
    "%Y-%m-%dT%H:%M:%SZ": None,
    "%d/%m/%Y %H:%M:%S": True,
    "%m/%d/%Y %I:%M:%S %p": False,
    "%d.%m.%Y %H:%M:%S": True,
    "%Y/%m/%d %H:%M:%S": None,
    "%d %b %Y %H:%M:%S": None,
    "%Y年%m月%d日 %H:%M:%S": None,
}


@FUZZED
@given(
    values=st.lists(
        st.one_of(st.none(), st.integers(-(10**6), 10**6).map(lambda each: each / 100)),
        min_size=13,
        max_size=60,
    ).filter(lambda values: values[0] is not None and values[-1] is not None),
    start=st.datetimes(datetime(1970, 1, 2), datetime(2090, 1, 1)).map(
        lambda at: at.replace(microsecond=0)
    ),
    step=st.sampled_from([1, 60, 300, 3600, 86400, 7 * 86400]),
    notation=st.sampled_from(sorted(NOTATIONS)),
    between=st.sampled_from(",;\t|"),
    mark=st.sampled_from(".,"),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp932"]),
    end=st.sampled_from(["\n", "\r\n"]),
    missing=st.sampled_from(["", "NA", "-", "null"]),
    packed=st.booleans(),
)
def test_what_is_written_comes_back(
    values: list[float | None],
    start: datetime,
    step: int,
    notation: str,
    between: str,
    mark: str,
    encoding: str,
    end: str,
    missing: str,
    packed: bool,
) -> None:
    times = [start + timedelta(seconds=step * at) for at in range(len(values))]
    lines = [f"Date{between}Sales"]
    for time, value in zip(times, values, strict=True):
        number = missing if value is None else f"{value:.2f}".replace(".", mark)
        number = f'"{number}"' if between in number else number
        lines.append(f"{time.strftime(notation)}{between}{number}")
    content = end.join([*lines, ""]).encode(encoding)
    reading = files.read(
        gzip.compress(content) if packed else content, day_first=NOTATIONS[notation]
    )
    there = [at for at, value in enumerate(values) if value is not None]
    frame = reading.series()
    assert frame["value"].tolist() == [values[at] for at in there]
    assert frame["timestamp"].dt.tz_localize(None).tolist() == [times[at] for at in there]
    assert reading.columns == [
        {"name": "Date", "kind": "dates"},
        {"name": "Sales", "kind": "numbers"},
    ]
