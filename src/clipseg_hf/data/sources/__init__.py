"""Your own data, whatever its layout, as the rows that all of this package reads."""

from clipseg_hf.data.sources.loading import KINDS, load_segmentation_dataset, open_segmentation_data

__all__ = ["KINDS", "load_segmentation_dataset", "open_segmentation_data"]
