"""Texts that come more than once are found whatever the parts that they are kept in."""

import random
from collections import defaultdict
from pathlib import Path

import pytest

from ingest.edges import repeats
from ingest.edges.repeats import Repeated, Repeats


@pytest.mark.parametrize("rows", [1, 7, 1000])
def test_all_repeats_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    """What a dictionary of all texts finds, with parts written after any number of rows."""
    monkeypatch.setattr(repeats, "_MOST_ROWS", rows)
    chance = random.Random(rows)
    texts = [f"{chance.randrange(150)}\n\x00é" for _ in range(300)]
    places = defaultdict(list)
    for number, text in enumerate(texts, start=1):
        places[text].append(number)
    twice = {text: numbers for text, numbers in places.items() if len(numbers) > 1}

    with Repeats(tmp_path) as found:
        for begin in range(0, 300, 30):
            found.add(texts[begin : begin + 30], range(begin + 1, begin + 31))
        count, records, listed = found.found(most=20)

    assert (count, records) == (len(twice), sum(map(len, twice.values())))
    first = sorted(twice.items(), key=lambda item: item[1])[:20]
    assert listed == [Repeated(t, len(n), tuple(n[:10])) for t, n in first]
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_found_in_nothing(tmp_path: Path) -> None:
    """No text, no repeat."""
    with Repeats(tmp_path) as found:
        assert found.found(most=5) == (0, 0, [])
