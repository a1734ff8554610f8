"""Packages that import a public name when it is first asked for (PEP 562), so that importing them costs nothing.

A package writes its imports where type checkers and editors read them, and this module reads them there, too:

    if TYPE_CHECKING:
        from clipseg_hf.training.loop import train
    else:
        __getattr__, __dir__ = import_on_first_use(__name__)
"""

import sys
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any


def import_on_first_use(package: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` of a package, by the imports below its `if TYPE_CHECKING:`.

    A name that was asked for once is an ordinary attribute afterwards. A name that is imported from the package itself
    is a module in it.
    """
    module = sys.modules[package]

    @cache
    def origins() -> dict[str, str]:
        return _read_imports(module)

    def __getattr__(name: str) -> Any:
        if name not in origins():
            raise AttributeError(f"module {package!r} has no attribute {name!r}", name=name, obj=module)
        if origins()[name] == package:
            return import_module(f"{package}.{name}")
        value = vars(module)[name] = getattr(import_module(origins()[name]), name)
        return value

    def __dir__() -> list[str]:
        return sorted({*vars(module), *origins()})

    if "__getattr__" in vars(module):  # a reload; what was asked for before may be another now
        for name in origins():
            vars(module).pop(name, None)
    return __getattr__, __dir__


def _read_imports(module) -> dict[str, str]:
    """Name -> the module that it is imported from."""
    import ast  # takes longer than all else here, so only when a name is asked for

    source = module.__spec__.loader.get_source(module.__name__)
    if source is None:
        raise ImportError(f"{module.__name__} is installed without its source, which says what it exports.")
    blocks = [node for node in ast.parse(source).body if isinstance(node, ast.If)]
    blocks = [block for block in blocks if isinstance(block.test, ast.Name) and block.test.id == "TYPE_CHECKING"]
    imports = [node for block in blocks for node in block.body if isinstance(node, ast.ImportFrom)]
    return {alias.name: node.module for node in imports for alias in node.names}
