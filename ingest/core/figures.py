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
