"""Very many pictures, asked for one list of prompts: by processes of one machine or by a cluster, cut off and gone on.

The pictures are divided into numbered shards, each is labelled by one process and appears as a whole; at the end they
are put together in their order. The public names are those below.
"""

from clipseg_hf.labelling.prompt_file import read_prompt_file
from clipseg_hf.labelling.review import sureness
from clipseg_hf.labelling.running import Labelled, label_pictures
from clipseg_hf.labelling.shards import read_rows

__all__ = ["Labelled", "label_pictures", "read_prompt_file", "read_rows", "sureness"]
