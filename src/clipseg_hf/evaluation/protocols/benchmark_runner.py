"""The paper's protocols by name, on data as it lies in a folder: what `clipseg-hf evaluate` calls.

    evaluation = run_benchmark("referring", model, processor, "VGPhraseCut_v0")
    write_report(evaluation, "out", model="my-model", data="PhraseCut", segmenter=(model, processor))

| name           | data                                     | what it measures                                    |
| -------------- | ---------------------------------------- | --------------------------------------------------- |
| referring      | PhraseCut, the emoji world, any other    | phrases, by text, by example and mixed; presence    |
| zero-shot      | Pascal VOC 2012, the emoji world         | every pixel's class, seen and unseen ones           |
| one-shot       | Pascal VOC 2012, COCO, the emoji world   | a class by one example, by folds                    |
| generalized    | LVIS, COCO, the emoji world              | affordances, attributes, parts                      |
| visual-prompts | LVIS, COCO, the emoji world              | which way of showing an object CLIP understands     |
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace

from clipseg_hf.evaluation.benchmarks.benchmark_classes import (
    COCO_FOLDS,
    EMOJI_PROMPTS,
    GENERALIZED_PROMPTS,
    PASCAL_FOLDS,
    ZERO_SHOT_SPLITS,
)
from clipseg_hf.evaluation.benchmarks.benchmark_data import (
    bare_names,
    frequent_names,
    is_emoji_world,
    is_kind,
    load_rows,
    rows_showing,
    subsets_for,
    unseen_emoji,
)
from clipseg_hf.evaluation.benchmarks.label_maps import PascalVOC, RowLabelMaps
from clipseg_hf.evaluation.metrics.arithmetic import check_arithmetic
from clipseg_hf.evaluation.metrics.histogram import DEFAULT_THRESHOLDS
from clipseg_hf.evaluation.metrics.prompt_results import Evaluation
from clipseg_hf.evaluation.protocols.distributed import current_shard, merge_processes
from clipseg_hf.evaluation.protocols.generalized import GeneralizedSettings, evaluate_generalized
from clipseg_hf.evaluation.protocols.one_shot import (
    OneShotSettings,
    evaluate_one_shot,
    read_episodes,
    summarize_one_shot,
)
from clipseg_hf.evaluation.protocols.referring import ReferringSettings, evaluate_referring, summarize
from clipseg_hf.evaluation.protocols.visual_prompt_study import VisualPromptStudySettings, study_visual_prompts
from clipseg_hf.evaluation.protocols.zero_shot import (
    ConfusionMatrix,
    ZeroShotSettings,
    evaluate_zero_shot,
    summarize_zero_shot,
)
from clipseg_hf.modeling.configuration import weight_beside_text

TAKEN_BY = {
    "prompts": ("referring", "one-shot"),
    "image_prompt_weight": ("referring", "one-shot"),
    "unseen": ("zero-shot",),
    "folds": ("one-shot",),
    "episodes": ("one-shot",),
    "guided_filter": ("referring", "zero-shot", "one-shot", "generalized"),  # visual-prompts has no masks
    "at": ("referring", "one-shot", "generalized"),
    "arithmetic": ("referring", "one-shot", "generalized"),
}
"""Option -> the benchmarks that it is for; those that are not here are for all."""
PASCAL_UNSEEN = 10  # classes, as in the first of the paper's splits
EMOJI_CLASSES = 10  # seen and unseen ones each, that are told apart at once in the emoji world's zero-shot benchmark


@dataclass(frozen=True)
class BenchmarkOptions:
    """What may be chosen of any benchmark; None leaves the protocol's own choice.

    Attributes:
        split: of the data.
        limit: at most so many images, evenly spread.
        reader: for the reader of the data, such as {"kind": "index_masks", "ignore_index": 255}; see
            `load_segmentation_dataset`.
        prompts: kinds of prompts, for "referring" and "one-shot".
        image_prompt_weight: an example's share beside a text, in [0, 1], for the same.
        templates: sentences around a phrase.
        unseen: how many Pascal classes are unseen (2, 4, 6, 8, or left out 10), for "zero-shot".
        folds: numbers of the folds, for "one-shot": those that the model was trained for.
        episodes: of each fold, for "one-shot"; or the path of a published list.
        batch_size: images encoded at once.
        guided_filter: let masks follow the pictures' edges; of all benchmarks but "visual-prompts", which has no masks.
        at: fixed thresholds to report, of 0.02, 0.04 ... 0.98, for "referring", "one-shot" and "generalized".
        arithmetic: "default", or "clipseg" for the original's arithmetic, for the same.
        seed: of all that is drawn.
        progress: show a bar.

    Raises:
        ValueError: a threshold at which nothing is counted, or another arithmetic.
    """

    split: str | None = None
    limit: int | None = None
    reader: Mapping = field(default_factory=dict)
    prompts: tuple[str, ...] | None = None
    image_prompt_weight: float | None = None
    templates: tuple[str, ...] | None = None
    unseen: int | None = None
    folds: tuple[int, ...] | None = None
    episodes: int | str | None = None
    batch_size: int | None = None
    guided_filter: bool = False
    at: tuple[float, ...] = (0.3, 0.5)
    arithmetic: str = "default"
    seed: int = 0
    progress: bool = False

    def __post_init__(self):
        check_arithmetic(self.arithmetic)
        for threshold in self.at:
            nearest = min(DEFAULT_THRESHOLDS, key=lambda counted: abs(counted - threshold))
            if not abs(nearest - threshold) < 1e-6:
                raise ValueError(
                    f"Thresholds to report are 0.02, 0.04 ... 0.98, at which pixels are counted; got {threshold:g}, "
                    f"which {nearest:g} is nearest to."
                )

    def check(self, benchmark: str) -> None:
        """Raises ValueError if there is no such benchmark, or an option was chosen that would change nothing of it."""
        if benchmark not in BENCHMARKS:
            raise ValueError(f"There is no benchmark {benchmark!r}; there are {', '.join(BENCHMARKS)}.")
        untouched = BenchmarkOptions()
        for name, benchmarks in TAKEN_BY.items():
            if benchmark not in benchmarks and getattr(self, name) != getattr(untouched, name):
                raise ValueError(
                    f"{name} is for {' and '.join(benchmarks)}, and the benchmark {benchmark} does not take it: leave "
                    "it out."
                )

    def apply(self, settings):
        """A protocol's settings with those options that were chosen; `check` has refused what it does not have."""
        shared = {option.name for option in fields(self)} & {setting.name for setting in fields(settings)}
        chosen = {name: getattr(self, name) for name in shared}
        return replace(settings, **{name: value for name, value in chosen.items() if value is not None})


