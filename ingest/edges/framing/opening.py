"""The first bytes of a CSV source: the refusal of what is no CSV, its first record, its line end.

The line end of the first record is that of the source: where it is a lone CR, each of CR, LF and
CRLF ends a line; else LF and CRLF do, and a lone CR is text.

`FILE` in a hint stands for the path of the source.
"""

import codecs
from dataclasses import replace

from ingest.core.csv_machine import Ending, RecordEnd, RecordScanner
from ingest.core.model import Dialect
from ingest.edges.framing.values import ReadAt
from ingest.errors import UsageError

MAX_HEADER_BYTES = 1 << 20
BLOCK_BYTES = 16 << 10
"""Read beyond the longest header, so that its end is seen."""
_STEP_BYTES = 1 << 20

_BOM = codecs.BOM_UTF8
# UTF-32 before UTF-16: its little-endian mark begins with that of UTF-16.
_WIDE_BOMS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
_MAGIC = {
    b"\x1f\x8b": ("gzip data", "gunzip -k FILE.gz"),
    b"BZh": ("bzip2 data", "bunzip2 -k FILE.bz2"),
    b"\xfd7zXZ\x00": ("xz data", "xz -dk FILE.xz"),
    b"\x28\xb5\x2f\xfd": ("zstd data", "zstd -d FILE.zst"),
    b"PK\x03\x04": ("a zip archive", "unzip FILE"),
    b"PAR1": ("a Parquet file", ""),
    b"\xd0\xcf\x11\xe0": ("an old Excel workbook (xls)", "save it as CSV UTF-8"),
    b"SQLite format 3\x00": ("an SQLite database", ""),
    b"%PDF-": ("a PDF document", ""),
}


def checked(dialect: Dialect) -> Dialect:
    """The dialect with its encoding under its usual name."""
    separator, quote = dialect.separator, dialect.quote
    unusable = {"", "\r", "\n", "\0", quote}
    if len(separator) != 1 or not separator.isascii() or separator in unusable:
        raise UsageError(
            f"a delimiter is one ASCII character other than the quote, not {shown(separator)}",
            hint="for example --delimiter ';'",
            code="dialect_invalid",
        )
    if len(quote) > 1 or not quote.isascii() or quote in {"\r", "\n", "\0"}:
        raise UsageError(
            f"a quote is one ASCII character, or none, not {shown(quote)}",
            hint='--quote none, or for example --quote "\'"',
            code="dialect_invalid",
        )
    return replace(dialect, encoding=_usual_encoding(dialect.encoding))


def _usual_encoding(encoding: str) -> str:
    try:
        name = codecs.lookup(encoding).name
    except LookupError as error:
        raise UsageError(
            f"no encoding is known by the name {shown(encoding)}",
            hint="for example --encoding utf-8, cp1252 or iso8859-1",
            code="encoding_not_supported",
        ) from error
    if name in {"utf-8", "utf-8-sig"}:
        return "utf-8"
    if not _is_single_byte(name):
        raise _unsupported(name.upper())
    return name


def _is_single_byte(encoding: str) -> bool:
    """It extends ASCII, and each byte is one character or none, whatever follows it."""
    try:
        if bytes(range(128)).decode(encoding) != bytes(range(128)).decode("ascii"):
            return False
        return all(_is_alone(byte, encoding) for byte in range(128, 256))
    except (UnicodeError, LookupError, TypeError):
        return False


def _is_alone(byte: int, encoding: str) -> bool:
    for follower in (0x41, 0xA1):
        try:
            if len(bytes([byte, follower]).decode(encoding)) != 2:  # noqa: PLR2004 - two bytes
                return False
        except UnicodeDecodeError:
            continue
    return True


def _unsupported(encoding: str) -> UsageError:
    return UsageError(
        f"the text is {encoding}; UTF-8 and single-byte encodings are read",
        hint=f"convert it: iconv -f {encoding} -t UTF-8 FILE > FILE.utf8",
        code="encoding_not_supported",
    )


