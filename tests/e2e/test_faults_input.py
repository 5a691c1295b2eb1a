"""I1 to I28: what may be wrong with a file, each put before the installed command for real.

Every test ends with the invariant: `assert_recounted` where the file can be read, by readers that
share no code with the package, and `assert_refused` where it cannot.
"""

import codecs
import gzip
import io
import os
import shlex
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support import plain_rules
from tests.support.recount import (
    ERRORS,
    File,
    Lines,
    assert_recounted,
    assert_refused,
    measured,
)
from tests.support.workdir import Done, Server, Workdir

HEADER = b"event,customer_id,note\n"
GOOD = b"visit,c1,one\nvisit,c2,two\nvisit,c3,three\n"
ANY_TIME = "--no-timestamp"
MIB = 1 << 20


def put(work: Workdir, content: bytes, *, name: str = "events.csv", **facts: Any) -> File:
    """Write a file."""
    path = work.root / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return File(path, content, **facts)


def send(work: Workdir, server: Server, *what: str | Path | bytes, **options: Any) -> Done:
    """Run the command on something."""
    return work.json("run", *what, *work.to(server), ANY_TIME, **options)


def send_file(work: Workdir, server: Server, file: File, *flags: str) -> Done:
    """Run the command on one file, to its end."""
    return send(work, server, file.path, *flags)


def codes_of(done: Done) -> dict[str, int]:
    """How often each code came, of errors."""
    return done.summary["codes"]


# -- the header ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="I1-no-byte"),
        pytest.param(codecs.BOM_UTF8, id="I1-only-a-mark"),
        pytest.param(b"\r\n\n\n", id="I1-blank-lines"),
        pytest.param(gzip.compress(b""), id="I1-packed"),
    ],
)
def test_an_empty_file(work: Workdir, server: Server, content: bytes) -> None:
    """I1: a file without a header is refused; the hint has what to do where there is none."""
    file = put(work, content)

    done = send_file(work, server, file)

    assert_refused(work, done, "source_empty", "--no-header --columns", server=server)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(HEADER, id="I2-header"),
        pytest.param(HEADER.strip(), id="I2-no-line-end"),
        pytest.param(b"\n\n" + HEADER + b"\n\r\n", id="I2-blank-lines"),
    ],
)
def test_a_header_only(work: Workdir, server: Server, content: bytes) -> None:
    """I2: a header without records is a load of nothing: success, and not one request."""
    file = put(work, content, header=len(content))

    done = send_file(work, server, file)

    assert_recounted(work, [file], done, server)
    assert (done.code, done.summary["records"]["read"], server.requests()) == (0, 0, 0)


def test_a_file_without_a_header_I3(work: Workdir, server: Server) -> None:  # noqa: N802 - its case
    """I3: where the header is missing, the columns are; with their names typed, all are data."""
    file = put(work, GOOD, header=0)

    refused = send_file(work, server, file)
    assert_refused(work, refused, "event_column_missing", "'event'", "customer_id", server=server)
    done = send_file(work, server, file, "--no-header", "--columns", "event, customer_id ,note")

    assert_recounted(work, [file], done, server)
    assert done.summary["records"]["delivered"] == 3


@pytest.mark.parametrize(
    ("flags", "code"),
    [
        pytest.param(("--no-header",), "columns_missing", id="I3-no-names"),
        pytest.param(("--columns", "a,b,c"), "columns_with_header", id="I3-names-alone"),
        pytest.param(("--no-header", "--columns", "a,,c"), "columns_blank", id="I3-blank-name"),
        pytest.param(("--no-header", "--columns", "a,B,b"), "header_duplicate", id="I3-repeated"),
        pytest.param(("--no-header", "--columns", "a,b"), "columns_differ", id="I3-too-few"),
    ],
)
def test_names_that_do_not_fit(
    work: Workdir, server: Server, flags: Sequence[str], code: str
) -> None:
    """I3: names of columns that cannot be those of the file are refused."""
    file = put(work, GOOD)

    done = send_file(work, server, file, *flags)

    assert_refused(work, done, code, server=server)


def test_a_wrong_header_I3(work: Workdir, server: Server) -> None:  # noqa: N802 - its case
    """I3: a header with other names is refused with flags to paste, and they are the right ones."""
    content = b"EventName,CustomerID,note\n" + GOOD
    file = put(work, content)

    refused = send_file(work, server, file)
    assert_refused(work, refused, "event_column_missing", server=server)
    hint = refused.summary["error"]["hint"]
    flags = shlex.split(hint.removeprefix("add ").split(" (")[0])
    done = send_file(work, server, file, *flags)

    assert flags == ["--map", "event=EventName", "--map", "customer_id=CustomerID"]
    assert_recounted(work, [file], done, server)


@pytest.mark.parametrize(
    "header",
    [
        pytest.param(b"event,email,email\n", id="I4-same"),
        pytest.param(b"event,email,EMAIL\n", id="I4-upper-case"),
        pytest.param("event,straße,STRASSE\n".encode(), id="I4-case-of-unicode"),
    ],
)
def test_a_name_twice_in_the_header(work: Workdir, server: Server, header: bytes) -> None:
    """I4: two columns of one name are refused; one can be left out by its place."""
    file = put(work, header + b"visit,a@example.com,b\n", columns=("event", "email"))

    refused = send_file(work, server, file)
    assert_refused(work, refused, "header_duplicate", "--drop '#3'", server=server)
    done = send_file(work, server, file, "--drop", "#3", "--set", "customer_id=c1")

    assert done.code == 0
    assert [body["event"] for body in server.bodies().values()] == ["visit"]


