"""Values of settings as people write them: their types, their ranges, and what a misspelt one may have meant."""

import difflib
import math
import types
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path

from clipseg_hf._text_files import short_repr


def as_type(name: str, value, hint):
    """Bring a value from YAML or Python to a field's type: 1e-3 (a text to YAML) to float, lists to tuples.

    Raises:
        TypeError: it is of no such type; names the field, what came and what it takes.
    """
    options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    for option in options:
        converted = _try_type(value, option)
        if converted is not None:
            return converted
    if value is None and types.NoneType in options:
        return None
    expected = " or ".join(_TYPE_NAMES.get(typing.get_origin(option) or option, "?") for option in options)
    raise TypeError(
        f"{name} takes {expected}, got {short_repr(value)} ({type(value).__name__}).{_quotes(value, options)}"
    )


def _quotes(value, options) -> str:
    """Advice where a text is wanted that YAML has read as something else: a bare no is false, a bare 1 a number."""
    given = value if isinstance(value, (list, tuple)) else [value]
    bare = [item for item in given if isinstance(item, (bool, int, float))]
    if not bare or not any(str in (option, *typing.get_args(option)) for option in options):
        return ""
    meant = ("yes" if bare[0] else "no") if isinstance(bare[0], bool) else short_repr(bare[0])
    return f' If a text is meant, put it in quotes: "{meant}" (on a command line in two: \'"{meant}"\').'


_TYPE_NAMES = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    dict: "keys and values",
    tuple: "a list",
    types.NoneType: "null",
}


def _try_type(value, hint):
    """The value as `hint`, or None where it is none."""
    if typing.get_origin(hint) is tuple:
        items = typing.get_args(hint)
        if isinstance(value, str) or not isinstance(value, Iterable):
            value = [value] if items[-1] is ... and isinstance(value, (str, int, float)) else None
        if value is None:
            return None
        converted = tuple(_try_type(item, items[0]) for item in value)
        fits = None not in converted and (items[-1] is ... or len(converted) == len(items))
        return converted if fits else None
    if hint is dict:
        return dict(value) if isinstance(value, Mapping) else None
    if hint is bool:
        return value if isinstance(value, bool) else None
    if hint in (int, float) and not isinstance(value, bool):
        try:
            number = float(value)
        except (TypeError, ValueError, OverflowError):
            return None
        if hint is float:
            return number
        return int(number) if number.is_integer() else None
    if hint is str:
        return str(value) if isinstance(value, (str, Path)) else None
    return None


def check_range(name: str, value, choices, low, high) -> None:
    """Refuse a value, other than None, that is not among the choices or not from `low` to `high`, where there are any;
    of a tuple each is looked at.

    Raises:
        ValueError: it is so; names the field, what came and what it takes.
    """
    if value is None:
        return
    if choices and value not in choices:
        raise ValueError(f"{name} is one of {', '.join(choices)}; got {short_repr(value)}.{closest(value, choices)}")
    values = value if isinstance(value, tuple) else (value,)
    if low is not None and not all(low <= one <= (math.inf if high is None else high) for one in values):  # NaN is not
        raise ValueError(
            f"{name} is {f'at least {low}' if high is None else f'between {low} and {high}'}, got {value}."
        )


def closest(value, choices) -> str:
    """The words " Did you mean ...?" where one of the choices has a similar name, else nothing."""
    close = difflib.get_close_matches(str(value)[:100], choices, n=1, cutoff=0.5)
    return f" Did you mean {close[0]!r}?" if close else ""
