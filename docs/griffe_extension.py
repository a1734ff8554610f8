"""Docstrings as people write them here -> as Griffe reads Google's style, for `make docs`."""

import re

import griffe

_SHARED = re.compile(r"^( +)(\w+(?:, \w+)+):((?: .*)?(?:\n\1 +\S.*)*)$", re.MULTILINE)
_RETURNS = re.compile(r"^(Returns:\n +)", re.MULTILINE)


class HouseStyle(griffe.Extension):
    """Arguments that share a line (`width, height: in pixels`) get one each, so that each is shown with its type, and
    one that does not exist is an error. What a function returns has the type of its annotation."""

    def on_function(self, *, func: griffe.Function, **_) -> None:
        _split(func.docstring)
        if func.docstring is not None and func.returns is not None:
            func.docstring.value = _RETURNS.sub(lambda found: f"{found[0]}{func.returns}: ", func.docstring.value)

    def on_class(self, *, cls: griffe.Class, **_) -> None:
        _split(cls.docstring)


def _split(docstring: griffe.Docstring | None) -> None:
    if docstring is not None:
        docstring.value = _SHARED.sub(_one_each, docstring.value)


def _one_each(shared: re.Match) -> str:
    indent, names, meaning = shared.groups()
    return "\n".join(f"{indent}{name}:{meaning}" for name in names.split(", "))
