"""Files as people have them, which tests give to the page."""

from __future__ import annotations

import math
import zipfile
from datetime import date, timedelta
from pathlib import Path
from xml.sax.saxutils import escape

Cell = str | float | date
_EXCEL = "http://schemas.openxmlformats.org"
_MAIN = f"{_EXCEL}/spreadsheetml/2006/main"
_TYPES = "application/vnd.openxmlformats-officedocument.spreadsheetml"


def daily(points: int = 60, name: str = "Sales") -> list[list[Cell]]:
    """Return rows of days with a season of a week and one fault, on day 40, below their names."""
    start = date(2021, 12, 16)
    rows: list[list[Cell]] = [["Date", name]]
    for day in range(points):
        value = 100 + 10 * math.sin(2 * math.pi * day / 7) + math.sin(day * 12.9898)
        rows.append([start + timedelta(day), round(value + (40 if day == 40 else 0), 1)])
    return rows


def german(rows: list[list[Cell]]) -> str:
    """Return a table as a German spreadsheet writes it: ``16/12/2021;100,5``."""

    def written(cell: Cell) -> str:
        if isinstance(cell, date):
            return cell.strftime("%d/%m/%Y")
        return cell if isinstance(cell, str) else str(cell).replace(".", ",")

    return "".join(";".join(map(written, row)) + "\n" for row in rows)


def workbook(path: Path, rows: list[list[Cell]]) -> Path:
    """Write an Excel file of one sheet, with dates as Excel has them: numbers with a format."""

    def written(cell: Cell) -> str:
        if isinstance(cell, date):
            return f'<c s="1"><v>{(cell - date(1899, 12, 30)).days}</v></c>'
        if isinstance(cell, str):
            return f'<c t="inlineStr"><is><t>{escape(cell)}</t></is></c>'
        return f"<c><v>{cell}</v></c>"

    sheet = "".join(f"<row>{''.join(map(written, row))}</row>" for row in rows)
    related = f"{_EXCEL}/officeDocument/2006/relationships"
    packaged = f"{_EXCEL}/package/2006"
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{packaged}/content-types">'
        '<Default Extension="rels" '
        'ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Override PartName="/xl/workbook.xml" ContentType="{_TYPES}.sheet.main+xml"/>'
        f'<Override PartName="/xl/worksheets/sheet1.xml" ContentType="{_TYPES}.worksheet+xml"/>'
        f'<Override PartName="/xl/styles.xml" ContentType="{_TYPES}.styles+xml"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{packaged}/relationships"><Relationship Id="r1" '
        f'Type="{related}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{_MAIN}" xmlns:r="{related}"><sheets>'
        '<sheet name="Sheet1" sheetId="1" r:id="r1"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{packaged}/relationships">'
        f'<Relationship Id="r1" Type="{related}/worksheet" Target="worksheets/sheet1.xml"/>'
        f'<Relationship Id="r2" Type="{related}/styles" Target="styles.xml"/></Relationships>',
        # The second format of a cell is that of a date: 14 is Excel's own.
        "xl/styles.xml": f'<styleSheet xmlns="{_MAIN}"><cellXfs count="2"><xf numFmtId="0"/>'
        '<xf numFmtId="14" applyNumberFormat="1"/></cellXfs></styleSheet>',
        "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{_MAIN}"><sheetData>{sheet}</sheetData>'
        "</worksheet>",
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, '<?xml version="1.0" encoding="UTF-8"?>' + content)
    return path
