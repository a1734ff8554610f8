"""Validation on a fixed part of the rows, by the evaluation's own protocol."""

from clipseg_hf.evaluation.distributed import current_shard, merge_processes
from clipseg_hf.evaluation.referring import ReferringSettings, evaluate_referring
from clipseg_hf.training.arguments import CLIPSegTrainingArguments
from clipseg_hf.training.assembly import take


class Validation:
    """The same questions about the same images each time: each phrase by text, and by an example where there is one;
    one absent phrase for each image.

    Args:
        rows: the validation rows, of which `eval_samples`, evenly spread, are asked.
        args: the run's.
    """

    def __init__(self, rows, args: CLIPSegTrainingArguments):
        self.rows = evenly(rows, args.eval_samples)
        self.settings = ReferringSettings(
            prompts=("text", "image"),
            batch_size=max(1, args.per_device_eval_batch_size // 4),
            templates=(args.prefixes[0],) if args.prefixes else ReferringSettings.templates,
        )

    def __call__(self, model, processor) -> dict[str, float]:
        """The numbers named in `METRICS`, the same in every process, which share the work; those of images are left out
        where no phrase occurs twice."""
        results = evaluate_referring(model, processor, self.rows, self.settings, shard=current_shard())
        results = merge_processes(results)
        numbers: dict[str, float] = {}
        for kind, result in results.items():
            if result.samples:
                found = result.counts.compute()
                numbers |= {f"{kind}_{name}": found[name] for name in ("miou_best", "miou_0.5", "ap")}
                numbers[f"{kind}_auroc"] = result.presence.compute()["auroc"]
        return numbers


def evenly(rows, count: int):
    """At most `count` rows, evenly spread over all of them."""
    total = len(rows)
    return take(rows, [i * total // count for i in range(count)] if total > count else range(total))
