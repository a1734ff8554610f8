"""The learning rate as a function of the step, so that a resumed run needs no state for it."""

import math

from clipseg_hf.training.arguments import CLIPSegTrainingArguments


def learning_rate_at(step: int, args: CLIPSegTrainingArguments) -> float:
    """Learning rate of optimizer step `step`, counted from 0.

    From 0 to `learning_rate` in `warmup_steps`, then down to `min_learning_rate` along a cosine or a line, or not at
    all. The paper's: 1e-3 to 1e-4 along a cosine, without warm-up.
    """
    if step < args.warmup_steps:
        return args.learning_rate * (step + 1) / (args.warmup_steps + 1)
    if args.lr_scheduler_type == "constant":
        return args.learning_rate
    done = min((step - args.warmup_steps) / max(args.max_steps - args.warmup_steps, 1), 1.0)
    left = 1 - done if args.lr_scheduler_type == "linear" else (1 + math.cos(math.pi * done)) / 2
    return args.min_learning_rate + (args.learning_rate - args.min_learning_rate) * left
