"""Reading CSV: every record whole and exact, or a fault with its place."""

import codecs
import tracemalloc

import numpy as np
import polars as pl
import pytest

from ingest.core.csv_machine import Ending, RecordScanner, split_cells
from ingest.core.model import Dialect, Position
from ingest.edges.framing import Frame, Header, Limits, frames, outline, read_header, sniff, table
from ingest.errors import BugError, MismatchError, UsageError


def reader(data: bytes):
    return lambda offset, size: data[offset : offset + size]


def header_of(data: bytes, **options) -> Header:
    given = {"dialect": Dialect(), **options}
    return read_header(reader(data), size=len(data), **given)


def frames_of(data: bytes, *, dialect: Dialect | None = None, **options) -> list[Frame]:
    header = header_of(data, dialect=dialect or Dialect())
    given = {
        "size": len(data),
        "start": header.start,
        "columns": header.columns,
        "dialect": header.dialect,
        "limits": Limits(),
        **options,
    }
    return list(frames(reader(data), **given))


def frame_of(data: bytes, **options) -> Frame:
    (frame,) = frames_of(data, **options)
    return frame


def codes(frame: Frame) -> list[tuple[int, str]]:
    return [(fault.record, fault.code) for fault in frame.faults]


class TestValues:
    """What a sound record holds."""

    @pytest.mark.parametrize(
        ("text", "cells"),
        [
            pytest.param(b"007,1e5\n", ("007", "1e5"), id="I20-numbers-stay-text"),
            pytest.param(b"12345678901234567890123,17850.0\n", ("12345678901234567890123", "17850.0"), id="I20-long"),
            pytest.param(b"NaN,NULL\n", ("NaN", "NULL"), id="I21-no-null-words"),
            pytest.param(b' x ,"  "\n', (" x ", "  "), id="blanks-kept"),
            pytest.param(b'"a,b","c\nd"\n', ("a,b", "c\nd"), id="I16-separator-newline-quoted"),
            pytest.param(b'"a""b","""x"""\n', ('a"b', '"x"'), id="I16-doubled-quotes"),
            pytest.param(b'"c\r\nd","\r"\n', ("c\r\nd", "\r"), id="I16-CR-quoted"),
            pytest.param(b'"",\n', (None, None), id="empty-cells-are-null"),
            pytest.param(b"a\rb,c\r\n", ("a\rb", "c"), id="lone-CR-inside"),
            pytest.param(b"a\r,c\r\r\n", ("a\r", "c\r"), id="lone-CR-at-the-end-of-a-cell"),
            pytest.param(b"a\0b,\0\n", ("a\0b", "\0"), id="I9-NUL-passes"),
            pytest.param(b"\xef\xbb\xbfa,b\n", ("\ufeffa", "b"), id="a-BOM-in-the-middle-is-data"),
            pytest.param(b"#a,\\\n", ("#a", "\\"), id="no-comments-no-escapes"),
            pytest.param("é,😀\n".encode(), ("é", "😀"), id="utf-8"),
        ],
    )  # fmt: skip
    def test_cells_are_exact(self, text, cells):
        """A cell is the text of the file, not what it looks like."""
        frame = frame_of(b"one,two\n" + text)

        assert frame.table.rows() == [cells]
        assert frame.table.schema == {"one": pl.String, "two": pl.String}
        assert frame.faults == ()

    def test_polars_traps_do_not_leak_into_neighbours(self):
        """Records that polars reads wrongly take their place among those that it reads."""
        text = b'a,b\n\xef\xbb\xbf1,x\n2,x\r\r\n3,""\n4,y\r\n5\r5,z\n'

        frame = frame_of(text)

        assert frame.table.rows() == [
            ("\ufeff1", "x"),
            ("2", "x\r"),
            ("3", None),
            ("4", "y"),
            ("5\r5", "z"),
        ]
        assert frame.rows.tolist() == [0, 1, 2, 3, 4]

    def test_a_file_of_one_column(self):
        """In one column a blank line is no record, one of blanks is, and so is an empty quoted cell."""
        frame = frame_of(b'id\n\n \n""\n\r\nx\n')

        assert frame.table.rows() == [(" ",), (None,), ("x",)]
        assert (frame.blank_lines, frame.lines.tolist()) == (2, [3, 4, 6])

    def test_quotes_can_mean_nothing(self):
        """With no quote, a quote is a character like another."""
        frame = frame_of(b'a,b\n"x,y"z\n', dialect=Dialect(quote=""))

        assert frame.table.rows() == [('"x', 'y"z')]

    @pytest.mark.parametrize("separator", [";", "\t", "|", ":", " ", "a", "\x01"])
    def test_any_separator_and_quote(self, separator):
        """Any one-byte separator and quote reads."""
        text = f"X{separator}'Y'\n1{separator}'2{separator}''3'\n".encode()

        frame = frame_of(text, dialect=Dialect(separator=separator, quote="'"))

        assert frame.table.rows() == [("1", f"2{separator}'3")]

    @pytest.mark.parametrize("columns", [1, 2, 77, 200])
    def test_one_to_many_columns(self, columns):
        """A row is as wide as its header, however wide."""
        names = [f"c{number}" for number in range(columns)]
        row = [f"v{number}" for number in range(columns)]

        frame = frame_of("\n".join([",".join(names), ",".join(row), ""]).encode())

        assert frame.table.rows() == [tuple(row)]

    @pytest.mark.parametrize(
        ("encoding", "text"), [("cp1252", "Zoë €"), ("iso8859-1", "Ärger"), ("koi8-r", "Привет")]
    )
    def test_single_byte_encodings(self, encoding, text):
        """Cells are decoded, offsets count the bytes of the file."""
        data = f"a,b\n{text},1\nx,2\n".encode(encoding)

        frame = frame_of(data, dialect=Dialect(encoding=encoding))

        assert frame.table.rows() == [(text, "1"), ("x", "2")]
        assert frame.ends.tolist() == [4 + len(text) + 2, len(data) - 1]


