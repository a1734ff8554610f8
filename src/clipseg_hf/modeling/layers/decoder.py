"""The trainable part of CLIPSeg: projections, FiLM, post-norm transformer blocks and the readout to pixels."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import CLIPSegConfig
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.models.clipseg.modeling_clipseg import CLIPSegDecoderOutput

from clipseg_hf.modeling.configuration import conditional_layers, get_field, has_tokens_beside, vision_fields
from clipseg_hf.modeling.layers.dropout import dropout
from clipseg_hf.modeling.layers.onednn import from_onednn, records_nothing, to_onednn
from clipseg_hf.modeling.layers.prompt_tokens import PromptAttention, PromptTokens, ZeroLinear
from clipseg_hf.modeling.layers.readout import RefinedReadout, SimpleReadout

# Tokens decoded at once where no gradient is recorded: enough for full speed, few enough to bound the memory (the MLP's
# activations take 8 KB a token). A processor is as fast with four prompts of 352 x 352, an accelerator wants more.
DECODE_TOKENS_CPU = 2_048
DECODE_TOKENS_ACCELERATOR = 32_768

UNHEARD = 0.25  # of the prompts, in training, where attention to their tokens stands beside the decoder

Refine = Callable[[Tensor, Tensor, Tensor], Tensor]
Films = dict[int, tuple[Tensor, Tensor]]  # step -> scale and shift, (N, 1, D) each


class CLIPSegDecoder(nn.Module):
    """From CLIP's activations and a prompt vector to one logit per pixel (the paper's section 3 and figure 2).

    The extracted activations enter from deep to shallow: each is projected to D = `reduce_dim`, added to the running
    tokens like the skips of a U-Net, and followed by a transformer block. At step `conditional_layer` the prompt vector
    modulates all tokens (FiLM). Only then does anything depend on the prompt, so the projections are computed once for
    each image, however many prompts ask about it.

    `conditional_layers` lets it modulate them at further steps as well, which neither the paper nor stock does: what a
    block says of the prompt is otherwise all that the next one, and the skip that joins it, can know.

    `prompt_tokens` lets the tokens attend to words and cells of the prompt before every block, beside its vector: one
    vector may not hold a whole phrase ("the dog left of the car"). Neither the paper nor stock does that, either.
    """

    def __init__(self, config: CLIPSegConfig):
        super().__init__()
        dim, vision, prompt_width = config.reduce_dim, vision_fields(config), cast(int, config.projection_dim)
        self.config = config
        self.film_mul = nn.Linear(prompt_width, dim)
        self.film_add = nn.Linear(prompt_width, dim)
        further = [step for step in conditional_layers(config) if step != config.conditional_layer]
        self.films = nn.ModuleDict({str(step): FurtherFilm(prompt_width, dim) for step in further})
        seen = range(len(config.extract_layers)) if PromptTokens.of(config) else ()
        self.attends = nn.ModuleDict({str(step): PromptAttention(config, prompt_width) for step in seen})
        self.reduces = nn.ModuleList(nn.Linear(vision.hidden_size, dim) for _ in config.extract_layers)
        self.layers = nn.ModuleList(DecoderLayer(config) for _ in config.extract_layers)
        refined = config.use_complex_transposed_convolution
        self.transposed_convolution = RefinedReadout(dim) if refined else SimpleReadout(dim, vision.patch_size)

    def forward(
        self,
        activations: Sequence[Tensor],
        conditional_embeddings: Tensor,
        grid: tuple[int, int],
        prompt_to_image: Tensor,
        decode_chunk_size: int | None = None,
        output_hidden_states: bool = False,
        output_attentions: bool = False,
        refine: Refine | None = None,
    ) -> CLIPSegDecoderOutput:
        """Decode N prompts on B images.

        Args:
            activations: one (B, 1 + rows * columns, width) for each extracted layer, in the order of `extract_layers`.
            conditional_embeddings: (N, projection_dim), or wider by the prompts' tokens; see `row_width`.
            grid: (rows, columns) of the patches.
            prompt_to_image: (N,), the image of each prompt.
            decode_chunk_size: prompts decoded at once; None: all where gradients are recorded (all has to be kept
                anyway) or a graph is compiled or exported, else as many as memory is well spent on.
            refine: what makes better logits of n prompts' patches (n, R, C, D), logits (n, H, W) and images (n,).

        Returns:
            `logits` (N, rows * patch, columns * patch). `hidden_states`, where asked for: the first block's input and
            every block's output, (N, tokens, D). `attentions`: every block's, (N, heads, tokens, tokens).
        """
        dtype = cast(DecoderLayer, self.layers[0]).layer_norm1.weight.dtype  # what no quantization touches
        prompts = self._read(conditional_embeddings.to(dtype), prompt_to_image)
        # deep to shallow, (B, tokens, width) -> (B, tokens, D)
        skips = [reduce(a.to(dtype)) for reduce, a in zip(self.reduces, reversed(activations), strict=True)]

        size = _chunk_size(decode_chunk_size, skips[0])
        chunks: Iterable[_Prompts] = [prompts]
        if size is not None:
            starts = range(0, max(1, len(prompt_to_image)), size)
            chunks = (prompts.select(slice(start, start + size)) for start in starts)
        decoded = [
            self._decode(skips, chunk, grid, output_hidden_states, output_attentions, refine) for chunk in chunks
        ]
        logits, hidden_states, attentions = zip(*decoded, strict=True)
        return CLIPSegDecoderOutput(
            logits=_join(logits),
            hidden_states=tuple(map(_join, zip(*hidden_states, strict=True))) if output_hidden_states else None,
            attentions=tuple(map(_join, zip(*attentions, strict=True))) if output_attentions else None,
        )

    def _read(self, conditional_embeddings: Tensor, prompt_to_image: Tensor) -> "_Prompts":
        """What N prompts (N, row width) do to the tokens of their images (N,)."""
        rows = conditional_embeddings.unflatten(1, (-1, cast(int, self.config.projection_dim)))  # (N, 1 + K, P)
        vectors = rows[:, 0]
        films = {self.config.conditional_layer: self._film(vectors)}
        films |= {int(step): film(vectors) for step, film in self.films.items()}
        attends = {int(step): cast(PromptAttention, attention).read(rows) for step, attention in self.attends.items()}
        if not self.attends:
            return _Prompts(prompt_to_image, films, attends)
        present = PromptTokens.of(self.config).present(rows, self.training)[:, None, None]  # (N, 1, 1, 1 + K)
        heard = None
        if has_tokens_beside(self.config):
            heard = present[..., 0, 1:].any(-1, keepdim=True)  # of a bare vector there is no more to say
            if self.training:  # some prompts are decoded without, so that the decoder goes on working so
                heard = heard & (torch.rand_like(heard, dtype=torch.float32) >= UNHEARD)
        return _Prompts(prompt_to_image, films, attends, present, heard)

    def _film(self, conditional_embeddings: Tensor) -> tuple[Tensor, Tensor]:
        """(N, projection_dim) -> scale and shift, (N, 1, D) each."""
        return self.film_mul(conditional_embeddings)[:, None], self.film_add(conditional_embeddings)[:, None]

    def _decode(
        self,
        skips: list[Tensor],
        prompts: "_Prompts",
        grid: tuple[int, int],
        output_hidden_states: bool,
        output_attentions: bool,
        refine: Refine | None,
    ) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """Decode one chunk of n prompts."""
        hidden_states: list[Tensor] = []
        attentions: list[Tensor] = []
        prompt_to_image, films, attends, present, heard = prompts
        tokens = skips[0][prompt_to_image]  # (B, tokens, D) -> (n, tokens, D)
        for step, (skip, layer) in enumerate(zip(skips, self.layers, strict=True)):
            if step > 0:
                tokens = tokens + skip[prompt_to_image]
            if step in films:
                scale, shift = films[step]
                tokens = scale * tokens + shift
            if step in attends:
                attended = self.attends[str(step)](tokens, *attends[step], present)
                tokens = tokens + (attended if heard is None else attended * heard)
            if output_hidden_states and not hidden_states:
                hidden_states.append(tokens)
            tokens, weights = layer(tokens, output_attentions)
            if output_hidden_states:
                hidden_states.append(tokens)
            if output_attentions:
                attentions.append(weights)
        patches = tokens[:, 1:].unflatten(1, grid)  # (n, 1 + R * C, D) -> (n, R, C, D)
        logits = self.transposed_convolution(patches)
        if refine is not None:
            logits = refine(patches, logits, prompt_to_image)
        return logits, hidden_states, attentions


class _Prompts(NamedTuple):
    """What a decoder knows of N prompts: their images (N,), what films and attentions made of them for each step, which
    of their tokens are there (N, 1, 1, 1 + K), and which prompts have any at all (N, 1, 1), where that matters."""

    prompt_to_image: Tensor
    films: Films
    attends: dict[int, tuple[Tensor, Tensor]]
    present: Tensor | None = None
    heard: Tensor | None = None

    def select(self, part: slice) -> "_Prompts":
        """Some of them."""
        films, attends = (
            {step: (first[part], second[part]) for step, (first, second) in pairs.items()}
            for pairs in (self.films, self.attends)
        )
        present, heard = (None if of_all is None else of_all[part] for of_all in (self.present, self.heard))
        return _Prompts(self.prompt_to_image[part], films, attends, present, heard)


class FurtherFilm(nn.Module):
    """FiLM at a further step. Put on a trained decoder it starts from scales of one and shifts of zero, and so changes
    nothing; a fresh decoder's are drawn around these."""

    def __init__(self, prompt_width: int, dim: int):
        super().__init__()
        self.mul = ZeroLinear(prompt_width, dim)
        self.add = ZeroLinear(prompt_width, dim)

    def forward(self, conditional_embeddings: Tensor) -> tuple[Tensor, Tensor]:
        """(N, projection_dim) -> scale and shift, (N, 1, D) each."""
        return 1 + self.mul(conditional_embeddings)[:, None], self.add(conditional_embeddings)[:, None]


