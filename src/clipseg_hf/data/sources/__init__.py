"""Your own data, whatever its layout, as the rows that all of this package reads.

In comes a folder, an archive, a data set of the Hub or its columns, out come rows; each layout has a file of its own,
and `loading` tells them apart. The public names are those below.
"""

from clipseg_hf.data.sources.loading import KINDS, load_segmentation_dataset, open_segmentation_data

__all__ = ["KINDS", "load_segmentation_dataset", "open_segmentation_data"]
