"""transformers' `AutoModelForImageSegmentation` gets to know CLIPSeg, whichever package is imported first.

Neither transformers nor the model is imported for this: as soon as transformers' mapping of models is there, ours is
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

MODULE = "transformers.models.auto.modeling_auto"


def register() -> None:
    """Enter our class for CLIPSeg checkpoints; no other Auto class changes."""
    if not any(isinstance(finder, _Watch) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Watch())
    if MODULE in sys.modules:
        _enter(import_module(MODULE))  # another thread may be importing it: this waits for it


class _Watch:
    """Finds one module as Python would, to be there when it has been imported.

    It stays, for a reload: to take it away would make the imports of other threads leave out the finder behind it.
    """

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path, target) if name == MODULE else None
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                execute(module)
                _enter(module)

            spec.loader.exec_module = exec_module
        return spec


def _enter(module: ModuleType) -> None:
    mapping = module.MODEL_FOR_IMAGE_SEGMENTATION_MAPPING
    mapping._extra_content = _WithOurs(mapping._extra_content)


class _WithOurs(UserDict):
    """Configuration -> model class, as registered with transformers; ours is loaded by the first look at it."""

    def __init__(self, registered: Mapping):
        self.registered = registered

    @cached_property
    def data(self) -> dict:
        from transformers import CLIPSegConfig

        from clipseg_hf.modeling.modeling_clipseg import CLIPSegForImageSegmentation

        return {**self.registered, CLIPSegConfig: CLIPSegForImageSegmentation}
