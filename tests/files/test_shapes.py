"""Files as people have them, one by one: what is understood of each, or the sentence it gets.

Each series is of twelve days from 16 December 2021 unless its name says otherwise, with the values
100.5, 101.5, ...
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from files.workbooks import ods, xlsx, zipped

from detector import files
from detector.errors import DetectionError

START = datetime(2021, 12, 16)
DAYS = [START + timedelta(days=at) for at in range(12)]
VALUES = [100.5 + at for at in range(12)]
ISO = [f"{day:%Y-%m-%d}" for day in DAYS]


def lines(
    header: str = "Date,Sales",
    day: str | Callable[[datetime], str] = "%Y-%m-%d",
    value: Callable[[float], str] = str,
    between: str = ",",
    days: list[datetime] = DAYS,
) -> str:
    """Return the text of a table; an empty header for none."""
    write = (lambda each: each.strftime(day)) if isinstance(day, str) else day
    rows = [f"{write(each)}{between}{value(VALUES[at % 12])}" for at, each in enumerate(days)]
    return "\n".join([header, *rows] if header else rows) + "\n"


def every(step: str, count: int = 24, start: str = "2021-01-01") -> list[datetime]:
    return list(pd.date_range(start, periods=count, freq=step).to_pydatetime())


def comma(value: float) -> str:
    return str(value).replace(".", ",")


def compressed(text: str) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(text.encode())
    return bytes(sink.getvalue())


def parquet(frame: pd.DataFrame) -> bytes:
    content = io.BytesIO()
    frame.to_parquet(content)
    return content.getvalue()


def records(dates: list[Any] = ISO, date: str = "timestamp", value: str = "value") -> list[Any]:
    return [{date: day, value: each} for day, each in zip(dates, VALUES, strict=True)]


def unix(factor: int) -> str:
    return lines(
        "time,v", lambda day: str(int((day - datetime(1970, 1, 1)).total_seconds()) * factor)
    )


FRAME = pd.DataFrame({"timestamp": DAYS, "value": VALUES})
PLAIN = lines()
DAILY = "12 daily points from 'Date' and 'Sales'"
TWO = "Date,Sales,Costs\n" + "".join(f"{day},{at},{2 * at}\n" for at, day in enumerate(ISO))

# What each is, the file, and what is understood of it.
READ: list[tuple[str, str | bytes, str]] = [
    # Between the columns, and the marks of numbers.
    ("commas", PLAIN, DAILY),
    (
        "semicolons, decimal commas",
        lines("Date;Sales", value=comma, between=";"),
        f"{DAILY}, decimal comma",
    ),
    (
        "semicolons without a header",
        lines("", value=comma, between=";"),
        "12 daily points from 'column 1' and 'column 2', there is no header, decimal comma",
    ),
    ("tabs", lines("Date\tSales", between="\t"), DAILY),
    ("bars", lines("Date|Sales", between="|"), DAILY),
    ("a delimiter at each end", PLAIN.replace("\n", ",\n"), DAILY),
    ("sep= as Excel writes it", "sep=;\n" + lines("Date;Sales", between=";"), DAILY),
    (
        "quotes around all",
        PLAIN.replace(",", '","').replace("\n", '"\n"')[:-1].join(['"', ""]),
        DAILY,
    ),
    ("quoted thousands", lines(value=lambda each: f'"1,{each:05.1f}"'), DAILY),
    (
        "thousands of Germany",
        lines("Date;Sales", value=lambda each: f"1.{comma(each)}", between=";"),
        f"{DAILY}, decimal comma",
    ),
    (
        "thousands of France",
        lines("Date;Sales", value=lambda each: f"1\u202f{comma(each)}", between=";"),
        f"{DAILY}, decimal comma",
    ),
    ("thousands of Switzerland", lines(value=lambda each: f"1'{each}"), DAILY),
    (
        "whole thousands beside hundreds",
        lines(
            "Date;Sales",
            value=lambda each: f"{int(each - 100) * 300 + 300:,}".replace(",", "."),
            between=";",
        ),
        f"{DAILY}, decimal comma, 1.234 is read as 1234",
    ),
    ("dollars", lines(value=lambda each: f'"$1,{each:05.1f}"'), DAILY),
    ("percents", lines(value=lambda each: f"{each} %"), DAILY),
    ("negatives in brackets", lines(value=lambda each: f"({each})"), DAILY),
    # Encodings and the ends of lines.
    ("UTF-8 with a mark", PLAIN.encode("utf-8-sig"), DAILY),
    (
        "UTF-16, as Excel saves Unicode text",
        lines("Date\tSales", between="\t").encode("utf-16"),
        DAILY,
    ),
    ("UTF-16 without a mark", PLAIN.encode("utf-16-le"), DAILY),
    (
        "Western Europe",
        lines("Tag;Umsätze", between=";").encode("cp1252"),
        "12 daily points from 'Tag' and 'Umsätze'",
    ),
    (
        "Japanese Excel",
        lines("日付,売上", lambda day: f"{day.year}年{day.month}月{day.day}日").encode("cp932"),
        "12 daily points from '日付' and '売上'",
    ),
    ("ends of lines of Windows", PLAIN.replace("\n", "\r\n"), DAILY),
    ("ends of lines of an old Mac", PLAIN.replace("\n", "\r"), DAILY),
    # Around the table.
    ("comments", f"# from the shop\n# in euros\n{PLAIN}", f"{DAILY}, 2 comment lines left out"),
    (
        "a header in a comment, as numpy writes it",
        f"# {PLAIN}",
        f"{DAILY}, 1 comment lines left out",
    ),
    ("titles", f"Sales of the shop\n\n{PLAIN}", f"{DAILY}, line 1 left out as a title or a unit"),
    (
        "titles padded by Excel",
        f"Sales of the shop,\n,\n{PLAIN}",
        f"{DAILY}, line 1 left out as a title or a unit",
    ),
    ("blank lines", PLAIN.replace("\n", "\n\n"), DAILY),
    ("the index of pandas", FRAME.to_csv(), "12 daily points from 'timestamp' and 'value'"),
    (
        "values alone",
        "\n".join(map(str, VALUES)),
        "12 points from 'column 1', without dates, there is no header",
    ),
    # Dates.
    ("day first", lines(day="%d/%m/%Y"), f"{DAILY}, day first"),
    ("month first, with AM and PM", lines(day="%m/%d/%Y %I:%M:%S %p"), f"{DAILY}, month first"),
    ("points", lines(day="%d.%m.%Y"), f"{DAILY}, day first"),
    ("names of months", lines(day="%d-%b-%Y"), DAILY),
    ("long names of months", lines(day=lambda day: f'"{day:%B %d, %Y}"'), DAILY),
    ("digits alone", lines(day="%Y%m%d"), DAILY),
    ("years of two digits, with days above 12", lines(day="%m/%d/%y"), f"{DAILY}, month first"),
    ("the year first", lines(day="%Y/%m/%d"), DAILY),
    ("Unix seconds", unix(1), "12 daily points from 'time' and 'v'"),
    ("Unix milliseconds", unix(1000), "12 daily points from 'time' and 'v'"),
    ("Unix nanoseconds", unix(10**9), "12 daily points from 'time' and 'v'"),
    ("days of Excel", lines(day=lambda day: str((day - datetime(1899, 12, 30)).days)), DAILY),
    ("months", lines(day="%Y-%m", days=every("MS")), "24 monthly points from 'Date' and 'Sales'"),
    (
        "months with the year last",
        lines(day="%m/%Y", days=every("MS")),
        "24 monthly points from 'Date' and 'Sales'",
    ),
    (
        "names of months and years",
        lines(day="%b %Y", days=every("MS")),
        "24 monthly points from 'Date' and 'Sales'",
    ),
    (
        "months as Excel shows them",
        lines(day="%b-%y", days=every("MS")),
        "24 monthly points from 'Date' and 'Sales'",
    ),
    (
        "three digits behind every point, between semicolons",
        lines("Date;Sales", value=lambda each: f"{each / 100:.3f}", between=";"),
        f"{DAILY}, the point in 1.234 is read as a decimal point",
    ),
    (
        "pasted thousands of Germany beside hundreds",
        lines(
            "Date\tSales",
            value=lambda each: f"{int(each - 100) * 300 + 300:,}".replace(",", "."),
            between="\t",
        ),
        f"{DAILY}, decimal comma, 1.234 is read as 1234",
    ),
    (
        "yens",
        lines(value=lambda each: f'"1,{each:03.0f}円"'),
        f"{DAILY}, 1,234 is read as 1234",
    ),
    ("ends of months", lines(days=every("ME")), "24 monthly points from 'Date' and 'Sales'"),
    (
        "quarters",
        lines(day=lambda day: f"{day.year}Q{day.month // 3 + 1}", days=every("QS")),
        "24 points every 3 months from 'Date' and 'Sales'",
    ),
    (
        "years",
        lines("Year,Sales", "%Y", days=every("YS")),
        "24 yearly points from 'Year' and 'Sales'",
    ),
    ("weeks", lines(days=every("7D")), "24 weekly points from 'Date' and 'Sales'"),
    (
        "every five minutes",
        lines(day="%Y-%m-%d %H:%M", days=every("5min")),
        "24 points every 5 minutes from 'Date' and 'Sales'",
    ),
    (
        "milliseconds",
        lines(day="%Y-%m-%dT%H:%M:%S.%f", days=every("250ms")),
        "24 points every 250 milliseconds from 'Date' and 'Sales'",
    ),
    (
        "steps that have no name",
        lines(day="%Y-%m-%d %H:%M:%S.%f", days=every("250us")),
        "24 points from 'Date' and 'Sales', at uneven steps, most of 250 microseconds",
    ),
    (
        "first days of months, day first",
        lines(day="%d/%m/%Y", days=every("MS")),
        "24 monthly points from 'Date' and 'Sales', day first",
    ),
    (
        "hours of the first days of a month, day first",
        lines(day="%d/%m/%Y %H:%M", days=every("h", 200)),
        "200 hourly points from 'Date' and 'Sales', day first",
    ),
    (
        "midnights without a time",
        lines(day=lambda at: f"{at:%d/%m/%Y %H:%M}".removesuffix(" 00:00"), days=every("h", 400)),
        "400 hourly points from 'Date' and 'Sales', day first",
    ),
    (
        "hours through the end of summer time, with offsets",
        lines(
            day=lambda at: pd.Timestamp(at, tz="UTC").tz_convert("Europe/Berlin").isoformat(),
            days=every("h", 48, "2021-10-30T12:00"),
        ),
        "48 hourly points from 'Date' and 'Sales', the offsets differ, so the times are in UTC",
    ),
    (
        "days through the end of summer time, with offsets",
        lines(
            day=lambda at: pd.Timestamp(at, tz="Europe/Berlin").isoformat(),
            days=every("D", 24, "2021-10-20"),
        ),
        "24 daily points from 'Date' and 'Sales', the offsets differ, so the times are by the "
        "clock that "
        "they were written by",
    ),
    (
        "date and time in two columns",
        lines("Date,Time,v", "%d.%m.%Y,%H:%M", days=every("h", 400)),
        "400 hourly points from 'Date' and 'v', day first, times of the day from 'Time'",
    ),
    # Steps, order and duplicates.
    (
        "gaps",
        "".join(line for at, line in enumerate(PLAIN.splitlines(True)) if at not in (4, 5)),
        "10 daily points from 'Date' and 'Sales', 2 gaps",
    ),
    (
        "missing values",
        PLAIN.replace("103.5", "NA").replace("105.5", "-"),
        "10 daily points from 'Date' and 'Sales', 2 gaps",
    ),
    (
        "the first values and the last ones missing",
        lines(value=lambda each: str(each) if 102 < each < 109 else ""),
        "7 daily points from 'Date' and 'Sales', 5 without a value left out",
    ),
    (
        "the euros of France in Windows",
        lines(
            "Date;CA",
            "%d/%m/%Y",
            lambda each: f"1\u00a0{each:.0f},50 €",
            ";",
        ).encode("cp1252"),
        "12 daily points from 'Date' and 'CA', day first, decimal comma",
    ),
    (
        "a column that is called by a number",
        lines("Date,101"),
        "12 daily points from 'Date' and '101'",
    ),
    (
        "a table of Markdown",
        "| Date | Sales |\n|---|---|\n"
        + "".join(f"| {day} | {each} |\n" for day, each in zip(ISO, VALUES, strict=True)),
        f"{DAILY}, line 2 left out as a title or a unit",
    ),
    ("working days", lines(days=every("B")), "24 daily points from 'Date' and 'Sales', 10 gaps"),
    (
        "newest first",
        "\n".join([PLAIN.splitlines()[0], *PLAIN.splitlines()[:0:-1]]),
        f"{DAILY}, now in order of time",
    ),
    (
        "a line that is there twice",
        PLAIN + PLAIN.splitlines()[-1],
        f"{DAILY}, 1 exact duplicate left out",
    ),
    (
        "uneven steps",
        lines(
            day="%Y-%m-%d %H:%M",
            days=[day + timedelta(hours=at * at % 7) for at, day in enumerate(DAYS)],
        ),
        "12 points from 'Date' and 'Sales', at uneven steps, most of 22 hours",
    ),
    (
        "a name that is usual among several columns",
        PLAIN.replace("Sales", "value,b").replace(".5", ".5,1"),
        "12 daily points from 'Date' and 'value'",
    ),
    # JSON.
    ("records", json.dumps(records()), "12 daily points from 'timestamp' and 'value'"),
    (
        "a request of another case",
        json.dumps({"Granularity": "daily", "Series": records(date="Timestamp", value="Value")}),
        "12 daily points from 'Timestamp' and 'Value'",
    ),
    (
        "columns",
        json.dumps({"day": ISO, "sales": VALUES}),
        "12 daily points from 'day' and 'sales'",
    ),
    (
        "columns as pandas writes them",
        FRAME.to_json(),
        "12 daily points from 'timestamp' and 'value'",
    ),
    (
        "split as pandas writes it",
        FRAME.set_index("timestamp").to_json(orient="split", date_format="iso"),
        "12 daily points from 'index' and 'value'",
    ),
    (
        "pairs",
        json.dumps([[day, each] for day, each in zip(ISO, VALUES, strict=True)]),
        "12 daily points from 'timestamp' and 'value'",
    ),
    (
        "an object of dates",
        json.dumps(dict(zip(ISO, VALUES, strict=True))),
        "12 daily points from 'timestamp' and 'value'",
    ),
    (
        "the answer of a program",
        json.dumps({"count": 12, "data": records(date="day", value="sales")}),
        "12 daily points from 'day' and 'sales'",
    ),
    (
        "lines of objects",
        "\n".join(map(json.dumps, records())),
        "12 daily points from 'timestamp' and 'value'",
    ),
    (
        "NaN as Python writes it",
        json.dumps([*records()[:-1], {"timestamp": ISO[-1], "value": float("nan")}]),
        "11 daily points from 'timestamp' and 'value', 1 without a value left out",
    ),
    # Workbooks and Parquet.
    ("Excel", xlsx({"Sheet1": [("Date", "Sales"), *zip(DAYS, VALUES, strict=True)]}), DAILY),
    (
        "Excel with a title and an empty column",
        xlsx(
            {
                "Sheet1": [
                    (None, "Sales of the shop"),
                    (),
                    (None, "Date", "Sales"),
                    *((None, *pair) for pair in zip(DAYS, VALUES, strict=True)),
                ]
            }
        ),
        f"{DAILY}, row 1 left out as a title or a unit",
    ),
    (
        "Excel with a second sheet of text",
        xlsx(
            {"About": [("by", "Ann")], "Data": [("Date", "Sales"), *zip(DAYS, VALUES, strict=True)]}
        ),
        f"{DAILY}, sheet 'Data'",
    ),
    (
        "Excel with days as numbers",
        xlsx(
            {"Sheet1": [("Date", "Sales"), *((44546 + at, each) for at, each in enumerate(VALUES))]}
        ),
        DAILY,
    ),
    (
        "Excel with dates in text",
        xlsx(
            {
                "Sheet1": [
                    ("Date", "Sales"),
                    *(
                        (f"{day:%d/%m/%Y}", comma(each))
                        for day, each in zip(DAYS, VALUES, strict=True)
                    ),
                ]
            }
        ),
        f"{DAILY}, day first, decimal comma",
    ),
    # Written by xlwt 1.3.
    ("old Excel", (Path(__file__).parent / "sales.xls").read_bytes(), DAILY),
    ("LibreOffice", ods([("Date", "Sales"), *zip(DAYS, VALUES, strict=True)]), DAILY),
    ("Parquet", parquet(FRAME), "12 daily points from 'timestamp' and 'value'"),
    (
        "Parquet with dates as its index",
        parquet(FRAME.set_index("timestamp")),
        "12 daily points from 'timestamp' and 'value'",
    ),
    (
        "Parquet with a zone",
        parquet(FRAME.assign(timestamp=pd.to_datetime(DAYS).tz_localize("Asia/Tokyo"))),
        "12 daily points from 'timestamp' and 'value'",
    ),
    # Packed.
    ("gzip", gzip.compress(PLAIN.encode()), DAILY),
    ("bzip2", bz2.compress(PLAIN.encode()), DAILY),
    ("xz", lzma.compress(PLAIN.encode()), DAILY),
    ("Zstandard", compressed(PLAIN), DAILY),
    ("zip", zipped({"sales.csv": PLAIN, "__MACOSX/._sales.csv": "x"}), DAILY),
]


@pytest.mark.parametrize(
    ("content", "description"), [row[1:] for row in READ], ids=[row[0] for row in READ]
)
def test_what_is_understood(content: str | bytes, description: str) -> None:
    reading = files.read(content.encode() if isinstance(content, str) else content)
    assert reading.description == description
    assert reading.times is None or reading.times.is_monotonic_increasing


AMBIGUOUS = lines(day="%d/%m/%Y", days=every("D", 11))

# What each is, the file, and the sentence.
REFUSED: list[tuple[str, str | bytes, str]] = [
    ("nothing", "", "The file is empty: it must hold dates and numbers."),
    ("blanks", "\n \n", "The file is empty: it must hold dates and numbers."),
    ("a header only", "Date,Sales\n", "The file has a header and no rows below it."),
    (
        "a bad date",
        PLAIN.replace(ISO[4], "soon"),
        "The file, line 6: 'soon' in 'Date' must be a date as 2021-12-31 is.",
    ),
    (
        "a date that there is none",
        PLAIN.replace(ISO[4], "2021-12-32"),
        "The file, line 6: '2021-12-32' in 'Date' must be a date as 2021-12-31 is.",
    ),
    (
        "another notation",
        lines(day="%d/%m/%Y").replace("20/12/2021", "12/20/2021"),
        "The file, line 6: '12/20/2021' in 'Date' must be a date as 31/12/2021 is.",
    ),
    ("no date", PLAIN.replace(ISO[4], ""), "The file, line 6: there is no date in 'Date'."),
    (
        "text among numbers",
        PLAIN.replace("104.5", "n.b."),
        "The file, line 6: 'n.b.' in 'Sales' must be a number such as 1234.5, or empty.",
    ),
    (
        "a decimal comma that is not quoted",
        PLAIN.replace(".5", ",5"),
        "The file, line 2: there are 3 cells, and 2 columns; a number with a comma must be in "
        "quotes.",
    ),
    (
        "a quoted line end before the fault",
        PLAIN.replace(f"{ISO[1]},101.5", f'"{ISO[1]}\n",101.5').replace("104.5", "x"),
        "The file, line 7: 'x' in 'Sales' must be a number such as 1234.5, or empty.",
    ),
    (
        "days and months that cannot be told apart",
        AMBIGUOUS,
        "The file has dates in 'Date' whose day and month cannot be told apart: 02/01/2021 is 1 "
        "February 2021 or "
        "2 January 2021. Say --day-first or --month-first (dayFirst over HTTP), or write dates as "
        "in 2021-12-31.",
    ),
    (
        "several columns of numbers",
        TWO,
        "The file has several columns of numbers: 'Sales', 'Costs'. Choose one by --value NAME, "
        "or take all in turn by "
        "--each (value over HTTP).",
    ),
    (
        "several columns of dates",
        "begin,end,v\n" + "".join(f"{day},{day},1\n" for day in ISO),
        "The file has several columns of dates: 'begin', 'end'. Choose one by --timestamp NAME "
        "(timestamp over HTTP).",
    ),
    (
        "no numbers",
        "Date,Shop\n" + "".join(f"{day},north\n" for day in ISO),
        "The file has no column of numbers: it has 'Date', 'Shop'.",
    ),
    (
        "a day that its month has not",
        lines(day="%d.%m.%Y").replace("27.12.2021", "32.12.2021"),
        "The file, line 13: '32.12.2021' in 'Date' must be a date as 31.12.2021 is.",
    ),
    (
        "days without a year",
        lines(day="%b %d"),
        "The file, line 2: 'Dec 16' in 'Date' may be a day without a year, or a month: write it as "
        "in 2021-12-31, or as in 2021-12.",
    ),
    (
        "days without a year, into the next one",
        lines(day="%b-%d", days=every("D", start="2021-12-30")),
        "The file, line 2: 'Dec-30' in 'Date' may be a day without a year, or a month: write it as "
        "in 2021-12-31, or as in 2021-12.",
    ),
    (
        "some times with an offset",
        lines(day=lambda day: f"{day}{'+09:00' if day.day % 2 else ''}"),
        "The file, line 2: '2021-12-16 00:00:00' in 'Date' has no time zone, and others have one: "
        "write it in all of them, or in none.",
    ),
    (
        "many series by numbers, with equal values",
        "Date,Shop,v\n" + "".join(f"{day},{shop},5\n" for shop in (1, 2) for day in ISO),
        "The file has several columns of numbers: 'Shop', 'v'. Choose one by --value NAME, or take "
        "all in turn by --each (value over HTTP).",
    ),
    (
        "two values of one time",
        PLAIN + f"{ISO[3]},7\n",
        "The file, line 14: 2021-12-19 is there twice in 'Date', with 7 here and 103.5 in line 5: "
        "keep one of them.",
    ),
    (
        "many series",
        "Date,Shop,v\n"
        + "".join(f"{day},{shop},{at}\n" for at, shop in enumerate(("a", "b")) for day in ISO),
        "The file, line 14: 2021-12-16 is there twice in 'Date', with 1 here and 0 in line 2: "
        "keep one of them, or say "
        "which column tells series apart, such as --by 'Shop'.",
    ),
    (
        "many series with equal values",
        "Date,Shop,v\n" + "".join(f"{day},{shop},5\n" for shop in "ab" for day in ISO),
        "The file, line 14: 2021-12-16 is there twice in 'Date', with 5 here and 5 in line 2: keep "
        "one of them, or say which column tells series apart, such as --by 'Shop'.",
    ),
    (
        "a text",
        "# Shop\n\nIt opens at nine, and closes\nat five.\n\nCome, see, buy.\n",
        "The file has no columns of dates and numbers: they must stand apart by commas, "
        "semicolons, "
        "tabs or bars, or in a sheet.",
    ),
    (
        "blanks between the columns",
        PLAIN.replace(",", " "),
        "The file has no columns of dates and numbers: they must stand apart by commas, "
        "semicolons, "
        "tabs or bars, or in a sheet.",
    ),
    (
        "a picture",
        b"\x89PNG\r\n\x1a\n\0\0",
        "The file is a PNG picture, not a table. Give CSV, Excel, JSON or Parquet.",
    ),
    (
        "a page",
        "<!DOCTYPE html><html></html>",
        "The file is a page of the web or XML, not a table. Give CSV, Excel, JSON or Parquet.",
    ),
    ("bytes", bytes(range(256)) * 4, "The file is no text. Give CSV, Excel, JSON or Parquet."),
    (
        "JSON that breaks off",
        json.dumps(records(), indent=1)[:-20],
        "The file is no JSON, line 48: Expecting property name enclosed in double quotes. It must "
        "be a list of points, an object of columns, or a request "
        'with its series, such as [{"timestamp": "2021-12-31", "value": 1.5}].',
    ),
    (
        "gzip that breaks off",
        gzip.compress(PLAIN.encode())[:-20],
        "The file cannot be unpacked (it is cut off): save or copy it again.",
    ),
    (
        "a zip of two",
        zipped({"a.csv": PLAIN, "b.csv": PLAIN}),
        "The file must be a zip of one file, and holds 2: 'a.csv', 'b.csv'. Unpack it, and give "
        "the one that holds the "
        "series.",
    ),
    (
        "two sheets",
        xlsx(
            {
                "A": [("Date", "v"), *zip(DAYS, VALUES, strict=True)],
                "B": [("Date", "v"), *zip(DAYS, VALUES, strict=True)],
            }
        ),
        "The file has several sheets that may be meant: 'A', 'B'. Choose one by --sheet NAME "
        "(sheet over HTTP).",
    ),
    (
        "encrypted Excel",
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(512) + "EncryptedPackage".encode("utf-16-le"),
        "The file is encrypted: save it without a password.",
    ),
    (
        "a sheet with one cell far off",
        zipped(
            {
                "[Content_Types].xml": "<Types/>",
                "xl/worksheets/sheet1.xml": '<c r="A1"/><c r="XFD1048576"/>',
            }
        ),
        "The file has a sheet of 1048576 rows and 16384 columns, more than the 50000000 cells "
        "that are read: delete what "
        "lies far off.",
    ),
]


@pytest.mark.parametrize(
    ("content", "sentence"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED]
)
def test_what_cannot_be_read_gets_one_sentence(content: str | bytes, sentence: str) -> None:
    with pytest.raises(DetectionError) as caught:
        files.read(content.encode() if isinstance(content, str) else content)
    assert caught.value.message == sentence
    assert caught.value.code == "BadArgument"


def test_paths_that_lead_nowhere_get_one_sentence(tmp_path: Path) -> None:
    for path, why in ((tmp_path, "Is a directory"), (tmp_path / "x.csv", "No such file")):
        with pytest.raises(DetectionError, match=f"cannot be read: {why}"):
            files.read(path)


@pytest.mark.parametrize(
    ("between", "thousands"), [(",", '"1,{:03.0f}"'), (";", "1.{:03.0f}"), ("\t", "1.{:03.0f}")]
)
def test_the_numbers_of_shops_do_not_make_thousands_decimals(between: str, thousands: str) -> None:
    rows = [
        between.join([day, "10115", thousands.format(each) if at else "900"])
        for at, (day, each) in enumerate(zip(ISO, VALUES, strict=True))
    ]
    header = between.join(["Date", "Shop", "Sales"])
    reading = files.read("\n".join([header, *rows]).encode(), values="Sales")
    assert reading.values["Sales"].tolist()[:3] == [900, 1102, 1102]
    assert "234 is read as 1234" in reading.description


def test_shops_by_numbers_are_no_duplicates() -> None:
    table = "Date,Shop,v\n" + "".join(f"{day},{shop},5\n" for shop in (1, 2) for day in ISO)
    with pytest.raises(DetectionError, match="such as --by 'Shop'"):
        files.read(table.encode(), values="v")
    assert files.read(table.encode(), values="v", by=["Shop"]).duplicates == 0


def test_the_number_of_a_row_makes_no_difference() -> None:
    twice = [day for day in ISO for _ in range(2)]
    table = "Date,id,v\n" + "".join(f"{day},{at},5\n" for at, day in enumerate(twice))
    assert files.read(table.encode(), values="v").duplicates == 12


def test_dates_of_people_keep_their_offset() -> None:
    reading = files.read(
        lines(day="%m/01/2021 00:00:00 +09:00", days=every("MS", 12)).encode(), day_first=False
    )
    assert reading.granularity == "monthly"
    assert reading.times is not None
    assert str(reading.times[0]) == "2021-01-01 00:00:00+09:00"


def test_brackets_are_less_than_zero() -> None:
    reading = files.read(lines(value=lambda each: f"({each})" if each < 102 else "$5").encode())
    assert reading.values["Sales"].tolist()[:3] == [-100.5, -101.5, 5]


def test_the_hour_that_summer_time_leaves_out_is_no_gap() -> None:
    hours = pd.date_range("2021-03-27", periods=48, freq="h", tz="Europe/Berlin")
    table = "Date,v\n" + "".join(f"{hour.isoformat()},{at}\n" for at, hour in enumerate(hours))
    assert files.read(table.encode()).gaps == 0


def test_a_duration_that_may_be_a_year_is_no_date() -> None:
    table = "response time,v\n" + "".join(f"{2000 + at * 7 % 12},{at}\n" for at in range(12))
    with pytest.raises(DetectionError, match="several columns of numbers: 'response time', 'v'"):
        files.read(table.encode())
