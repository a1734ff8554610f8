"""transformers' `AutoModelForImageSegmentation`, `AutoProcessor` and `pipeline` give our CLIPSeg, in any import order.

Neither transformers nor our classes are imported for this: as soon as a mapping of transformers is there, ours is
entered into it as something that is looked up at the first question. Imported at once, it could ask for parts of
transformers that are themselves just being imported.
"""

import sys
from collections import UserDict
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

TASK = "prompted-image-segmentation"
_MODEL = "clipseg_hf.modeling.modeling_clipseg:CLIPSegForImageSegmentation"
_PROCESSOR = "clipseg_hf.processing.processing_clipseg:CLIPSegProcessor"
_PIPELINE = "clipseg_hf.hub.pipeline:PromptedImageSegmentationPipeline"


def register() -> None:
    """Enter our classes for CLIPSeg checkpoints, and our task; nothing else of transformers changes."""
    if not any(isinstance(finder, _Watch) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Watch())
    for name in ENTRIES:
        if name in sys.modules:
            ENTRIES[name](import_module(name))  # another thread may be importing it: this waits for it


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
                ENTRIES[name](module)

            spec.loader.exec_module = exec_module
        return spec


def _enter_model(module: ModuleType) -> None:
    mapping = module.MODEL_FOR_IMAGE_SEGMENTATION_MAPPING
    mapping._extra_content = _WithOurs(mapping._extra_content, _MODEL)


def _enter_processor(module: ModuleType) -> None:
    module.PROCESSOR_MAPPING._extra_content = _WithOurs(module.PROCESSOR_MAPPING._extra_content, _PROCESSOR)
    # A checkpoint names its processor, and the names of transformers' own are looked through before those entered.
    module.PROCESSOR_MAPPING_NAMES.pop("clipseg", None)


def _enter_pipeline(module: ModuleType) -> None:
    module.PIPELINE_REGISTRY.supported_tasks[TASK] = _OurTask(
        pt=(module.AutoModelForImageSegmentation,),
        default={"model": ("CIDAS/clipseg-rd64-refined", "main")},
        type="multimodal",
    )


ENTRIES: dict[str, Callable[[ModuleType], None]] = {
    "transformers.models.auto.modeling_auto": _enter_model,
    "transformers.models.auto.processing_auto": _enter_processor,
    "transformers.pipelines": _enter_pipeline,
}


class _WithOurs(UserDict):
    """Configuration -> class, as registered with transformers; ours is loaded by the first look at it."""

    def __init__(self, registered: Mapping, ours: str):
        self.registered, self.ours = registered, ours

    @cached_property
    def data(self) -> dict:
        from transformers import CLIPSegConfig

        return {**self.registered, CLIPSegConfig: _load(self.ours)}


class _OurTask(dict):
    """What transformers keeps of a task; the class behind it is loaded by the first pipeline."""

    def __missing__(self, key: str) -> Any:
        if key != "impl":
            raise KeyError(key)
        return _load(_PIPELINE)


def _load(place: str) -> Any:
    module, name = place.split(":")
    return getattr(import_module(module), name)