def run_benchmark(benchmark: str, model, processor, data, options: BenchmarkOptions | None = None) -> Evaluation:
    """Run a protocol. Where PyTorch's process group is there, its processes share the work and all have the result.

    Args:
        benchmark: a name of the table above.
        model, processor: a `CLIPSegForImageSegmentation` and its `CLIPSegProcessor`.
        data: the folder of the data, or rows.

    Raises:
        ValueError: there is no such benchmark, or the data or an option does not serve it.
        FileNotFoundError: the data is not there; says what was expected and where to get it.
    """
    options = options or BenchmarkOptions()
    options.check(benchmark)
    evaluation = BENCHMARKS[benchmark](model, processor, data, options)
    split = options.split or _split_of(evaluation.rows)
    return replace(evaluation, settings={**evaluation.settings, "split": split, "limit": options.limit})


def _split_of(rows) -> str | None:
    split = getattr(rows, "split", None)
    return None if split is None else str(split)


def _rows(data, benchmark: str, options: BenchmarkOptions):
    return load_rows(data, benchmark, options.split, options.limit, **options.reader)


def _with_weight(settings, model):
    """The settings with the weight in them that mixtures are asked with, if there are any, for the report."""
    weight = settings.image_prompt_weight
    if "mix" not in settings.prompts:
        if weight is not None:
            raise ValueError(
                f"image_prompt_weight={weight:g} is for mixtures of text and example, but prompts are "
                f"{', '.join(settings.prompts)}: add mix, or leave the weight out."
            )
        return settings
    return replace(settings, image_prompt_weight=weight_beside_text(model.config, weight))


def _referring(model, processor, data, options: BenchmarkOptions) -> Evaluation:
    rows = _rows(data, "referring", options)
    original = is_kind(data, "phrasecut") and not is_emoji_world(data)
    # the original's test asks the bare phrase
    settings = ReferringSettings(templates=("{}",)) if original else ReferringSettings()
    settings = _with_weight(options.apply(settings), model)
    results = evaluate_referring(
        model,
        processor,
        rows,
        settings,
        subsets=subsets_for(data),
        shard=current_shard(),
        progress=options.progress,
    )
    results = merge_processes(results)
    return Evaluation("referring", asdict(settings), summarize(results, options.at, options.arithmetic), results, rows)


