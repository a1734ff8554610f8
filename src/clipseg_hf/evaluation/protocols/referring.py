"""Protocol 1, referring expressions (paper, section 5.1): phrases about images, asked by text, by example, by both.

Any rows will do. Each image is encoded once, whatever is asked of it. Examples come from other images with the same
phrase, never from the query. Absent phrases tell how well the model knows that a thing is not there.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from clipseg_hf.data.rows.row_images import decode_image, undecoded
from clipseg_hf.data.rows.row_phrases import different_phrases, united_entry
from clipseg_hf.data.sampling.phrase_index import PhraseIndex
from clipseg_hf.data.sampling.sampling import generator_for
from clipseg_hf.evaluation.metrics.histogram import DEFAULT_THRESHOLDS
from clipseg_hf.evaluation.metrics.prompt_results import PromptResults
from clipseg_hf.evaluation.protocols.prompted_model import DEFAULT_TEMPLATES, PromptedModel
from clipseg_hf.evaluation.protocols.queries import (
    PROMPT_KINDS,
    Query,
    QueryEvaluator,
    batches,
    check_kinds,
    check_weight,
    true_pixels,
)

SubsetFunction = Callable[[dict, dict], Iterable[str]]


@dataclass(frozen=True)
class ReferringSettings:
    """What is asked, and how.

    Attributes:
        prompts: which of "text", "image" and "mix". Images and mixtures are asked of phrases that another image has.
        templates: sentences around the phrase; vectors of several are averaged. (The original's test asks the bare
            phrase, "{}".)
        image_prompt_weight: a in x = a s + (1 - a) t, for "mix"; None: the checkpoint's own
            (`config.image_prompt_weight`), or 0.5.
        negatives_per_image: absent phrases asked of each image.
        thresholds: at which pixels are counted.
        boundary_thresholds: at which the masks' rims are compared; () for not at all.
        batch_size: images encoded at once.
        guided_filter: let masks follow the pictures' edges, by `GuidedFilter`'s own settings.
        seed: of the examples and the absent phrases; the same for every model that is to be compared.
    """

    prompts: tuple[str, ...] = PROMPT_KINDS
    templates: tuple[str, ...] = DEFAULT_TEMPLATES
    image_prompt_weight: float | None = None
    negatives_per_image: int = 1
    thresholds: tuple[float, ...] = DEFAULT_THRESHOLDS
    boundary_thresholds: tuple[float, ...] = (0.3, 0.5)
    batch_size: int = 4
    guided_filter: bool = False
    seed: int = 0

    def __post_init__(self):
        check_kinds(self.prompts)
        check_weight(self.image_prompt_weight)
        if self.negatives_per_image < 0 or self.batch_size < 1:
            raise ValueError(
                f"negatives_per_image is at least 0 and batch_size at least 1, got {self.negatives_per_image} and "
                f"{self.batch_size}."
            )


def evaluate_referring(
    model,
    processor,
    rows: Sequence[dict],
    settings: ReferringSettings | None = None,
    *,
    subsets: SubsetFunction | None = None,
    index: PhraseIndex | None = None,
    shard: tuple[int, int] = (0, 1),
    progress: bool = False,
) -> dict[str, PromptResults]:
    """Ask all phrases of all rows.

    Args:
        model, processor: a `CLIPSegForImageSegmentation` and its `CLIPSegProcessor`.
        rows: see `clipseg_hf.data.rows.rows`.
        subsets: (row, phrase entry) -> names of the subsets that the phrase belongs to; numbers come for each. An
            absent phrase counts to the subsets that it has where it was taken from. If images are asked, too, there is
            "shared" by text besides: the same phrases as by image.
        index: of the rows, where it is at hand.
        shard: (rank, processes): this process takes each `processes`-th batch. Merge the results; the numbers are
            those of one process, exactly.
        progress: show a bar.

    Returns:
        Kind of prompt -> results.

    Raises:
        ValueError: no rows, or nothing could be asked; a mask that does not fit its image.
    """
    settings = settings or ReferringSettings()
    if not len(rows):
        raise ValueError("There are no rows to evaluate on: is the split empty, or did a filter drop all of them?")
    drawer = _Drawer(undecoded(rows), settings, subsets, PhraseIndex(rows) if index is None else index)
    prompted = PromptedModel.asked_by(model, processor, settings)
    results = {kind: PromptResults.at(settings.thresholds, settings.boundary_thresholds) for kind in settings.prompts}
    evaluator = QueryEvaluator(prompted, drawer.rows, settings.image_prompt_weight, results, name_shared=True)
    with prompted.evaluating():
        for numbers in batches(len(rows), settings.batch_size, shard, "referring expressions" if progress else None):
            batch = [drawer.rows[number] for number in numbers]
            queries = [
                q
                for n, (number, row) in enumerate(zip(numbers, batch, strict=True))
                for q in drawer.draw(number, row, n)
            ]
            evaluator.evaluate([decode_image(row["image"])[0] for row in batch], queries)
    if shard[1] == 1 and not any(result.samples for result in results.values()):
        raise ValueError(
            f"Nothing could be asked by {' or '.join(settings.prompts)}: no phrase of the {len(rows)} rows occurs on "
            "two images, so that there are no examples. Add rows, or ask by text."
        )
    return results


def count_questions(rows: Sequence[dict], settings: ReferringSettings) -> dict[str, tuple[int, int]]:
    """How often `evaluate_referring` asks for something present and for something absent, by kind of prompt. No image
    is read."""
    drawer = _Drawer(undecoded(rows), settings, None, PhraseIndex(rows))
    queries = [query for n in range(len(rows)) for query in drawer.draw(n, drawer.rows[n], 0)]
    counts = {}
    for kind in settings.prompts:
        asked = [query.mask is not None for query in queries if kind == "text" or query.example is not None]
        counts[kind] = (sum(asked), len(asked) - sum(asked))
    return counts


def summarize(results: dict[str, PromptResults], at: Iterable[float] = (0.3, 0.5), arithmetic: str = "default") -> dict:
    """Kind of prompt -> subset -> numbers; see `PromptResults.summary`."""
    return {kind: result.summary(tuple(at), arithmetic) for kind, result in results.items()}


class _Drawer:
    """Draws the queries of a row: its own phrases, absent ones, and an example for each."""

    def __init__(self, rows, settings: ReferringSettings, subsets: SubsetFunction | None, index: PhraseIndex):
        self.rows, self.settings, self.subsets, self.index = rows, settings, subsets, index

    def draw(self, number: int, row: dict, image: int) -> list[Query]:
        """Queries of row `number`, which is image `image` of its batch."""
        generator = generator_for(self.settings.seed, 0, number)
        drawn = []
        for n in different_phrases(row["phrases"]):
            query = self._ask(number, image, row, n, generator)
            sample = {"row": number, "phrase_number": n, "image_id": row["image_id"]}
            sample |= {"phrase_id": row["phrases"][n]["phrase_id"], "phrase": query.phrase}
            drawn.append(query._replace(**true_pixels(row, [n]), sample=sample))
        absent: list[str] = []
        for _ in range(self.settings.negatives_per_image):
            phrase = self.index.draw_negative(number, generator, without=absent)
            if phrase is not None:
                absent.append(phrase)
                other, n = self.index[phrase][0]
                query = self._ask(number, image, self.rows[other], n, generator)
                drawn.append(query._replace(**true_pixels(row), sample={"image_id": row["image_id"]}))
        return drawn

    def _ask(self, number: int, image: int, source: dict, n: int, generator) -> Query:
        """Phrase `n` of a row, asked of row `number`."""
        entry = source["phrases"][n] if self.subsets is None else united_entry(source["phrases"], n)
        example = self.index.draw_support(entry["phrase"], number, generator)
        names = () if self.subsets is None else tuple(self.subsets(source, entry))
        return Query(image, entry["phrase"], None, example, subsets=names)
