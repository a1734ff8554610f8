"""transformers' `AutoModelForImageSegmentation` and `AutoProcessor` give our CLIPSeg, whoever is imported first.

Neither transformers nor our classes are imported for this: as soon as a mapping of transformers is there, ours is
entered into it as something that is looked up at the first question. Imported at once, it could ask for parts of
transformers that are themselves just being imported.
"""

import sys
from collections import UserDict
from collections.abc import Mapping, Sequence
from functools import cached_property
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import NamedTuple


class _Entry(NamedTuple):
    """The mapping of a module of transformers that we enter a class of ours into."""

    mapping: str
    module: str
    name: str


ENTRIES = {
    "transformers.models.auto.modeling_auto": _Entry(
        "MODEL_FOR_IMAGE_SEGMENTATION_MAPPING", "clipseg_hf.modeling.modeling_clipseg", "CLIPSegForImageSegmentation"
    ),
    "transformers.models.auto.processing_auto": _Entry(
        "PROCESSOR_MAPPING", "clipseg_hf.processing.processing_clipseg", "CLIPSegProcessor"
    ),
}


def register() -> None:
    """Enter our classes for CLIPSeg checkpoints; no other Auto class changes."""
    if not any(isinstance(finder, _Watch) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Watch())
    for name in ENTRIES:
        if name in sys.modules:
            _enter(import_module(name))  # another thread may be importing it: this waits for it


class _Watch:
    """Finds the modules as Python would, to be there when one has been imported.

    It stays, for a reload: to take it away would make the imports of other threads leave out the finder behind it.
    """

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path, target) if name in ENTRIES else None
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                execute(module)
                _enter(module)

            spec.loader.exec_module = exec_module
        return spec


def _enter(module: ModuleType) -> None:
    entry = ENTRIES[module.__name__]
    mapping = getattr(module, entry.mapping)
    mapping._extra_content = _WithOurs(mapping._extra_content, entry)
    if entry.mapping == "PROCESSOR_MAPPING":
        # A checkpoint names its processor, and the names of transformers' own are looked through before those entered.
        module.PROCESSOR_MAPPING_NAMES.pop("clipseg", None)


class _WithOurs(UserDict):
    """Configuration -> class, as registered with transformers; ours is loaded by the first look at it."""

    def __init__(self, registered: Mapping, entry: _Entry):
        self.registered, self.entry = registered, entry

    @cached_property
    def data(self) -> dict:
        from transformers import CLIPSegConfig

        return {**self.registered, CLIPSegConfig: getattr(import_module(self.entry.module), self.entry.name)}
