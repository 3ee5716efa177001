"""What all records share: frozen, strict about names, and a digest. Holds no record."""

import hashlib
import json
from typing import Any

from pydantic import BaseModel, ConfigDict


class Model(BaseModel):
    """What all records share: frozen, and strict about names.

    The text under a field documents it; pydantic's `use_attribute_docstrings` stays off, since it reads the sources of
    all records at every start (75 ms of the 230 ms of `evalkit --help`).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")


def digest(value: Any, length: int = 12) -> str:
    """The first `length` hex digits of the sha256 of `value` as JSON with sorted keys."""
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json")
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:length]