def test_a_blank_name_in_the_header_I5(work: Workdir, server: Server) -> None:  # noqa: N802 - its case
    """I5: a column without a name is refused; an index column can be left out by its place."""
    rows = b"".join(b"%d,visit,c%d\n" % (n, n) for n in range(5))
    file = put(work, b",event,customer_id\n" + rows)

    refused = send_file(work, server, file)
    assert_refused(work, refused, "header_blank", "column 1 of 3", "--drop '#1'", server=server)
    done = send_file(work, server, file, "--drop", "#1")

    assert (done.code, done.summary["records"]["delivered"]) == (0, 5)
    sent = [
        {name: text for name, text in body.items() if name != "event_uuid"}
        for body in server.bodies().values()
    ]
    assert sent == [{"event": "visit", "customer_id": f"c{n}"} for n in range(5)]


def test_a_byte_order_mark_I6(work: Workdir, server: Server) -> None:  # noqa: N802 - its case
    """I6: the mark of UTF-8 is no part of the first name; the first column is found."""
    file = put(work, codecs.BOM_UTF8 + HEADER + GOOD)

    done = send_file(work, server, file)

    assert_recounted(work, [file], done, server)
    assert done.code == 0


# -- encodings -------------------------------------------------------------------------------

NAMES = "event,customer_id,note\nvisit,c1,Zoë\nvisit,c2,naïve café\n"
JAPANESE = "event,customer_id,メモ\nvisit,c1,東京\n"


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        pytest.param(NAMES, "utf-16", id="I7-utf-16-with-a-mark"),
        pytest.param(NAMES, "utf-16-le", id="I7-utf-16-le"),
        pytest.param(NAMES, "utf-16-be", id="I7-utf-16-be"),
        pytest.param(NAMES, "utf-32", id="I7-utf-32"),
        pytest.param(JAPANESE, "shift_jis", id="I7-shift-jis"),
    ],
)
def test_an_encoding_that_is_not_read(
    work: Workdir, server: Server, text: str, encoding: str
) -> None:
    """I7: the encoding is refused by its name, and the command of the hint makes it readable."""
    file = put(work, text.encode(encoding))
    flags = ("--encoding", encoding) if encoding == "shift_jis" else ()

    refused = send_file(work, server, file, *flags)
    assert_refused(work, refused, "encoding_not_supported", encoding.upper()[:6], server=server)
    command = refused.summary["error"]["hint"].removeprefix("convert it: ")
    subprocess.run(command, shell=True, check=True, cwd=work.root)
    made = Path(f"{file.path}.utf8")
    columns = tuple(text.splitlines()[0].split(","))
    converted = File(made, made.read_bytes(), columns=columns)
    done = send_file(work, server, converted)

    assert converted.content.removeprefix(codecs.BOM_UTF8).decode() == text
    assert_recounted(work, [converted], done, server)
    assert done.code == 0


def test_a_header_in_another_encoding_I7(work: Workdir, server: Server) -> None:  # noqa: N802 - its case
    """I7: a header that is not UTF-8 is refused with the place of the first wrong byte."""
    file = put(work, JAPANESE.encode("shift_jis"))

    done = send_file(work, server, file)

    wrong = len(b"event,customer_id,")
    assert_refused(
        work, done, "header_not_text", f"byte {wrong} (0x83)", "--encoding", server=server
    )


def test_cells_in_another_encoding_I7(work: Workdir, server: Server) -> None:  # noqa: N802 - its case
    """I7: cells that are not UTF-8 are rejected with the place of the byte; nothing is replaced."""
    content = NAMES.encode("latin-1") + b"visit,c3,plain\n"
    file = put(work, content)

    done = send_file(work, server, file)

    (reports,) = assert_recounted(work, [file], done, server)
    assert codes_of(done) == {"utf8_invalid": 2}
    reasons = [row["_reject_reason"] for row in reports.csv]
    assert f"byte {content.index(0xEB)} (0xEB)" in reasons[0]
    assert f"byte {content.index(0xEF)} (0xEF)" in reasons[1]
    assert "\ufffd" not in str(server.bodies())


@pytest.mark.parametrize(
    "encoding",
    [
        pytest.param("latin-1", id="I7-latin-1-named"),
        pytest.param("cp1252", id="I7-cp1252-named"),
    ],
)
def test_an_encoding_of_one_byte_a_character(work: Workdir, server: Server, encoding: str) -> None:
    """I7: named, an encoding of one byte a character is read exactly; what it lacks is rejected."""
    content = NAMES.encode(encoding) + b"visit,c3,\x81\n" * (encoding == "cp1252")
    file = put(work, content, encoding=encoding)

    done = send_file(work, server, file, "--encoding", encoding)

    assert_recounted(work, [file], done, server)
    assert done.summary["records"]["delivered"] == 2
    assert codes_of(done) == ({"utf8_invalid": 1} if encoding == "cp1252" else {})


