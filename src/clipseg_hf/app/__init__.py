"""The page: a picture and words in a browser, masks back at once.

In come requests of any visitor, bounded in `limits`; `asking` answers them with a `Segmenter`, `words` says everything
in English and Korean, `page` lays it out with Gradio, `serving` starts it, and `space` writes it as a Space of the Hub.
"""

from clipseg_hf.app.limits import Limits
from clipseg_hf.app.serving import serve
from clipseg_hf.app.space import write_space

__all__ = ["Limits", "serve", "write_space"]
