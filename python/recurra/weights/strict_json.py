"""JSON as this package writes it: no name twice, no NaN, no numbers that take long to read."""

from __future__ import annotations

import json
from typing import Any

from recurra._checks import shown

from .errors import FormatError


def parse_json(text: str | bytes, what: str) -> Any:
    """The value of a text, which `what` names in errors.

    Raises:
        FormatError: it isn't JSON, or such JSON as nobody writes: nested too deeply, with a name twice, …
    """
    try:
        return json.loads(
            text.decode() if isinstance(text, bytes) else text,
            object_pairs_hook=_without_duplicates,
            parse_int=_integer,
            parse_float=_number,
            parse_constant=_number,
        )
    except FormatError as error:
        raise FormatError(f"{what}: {error}") from None
    except RecursionError:
        raise FormatError(f"{what}: expected JSON, got one nested too deeply") from None
    except ValueError as error:  # of JSON and of UTF-8
        raise FormatError(f"{what}: expected JSON, got a text that isn't: {error}") from None


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise FormatError(f"expected each name once, got {shown(twice)} twice")
    return result


def _integer(digits: str) -> int:
    if len(digits) > 20:  # Python's own conversion takes time that grows with the square
        raise FormatError(f"expected integers of up to 20 digits, got {shown(digits)}")
    return int(digits)


def _number(digits: str) -> float:
    if len(digits) > 40 or not digits[-1].isdigit() or abs(float(digits)) == float("inf"):
        raise FormatError(f"expected finite numbers, got {shown(digits)}")
    return float(digits)