def test_one_cell_that_is_no_utf8_I8(work: Workdir, server: Server) -> None:  # noqa: N802 - its case
    """I8: invalid UTF-8 in one cell rejects that record, whatever kind it is; the others go."""
    wrong = [b"\xff", b"\xc3", b"\xa9", b"\xed\xa0\x80", b"\xc0\x80", b"\xf4\x90\x80\x80"]
    rows = b"".join(b"visit,c%d,%s\nvisit,d%d,fine\n" % (n, w, n) for n, w in enumerate(wrong))
    file = put(work, HEADER + rows)

    done = send_file(work, server, file)

    assert_recounted(work, [file], done, server)
    assert codes_of(done) == {"utf8_invalid": len(wrong)}


def test_a_nul_in_a_cell_I9(work: Workdir, server: Server) -> None:  # noqa: N802 - its case
    """I9: a NUL in a cell is a character like others: sent escaped, nothing is cut off."""
    file = put(work, HEADER + GOOD + b'visit,c4,a\0b\nvisit,c5,"\0"\nvisit,c6,tail\0\0\n')

    done = send_file(work, server, file)

    assert_recounted(work, [file], done, server)
    assert done.code == 0
    notes = [body["note"] for body in server.bodies().values()]
    assert notes[3:] == ["a\0b", "\0", "tail\0\0"]


# -- lines -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "ends"),
    [
        pytest.param("\r", ["\r"], id="I10-CR"),
        pytest.param("\r\n", ["\r\n"], id="I10-CRLF"),
        pytest.param("\n", ["\n", "\r\n"], id="I10-LF-and-CRLF"),
        pytest.param("\r\n", ["\n", "\r\n"], id="I10-CRLF-and-LF"),
        pytest.param("\r", ["\r\n", "\n", "\r"], id="I10-all-three"),
    ],
)
def test_line_ends(work: Workdir, server: Server, header: str, ends: list[str]) -> None:
    """I10: whatever ends the lines, even mixed, each is a record, and blank ones are none."""
    first = "event,customer_id,note" + header
    lines = [f"visit,c{n},{n}" + ends[n % len(ends)] + ends[0] * (n % 30 == 7) for n in range(90)]
    content = "".join((first, *lines)).encode()
    file = put(work, content, header=len(first), newline="\r" if header == "\r" else "\n")

    done = send_file(work, server, file)

    assert_recounted(work, [file], done, server)
    assert done.summary["records"]["delivered"] == 90


@pytest.mark.parametrize(
    "end", [pytest.param(b"", id="I11-none"), pytest.param(b"\r", id="I11-half-of-CRLF")]
)
def test_a_last_line_without_its_end(work: Workdir, server: Server, end: bytes) -> None:
    """I11: a last record without its line end is sent, with a warning."""
    file = put(work, HEADER + GOOD.removesuffix(b"\n") + end)

    done = send_file(work, server, file)

    assert_recounted(work, [file], done, server)
    assert done.summary["records"]["delivered"] == 3
    assert done.summary["warnings"]["last_line_unterminated"] == 1


def test_a_last_record_cut_at_every_byte_I12(work: Workdir, server: Server) -> None:  # noqa: N802 - its case
    """I12: cut anywhere, a last record is sent only where all its cells are there."""
    last = b'visit,c2,"a ""quoted"" note"\n'
    whole = last.rindex(b",") + 1
    files = [
        put(work, HEADER + b"visit,f%d,x\n" % size + last[:size], name=f"cut/{size:02}.csv")
        for size in range(1, len(last))
    ]

    done = send(work, server, work.root / "cut")

    assert_recounted(work, files, done, server)
    # Then its last cell is empty, or open, or closed: at the end, and at the quote of each pair.
    closed = last.count(b'""') + 1
    assert codes_of(done) == {
        "row_truncated": whole - 1,
        "quote_unclosed": len(last) - whole - 1 - closed,
    }
    assert done.summary["warnings"]["last_line_unterminated"] == 1 + closed


def test_a_last_record_that_is_still_written_I12(work: Workdir, server: Server) -> None:  # noqa: N802 - its case
    """I12: `--growing` leaves a last line without its end until it is whole; it is sent once."""
    half = put(work, HEADER + GOOD + b"visit,c4,fo")

    first = send_file(work, server, half, "--growing")
    with half.path.open("ab") as more:
        more.write(b"ur\n")
    done = send_file(work, server, half, "--growing")

    assert first.summary["records"]["read"] == 3
    assert [body["note"] for body in server.bodies().values()] == ["one", "two", "three", "four"]
    assert set(server.times().values()) == {1}
    assert done.summary["records"] | {"unsent": 0} == done.summary["records"]
    assert done.summary["records"]["delivered"] == 4


