"""Training: one documented set of arguments, one loop, exact resume.

In comes a recipe, out comes a run's folder with checkpoints, logs and the finished model. The public names are those
below; `python -m clipseg_hf.training` runs a recipe, by one process or several.
"""

from typing import TYPE_CHECKING

from clipseg_hf._lazy import import_on_first_use

if TYPE_CHECKING:
    from clipseg_hf.console.overrides import parse_overrides
    from clipseg_hf.training.arguments import CLIPSegTrainingArguments
    from clipseg_hf.training.loop import TrainingResult, TrainingStopped, train
else:
    __getattr__, __dir__ = import_on_first_use(__name__)

__all__ = ["CLIPSegTrainingArguments", "TrainingResult", "TrainingStopped", "parse_overrides", "train"]
