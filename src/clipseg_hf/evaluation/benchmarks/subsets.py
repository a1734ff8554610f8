"""Which subsets a phrase belongs to, so that numbers come for each: by concept, and PhraseCut's own."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from clipseg_hf._text_files import parse_json, read_text
from clipseg_hf.data.vocabulary.phrases import concept_key
from clipseg_hf.processing.masks.rle import decode_rle

# Words that make a category "stuff" where they are part of its name: those of PhraseCut's `utils/subset.py`.
_STUFF_WORDS = """
banner beach blanket branch brick bridge building bush cage cardboard carpet ceiling cloth cloud counter cupboard
curtain desk dirt door fence field floor fog food forest grass gravel ground hill house leaf leaves light mat metal
mirror moss mountain mud napkin net ocean paper pavement plant plastic platform rail reflection river road rock roof rug
salad sand sea shadow shelf sidewalk sky snow solid stairs stone straw table tent textile towel tree vegetation wall
water wave window wood
"""
STUFF = tuple(_STUFF_WORDS.split())
_TOLD_BY = {"attribute": ["p_att+"], "relation": ["p_rel+"], "verbose": ["p_verbose"]}
_CATEGORY_RANKS = (20, 100, 500)
_ATTRIBUTE_RANKS = (20, 100, 200)


class ConceptSubsets:
    """Subsets by what a phrase's name is, singular or plural: `ConceptSubsets({"unseen": ["horse", "cow"]})`.

    Args:
        concepts: subset -> names.
        rest: the subset of all other names; None for none.
    """

    def __init__(self, concepts: Mapping[str, Iterable[str]], rest: str | None = None):
        self._keys = {subset: {concept_key(name) for name in names} for subset, names in concepts.items()}
        self._rest = rest

    def __call__(self, row: Mapping, phrase: Mapping) -> list[str]:
        """Names of the subsets of a row's phrase."""
        key = concept_key(phrase["name"])
        names = [subset for subset, keys in self._keys.items() if key in keys]
        return names or ([] if self._rest is None else [self._rest])


class PhraseCutSubsets:
    """The subsets of PhraseCut's evaluator, under its names.

    - c20, c21-100, c101-500, c500+, c100, c500: rank of the category by frequency; likewise a20, a21-100, a101-200,
      a200+, a100, a200: of the most frequent attribute. Only with the counts.
    - i_single, i_multi, i_many: 1, 2 to 4, 5 and more instances.
    - p_name: the bare name; p_att, p_attm: with one attribute or more, with several; p_rel, p_relm: with relations;
      p_att_rel: with both.
    - p_att+, p_rel+: attributes, or relations, are needed to tell the target from others in its image; p_verbose: the
      phrase says more than is needed. Only of rows that know it (`told_by`), as PhraseCut's do.
    - t_stuff, t_obj: by words in the name.
    - s_small, s_mid, s_large: target below 2 %, up to 20 %, above 20 % of the image.

    Args:
        categories, attributes: names by falling frequency.
    """

    def __init__(self, categories: Sequence[str] = (), attributes: Sequence[str] = ()):
        self._categories = {name: rank for rank, name in enumerate(categories)}
        self._attributes = {name: rank for rank, name in enumerate(attributes)}

    @classmethod
    def from_counts(cls, path: str | Path) -> "PhraseCutSubsets":
        """With the counts of PhraseCut's `name_att_rel_count.json`.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it holds no lists "cat" and "att" of (name, count).
        """
        counts = parse_json(read_text(path), path)
        if not isinstance(counts, dict) or not {"cat", "att"} <= counts.keys():
            found = sorted(counts) if isinstance(counts, dict) else type(counts).__name__
            raise ValueError(f"{path} should hold the lists 'cat' and 'att' of PhraseCut's counts, found {found}.")
        try:
            return cls(*([name for name, _ in counts[kind]] for kind in ("cat", "att")))
        except (TypeError, ValueError) as error:
            raise ValueError(f"{path}: 'cat' and 'att' should be lists of [name, count]: {error}.") from error

    def __call__(self, row: Mapping, phrase: Mapping) -> list[str]:
        """Names of the subsets of a row's phrase."""
        attributes, relations = len(phrase["attributes"]), len(phrase["relations"])
        instances = len(phrase["boxes"])
        area = np.count_nonzero(decode_rle(phrase["mask"])) / (row["height"] * row["width"])
        names = self._ranks(phrase)
        names.append("i_single" if instances <= 1 else "i_multi" if instances < 5 else "i_many")
        names.append("t_stuff" if any(word in phrase["name"] for word in STUFF) else "t_obj")
        names.append("s_small" if area < 0.02 else "s_large" if area > 0.2 else "s_mid")
        structure = {
            "p_name": not attributes and not relations,
            "p_att": attributes > 0,
            "p_attm": attributes > 1,
            "p_rel": relations > 0,
            "p_relm": relations > 1,
            "p_att_rel": attributes > 0 and relations > 0,
        }
        names += _TOLD_BY.get(phrase.get("told_by"), [])
        return names + [name for name, holds in structure.items() if holds]

    def _ranks(self, phrase: Mapping) -> list[str]:
        names = []
        if self._categories:
            names += _rank_subsets("c", self._categories.get(phrase["name"]), _CATEGORY_RANKS)
        if self._attributes:
            ranks = [self._attributes[name] for name in phrase["attributes"] if name in self._attributes]
            names += _rank_subsets("a", min(ranks, default=None), _ATTRIBUTE_RANKS)
        return names


def _rank_subsets(letter: str, rank: int | None, ends: tuple[int, int, int]) -> list[str]:
    """Names for a rank counted from 0; without one it is beyond the last."""
    first, second, third = ends
    if rank is None or rank >= third:
        return [f"{letter}{third}+"]
    if rank >= second:
        return [f"{letter}{second + 1}-{third}", f"{letter}{third}"]
    if rank >= first:
        return [f"{letter}{first + 1}-{second}", f"{letter}{second}", f"{letter}{third}"]
    return [f"{letter}{first}", f"{letter}{second}", f"{letter}{third}"]
