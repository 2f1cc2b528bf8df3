# SPDX-License-Identifier: Apache-2.0
"""Article L34-1 as data: the closed table of purposes (L34-II-1, L34-II-2).

Nothing is stored without a purpose of this table, with the fields it names and for no longer than its ceiling.
Configuration is checked against it and never clamped. A new purpose is a row here, argued in the article's words, not a
branch elsewhere.
"""

PACKAGE = "the package oubli-purposes"  # brings the modules of every purpose but `security`
DAY = 86400
LIFETIME_FLOOR = 600  # seconds: a buffer that forgets faster than the kernel reports would hold nothing

VOLATILE = "volatile"
CUSTODIAN = "custodian"
DEVICE = "device"

# Which fields a packer may be asked for: personal data, wherever they stand (L34-I-1). No purpose has a destination, a
# name or a byte of content (L34-VI-1).
SECURITY_FIELDS = (
    "start",
    "duration",
    "protocol",
    "mac",
    "address",
    "source_port",
    "translated_port",
    "service",
    "bytes_up",
    "bytes_down",
    "packets_up",
    "packets_down",
)
ATTRIBUTION_FIELDS = ("protocol", "public_address", "translated_port", "address", "mac", "portal_user", "start", "end")
FREEZE_FIELDS = ATTRIBUTION_FIELDS + ("bytes_up", "bytes_down")  # whatever is sealed may be preserved
BILLING_FIELDS = ("portal_user", "mac", "start", "end", "bytes_up", "bytes_down")
LOCATION_FIELDS = ("access_point", "start", "end", "mac")
CONSENT_FIELDS = ("mac_hash", "categories", "purposes", "third_parties", "end", "text_hash", "state", "time")

# Grounds of a deferral (L34-III-1): the two of the wording implemented here, and the one in force since 31 July 2021.
FORMER_GROUNDS = ("L336-3", "STAD")
IN_FORCE = "IIbis-3"
GROUNDS = FORMER_GROUNDS + (IN_FORCE,)
STRUCK_DOWN = "penal"
STRUCK_DOWN_REASON = (
    "L34-1 III, NOTA: the words on criminal investigation were declared unconstitutional (2021-976/977 QPC)"
)

NOBODY = "none"
DUTIES = ("portal", "radius", "nat-log", "oubli", NOBODY, "undeclared")


class Purpose:
    """One row: name, paragraph of the article, fields, custody, default on or off, lifetime and ceiling in seconds.

    `lifetime` 0 means that the operator must set it or that another document fixes it. `needs` are what must be there
    before it starts: options that have no default (ground, reference, lifetime), the custodian's `bundle` of keys, a
    `consent` of each terminal, an authority's `order`. `grounds` are those that the option may name. `in_force` is
    where the wording in force since 31 July 2021 has it.
    """

    def __init__(
        self,
        name: str,
        paragraph: str,
        in_force: str,
        fields: "tuple[str, ...]",
        custody: str,
        lifetime: int,
        ceiling: int,
        *,
        needs: "tuple[str, ...]" = (),
        grounds: "tuple[str, ...]" = (),
        enabled: bool = False,
    ) -> None:
        self.name = name
        self.paragraph = paragraph
        self.in_force = in_force
        self.fields = fields
        self.custody = custody
        self.lifetime = lifetime
        self.ceiling = ceiling
        self.needs = needs
        self.grounds = grounds
        self.enabled = enabled


_SECURITY = "L34-1 IV, 2nd par., last sentence"
_SERVICES = "L34-1 IV, 2nd par."
_CONSENT = "L34-1 V and IV, 2nd par."
_YEAR = 365 * DAY
PURPOSES = (
    Purpose("security", _SECURITY, "L34-1 IV, R10-14 IV", SECURITY_FIELDS, VOLATILE, DAY, 90 * DAY, enabled=True),
    Purpose(
        "attribution",
        "L34-1 III",
        "L34-1 II bis, 3°",
        ATTRIBUTION_FIELDS,
        CUSTODIAN,
        _YEAR,
        _YEAR,
        needs=("ground", "reference", "bundle"),
        grounds=GROUNDS,
    ),
    Purpose(
        "billing",
        "L34-1 IV, 1st par.",
        "L34-1 IV, R10-14 I",
        BILLING_FIELDS,
        CUSTODIAN,
        0,
        _YEAR,
        needs=("lifetime", "bundle"),
    ),
    Purpose("services", _SERVICES, "L34-1 IV", SECURITY_FIELDS, VOLATILE, 0, _YEAR, needs=("consent",)),
    Purpose("location", "L34-1 V", "L34-1 V", LOCATION_FIELDS, VOLATILE, 0, 30 * DAY, needs=("consent",)),
    Purpose("consent", _CONSENT, "L34-1 IV, V", CONSENT_FIELDS, DEVICE, 0, 395 * DAY, needs=("consent",)),
    Purpose("freeze", "in force: L34-1 III bis", "L34-1 III bis", FREEZE_FIELDS, CUSTODIAN, 0, _YEAR, needs=("order",)),
)

# What configuration can name: the other two rows follow from these (consent) or happen at the custodian's (freeze).
CONFIGURABLE = ("security", "attribution", "billing", "services", "location")


def purpose(name: str) -> Purpose:
    """Return a row of the table; KeyError for a name that isn't in it."""
    return PURPOSES[number(name) - 1]


def number(name: str) -> int:
    """Return a purpose's number, as segments and keys carry it (1 for the first row)."""
    for index, row in enumerate(PURPOSES):
        if row.name == name:
            return index + 1
    raise KeyError


def duration(seconds: int) -> str:
    """Write seconds as configuration does: 90d, 24h, 10m, 45s."""
    for unit, letter in ((DAY, "d"), (3600, "h"), (60, "m")):
        if seconds % unit == 0 and seconds >= unit and not (unit == DAY and seconds == DAY):
            return str(seconds // unit) + letter
    return str(seconds) + "s"


def floor(row: Purpose) -> int:
    """Return the shortest lifetime of a purpose, in seconds: a custodian's key is for a day (EXP-3)."""
    return DAY if row.custody == CUSTODIAN else LIFETIME_FLOOR


def refuse_lifetime(row: Purpose, seconds: int) -> "str | None":
    """Return why this lifetime is unlawful or useless for a purpose, None where it is fine (L34-II-2)."""
    if seconds > row.ceiling:
        return "above the ceiling of " + duration(row.ceiling)
    if seconds < floor(row):
        return "below " + duration(floor(row))
    if row.custody == CUSTODIAN and seconds % DAY:
        return "not a number of whole days"
    return None


def refuse_ground(row: Purpose, ground: "str | None") -> "str | None":
    """Return what would be accepted in the place of a ground for a purpose, None where this one is fine (L34-III-1)."""
    if ground in (row.grounds or (None,)):
        return None
    reason = "; " + STRUCK_DOWN_REASON if ground == STRUCK_DOWN else ""
    return (", ".join(row.grounds) or "no ground") + reason


def other_wording(ground: "str | None") -> "str | None":
    """Return what must be said of a ground that only the wording of 2014-2021 knows (L34-III-1); None for any other."""
    if ground not in FORMER_GROUNDS:
        return None
    instead = f"the one in force since 31 July 2021 knows {IN_FORCE} instead"
    return f"ground {ground} is of the wording of 2014-2021: {instead}"
