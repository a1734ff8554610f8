"""Make the list of words that name the Pascal classes, from WordNet (needed only when the classes or WordNet change).

sudo apt-get install wordnet-base
python examples/make_concept_words.py src/clipseg_hf/data/vocabulary/pascal_concepts.json
"""

import json
import sys
from pathlib import Path

from clipseg_hf.data.vocabulary.concepts import PASCAL_CLASSES, PERSON_WORDS, tokenize
from clipseg_hf.data.vocabulary.wordnet import WordNetNouns, find_wordnet


def main(path: str) -> None:
    directory = find_wordnet()
    if directory is None:
        sys.exit("No WordNet found; install Debian's wordnet-base.")
    nouns = WordNetNouns(directory)
    classes = {name: sorted({name, *nouns.words_below(synset)}) for name, synset in PASCAL_CLASSES.items()}
    classes["person"] = list(PERSON_WORDS)
    needed = {token for words in classes.values() for word in words for token in tokenize(word)}
    irregular = {plural: singulars for plural, singulars in nouns.irregular.items() if not needed.isdisjoint(singulars)}
    values = {"license": nouns.license, "classes": classes, "irregular": dict(sorted(irregular.items()))}
    Path(path).write_text(json.dumps(values, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    for name, words in classes.items():
        print(f"{name:14} {PASCAL_CLASSES[name]:18} {len(words):4} words: {', '.join(words[:5])}, ...")


if __name__ == "__main__":
    main(*sys.argv[1:])