def refuse_foreign(data: bytes, dialect: Dialect) -> None:
    """Raise where these first bytes are no CSV in an encoding that is read."""
    for bom, encoding in _WIDE_BOMS.items():
        if data.startswith(bom):
            raise _unsupported(encoding)
    for magic, (name, way) in _MAGIC.items():
        if data.startswith(magic):
            raise _not_csv(data, name, way)
    if data.startswith(_BOM) and dialect.encoding != "utf-8":
        raise UsageError(
            f"the source begins with the mark of UTF-8, but {dialect.encoding} was asked for",
            hint="leave --encoding out",
            code="encoding_not_supported",
        )
    wide = _wide_by_nulls(data)
    if wide:
        raise _unsupported(wide)
    if not data.removeprefix(_BOM).strip(b"\r\n"):
        raise UsageError(
            "the source is empty: there is no header",
            hint="the first line names the columns; where it does not: --no-header --columns a,b,c",
            code="source_empty",
        )


def _not_csv(data: bytes, name: str, way: str) -> UsageError:
    if b"[Content_Types].xml" in data or b"xl/" in data[:4096]:
        name, way = "an Excel workbook (xlsx)", "save it as CSV UTF-8"
    return UsageError(
        f"the source is {name}, not CSV text",
        hint=f"first: {way}" if way else "export it as CSV",
        code="source_not_csv",
    )


def _wide_by_nulls(data: bytes) -> str | None:
    """The encoding whose ASCII letters would leave such a pattern of NULs."""
    sample = data[: 4096 & -4]
    least = len(sample) // 8  # a quarter of the even or of the odd bytes
    even, odd = sample[0::2].count(0), sample[1::2].count(0)
    if max(even, odd) <= least:
        return None
    if min(even, odd) > least:
        return "UTF-32BE" if sample[:1] == b"\0" else "UTF-32LE"
    return "UTF-16BE" if even > odd else "UTF-16LE"


def text_start(data: bytes) -> int:
    """Behind the byte order mark and blank lines."""
    begin = len(_BOM) if data.startswith(_BOM) else 0
    return begin + len(data[begin:]) - len(data[begin:].lstrip(b"\r\n"))


def first_record(
    data: bytes, begin: int, dialect: Dialect, *, final: bool, cap: int
) -> tuple[RecordEnd, Dialect]:
    """The end of the header, and the dialect with the line ends that it shows."""
    end = RecordScanner(replace(dialect, newline="\r")).feed(data[begin:], final=final)
    if end is None or end.stop > cap:
        raise UsageError(
            f"the header is longer than {cap:,} bytes",
            hint="is there a line end, and is each quote closed?",
            code="header_too_long",
        )
    if end.ending is not Ending.CLOSED:
        unclosed = end.ending is Ending.UNCLOSED
        raise UsageError(
            "a quote in the header is never closed"
            if unclosed
            else f"the quoting of the header is broken at byte {begin + end.quote}",
            hint=(
                "a quote is first and last in its cell, and doubled inside it;"
                " where quotes mean nothing: --quote none"
            ),
            code="header_quote_unclosed" if unclosed else "header_quote_illegal",
        )
    lone = end.terminated and end.following - end.stop == 1 and data[begin + end.stop] == ord("\r")
    return end, replace(dialect, newline="\r" if lone else "\n")


def line_end(read_at: ReadAt, size: int, begin: int, dialect: Dialect) -> str:
    """The line end behind the first record, or its first line; read on until it is there."""
    scanner = RecordScanner(replace(dialect, newline="\r"))
    for at in range(begin, size, _STEP_BYTES):
        block = read_at(at, min(_STEP_BYTES, size - at))
        final = len(block) < _STEP_BYTES or at + len(block) == size
        end = scanner.feed(block, final=final)
        if end is not None:
            last = read_at(begin + end.following - 1, 1) if end.terminated else b""
            return "\r" if last == b"\r" else "\n"
    return "\n"


def count_lines(data: bytes, dialect: Dialect) -> int:
    """Line ends in some bytes that do not end between CR and LF."""
    if dialect.newline == "\n":
        return data.count(b"\n")
    return data.count(b"\n") + data.count(b"\r") - data.count(b"\r\n")


def shown(name: str) -> str:
    """Quoted, and safe to print: nothing in it can steer a terminal."""
    most = 60
    text = name if len(name) <= most else name[:most] + "..."
    return '"' + "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text) + '"'