# -- quotes and fields -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "tail",
    [
        pytest.param(b"visit,c5,five\nvisit,c6,six\n", id="I13-short"),
        pytest.param(b"".join(b"visit,t%d,x\n" % n for n in range(150)), id="I13-many-lines"),
        pytest.param(
            b"visit,c5,long\n" + b"visit,c6,%s\n" % (b"y" * 900_000) * 3, id="I13-over-the-cap"
        ),
    ],
)
def test_a_quote_that_nothing_closes(work: Workdir, server: Server, tail: bytes) -> None:
    """I13: an open quote costs one line; what follows is read, and marked for 64 lines."""
    file = put(work, HEADER + GOOD + b'visit,c4,"four\n' + tail)

    done = send_file(work, server, file)

    (reports,) = assert_recounted(work, [file], done, server)
    assert codes_of(done) == {"quote_unclosed": 1}
    assert [(line["record"], line["line"]) for line in reports.jsonl] == [(4, 5)]
    assert done.summary["records"]["read"] == 4 + tail.count(b"\n")
    assert done.summary["warnings"]["resynced"] == min(64, tail.count(b"\n"))


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(b'visit,c4,5" screen\n', id="I14-in-a-bare-cell"),
        pytest.param(b'visit,c4,"5" screen"\n', id="I14-text-after-it"),
        pytest.param(b'visit,c4,"he said "hi", ok"\n', id="I14-not-doubled"),
        pytest.param(b'visit,c4, "x"\n', id="I14-behind-a-blank"),
        pytest.param(b'visit,c4,"x"\t\n', id="I14-before-a-tab"),
    ],
)
def test_a_quote_that_is_not_doubled(work: Workdir, server: Server, row: bytes) -> None:
    """I14: an illegal quote rejects its line, and nothing of the lines around it."""
    file = put(work, HEADER + GOOD + row + GOOD.replace(b"c", b"d"))

    done = send_file(work, server, file)

    assert_recounted(work, [file], done, server)
    assert codes_of(done) == {"quote_illegal": 1}


def test_quotes_that_mean_nothing_I14(work: Workdir, server: Server) -> None:  # noqa: N802 - its case
    """I14: with `--quote none` a quote is a character, and with `--quote` another one quotes."""
    plain = put(work, HEADER + b'visit,c1,5" screen\nvisit,"c2,x\n', name="plain.csv", quote="")
    other = put(
        work, HEADER + b"visit,c3,'a,b'\nvisit,c4,'it''s \"x'\n", name="other.csv", quote="'"
    )

    done = send_file(work, server, plain, "--quote", "none")

    assert_recounted(work, [plain], done, server)
    server.clear()
    done = send_file(work, server, other, "--quote", "'")
    assert_recounted(work, [other], done, server)
    assert done.code == 0


def test_too_few_and_too_many_fields_I15(work: Workdir, server: Server) -> None:  # noqa: N802 - its case
    """I15: a record of another width is rejected, nothing is padded, moved or left out."""
    rows = [b"visit", b"visit,c2", b"visit,c3,x,y", b"visit,c4,x,", b",,,", b"visit,c5,x", b",c6,x"]
    file = put(work, HEADER + b"\n".join(rows) + b"\n" + b"visit,c7," + b"x," * 5000 + b"\n")

    done = send_file(work, server, file)

    assert_recounted(work, [file], done, server)
    assert codes_of(done) == {
        "row_too_few_fields": 2,
        "row_too_many_fields": 4,
        "event_missing": 1,
    }


def test_everything_inside_quotes_I16(work: Workdir, server: Server) -> None:  # noqa: N802 - its case
    """I16: line ends, commas and quotes inside quotes arrive as they are."""
    cells = [
        "a,b",
        "c\nd",
        'say "hi"',
        '""',
        "\r\n\n\r",
        ",\n,",
        '"',
        " x ",
        "visit,c1,x\nvisit,c2,y\n",
    ]
    rows = [f'visit,c{n},"{cell.replace(chr(34), chr(34) * 2)}"' for n, cell in enumerate(cells)]
    file = put(work, HEADER + "\n".join(rows).encode() + b"\n")

    done = send_file(work, server, file)

    assert_recounted(work, [file], done, server)
    assert [body["note"] for body in server.bodies().values()] == cells


@pytest.mark.parametrize(
    ("separator", "typed"),
    [
        pytest.param(";", ";", id="I17-semicolon"),
        pytest.param("\t", "tab", id="I17-tab"),
        pytest.param("|", "|", id="I17-bar"),
    ],
)
def test_another_delimiter(work: Workdir, server: Server, separator: str, typed: str) -> None:
    """I17: a delimiter is found; a wrong one that was typed is refused with the right one."""
    content = (HEADER + GOOD + b'visit,c4,"a,b;c|d\te"\n').replace(b",", separator.encode())
    file = put(work, content, separator=separator)

    refused = send_file(work, server, file, "--delimiter", ",")
    assert_refused(work, refused, "delimiter_wrong", "--delimiter", typed, server=server)
    found = send_file(work, server, file)
    assert_recounted(work, [file], found, server)
    server.clear()
    named = send_file(work, server, file, "--delimiter", typed, "--as", "again")

    assert found.summary["records"] == named.summary["records"]
    assert named.code == 0


def test_two_delimiters_that_fit_I17(work: Workdir, server: Server) -> None:  # noqa: N802 - its case
    """I17: where two delimiters fit, nobody guesses: it is asked, and the answer is taken."""
    content = b"event,customer_id,a;b\nvisit,c1,1;2\nvisit,c2,3;4\n"
    file = put(work, content, columns=("event", "customer_id", "a;b"))

    refused = send_file(work, server, file)
    assert_refused(work, refused, "delimiter_ambiguous", "--delimiter ','", server=server)
    done = send_file(work, server, file, "--delimiter", ",")

    assert_recounted(work, [file], done, server)
    assert done.code == 0


