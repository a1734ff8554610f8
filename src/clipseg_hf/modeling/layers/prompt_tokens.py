"""The words of a text and the patches of an example, beside CLIP's one vector of either, for a decoder to attend to.

Beyond the paper, where a prompt is one vector. All of them go into one row: the vector first, then a place for each
word, then one for each cell of an example. So rows are averaged and mixed, kept and passed on as vectors are, and in a
mixture of a text and an example the words weigh what the text weighs. (Several texts, or several examples, of one
prompt are averaged place by place.) Places that a prompt does not fill are zero, and no token attends to them.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import CLIPSegConfig

from clipseg_hf.modeling.configuration import prompt_tokens


@dataclass(frozen=True)
class PromptTokens:
    """How many tokens of a prompt a decoder sees: the first `text` tokens of a text, and `image` cells of an example,
    as many rows of them as columns."""

    text: int = 0
    image: int = 0

    @classmethod
    def of(cls, config: CLIPSegConfig) -> "PromptTokens":
        """As `config.prompt_tokens` says; none by default."""
        return cls(*prompt_tokens(config))

    def __bool__(self) -> bool:
        return bool(self.text or self.image)

    def present(self, rows: Tensor, training: bool = False) -> Tensor:
        """(N, 1 + text + image, D) -> (N, 1 + text + image), which of them there are; the vector always is.

        In training half of the mixtures of a text and an example show no words: they say the same as the cells and more
        readily, and an example alone would be another thing than whatever was trained.
        """
        vector, words, cells = (rows != 0).any(-1).split((1, self.text, self.image), dim=1)
        if training:
            hidden = cells.any(1, keepdim=True) & (torch.rand(len(rows), 1, device=rows.device) < 0.5)
            words = words & ~hidden
        return torch.cat([torch.ones_like(vector), words, cells], dim=1)

    def of_texts(self, vectors: Tensor, words: Tensor, attention_mask: Tensor | None) -> Tensor:
        """The rows of T texts.

        Args:
            vectors: (T, D).
            words: (T, L, D); those beyond `text` are left out.
            attention_mask: (T, L), 0 for padding; None: there is none.

        Returns:
            (T, (1 + text + image) * D).
        """
        if attention_mask is not None:
            words = words * (attention_mask != 0)[..., None].to(words.dtype)
        words = F.pad(words, (0, 0, 0, self.text))[:, : self.text]  # (T, text, D)
        cells = vectors.new_zeros(vectors.shape[0], self.image * vectors.shape[1])
        return torch.cat([vectors, words.flatten(1), cells], dim=1)

    def of_images(self, vectors: Tensor, patches: Tensor) -> Tensor:
        """The rows of S examples.

        Args:
            vectors: (S, D).
            patches: (S, rows, columns, D); a cell is the mean over its share of the picture.

        Returns:
            (S, (1 + text + image) * D).
        """
        side = round(self.image**0.5)
        rows, columns = (_shares(size, side).to(patches) for size in patches.shape[1:3])
        cells = torch.einsum("ir,jc,srcd->sijd", rows, columns, patches)  # (S, side, side, D)
        words = vectors.new_zeros(vectors.shape[0], self.text * vectors.shape[1])
        return torch.cat([vectors, words, cells.flatten(1)], dim=1)


def _shares(size: int, cells: int) -> Tensor:
    """(cells, size): how much of each cell each of `size` patches in a line is; a cell's shares sum to one."""
    patches, starts = torch.arange(size), torch.arange(cells)[:, None] * size / cells
    covered = torch.minimum(patches + 1, starts + size / cells) - torch.maximum(patches, starts)
    return covered.clamp(min=0) * cells / size


class PromptAttention(nn.Module):
    """Each token of the decoder attends to the vector and the tokens of its prompt; added to the token, before a block.

    Put on a trained decoder it starts from an output of zero, and so changes nothing.
    """

    def __init__(self, config: CLIPSegConfig, prompt_width: int):
        super().__init__()
        dim = config.reduce_dim
        self.num_heads = config.decoder_num_attention_heads
        self.layer_norm = nn.LayerNorm(dim)  # tokens that a skip has just joined are of any length
        self.q_proj = nn.Linear(dim, dim)
        self.k_proj = nn.Linear(prompt_width, dim)
        self.v_proj = nn.Linear(prompt_width, dim)
        self.out_proj = ZeroLinear(dim, dim)

    def read(self, prompts: Tensor) -> tuple[Tensor, Tensor]:
        """(N, K, prompt_width) -> keys and values, (N, heads, K, head) each."""
        return self._heads(self.k_proj(prompts)), self._heads(self.v_proj(prompts))

    def forward(self, tokens: Tensor, keys: Tensor, values: Tensor, present: Tensor) -> Tensor:
        """(n, tokens, D), (n, heads, K, head) twice, (n, 1, 1, K) -> (n, tokens, D)."""
        queries = self._heads(self.q_proj(self.layer_norm(tokens)))
        attended = F.scaled_dot_product_attention(queries, keys, values, attn_mask=present)
        return self.out_proj(attended.transpose(1, 2).flatten(2))

    def _heads(self, rows: Tensor) -> Tensor:
        """(N, K, D) -> (N, heads, K, head)."""
        return rows.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)


class ZeroLinear(nn.Linear):
    """A linear layer that starts from zero, unless everything is fresh."""
