"""Masks in the formats of annotation tools and trainers: what a model found, or any data set's rows, on their way out.

Each format has a file of its own, which writes what its reader in `data/sources` reads; `writing` lays out the folder.
The public names are those below.
"""

from clipseg_hf.labels.label_studio import label_studio_prediction
from clipseg_hf.labels.labelled import LabelledImage, LabelledObject, labelled_rows
from clipseg_hf.labels.writing import LABEL_FORMATS, write_labels

__all__ = [
    "LABEL_FORMATS",
    "LabelledImage",
    "LabelledObject",
    "label_studio_prediction",
    "labelled_rows",
    "write_labels",
]