def _zero_shot(model, processor, data, options: BenchmarkOptions) -> Evaluation:
    settings = options.apply(ZeroShotSettings())
    if is_emoji_world(data):
        if options.unseen is not None:
            raise ValueError(
                f"unseen={options.unseen} chooses one of Pascal VOC's splits; the emoji world's unseen emoji are those "
                "that its training scenes lack: leave it out."
            )
        rows = _rows(data, "zero-shot", options)
        groups, unseen = _emoji_groups(rows)
        source = rows_showing(rows, [name for group in groups for name in group])
        maps = [RowLabelMaps(rows_showing(rows, group), group) for group in groups]
    else:
        chosen = PASCAL_UNSEEN if options.unseen is None else options.unseen
        if chosen not in ZERO_SHOT_SPLITS:
            raise ValueError(f"unseen is one of {', '.join(map(str, ZERO_SHOT_SPLITS))}, got {chosen}.")
        if options.reader:
            raise ValueError(
                f"The benchmark zero-shot reads Pascal VOC in its official layout alone, and takes no options for a "
                f"reader; got {', '.join(options.reader)}: leave them out."
            )
        source = PascalVOC(data, options.split or "val", options.limit)
        maps, unseen = [source], ZERO_SHOT_SPLITS[chosen]
    shared = {"shard": current_shard(), "progress": options.progress}
    told_apart = [
        merge_processes(evaluate_zero_shot(model, processor, group, group.classes, settings, **shared))
        for group in maps
    ]
    matrices = {reading: ConfusionMatrix.joined([one[reading] for one in told_apart]) for reading in told_apart[0]}
    summary = summarize_zero_shot(matrices, unseen)
    settings = {**asdict(settings), "groups": [list(group.classes) for group in maps], "unseen": list(unseen)}
    return Evaluation("zero-shot", settings, summary, rows=source)


def _emoji_groups(rows) -> tuple[list[list[str]], list[str]]:
    """The emoji that are told apart at once: groups of twenty as in the paper, half of them unseen, and as many groups
    as there are unseen emoji for. Pictures of one emoji are few, and a mean over more classes says more."""
    hidden = unseen_emoji()
    unseen = frequent_names(rows, hidden, len(hidden))
    count = max(1, len(unseen) // EMOJI_CLASSES)
    unseen = unseen[: count * EMOJI_CLASSES]
    named = [name for name in bare_names(rows) if name not in hidden]
    seen = frequent_names(rows, named, count * EMOJI_CLASSES)
    return [[*seen[n::count], *unseen[n::count]] for n in range(count)], unseen  # groups alike in frequency


def _one_shot(model, processor, data, options: BenchmarkOptions) -> Evaluation:
    rows = _rows(data, "one-shot", options)
    folds = _folds(data, rows)
    if options.folds is not None:
        wanted = [f"fold {n}" for n in options.folds]
        lacking = sorted(set(wanted) - set(folds))
        if lacking:
            raise ValueError(f"There is no {', '.join(lacking)}; there are {', '.join(folds)}.")
        folds = {name: folds[name] for name in wanted}
    episodes = None
    if isinstance(options.episodes, str):
        episodes, options = read_episodes(options.episodes, rows, folds), replace(options, episodes=None)
    settings = _with_weight(options.apply(OneShotSettings()), model)
    results = evaluate_one_shot(
        model, processor, rows, folds, settings, episodes=episodes, shard=current_shard(), progress=options.progress
    )
    results = merge_processes(results)
    at = tuple(sorted({0.24, 0.28, *options.at}))  # the paper's thresholds of PC+ and PC
    summary = summarize_one_shot(results, at, options.arithmetic)
    return Evaluation("one-shot", {**asdict(settings), "folds": folds}, summary, results, rows)


def _folds(data, rows) -> dict[str, tuple[str, ...]]:
    """Fold -> its test classes; of other data than the protocol's own all classes are one fold."""
    if is_emoji_world(data):
        names = [name for name in unseen_emoji() if name in set(bare_names(rows))]
        return {f"fold {n}": tuple(names[n::4]) for n in range(4)}
    if is_kind(data, "voc"):
        return dict(PASCAL_FOLDS)
    return dict(COCO_FOLDS) if is_kind(data, "coco") else {"all classes": tuple(bare_names(rows))}


def _generalized(model, processor, data, options: BenchmarkOptions) -> Evaluation:
    rows = _rows(data, "generalized", options)
    prompts = EMOJI_PROMPTS if is_emoji_world(data) else GENERALIZED_PROMPTS
    settings = options.apply(GeneralizedSettings())
    results = evaluate_generalized(
        model, processor, rows, prompts, settings, shard=current_shard(), progress=options.progress
    )
    results = merge_processes(results)
    return Evaluation(
        "generalized", asdict(settings), summarize(results, options.at, options.arithmetic), results, rows
    )


def _visual_prompts(model, processor, data, options: BenchmarkOptions) -> Evaluation:
    rows = _rows(data, "visual-prompts", options)
    settings = options.apply(VisualPromptStudySettings())
    if is_emoji_world(data):
        settings = replace(settings, min_area=0.01)  # its things are smaller
    study = study_visual_prompts(model, processor, rows, settings, shard=current_shard(), progress=options.progress)
    study = merge_processes({"study": study})["study"]
    probabilities = study.probabilities()
    return Evaluation("visual-prompts", asdict(settings), study.summary(), rows=rows, probabilities=probabilities)


BENCHMARKS: dict[str, Callable[..., Evaluation]] = {
    "referring": _referring,
    "zero-shot": _zero_shot,
    "one-shot": _one_shot,
    "generalized": _generalized,
    "visual-prompts": _visual_prompts,
}
