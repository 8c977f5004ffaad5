"""The header of a DBN stream: measured from its first bytes, then decoded whole."""

from __future__ import annotations

from typing import Final

import databento_dbn as dbn

from ifd.errors import CorruptStreamError, UnsupportedDataError
from ifd.records.layout import (
    MIN_RECORD_SIZE,
    NEWEST_VERSION,
    RTYPE_MBO,
    Octets,
    smallest_sizes,
)

HEADER_PREFIX_SIZE: Final = 8
"""The letters DBN, the version, and how many bytes of header follow."""
MAX_HEADER_SIZE: Final = 512 * 2**20
"""A year of symbology for a whole dataset is some 100 MB."""
_KNOWN_RTYPES: Final = frozenset({RTYPE_MBO, *smallest_sizes(NEWEST_VERSION)})


def header_size(data: Octets, *, max_size: int = MAX_HEADER_SIZE) -> int:
    """Return the size of the header that a DBN stream begins with, from its first bytes.

    Returns
    -------
    int
        At least `HEADER_PREFIX_SIZE`, which is also the answer while `data` is shorter than that.

    Raises
    ------
    CorruptStreamError
        If this is not the beginning of a DBN stream.
    UnsupportedDataError
        If the version is newer than 3: its records may mean something else.
    """
    if len(data) < HEADER_PREFIX_SIZE:
        return HEADER_PREFIX_SIZE
    if bytes(data[:3]) != b"DBN":
        raise CorruptStreamError("a DBN stream begins with the letters DBN, this does not")
    version = data[3]
    if not 1 <= version <= NEWEST_VERSION:
        raise UnsupportedDataError(
            f"DBN version {version} is not known here (1 to {NEWEST_VERSION} are): "
            "update this checkout and its databento package"
        )
    size = HEADER_PREFIX_SIZE + int.from_bytes(data[4:HEADER_PREFIX_SIZE], "little")
    if size > max_size:
        raise CorruptStreamError(f"the DBN header claims {size:,} bytes, more than {max_size:,}")
    return size


def decode_header(data: Octets) -> dbn.Metadata:
    """Return the metadata of a whole header, as `header_size` measured it.

    Raises
    ------
    CorruptStreamError
        If the header is damaged.
    """
    try:
        # As it is: upgraded metadata would say version 3, whatever its records are.
        return dbn.Metadata.decode(bytes(data), dbn.VersionUpgradePolicy.AS_IS)  # type: ignore[arg-type]  # stub says int
    except (dbn.DBNError, ValueError) as error:
        raise CorruptStreamError(f"the DBN header cannot be read: {error}") from error


def looks_like_records(data: Octets) -> bool:
    """Return True when `data` could begin with a record: a DBN fragment without its header."""
    return len(data) >= 2 and data[0] * 4 >= MIN_RECORD_SIZE and data[1] in _KNOWN_RTYPES
