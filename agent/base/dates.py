# SPDX-License-Identifier: Apache-2.0
"""Days as people write them: days since 1970-01-01 UTC to YYYY-MM-DD and back.

The calendar is the proleptic Gregorian one, by Howard Hinnant's algorithms.
"""


def date(day: int) -> str:
    """Return days since the epoch as YYYY-MM-DD."""
    z = day + 719468
    era, doe = z // 146097, z % 146097
    yoe = (doe - doe // 1460 + doe // 36524 - doe // 146096) // 365
    doy = doe - (365 * yoe + yoe // 4 - yoe // 100)
    mp = (5 * doy + 2) // 153
    month = mp + 3 if mp < 10 else mp - 9
    year = yoe + era * 400 + (1 if month <= 2 else 0)
    return "%04d-%02d-%02d" % (year, month, doy - (153 * mp + 2) // 5 + 1)


def moment(second: int) -> str:
    """Return seconds since the epoch as YYYY-MM-DD hh:mm:ss, UTC."""
    minute = second // 60
    return date(minute // 1440) + " %02d:%02d:%02d" % (minute // 60 % 24, minute % 60, second % 60)


def day_of(text: str) -> int:
    """Return the days since the epoch of YYYY-MM-DD; ValueError for anything else."""
    parts = text.split("-")
    if [len(part) for part in parts] != [4, 2, 2] or not "".join(parts).isdigit():
        raise ValueError("a date such as 2026-11-25")
    year, month, day = [int(part) for part in parts]
    y = year - 1 if month <= 2 else year
    era, yoe = y // 400, y % 400
    doy = (153 * (month - 3 if month > 2 else month + 9) + 2) // 5 + day - 1
    found = era * 146097 + yoe * 365 + yoe // 4 - yoe // 100 + doy - 719468
    if date(found) != text:
        raise ValueError("a date such as 2026-11-25")
    return found
