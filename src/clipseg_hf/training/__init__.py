"""Training: one documented set of arguments, one loop, exact resume."""

from clipseg_hf.training.arguments import CLIPSegTrainingArguments, parse_overrides
from clipseg_hf.training.loop import TrainingResult, TrainingStopped, train

__all__ = ["CLIPSegTrainingArguments", "TrainingResult", "TrainingStopped", "parse_overrides", "train"]
