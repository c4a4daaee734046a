"""How long something takes, for people."""

from __future__ import annotations

_SECONDS_PER_HOUR = 3600


def duration(seconds: float) -> str:
    """Return about how long that is, in hours and minutes.

    >>> duration(40), duration(3599), duration(7500)
    ('1 min', '1 h 00 min', '2 h 05 min')
    """
    minutes = round(seconds / 60)
    return (
        f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{max(1, minutes)} min"
    )


def in_hours(seconds: float) -> str:
    """Return a sum of times in hours, to a tenth or two digits.

    >>> in_hours(36_000), in_hours(90)
    ('10.0', '0.025')
    """
    hours = seconds / _SECONDS_PER_HOUR
    return f"{hours:,.1f}" if hours >= 1 else f"{hours:.2g}"