class TestLines:
    """Line ends, places and counts."""

    def test_offsets_ends_and_lines(self):
        """Each record has its bytes and the physical line on which it begins."""
        data = b'a,b\r\n1,"x\ny"\r\n\r\n\n2,z\n3,w\r\n'

        frame = frame_of(data)

        places = [data[a:b] for a, b in zip(frame.offsets, frame.ends, strict=True)]
        assert places == [b'1,"x\ny"', b"2,z", b"3,w"]
        assert frame.lines.tolist() == [2, 6, 7]
        assert frame.blank_lines == 2
        assert frame.stop == Position(offset=len(data), record=3, line=8)

    @pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"], ids=["I10-LF", "I10-CRLF", "I10-CR"])
    def test_each_line_end(self, end):
        """LF, CRLF and CR files have the same records on the same lines."""
        frame = frame_of(end.join([b"a,b", b"1,2", b'"x\ny",3', b"", b"4,5", b""]))

        assert frame.table.rows() == [("1", "2"), ("x\ny", "3"), ("4", "5")]
        assert frame.lines.tolist() == [2, 3, 6]

    def test_mixed_line_ends(self):
        """I10: where the header ends with a CR, each of CR, LF and CRLF ends a line."""
        frame = frame_of(b"a,b\r1,2\n3,4\r\n5,6\r\r7,8")

        assert [row[0] for row in frame.table.rows()] == ["1", "3", "5", "7"]
        assert (frame.lines.tolist(), frame.blank_lines) == ([2, 3, 4, 6], 1)

    def test_no_newline_at_the_end(self):
        """I11: a last record without its newline is sound, and said to be unterminated."""
        frame = frame_of(b"a,b\n1,2\n3,4")

        assert (frame.table.rows()[-1], frame.unterminated) == (("3", "4"), True)

    def test_half_a_line_end(self):
        """A CR at the very end is half a CRLF: no part of the value, and not a whole line end."""
        frame = frame_of(b'a,b\r\n1,2\r\n3,"4"\r')

        assert (frame.table.rows()[-1], frame.unterminated) == (("3", "4"), True)
        assert frame.ends[-1] == frame.stop.offset - 1

    def test_header_only(self):
        """I2: a header and nothing else has no frames, with or without its newline."""
        assert frames_of(b"a,b\n") == frames_of(b"a,b") == []

    def test_blank_lines_only(self):
        """Blank lines are counted even where there is no record."""
        frame = frame_of(b"a,b\n\n\r\n")

        assert (frame.records, frame.blank_lines, frame.stop.offset) == (0, 2, 7)


