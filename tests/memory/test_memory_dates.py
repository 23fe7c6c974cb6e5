from datetime import UTC, date, datetime, timedelta

import pytest

from letta_kernel.errors import InvalidInputError
from letta_kernel.memory.dates import span


def at(*parts):
    return datetime(*parts, tzinfo=UTC)


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        ("2024-05-03", at(2024, 5, 4)),
        ("2024-05", at(2024, 6, 1)),
        ("2024-12", at(2025, 1, 1)),
        ("2024", at(2025, 1, 1)),
        ("2024-05-03T10:15", at(2024, 5, 3, 10, 16)),
        ("2024-05-03T10:15:30", at(2024, 5, 3, 10, 15, 31)),
        ("2024-05-03T10:15:30+02:00", at(2024, 5, 3, 8, 15, 31)),
        ("2024-05-03T10:15+02:00", at(2024, 5, 3, 8, 16)),
        ("2024-05-03T10:15:30.5Z", at(2024, 5, 3, 10, 15, 30, 500001)),
        (date(2024, 5, 3), at(2024, 5, 4)),
        (at(2024, 5, 3, 1), at(2024, 5, 3, 1) + timedelta(microseconds=1)),
        ("", None),
        (None, None),
    ],
)
def test_an_end_takes_in_all_that_it_names(end, expected):
    assert span(None, end, "UTC") == (None, expected)


def test_a_day_is_the_day_of_the_given_time_zone():
    start, end = span("2024-01-10", "2024-01-10", "America/New_York")
    assert (start, end) == (at(2024, 1, 10, 5), at(2024, 1, 11, 5))


def test_a_day_on_which_clocks_change_has_its_own_length():
    start, end = span("2024-03-31", "2024-03-31", "Europe/Berlin")
    assert end - start == timedelta(hours=23)


@pytest.mark.parametrize(
    ("start", "end", "zone", "word"),
    [
        ("yesterday", None, "UTC", "yesterday"),
        ("2024-13-01", None, "UTC", "2024-13-01"),
        (None, "9999-12-31", "UTC", "range"),
        ("2024-05-02", "2024-05-01", "UTC", "before"),
        ("2024-05-02", None, "Mars/Olympus", "Mars/Olympus"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(start, end, zone, word):
    with pytest.raises(InvalidInputError, match=word) as caught:
        span(start, end, zone)
    assert "\n" not in str(caught.value)