# -- size ------------------------------------------------------------------------------------


def checked_size(variable: str, default: int) -> int:
    """Bytes of a large file: modest by default, whole by an environment variable."""
    return int(float(os.environ.get(variable, default)))


@pytest.mark.parametrize(
    "quoted", [pytest.param(False, id="I18-line"), pytest.param(True, id="I18-cell")]
)
def test_one_huge_record(work: Workdir, quoted: bool) -> None:  # noqa: FBT001 - a parameter
    """I18: a record of any size is rejected in the memory of a chunk, and reading goes on.

    `INGEST_I18_BYTES=1e9` makes it a gigabyte.
    """
    size = checked_size("INGEST_I18_BYTES", 200 * MIB)
    path = work.root / "events.csv"
    mark = b'"' if quoted else b""
    with path.open("wb") as file:
        file.write(HEADER + GOOD * 100 + b"visit,c4," + mark)
        file.seek(size, io.SEEK_CUR)  # a hole: NULs that take no room on the disk
        file.write(mark + b"\n" + GOOD)

    done, peak_mib = measured(work, "check", path, ANY_TIME)

    assert peak_mib < 400, "memory must not grow with the record"
    assert done.code == 3
    assert codes_of(done) == {"record_too_large": 1}
    assert done.summary["records"] == {
        "read": 304, "delivered": 0, "rejected": 1, "refused": 0, "unsent": 303,
    }  # fmt: skip
    (told,) = done.summary["sources"]
    line = (work.root / told["reports"]["rejects_jsonl"]).read_text()
    assert f"{size + 9 + 2 * quoted:,} bytes" in line
    assert '"record":301,"line":302' in line.replace(" ", "")


def test_the_cap_of_a_record_I18(work: Workdir, server: Server) -> None:  # noqa: N802 - its case
    """I18: the cap is a setting, exact to the byte, and belongs to the load."""
    rows = [b"visit,c%d,%s" % (n, b"x" * (n * 5)) for n in range(1, 9)]
    file = put(work, HEADER + b"\n".join(rows) + b"\n", cap=34)

    done = send_file(work, server, file, "--max-record-bytes", "34")
    other = send_file(work, server, file, "--max-record-bytes", "35")

    assert_recounted(work, [file], done, server)
    assert codes_of(done) == {"record_too_large": 3}
    assert (other.code, other.summary["error"]["code"]) == (5, "config_changed")


def test_a_hundred_thousand_columns_I19(work: Workdir, server: Server) -> None:  # noqa: N802 - its case
    """I19: a header of 100,000 columns is refused; as many cells in a record reject that one."""
    wide = ",".join(f"c{n}" for n in range(100_000)).encode()
    header = put(work, b"event,customer_id," + wide + b"\n", name="wide.csv")
    record = put(work, HEADER + GOOD + b"visit,c1," + wide + b"\n" + GOOD, name="record.csv")

    refused = send_file(work, server, header)
    assert_refused(work, refused, "header_too_wide", "100,002 columns", server=server)
    done = send_file(work, server, record)

    assert_recounted(work, [record], done, server)
    assert codes_of(done) == {"row_too_many_fields": 1}


# -- values ----------------------------------------------------------------------------------


def test_text_stays_text_I20(work: Workdir, server: Server) -> None:  # noqa: N802 - its case
    """I20: leading zeros, exponents, long integers and decimals arrive as they were typed."""
    cells = [
        "007", "1e5", "1E400", "12345678901234567890123", "17850.0", "0.10", "-0", "+5", ".5", "5.",
        "0x1F", "1_000", "1,000", "TRUE", "2024-01-01", "01/02/2024", "=1+1", "1e-7", "Infinity",
    ]  # fmt: skip
    rows = "".join(f'visit,{n:05},"{cell}"\n' for n, cell in enumerate(cells))
    file = put(work, HEADER + rows.encode())

    done = send_file(work, server, file)

    assert_recounted(work, [file], done, server)
    bodies = server.bodies().values()
    assert [body["note"] for body in bodies] == cells
    assert [body["customer_id"] for body in bodies] == [f"{n:05}" for n in range(len(cells))]


def test_words_for_nothing_as_identity_I21(work: Workdir, server: Server) -> None:  # noqa: N802 - its case
    """I21: an identity is empty by the written rule alone; a placeholder is a person of no one."""
    placeholders = ["NULL", "null", "\\N", "NaN", "nan", "None", "undefined"]
    blank = ["", " ", "\t", "\u3000", "\x1f", "\u2003 "]
    taken = ["Null", "NONE", "N/A", "0", "\u200b", "-", "nobody", "NULL1"]
    rows = "".join(f'visit,"{cell}",x\n' for cell in placeholders + blank + taken)
    file = put(work, HEADER + rows.encode())

    done = send_file(work, server, file)

    assert_recounted(work, [file], done, server)
    assert codes_of(done) == {"identity_placeholder": 7, "identity_missing": 6}
    assert [body["customer_id"] for body in server.bodies().values()] == taken


