"""Figures as people say them."""


def duration(seconds: float) -> str:
    """Give a span of time for a person: `0.4 s`, `4 min 27 s`, `1 h 51 min`, `3 d 4 h`."""
    if seconds < 10:  # noqa: PLR2004 - below it, tenths matter
        return f"{seconds:.1f} s"
    whole = round(seconds)
    days, hours, minutes = whole // 86_400, whole // 3_600, whole // 60
    if days:
        return f"{days} d {hours % 24} h"
    if hours:
        return f"{hours} h {minutes % 60} min"
    return f"{minutes} min {whole % 60} s" if minutes else f"{whole} s"


def counted(number: int, noun: str) -> str:
    """Give a count for a person: `1 call`, `1,334 calls`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def size(count: int) -> str:
    """Give a number of bytes for a person: `512 bytes`, `3.4 MB`, `1.2 TB`."""
    units = ("kB", "MB", "GB", "TB", "PB")
    if count < 1000:  # noqa: PLR2004 - below it, no unit is needed
        return counted(count, "byte")
    value = float(count)
    for unit in units:
        value /= 1000
        if value < 1000 or unit == units[-1]:  # noqa: PLR2004 - the next unit begins there
            return f"{value:.1f} {unit}"
    raise AssertionError  # not reached: the last unit takes all