class TestFaults:
    """What cannot be read is one fault; its neighbours pass."""

    @pytest.mark.parametrize(
        ("line", "code", "detail"),
        [
            pytest.param(b"x", "row_too_few_fields", "1 cell, the header has 2", id="I15-few"),
            pytest.param(b"x,y,z", "row_too_many_fields", "3 cells, the header has 2", id="I15-many"),
            pytest.param(b'a"b,c', "quote_illegal", "a quote inside a bare cell, at byte 9;", id="I14-bare"),
            pytest.param(b'"a"b,c', "quote_illegal", "text after the closing quote at byte 10;", id="I14-after"),
            pytest.param(b'""x"",c', "quote_illegal", "text after the closing quote at byte 9;", id="I14-doubled"),
            pytest.param(b'"a"\r,c', "quote_illegal", "text after the closing quote at byte 10;", id="I14-CR"),
            pytest.param(b"x,\xff", "utf8_invalid", "byte 10 (0xFF) is not UTF-8", id="I8-byte"),
            pytest.param(b"\xed\xa0\x80,x", "utf8_invalid", "byte 8 (0xED) is not UTF-8", id="I8-surrogate"),
        ],
    )  # fmt: skip
    def test_one_bad_record(self, line, code, detail):
        """A bad record has one fault with its place; the records around it are read."""
        frame = frame_of(b"a,b\n1,2\n" + line + b"\n3,4\n")

        (fault,) = frame.faults
        assert (fault.record, fault.code, fault.raw) == (1, code, line)
        assert fault.detail.startswith(detail)
        assert frame.table.rows() == [("1", "2"), ("3", "4")]
        assert frame.rows.tolist() == [0, 2]
        assert (frame.offsets[1], frame.lines[1]) == (8, 3)

    def test_invalid_bytes_name_their_column(self):
        """The column is known where the cells are as many as they should be."""
        frame = frame_of(b'a,b\n"x,y",\xc3\n\xc3\n')

        assert [(f.record, f.code, f.column) for f in frame.faults] == [
            (0, "utf8_invalid", "b"),
            (1, "row_too_few_fields", None),
            (1, "utf8_invalid", None),
        ]

    def test_a_character_cut_in_two_by_cells(self):
        """Halves of a character in neighbouring cells and rows are both invalid."""
        frame = frame_of(b"a,b\n\xc3,1\n\xa9,2\nx,\xc3\n\xa9,y\n")

        assert codes(frame) == [(n, "utf8_invalid") for n in range(4)]

    def test_undefined_bytes_of_a_single_byte_encoding(self):
        """A byte that means nothing in the encoding is a fault, not a question mark."""
        frame = frame_of(b"a,b\n\x81,1\n\x80,2\n", dialect=Dialect(encoding="cp1252"))

        assert codes(frame) == [(0, "utf8_invalid")]
        assert frame.faults[0].detail == "byte 4 (0x81) is not CP1252"
        assert frame.table.rows() == [("€", "2")]

    def test_cut_in_the_middle(self):
        """I12: a last line cut off in the middle is truncated, never sent as if it were whole."""
        frame = frame_of(b"a,b,c\n1,2,3\n4,5")

        assert codes(frame) == [(1, "row_truncated")]
        assert frame.unterminated

    def test_too_few_fields_with_a_newline_are_not_truncated(self):
        """One cause, one code."""
        assert codes(frame_of(b"a,b,c\n1,2,3\n4,5\n")) == [(1, "row_too_few_fields")]

    def test_unclosed_quote(self):
        """I13: an open quote costs its first line; the tail is read."""
        frame = frame_of(b'a,b\n1,2\n"x,y\n3,4\n5,6\n')

        assert codes(frame) == [(1, "quote_unclosed")]
        assert frame.faults[0].raw == b'"x,y'
        assert frame.table.rows() == [("1", "2"), ("3", "4"), ("5", "6")]
        assert frame.resynced.tolist() == [2, 3]

    def test_illegal_quote_costs_one_physical_line(self):
        """I14: a record over several lines that goes wrong loses its first one."""
        frame = frame_of(b'a,b\n"x\n1,2\n"y",z\n3,4\n')

        assert codes(frame) == [(0, "quote_illegal")]
        assert frame.table.rows() == [("1", "2"), ("y", "z"), ("3", "4")]

    def test_marks_last_for_64_lines(self):
        """Records that begin in the next 64 physical lines are marked, and no other."""
        frame = frame_of(b"a,b\n1,2\n" + b'x"y,z\n' + b"3,4\n" * 70)

        assert frame.resynced.tolist() == list(range(2, 66))

    def test_marks_are_carried_from_frame_to_frame(self):
        """The mark of a record does not depend on where a frame begins."""
        parts = frames_of(b'a,b\nx"y,z\n' + b"3,4\n" * 70, limits=Limits(chunk_bytes=20))

        marked = [n + part.start.record for part in parts for n in part.resynced.tolist()]
        assert marked == list(range(1, 65))
        assert parts[0].stop.resync_until == 2 + 65
        assert parts[-1].stop.resync_until == 0

    @pytest.mark.parametrize("chunk_bytes", [1, 7, 64, 1 << 20])
    def test_record_over_the_cap(self, chunk_bytes):
        """I18: a record over the cap is one fault without its bytes; the next one is read."""
        big = b'"' + b"x\n" * 500 + b'",y'
        data = b"a,b\n1,2\n" + big + b"\r\n3,4\n"
        limits = Limits(chunk_bytes=chunk_bytes, max_record_bytes=100)

        found = frames_of(data, limits=limits)

        (fault,) = [fault for frame in found for fault in frame.faults]
        assert (fault.code, fault.raw) == ("record_too_large", None)
        assert fault.detail == "1,004 bytes; a record has at most 100"
        assert pl.concat([frame.table for frame in found]).rows() == [("1", "2"), ("3", "4")]
        ends = [end for frame in found for end in frame.ends.tolist()]
        lines = [line for frame in found for line in frame.lines.tolist()]
        assert (ends[1], lines) == (8 + len(big), [2, 3, 504])

    @pytest.mark.parametrize("length", [99, 100, 101])
    @pytest.mark.parametrize("end", [b"\n", b"\r\n", b""])
    @pytest.mark.parametrize("chunk_bytes", [1, 60, 101, 102, 103, 1000])
    def test_the_cap_is_exact(self, length, end, chunk_bytes):
        """A record of just the cap passes, whatever its line end and the chunks."""
        data = b"a,b\n" + b"x" * (length - 2) + b",y" + end
        limits = Limits(chunk_bytes=chunk_bytes, max_record_bytes=100)

        frame = frame_of(data, limits=limits)

        assert codes(frame) == ([] if length <= 100 else [(0, "record_too_large")])

    @pytest.mark.parametrize("chunk_bytes", [10, 100, 1 << 20])
    def test_illegal_beyond_the_cap(self, chunk_bytes):
        """A record that goes wrong beyond the cap loses its first line only."""
        data = b'a,b\n"x\n' + b"1,2\n" * 100 + b'3,"4\n5,6\n'
        limits = Limits(chunk_bytes=chunk_bytes, max_record_bytes=20)

        found = frames_of(data, limits=limits)

        faults = [f.code for frame in found for f in frame.faults]
        assert faults[0] == "quote_illegal"
        assert sum(frame.table.height for frame in found) == 101

    def test_a_wrong_line_over_the_cap_has_no_bytes(self):
        """A fault never carries more than the cap."""
        data = b"a,b\n" + b"x" * 200 + b'"y,z\n1,2\n'

        found = frames_of(data, limits=Limits(chunk_bytes=50, max_record_bytes=100))

        (fault,) = [fault for frame in found for fault in frame.faults]
        assert (fault.code, fault.raw) == ("quote_illegal", None)

    def test_all_broken(self):
        """I28: a file of nothing but broken rows has as many faults and an empty table."""
        frame = frame_of(b"a,b\n" + b'x"\n1\n' * 50)

        assert (len(frame.faults), frame.table.shape) == (100, (0, 2))

    def test_true_repeats_are_two_records(self):
        """I26: identical rows are told apart by their offsets."""
        frame = frame_of(b"a,b\n1,2\n1,2\n")

        assert frame.offsets.tolist() == [4, 8]