def test_a_token_for_nothing_I21(work: Workdir, server: Server) -> None:  # noqa: N802 - its case
    """I21: `--null` makes a text an empty cell, and then it is no identity either."""
    file = put(work, HEADER + b"visit,N/A,x\nvisit,c1,N/A\n")

    done = send_file(work, server, file, "--null", "N/A")

    assert codes_of(done) == {"identity_missing": 1}
    (body,) = server.bodies().values()
    assert {**body, "event_uuid": ""} == {"event": "visit", "customer_id": "c1", "event_uuid": ""}


def test_names_of_events_I22(work: Workdir, server: Server) -> None:  # noqa: N802 - its case
    """I22: each name gets the verdict of the written rules: blanks, digits, periods, 64 characters."""
    spaces = [chr(c) for c in range(sys.maxunicode + 1) if chr(c).isspace()]
    names = [
        "", ".", "a.b", "a\u2024b", *spaces, *(f"a{c}b" for c in spaces), "1", "-1", "1.5", "1e5",
        "１２", "١٢٣", "१२", "½", "²", "12a", "1_000", "x" * 64, "x" * 65, "é" * 64, "é" * 65,
        "e\u0301" * 32, "e\u0301" * 33, "👍" * 64, "👍" * 65, "👨‍👩‍👧" * 12, "👨‍👩‍👧" * 13, "caf\u00e9",
        "cafe\u0301", "\u200b", "Ünïcödé", "\ufeffvisit",
    ]  # fmt: skip
    rows = "".join(f'"{name}",c{n},x\n' for n, name in enumerate(names))
    file = put(work, HEADER + rows.encode())

    done = send_file(work, server, file)

    assert_recounted(work, [file], done, server)
    judged = [plain_rules.violations({"event": n, "customer_id": "c"}) & ERRORS for n in names]
    assert done.summary["records"]["rejected"] == sum(map(bool, judged))
    assert len(spaces) == 29
    assert set(codes_of(done)) == {
        "event_missing", "event_has_period", "event_has_whitespace", "event_numeric", "event_too_long",
    }  # fmt: skip


# -- JSON lines ------------------------------------------------------------------------------

SOUND: frozenset[str] = frozenset()
INVALID = frozenset({"json_invalid"})
NO_OBJECT = frozenset({"json_not_object"})
DEEP = b'{"event":"visit","customer_id":"c1","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}"


def event_of(member: str) -> bytes:
    """An event with one more member."""
    return b'{"event":"visit","customer_id":"c1",' + member.encode("utf-8", "surrogatepass") + b"}"


LINES: list[tuple[bytes, frozenset[str] | None]] = [
    (event_of('"n":1'), SOUND),
    (b"no json", INVALID),
    (b'{"event":"visit","customer_id":"c1"', INVALID),
    (b'{"event":"visit","customer_id":"c1"} {}', INVALID),
    (b'{"event":"visit","customer_id":"c1",}', INVALID),
    (b"{'event':'visit'}", INVALID),
    (b"[1,2]", NO_OBJECT),
    (b'["event","visit"]', NO_OBJECT),
    (b"5", NO_OBJECT),
    (b'"text"', NO_OBJECT),
    (b"null", NO_OBJECT),
    (b"", None),
    (b" \t ", None),
    (b"\r", None),
    (event_of('"n":NaN'), INVALID),
    (event_of('"n":Infinity'), INVALID),
    (event_of('"n":-Infinity'), INVALID),
    (event_of('"n":1e999'), INVALID),
    (event_of('"n":01'), INVALID),
    (DEEP, INVALID),
    (event_of('"n":' + "9" * 5000), INVALID),
    (event_of('"n":9007199254740993'), SOUND),
    (event_of('"n":123456789012345678901234567890'), SOUND),
    (event_of('"n":-0.10,"m":1E5,"k":1.0'), SOUND),
    (event_of('"s":"\\ud800"'), INVALID),
    (event_of('"s":"\\udc00\\ud800"'), INVALID),
    (event_of('"s":"\ud800"'), INVALID),
    (event_of('"s":"\\ud83d\\ude00 \\u0000"'), SOUND),
    (event_of('"s":"a\tb"'), INVALID),
    (event_of('"s":') + b'"\xff"', INVALID),
    (event_of('"event":"again"'), frozenset({"json_duplicate_key"})),
    (event_of('"customer_id":"c2"'), frozenset({"json_duplicate_key"})),
    (event_of('"x":{"y":{"z":[1,{"deep":null}]}}'), SOUND),
    (b' \t{"event":"visit","customer_id":"c1"} ', SOUND),
    (b'{"event":5,"customer_id":"c1"}', frozenset({"event_not_string", "event_numeric"})),
    (b'{"event":["visit"],"customer_id":"c1"}', frozenset({"event_not_string"})),
    (b'{"customer_id":"c1"}', frozenset({"event_missing"})),
    (b'{"event":"visit","customer_id":null}', frozenset({"identity_missing"})),
    (b'{"event":"visit","customer_id":true}', frozenset({"identity_not_string"})),
    (b"{}", frozenset({"event_missing", "identity_missing"})),
    (event_of('"last":1'), SOUND),
]


