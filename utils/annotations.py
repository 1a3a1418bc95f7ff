"""The CSV of `--annotations`, in which people say what they know of their images."""

import codecs
import csv
import io
import posixpath
import unicodedata
from pathlib import Path

from utils.errors import RunError


def read_table(file: Path) -> tuple[list[str], list[tuple[int, dict[str, str]]], UnicodeDecodeError | None]:
    """The columns and the rows, with the numbers of their lines; and what is wrong if it is not UTF-8.

    File names that are not UTF-8 stand in it as bytes, as they do on the disk.
    """
    try:
        content, flaw = file.read_bytes(), None
        if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in content:
            raise RunError(
                f"cannot read --annotations {file}: it is UTF-16 or no text. Save it as CSV in UTF-8 (in Excel: CSV "
                "UTF-8)."
            )
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            text, flaw = content.decode("utf-8-sig", "surrogateescape"), error
        reader = table_reader(text)
        columns = [name.strip().lower() for name in reader.fieldnames or []]
        reader.fieldnames = columns
        return columns, [(reader.line_num, row) for row in reader], flaw
    except (OSError, csv.Error) as error:
        raise RunError(f"cannot read --annotations {file}: {error}.") from error


def table_reader(text: str) -> "csv.DictReader[str]":
    """A reader of a CSV's rows, whatever separates its columns: programs and countries have their own."""
    delimiter = max(",;\t", key=text.partition("\n")[0].count)
    return csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)


def plain_name(name: str) -> str:
    """A path or a class in the spelling in which it is compared where it is not found as it stands."""
    return unicodedata.normalize("NFC", posixpath.normpath(name.strip().replace("\\", "/")))