class TestProof:
    """polars is believed where it is proven, and is used wherever it can be."""

    @staticmethod
    def records(data: bytes, dialect: Dialect) -> tuple[table.Records, np.ndarray]:
        marks = outline.Marks(outline.Block(data, final=True, dialect=dialect))
        found = outline.outline(marks, max_record_bytes=1000, look_ahead=lambda at: None)
        records = table.Records(
            data, found, quotes=marks.quotes, dialect=dialect, window_bytes=1000
        )
        return records, np.arange(len(found))

    @pytest.mark.parametrize(
        ("data", "dialect"),
        [
            pytest.param(b"a,b\n1,2\n", Dialect(), id="LF"),
            pytest.param(b'a,b\r\n"1\r\n,""",2\r\n', Dialect(), id="CRLF-quoted"),
            pytest.param(b'a,b\r"1\r\n",2\r3,4', Dialect(newline="\r"), id="CR"),
            pytest.param(b'a,b\n"\r","\r\r"\n', Dialect(), id="CR-quoted"),
            pytest.param(b"a,b\r\n1,2\r", Dialect(), id="half-a-CRLF"),
            pytest.param(b'a,b\r\n1,"2"\r', Dialect(), id="half-a-CRLF-quoted"),
            pytest.param(b"a;'b;'\n1;2\n", Dialect(separator=";", quote="'"), id="other-marks"),
            pytest.param(b'a,"b\n1,"2\n', Dialect(quote=""), id="no-quote"),
            pytest.param(b"\xe9,\x80\n1,2\n", Dialect(encoding="cp1252"), id="cp1252"),
            pytest.param(b'a,""\n,\n', Dialect(), id="empty"),
        ],
    )
    def test_sound_text_takes_the_fast_way(self, data, dialect):
        """Ordinary files are parsed by polars, whatever their line ends and encoding."""
        records, numbers = self.records(data, dialect)

        assert not table._awkward(records).any()
        fast = table._by_polars(records, ["x", "y"], numbers)
        assert fast is not None
        assert fast.equals(table._cut(records, ["x", "y"], numbers))

    @pytest.mark.parametrize(
        "data", [b"\xef\xbb\xbfa,b\n", b"a\r,b\n", b"a,b,c\n", b"a,b\n\nc,d\n", b"\xff,a\n"]
    )
    def test_a_lost_byte_is_noticed(self, data):
        """Where polars drops a BOM, a CR, a cell or a line, its table is not believed."""
        records, numbers = self.records(data, Dialect())

        assert table._by_polars(records, ["x", "y"], numbers) is None

    def test_bare_carriage_returns_are_taken_out_beforehand(self):
        """Only the records with a CR in a bare cell are cut slowly."""
        records, _ = self.records(b'a\r,b\r\n"\r",d\r\n1,2\r\n', Dialect())

        assert table._awkward(records).tolist() == [True, False, False]

    def test_one_doubtful_record_does_not_slow_the_file(self):
        """Where a proof fails, only the window around it is cut by the exact machine."""
        data = b"\xef\xbb\xbfa,b\n" + b"1,2\n" * 1000
        records, numbers = self.records(data, Dialect())

        parts = list(table._parse(records, ["x", "y"], numbers))

        assert [len(part) for _, part in parts] == [250, 250, 250, 250, 1]
        assert pl.concat([part for _, part in parts]).row(0) == ("\ufeffa", "b")


