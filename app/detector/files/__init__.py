"""Files as people have them: CSV, Excel, JSON and Parquet, read as series.

>>> from detector import files
>>> reading = files.read(b"Date;Sales\\n16/12/2021;100,5\\n17/12/2021;101\\n18/12/2021;99,5\\n")
>>> reading.description
"3 daily points from 'Date' and 'Sales', day first, decimal comma"
"""

from detector.files.columns import EVERY
from detector.files.content import Bounds
from detector.files.problems import FileError
from detector.files.reading import Reading, read

__all__ = ["EVERY", "Bounds", "FileError", "Reading", "read"]
