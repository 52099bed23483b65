"""The patterns that texts from outside must match, each with the sentence that says so to people.

They are written so that Pydantic (Rust), Python and JSON Schema (ECMA-262) read them alike.
"""

from __future__ import annotations

from collections.abc import Mapping

KEY = r"^[a-z0-9][a-z0-9-]{0,63}$"
CHANNEL = r"^[a-z0-9_-]{1,64}$"
PRINTABLE = r"^[^\u0000-\u001f\u007f-\u009f\u2028\u2029]+$"
VISIBLE_ASCII = r"^[ -~]+$"

MEANINGS: Mapping[str, str] = {
    KEY: "must be lower-case letters, digits and hyphens, at most 64, starting with a letter or digit",
    CHANNEL: "must be 1 to 64 of a-z, 0-9, _ and -",
    PRINTABLE: "must hold no control characters or line breaks",
    VISIBLE_ASCII: "must be printable ASCII",
}
