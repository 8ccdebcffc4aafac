"""JSON from strangers: bounded size and depth, no duplicate keys, nothing another parser reads otherwise."""

import json
from typing import Any, Never

from adapters.problem import Problem, quoted

MAX_DEPTH = 32  # orjson refuses to write more than 254 levels; no honest file comes near
MAX_INTEGER = 2**63 - 1


class _Refused(ValueError):
    pass


def parse_object(raw: bytes, where: str, max_bytes: int) -> tuple[dict[str, Any] | None, tuple[Problem, ...]]:
    """The JSON object in `raw` (UTF-8), or None and the problem that stands in the way. Never raises."""
    if len(raw) > max_bytes:
        message = (
            f"{len(raw):,} bytes, but at most {max_bytes:,} are allowed; remove what is not configuration"
        )
        return None, (Problem("json_too_large", where, message),)
    try:
        value = json.loads(
            raw.decode("utf-8"),
            object_pairs_hook=_object,
            parse_constant=_constant,
            parse_float=_number,
            parse_int=_integer,
        )
        _check(value)
    except UnicodeDecodeError as error:
        message = f"byte {error.start} is not UTF-8; save the file as UTF-8"
        return None, (Problem("json_not_utf8", where, message),)
    except RecursionError:
        message = f"nested deeper than {MAX_DEPTH} levels; flatten it"
        return None, (Problem("json_too_deep", where, message),)
    except ValueError as error:
        return None, (Problem("json_invalid", where, f"not usable JSON: {quoted(str(error))[1:-1]}"),)
    if not isinstance(value, dict):
        message = f"a JSON object is needed, not {type(value).__name__}"
        return None, (Problem("json_not_object", where, message),)
    return value, ()


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # json and orjson keep the last of two equal keys, other parsers the first: what was checked here
    # would not be what the engine reads.
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _Refused(f"key {quoted(key)} appears twice")
            seen.add(key)
    return result


def _constant(text: str) -> Never:
    raise _Refused(f"{text} is not a JSON number")


def _number(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise _Refused(f"number {quoted(text)} is too large")
    return value


def _integer(text: str) -> int:
    if len(text) > 20 or abs(int(text)) > MAX_INTEGER:
        raise _Refused(f"integer {quoted(text)} does not fit 64 bits")
    return int(text)


def _check(root: object) -> None:
    """Raises RecursionError beyond MAX_DEPTH and _Refused for text that cannot be written as UTF-8."""
    level = [root]
    for _ in range(MAX_DEPTH + 1):
        children: list[object] = []
        for value in level:
            if isinstance(value, str):
                _check_text(value)
            elif isinstance(value, dict):
                for key in value:
                    _check_text(key)
                children.extend(value.values())
            elif isinstance(value, list):
                children.extend(value)
        if not children:
            return
        level = children
    raise RecursionError


def _check_text(text: str) -> None:
    if not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text):
        raise _Refused(f"text {quoted(text)} holds a lone surrogate")