class TestChunks:
    """Sizes bound memory and change nothing else."""

    def test_stop_offset_gives_the_same_frame(self):
        """A span read again is the frame of the first time, in one piece."""
        data = b'a,b\n1,2\nx"y,z\n\n3,"4\n5"\n6\n7,\xff\n8,9'
        first = frames_of(data, limits=Limits(chunk_bytes=9))
        assert len(first) > 3

        for frame in first:
            again = frame_of(
                data, start=frame.start, stop_offset=frame.stop.offset, limits=Limits(chunk_bytes=3)
            )
            assert (again.start, again.stop, again.faults) == (
                frame.start,
                frame.stop,
                frame.faults,
            )
            assert again.table.equals(frame.table)
            assert again.resynced.tolist() == frame.resynced.tolist()

    def test_stop_offset_inside_a_record_is_a_bug(self):
        """A stop that is no record boundary is found."""
        with pytest.raises(BugError, match="inside a record"):
            frames_of(b"a,b\n1,2\n3,4\n", stop_offset=6)

    def test_stop_offset_at_the_start(self):
        """An empty span has no frame."""
        assert frames_of(b"a,b\n1,2\n", stop_offset=4) == []

    @pytest.mark.parametrize("chunk_bytes", [1, 10, 1000])
    def test_max_records(self, chunk_bytes):
        """So many records and no more, sound or not; the rest is read from there."""
        data = b"a,b\n\n1,2\nbad\n\n5,6\n7,8\n"
        limits = Limits(chunk_bytes=chunk_bytes)

        found = frames_of(data, max_records=2, limits=limits)
        rest = frames_of(data, start=found[-1].stop, limits=limits)

        assert sum(frame.records for frame in found) == 2
        assert found[-1].stop.offset == 13
        assert pl.concat([frame.table for frame in rest])["a"].to_list() == ["5", "7"]

    def test_a_source_that_shrinks(self):
        """A source that ends before its size is a mismatch, not the end of the records."""
        data = b"a,b\n1,2\n"
        start = header_of(data).start

        with pytest.raises(MismatchError, match="ends at byte 8"):
            list(frames(reader(data), size=20, start=start, columns=("a", "b"),
                        dialect=Dialect(), limits=Limits()))  # fmt: skip

    @pytest.mark.parametrize(
        "first", [b'"', b"", b'x"'], ids=["I13-open", "I18-bare", "I14-illegal"]
    )
    def test_one_huge_line(self, first):
        """I18: a line of 64 MB is read in blocks, twice at most, with little memory."""
        size, block = 64 << 20, 1 << 20
        tail = b"\n1,2\n"
        asked: list[int] = []

        def read_at(offset: int, count: int) -> bytes:
            asked.append(count)
            text = first if offset == 0 else b""
            text += b"x" * (min(count, size - len(tail) - offset) - len(text))
            behind = max(0, offset - (size - len(tail)))
            return text + tail[behind : behind + count - len(text)]

        limits = Limits(chunk_bytes=block, max_record_bytes=block // 2)
        tracemalloc.start()
        found = list(
            frames(read_at, size=size, start=Position(0, 0, 1), columns=("a", "b"),
                   dialect=Dialect(), limits=limits)
        )  # fmt: skip
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()

        expected = {b'"': "quote_unclosed", b"": "record_too_large", b'x"': "quote_illegal"}[first]
        assert [fault.code for frame in found for fault in frame.faults] == [expected]
        assert sum(frame.table.height for frame in found) == 1
        assert max(asked) <= block
        assert sum(asked) <= 2.2 * size
        assert peak < 40 * block

    def test_short_lines_make_short_frames(self):
        """A frame has so many records at most, and no byte is asked for more than twice."""
        data = b"a\n" * 10_000
        asked: list[int] = []

        def read_at(offset: int, count: int) -> bytes:
            asked.append(count)
            return data[offset : offset + count]

        found = list(
            frames(read_at, size=len(data), start=Position(0, 0, 1), columns=("a", "b"),
                   dialect=Dialect(), limits=Limits(chunk_bytes=4000, chunk_records=100))
        )  # fmt: skip

        assert [frame.records for frame in found] == [100] * 100
        assert sum(asked) <= 2 * len(data) + 4000

    def test_limits_are_checked(self):
        """Bounds of no bytes, or of more than can be counted, are refused."""
        with pytest.raises(ValueError, match="1 or more"):
            Limits(chunk_bytes=0)
        with pytest.raises(ValueError, match="1 GiB"):
            Limits(chunk_bytes=1 << 31)


class TestHeader:
    """The names of the columns, or why there are none."""

    def test_header(self):
        """The header gives names, the place of the first record and the line end."""
        header = header_of(b'\xef\xbb\xbfa,"b ""x""\nc", d\r\n1,2,3\r\n')

        assert header.columns == ("a", 'b "x"\nc', " d")
        assert header.start == Position(offset=21, record=0, line=3)
        assert header.dialect.newline == "\n"

    @pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
    def test_blank_lines_before_the_header(self, end):
        """Blank lines before the header are skipped, and counted as lines."""
        header = header_of(f"{end}{end}a,b{end}1,2{end}".encode())

        assert (header.columns, header.start.line) == (("a", "b"), 4)

    @pytest.mark.parametrize(
        ("data", "code", "words"),
        [
            pytest.param(b"", "source_empty", "empty", id="I1-empty"),
            pytest.param(b"\xef\xbb\xbf", "source_empty", "empty", id="I1-only-a-BOM"),
            pytest.param(b"\n\r\n\n", "source_empty", "empty", id="I1-only-blank-lines"),
            pytest.param(b"email,email\n", "header_duplicate", 'both named "email"', id="I4-same"),
            pytest.param(b"Email,x,EMAIL\n", "header_duplicate", "differ only in case", id="I4-case"),
            pytest.param(b",a,b\n", "header_blank", "column 1 of 3", id="I5-first"),
            pytest.param(b"a, ,\n", "header_blank", "column 2 of 3 (and 1 more)", id="I5-two"),
            pytest.param("a,b\n1,2\n".encode("utf-16"), "encoding_not_supported", "UTF-16", id="I7-utf16-BOM"),
            pytest.param(codecs.BOM_UTF16_BE + "a,b".encode("utf-16-be"), "encoding_not_supported", "UTF-16", id="I7-utf16-be-BOM"),
            pytest.param("event,id\nx,2\n".encode("utf-16-le"), "encoding_not_supported", "UTF-16LE", id="I7-utf16-le"),
            pytest.param("event,id\nx,2\n".encode("utf-16-be"), "encoding_not_supported", "UTF-16BE", id="I7-utf16-be"),
            pytest.param("event,id\nx,2\n".encode("utf-32-le"), "encoding_not_supported", "UTF-32LE", id="I7-utf32-le"),
            pytest.param("event,id\nx,2\n".encode("utf-32"), "encoding_not_supported", "UTF-32", id="I7-utf32"),
            pytest.param("año,b\n".encode("latin-1"), "header_not_text", "byte 1 (0xF1)", id="I7-latin1"),
            pytest.param(b"a\0,b,cccccccccccc\n", "header_not_text", "NUL byte, at byte 1", id="I9-NUL"),
            pytest.param(b'a,b"c\n', "header_quote_illegal", "byte 3", id="quote-in-cell"),
            pytest.param(b'a,"b"c\n', "header_quote_illegal", "byte 4", id="text-after-quote"),
            pytest.param(b'a,"b\nc,d\n', "header_quote_unclosed", "never closed", id="unclosed"),
            pytest.param(b"\x1f\x8b\x08\0", "source_not_csv", "gzip", id="I24-gzip"),
            pytest.param(b"PK\x03\x04\x14\0", "source_not_csv", "zip", id="I24-zip"),
            pytest.param(b"PK\x03\x04\x14\0[Content_Types].xml", "source_not_csv", "xlsx", id="I24-xlsx"),
            pytest.param(b"\x28\xb5\x2f\xfd\0", "source_not_csv", "zstd", id="I24-zstd"),
            pytest.param(b"a;b;c\n1;2;3\n", "delimiter_wrong", "comma does not split the header, semicolon does", id="I17-semicolon"),
            pytest.param(b'"a"\t"b"\n"1"\t"2"\n', "delimiter_wrong", "tab does", id="I17-tab-quoted"),
            pytest.param(b"a:b:c\n1:2:3\n", "delimiter_wrong", "colon does", id="I17-colon"),
            pytest.param(b"x" * (2 << 20), "header_too_long", "1,048,576", id="I18-header"),
            pytest.param(b"x" * ((1 << 20) + 1) + b"\n", "header_too_long", "1,048,576", id="I18-one-byte"),
            pytest.param(b"," * 100_000 + b"\n", "header_too_wide", "100,001 columns", id="I19-columns"),
        ],
    )  # fmt: skip
    def test_refusals(self, data, code, words):
        """What has no usable header is refused, with a word for machines and a way out."""
        with pytest.raises(UsageError) as refusal:
            header_of(data)

        assert refusal.value.code == code
        assert words in refusal.value.message
        assert refusal.value.hint

    def test_hints_can_be_pasted(self):
        """A refusal says what to type."""
        with pytest.raises(UsageError) as blank:
            header_of(b",a,,\n")
        with pytest.raises(UsageError) as tab:
            header_of(b"a\tb\n")
        with pytest.raises(UsageError) as wide:
            header_of("a,b".encode("utf-16"))

        assert "--drop '#1' --drop '#3' --drop '#4'" in blank.value.hint
        assert tab.value.hint == "--delimiter tab"
        assert "iconv -f UTF-16 -t UTF-8" in wide.value.hint

    def test_messages_cannot_steer_a_terminal(self):
        """X14: control characters of a name are escaped."""
        with pytest.raises(UsageError) as refusal:
            header_of("a\x1b[2J\u202e,A\x1b[2J\u202e\n".encode())

        assert refusal.value.message.isprintable()

    def test_dropped_positions_may_be_blank_or_repeated(self):
        """An index column without a name is left out by its position."""
        header = header_of(b",a,a,b\n", dropped=frozenset({1, 3}))

        assert header.columns == ("#1", "a", "#3", "b")

    def test_dropped_position_that_is_not_there(self):
        """A position beyond the header is refused."""
        with pytest.raises(UsageError, match="the header has 2 columns"):
            header_of(b"a,b\n", dropped=frozenset({3}))

    @pytest.mark.parametrize(
        "dialect",
        [
            Dialect(separator=""), Dialect(separator=";;"), Dialect(separator="é"),
            Dialect(separator="\n"), Dialect(separator='"'), Dialect(quote="''"),
            Dialect(quote="\r"), Dialect(encoding="shift_jis"), Dialect(encoding="utf-16"),
            Dialect(encoding="utf-7"), Dialect(encoding="cp500"), Dialect(encoding="none-such"),
            Dialect(encoding="gb18030"), Dialect(encoding="rot13"),
        ],
    )  # fmt: skip
    def test_dialects_that_cannot_be(self, dialect):
        """A dialect that is not one byte, or an encoding that is not one byte a character."""
        with pytest.raises(UsageError) as refusal:
            header_of(b"a,b\n", dialect=dialect)

        assert refusal.value.code in {"dialect_invalid", "encoding_not_supported"}

    @pytest.mark.parametrize(
        ("data", "start", "newline"),
        [
            pytest.param(b"1,2\n3,4\n", Position(0, 0, 1), "\n", id="plain"),
            pytest.param(b"\xef\xbb\xbf1,2\r\n", Position(3, 0, 1), "\n", id="BOM"),
            pytest.param(b"\n\n1,2\n", Position(2, 0, 3), "\n", id="blank-lines"),
            pytest.param(b"1,2\r3,4\r", Position(0, 0, 1), "\r", id="CR"),
            pytest.param(b'1,"2\r\n\r"\n3,4\n', Position(0, 0, 1), "\n", id="CR-quoted"),
            pytest.param(b'x"y\r1,2\r', Position(0, 0, 1), "\r", id="broken-first-record"),
            pytest.param(b'"' + b"x" * (3 << 20) + b'",2\r3,4\r', Position(0, 0, 1), "\r", id="I18-first"),
            pytest.param(b"1,2", Position(0, 0, 1), "\n", id="no-line-end"),
        ],
    )  # fmt: skip
    def test_no_header(self, data, start, newline):
        """Where the names are typed, the first record is data, and tells the line end."""
        header = header_of(data, names=("a", "b"))

        assert header == Header(("a", "b"), start, Dialect(newline=newline))

    def test_no_header_and_another_width(self):
        """Names that fit none of the first records are refused; one that fits is enough."""
        with pytest.raises(UsageError, match=r"none of the first records .* \(most have 3\)"):
            header_of(b"1,2,3\n4,5,6\n", names=("a", "b"))

        assert header_of(b"1,2,3\n4,5,6\n7,8\n", names=("a", "b")).columns == ("a", "b")

    @pytest.mark.parametrize("data", [b"", b"\n\n", "1,2".encode("utf-16"), b"PK\x03\x04"])
    def test_no_header_and_no_csv(self, data):
        """What is empty or no CSV is refused with names as without."""
        with pytest.raises(UsageError):
            header_of(data, names=("a", "b"))

    def test_a_separator_that_was_named(self):
        """A header that the named separator does not split has one column."""
        assert header_of(b"a;b\n1;2\n", sure=True).columns == ("a;b",)

    def test_mark_of_utf8_in_another_encoding(self):
        """A file that says it is UTF-8 is not read as something else."""
        with pytest.raises(UsageError, match="mark of UTF-8"):
            header_of(b"\xef\xbb\xbfa,b\n", dialect=Dialect(encoding="cp1252"))

    def test_encoding_gets_its_usual_name(self):
        """UTF8 and latin-1 are names like others."""
        assert header_of(b"a,b\n", dialect=Dialect(encoding="UTF8")).dialect.encoding == "utf-8"
        assert (
            header_of(b"a\n", dialect=Dialect(encoding="latin-1")).dialect.encoding == "iso8859-1"
        )


class TestSniff:
    """Finding the separator."""

    @pytest.mark.parametrize(
        ("text", "separator"),
        [
            ("a,b\n1,2\n", ","),
            ("a;b;c\n1;2;3\n", ";"),
            ("a\tb\n1\t2\n", "\t"),
            ("a|b\n1|2\n", "|"),
            ("a:b\n1:2\n", ","),
            ("a,b:c,d\n1,10:30:00,2\n", ","),
            ('"a;b","c;d"\n"1;2","3"\n', ","),
            ('"a";"b"\n"1";"2"\n', ";"),
            ("id\n1\n2\n", ","),
            ("time:of day\nx\ny\n", ","),
            ("a;b,c;d\n1;2;3\n4;5\n6;7;8\n", ";"),
            ("a,b\n", ","),
            ("a;b\r1;2\r", ";"),
        ],
    )
    def test_separator_found(self, text, separator):
        """The one that splits the header and the first records alike."""
        data = text.encode()

        assert sniff(reader(data), size=len(data)).separator == separator

    def test_two_that_fit(self):
        """I17: where two fit, nobody guesses."""
        data = b"a,b|c,d\n1,2|3,4\n"

        with pytest.raises(UsageError) as refusal:
            sniff(reader(data), size=len(data))

        assert refusal.value.code == "delimiter_ambiguous"
        assert "--delimiter ','" in refusal.value.hint

    def test_a_long_first_record(self):
        """A record that does not end in the sample is left out of the judgement."""
        data = b'a;b\n"' + b"x,y;z" * 500_000 + b'";2\n'

        assert sniff(reader(data), size=len(data)).separator == ";"

    @pytest.mark.parametrize(
        ("text", "separator"),
        [
            pytest.param("1;2\n3;4\n", ";", id="plain"),
            pytest.param('x"y\n1;2\n3;4\n', ";", id="behind-a-broken-first-line"),
            pytest.param("1|2;5\n3|4\n", "|", id="by-the-number-of-names"),
            pytest.param("1\t2\r3\t4\r", "\t", id="carriage-returns"),
            pytest.param("1\n2\n", ",", id="none-fits"),
        ],
    )
    def test_separator_without_a_header(self, text, separator):
        """Without a header the separator is the one that gives as many cells as there are names."""
        data = text.encode()

        assert sniff(reader(data), size=len(data), width=2).separator == separator

    def test_nothing_to_sniff(self):
        """What read_header refuses, sniff refuses."""
        with pytest.raises(UsageError, match="empty"):
            sniff(reader(b""), size=0)


class TestMachine:
    """The exact machine, fed in pieces of any size."""

    @pytest.mark.parametrize(
        ("text", "ending", "stop", "following"),
        [
            (b"a,b\nc", Ending.CLOSED, 3, 4),
            (b"a,b\r\nc", Ending.CLOSED, 3, 5),
            (b"a\r\rb\r\nc", Ending.CLOSED, 4, 6),
            (b'"a\nb""",c\n', Ending.CLOSED, 9, 10),
            (b'"a\nb"c\n', Ending.TEXT_AFTER_QUOTE, 2, 3),
            (b'"a\nb"\r\rc\n', Ending.TEXT_AFTER_QUOTE, 2, 3),
            (b'a\r\n"', Ending.CLOSED, 1, 3),
            (b'a"b\r\nc', Ending.QUOTE_IN_CELL, 3, 5),
            (b'"a\r\nb', Ending.UNCLOSED, 2, 4),
            (b'"a\r', Ending.UNCLOSED, 2, 3),
            (b"", Ending.CLOSED, 0, 0),
        ],
    )
    @pytest.mark.parametrize("step", [1, 2, 3, 100])
    def test_ends(self, text, ending, stop, following, step):
        """The end of a record does not depend on how its bytes arrive."""
        scanner = RecordScanner(Dialect())
        end = None
        pieces = [text[at : at + step] for at in range(0, len(text), step)] or [b""]

        for number, piece in enumerate(pieces, 1):
            end = scanner.feed(piece, final=number == len(pieces))
            if end is not None:
                break

        assert end is not None
        assert (end.ending, end.stop, end.following) == (ending, stop, following)

    @pytest.mark.parametrize(
        ("text", "cells"),
        [
            (b"", [b""]),
            (b",", [b"", b""]),
            (b'"",""', [b"", b""]),
            (b'"",', [b"", b""]),
            (b'"a,""b""",c', [b'a,"b"', b"c"]),
            (b'x,"""",y', [b"x", b'"', b"y"]),
        ],
    )
    def test_cells(self, text, cells):
        """Cells come without their quotes."""
        assert split_cells(text, dialect=Dialect()) == cells