def test_lines_of_json_I23(work: Workdir, server: Server) -> None:  # noqa: N802 - its case
    """I23: each line is rejected by its own fault, or arrives as it is; the file goes on."""
    file = Lines(work.root / "events.jsonl", LINES)
    file.path.write_bytes(file.content)

    done = send(work, server, file.path)

    assert_recounted(work, [file], done, server)
    assert done.summary["records"]["delivered"] == sum(codes == SOUND for _, codes in LINES)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param(b'[{"event":"a","customer_id":"1"}]\n', "array", id="I23-one-array"),
        pytest.param(
            b'[\n{"event":"a","customer_id":"1"},\n{"event":"b"}\n]',
            "array",
            id="I23-array-of-lines",
        ),
    ],
)
def test_an_array_instead_of_lines(
    work: Workdir, server: Server, content: bytes, words: str
) -> None:
    """I23: a file that is one JSON array is refused; the hint has the command that makes lines."""
    file = put(work, content, name="events.jsonl")

    done = send(work, server, file.path)

    assert_refused(work, done, done.summary["error"]["code"], words, "jq", server=server)


# -- what is no CSV at all -------------------------------------------------------------------


def zipped(content: bytes) -> bytes:
    """A zip archive with one member."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("events.csv", content)
    return out.getvalue()


def test_gzip_with_the_name_of_a_csv_I24(work: Workdir, server: Server) -> None:  # noqa: N802 - its case
    """I24: gzip is known by its first bytes: read as what is in it, its ids those of the content."""
    content = HEADER + GOOD * 3
    file = put(work, gzip.compress(content))

    done = send_file(work, server, file)

    assert_recounted(work, [File(file.path, content)], done, server)
    assert done.code == 0


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [
        pytest.param(zipped(HEADER + GOOD), "source_not_csv", "unzip ", id="I24-zip"),
        pytest.param(zipped(b"\0" * (64 << 20)), "source_not_csv", "zip", id="I24-zip-bomb"),
        pytest.param(b"BZh91AY&SY" + b"x" * 99, "source_not_csv", "bunzip2", id="I24-bzip2"),
        pytest.param(b"PAR1" + b"\0" * 99, "source_not_csv", "Parquet", id="I24-parquet"),
        pytest.param(b"\x1f\x8b\x08\0broken", "source_damaged", "gzip", id="I24-broken-gzip"),
        pytest.param(gzip.compress(HEADER + GOOD * 999)[:-40], "source_damaged", "cut short", id="I24-cut-gzip"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_text(
    work: Workdir, server: Server, content: bytes, code: str, words: str
) -> None:
    """I24: what is no CSV is known by its first bytes and refused; the hint says what to do."""
    file = put(work, content)

    done = send_file(work, server, file)

    assert_refused(work, done, code, words, server=server)


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(b"visit,c1,x\n", id="I24-gzip-bomb-of-records"),
        pytest.param(b"\0", id="I24-gzip-bomb-of-nothing"),
    ],
)
def test_a_bomb(work: Workdir, line: bytes) -> None:
    """I24: what unpacks to more than 200 times its size is refused, in the memory of a chunk."""
    path = work.root / "events.csv.gz"
    with gzip.open(path, "wb", compresslevel=9) as packed:
        packed.write(HEADER + GOOD * 500)
        for _ in range(160):
            packed.write(line * (MIB // len(line)))

    done, peak_mib = measured(work, "run", "--sandbox", path, ANY_TIME)

    assert path.stat().st_size * 200 < 160 * MIB
    assert_refused(work, done, "source_bomb", "200 times", server=work.server)
    assert peak_mib < 250


# -- what is no file at all ------------------------------------------------------------------


def _directory(work: Workdir) -> Path:
    (work.root / "empty").mkdir()
    return work.root / "empty"


def _fifo(work: Workdir) -> Path:
    os.mkfifo(work.root / "pipe.csv")
    return work.root / "pipe.csv"


@pytest.mark.parametrize(
    ("place", "code", "words"),
    [
        pytest.param(_directory, "source_missing", "gives no file", id="I25-empty-directory"),
        pytest.param(_fifo, "source_not_a_file", "a pipe, not a file", id="I25-pipe"),
        pytest.param(lambda _: Path("/dev/zero"), "source_not_a_file", "a device", id="I25-dev-zero"),
        pytest.param(lambda _: Path("/dev/null"), "source_not_a_file", "a device", id="I25-dev-null"),
        pytest.param(lambda work: work.root / "no.csv", "source_missing", "no.csv", id="I25-missing"),
        pytest.param(lambda work: work.root / "no*.csv", "source_missing", "quotes", id="I25-pattern"),
    ],
)  # fmt: skip
def test_what_is_no_file(
    work: Workdir,
    server: Server,
    place: Callable[[Workdir], Path],
    code: str,
    words: str,
) -> None:
    """I25: what is not there or is no regular file is refused by name, without a wait."""
    done = send(work, server, place(work))

    assert_refused(work, done, code, words, server=server)


def test_a_directory_of_files_I25(work: Workdir, server: Server) -> None:  # noqa: N802 - its case
    """I25: a directory stands for the data files below it, in a fixed order."""
    files = [
        put(work, HEADER + GOOD.replace(b"c", b"%d" % n), name=f"day/{n}.csv") for n in range(3)
    ]
    put(work, b"no data", name="day/notes.txt")

    done = send(work, server, work.root / "day")

    assert_recounted(work, files, done, server)
    assert done.code == 0


@pytest.mark.parametrize("kind", ["I25-pipe", "I25-file"])
def test_standard_input(work: Workdir, server: Server, kind: str) -> None:
    """I25: `-` reads standard input to its end into a private file first, and then as any other."""
    content = HEADER + GOOD + b"visit,,nobody\n"
    file = put(work, content)
    with file.path.open("rb") as handle:
        if kind == "I25-file":
            done = send(work, server, "-", stdin=handle)
        else:
            with subprocess.Popen(["cat"], stdin=handle, stdout=subprocess.PIPE) as cat:
                done = send(work, server, "-", stdin=cat.stdout)

    assert_recounted(work, [file], done, server)
    assert not list((work.state / "spool").iterdir()), "what was kept is gone when all is done"


def test_an_unreadable_file_I25(work: Workdir, server: Server) -> None:  # noqa: N802 - its case
    """I25: a file that may not be read is refused by name, before anything is sent."""
    good, bad = put(work, HEADER + GOOD, name="a.csv"), put(work, HEADER + GOOD, name="b.csv")
    bad.path.chmod(0)
    command = [sys.executable, "-P", "-m", "ingest"]
    if os.geteuid() == 0:  # root reads everything, unless it gives that up
        setpriv = shutil.which("setpriv")
        if setpriv is None:
            pytest.skip("root without setpriv")
        lost = "-dac_override,-dac_read_search"
        command = [setpriv, f"--bounding-set={lost}", f"--inh-caps={lost}", *command]

    done = send(work, server, good.path, bad.path, command=command)

    assert_refused(work, done, "source_unreadable", "b.csv", "Permission denied", server=server)


# -- amounts ---------------------------------------------------------------------------------


def test_true_repeats_I26(work: Workdir, server: Server) -> None:  # noqa: N802 - its case
    """I26: identical rows are events of their own, each with its id, the same after a resume."""
    file = put(work, HEADER + b"visit,c1,same\n" * 50)

    first = send_file(work, server, file, "--limit", "20")
    ids = server.order()
    done = send_file(work, server, file)

    assert_recounted(work, [file], done, server)
    assert first.summary["records"]["delivered"] == len(set(ids)) == 20
    assert set(ids) <= set(server.order())
    assert len(set(server.order())) == 50


def test_memory_is_flat_I27(work: Workdir) -> None:  # noqa: N802 - its case
    """I27: a file several times as long takes no more memory.

    `INGEST_I27_BYTES=5e9` makes it the whole 5 GB.
    """
    size = checked_size("INGEST_I27_BYTES", 150 * MIB)
    block = b"".join(b"visit,customer-%07d,%s\n" % (n, b"note " * 20) for n in range(8000))
    path, peaks, counts = work.root / "events.csv", [], []
    for times in (size // len(block) // 5, size // len(block)):
        with path.open("wb") as file:
            file.write(HEADER)
            for _ in range(times):
                file.write(block)
        done, peak_mib = measured(work, "check", path, ANY_TIME)
        peaks.append(peak_mib)
        counts.append((done.summary["records"]["read"], times * 8000, done.code))

    assert [(read, code) for read, _, code in counts] == [(made, 0) for _, made, _ in counts]
    assert max(peaks) < 450, f"{peaks} MiB"
    assert peaks[1] < peaks[0] + 120, f"{peaks} MiB"


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(b"no.name,c%d,x", id="I28-by-the-rules"),
        pytest.param(b"visit,c%d", id="I28-by-reading"),
        pytest.param(b'visit,c%d,"x"y', id="I28-quotes"),
        pytest.param(b"\xff,c%d,x", id="I28-bytes"),
    ],
)
def test_all_records_are_invalid(work: Workdir, server: Server, row: bytes) -> None:
    """I28: a file of nothing but invalid records sends nothing, reports all, and says so."""
    file = put(work, HEADER + b"".join(row % n + b"\n" for n in range(2001)))

    done = send_file(work, server, file)

    assert_recounted(work, [file], done, server)
    assert (done.code, done.summary["records"]["rejected"], server.requests()) == (3, 2001, 0)


@pytest.mark.parametrize(
    ("most", "code"),
    [
        pytest.param("100", 7, id="I28-number"),
        pytest.param("5%", 7, id="I28-share"),
        pytest.param("100%", 3, id="I28-never"),
    ],
)
def test_too_many_rejects_stop_a_run(work: Workdir, server: Server, most: str, code: int) -> None:
    """I28: `--max-rejects` stops a run early with a clear message, and it can go on."""
    file = put(work, HEADER + b"no.name,c1,x\n" * 2000 + GOOD * 10)

    done = send_file(work, server, file, "--max-rejects", most)

    assert done.code == code
    if code == 7:
        assert "--max-rejects" in done.summary["error"]["message"] + done.summary["error"]["hint"]
        done = send_file(work, server, file, "--max-rejects", "100%")
    assert_recounted(work, [file], done, server)