class DecoderLayer(GradientCheckpointingLayer):
    """A transformer block with its norms after the residual sums, like `nn.TransformerEncoderLayer` by default."""

    def __init__(self, config: CLIPSegConfig):
        super().__init__()
        eps = vision_fields(config).layer_norm_eps
        self.self_attn = DecoderAttention(config)
        self.layer_norm1 = nn.LayerNorm(config.reduce_dim, eps=eps)
        self.mlp = DecoderMLP(config)
        self.layer_norm2 = nn.LayerNorm(config.reduce_dim, eps=eps)
        self.dropout = get_field(config, "decoder_dropout")

    def forward(self, tokens: Tensor, output_attentions: bool = False) -> tuple[Tensor, Tensor | None]:
        """(n, tokens, D) -> (n, tokens, D), and the attention weights where asked for."""
        attended, weights = self.self_attn(tokens, output_attentions)
        tokens = self.layer_norm1(tokens + dropout(attended, self.dropout, self.training))
        tokens = self.layer_norm2(tokens + dropout(self.mlp(tokens), self.dropout, self.training))
        return tokens, weights


class DecoderAttention(nn.Module):
    """Self-attention over the tokens of one prompt."""

    def __init__(self, config: CLIPSegConfig):
        super().__init__()
        dim = config.reduce_dim
        self.config = config
        self.num_heads = config.decoder_num_attention_heads
        # nn.MultiheadAttention draws the three as one (3D, D) matrix, by Xavier, and its output like any linear layer
        stacked, single = (6 / (3 * dim + dim)) ** 0.5, dim**-0.5
        self.k_proj = AttentionProjection(dim, initial_bound=stacked)
        self.v_proj = AttentionProjection(dim, initial_bound=stacked)
        self.q_proj = AttentionProjection(dim, initial_bound=stacked)
        self.out_proj = AttentionProjection(dim, initial_bound=single)
        self.dropout = get_field(config, "decoder_dropout")

    def forward(self, tokens: Tensor, output_attentions: bool = False) -> tuple[Tensor, Tensor | None]:
        """(n, tokens, D) -> (n, tokens, D), and the weights (n, heads, tokens, tokens) where asked for."""
        query, key, value = (
            # (n, tokens, D) -> (n, tokens, heads, head) -> (n, heads, tokens, head)
            projection(tokens).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        drops = self.training and self.dropout > 0
        # a processor's fused attention is of no use with dropout: it falls back to this, with a slower one
        if output_attentions or self.config._attn_implementation == "eager" or (drops and tokens.device.type == "cpu"):
            scores = torch.matmul(query, key.transpose(-1, -2)) * query.shape[-1] ** -0.5
            weights = scores.softmax(-1, dtype=torch.float32).to(query.dtype)  # (n, heads, tokens, tokens)
            attended = torch.matmul(dropout(weights, self.dropout, self.training), value)
        else:
            probability = self.dropout if drops else 0.0
            weights, attended = None, F.scaled_dot_product_attention(query, key, value, dropout_p=probability)
        # (n, heads, tokens, head) -> (n, tokens, D)
        return self.out_proj(attended.transpose(1, 2).flatten(2)), weights


class AttentionProjection(nn.Linear):
    """A linear layer that starts from U(-initial_bound, initial_bound) and without a bias."""

    def __init__(self, dim: int, initial_bound: float):
        super().__init__(dim, dim)
        self.initial_bound = initial_bound


class DecoderMLP(nn.Module):
    """D -> `decoder_intermediate_size` -> D with a ReLU.

    ReLU whatever `config.decoder_hidden_act` says, as in the original and in stock: the released configurations name
    another activation, which nothing reads.
    """

    def __init__(self, config: CLIPSegConfig):
        super().__init__()
        self.fc1 = nn.Linear(config.reduce_dim, config.decoder_intermediate_size)
        self.fc2 = nn.Linear(config.decoder_intermediate_size, config.reduce_dim)
        self.dropout = get_field(config, "decoder_dropout")

    def forward(self, tokens: Tensor) -> Tensor:
        """(n, tokens, D) -> (n, tokens, D)."""
        is_quantized = not isinstance(self.fc1.weight, Tensor)
        tokens = tokens if self.training or is_quantized else to_onednn(tokens)
        # In place where nothing is recorded; recorded, that would copy the whole tensor in the backward pass.
        hidden = F.relu(self.fc1(tokens), inplace=records_nothing())  # (n, tokens, intermediate)
        return from_onednn(self.fc2(dropout(hidden, self.dropout, self.training)))


def _chunk_size(asked: int | None, tokens: Tensor) -> int | None:
    """How many prompts to decode at once; None: all."""
    if asked is not None and (not isinstance(asked, int) or asked < 1):
        raise ValueError(f"decode_chunk_size={asked} must be a positive number of prompts, or None")
    if asked is None and records_nothing() and not torch.compiler.is_compiling():
        budget = DECODE_TOKENS_CPU if tokens.device.type == "cpu" else DECODE_TOKENS_ACCELERATOR
        return max(1, budget // tokens.shape[1])
    return asked


def _join(parts: tuple[Tensor, ...]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts)
