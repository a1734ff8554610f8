"""On the Hugging Face Hub: a trained checkpoint or a data set goes up with a card, and is used from there.

In come a checkpoint's folder, or rows, and what only their publisher can say; out goes one commit, which is loaded anew
and compared before it goes up, and read back afterwards. `repository_files/` goes along with each whole checkpoint, so
that it works without this package; with it, `pipeline` is transformers' for "prompted-image-segmentation". The public
names are those below, resolved on first use.
"""

from typing import TYPE_CHECKING

from clipseg_hf._lazy import import_on_first_use

if TYPE_CHECKING:
    from clipseg_hf.hub.pipeline import PromptedImageSegmentationPipeline
    from clipseg_hf.hub.publishing import publish_checkpoint
    from clipseg_hf.hub.rows.publishing import publish_dataset
    from clipseg_hf.hub.uploading import PublishedMeanwhile, Upload
else:
    __getattr__, __dir__ = import_on_first_use(__name__)

__all__ = ["PromptedImageSegmentationPipeline", "PublishedMeanwhile", "Upload", "publish_checkpoint", "publish_dataset"]
