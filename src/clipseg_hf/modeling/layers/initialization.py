"""First weights of what is trained: the decoder and the refiner."""

import torch
from torch import nn
from transformers import initialization as init

from clipseg_hf.modeling.layers.decoder import AttentionProjection
from clipseg_hf.modeling.layers.prompt_tokens import ZeroLinear
from clipseg_hf.modeling.layers.refiner import RectifiedConvolution, ZeroConvolution


def initialize_decoder(decoder: nn.Module, generator: torch.Generator | None = None) -> None:
    """Fresh weights for the whole decoder, or for a refiner, drawn from `generator` (None: PyTorch's global one).

    The films of further steps are drawn, too: starting from zero, which is for trained decoders, they learn later.
    """
    for module in decoder.modules():
        if isinstance(module, ZeroLinear):
            _draw(module, generator)
        else:
            initialize_decoder_module(module, generator)


@torch.no_grad()
def initialize_decoder_module(module: nn.Module, generator: torch.Generator | None = None) -> None:
    """Fresh weights for one module of the decoder: those of the original, which are PyTorch's defaults.

    Stock draws from N(0, 1) instead (its `initializer_factor` is taken for a standard deviation), which gives logits in
    the thousands.
    """
    if isinstance(module, AttentionProjection):
        init.uniform_(module.weight, -module.initial_bound, module.initial_bound, generator=generator)
        init.zeros_(module.bias)
    elif isinstance(module, (ZeroLinear, ZeroConvolution)):
        for parameter in module.parameters():
            init.zeros_(parameter)
    elif isinstance(module, RectifiedConvolution):
        bound = (6 / module.weight[0].numel()) ** 0.5
        init.uniform_(module.weight, -bound, bound, generator=generator)
        for bias in list(module.parameters())[1:]:
            init.zeros_(bias)
    elif isinstance(module, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
        _draw(module, generator)
    elif isinstance(module, nn.LayerNorm):
        init.ones_(module.weight)
        init.zeros_(module.bias)


@torch.no_grad()
def _draw(module: nn.Linear | nn.Conv2d | nn.ConvTranspose2d, generator: torch.Generator | None) -> None:
    bound = module.weight[0].numel() ** -0.5
    for parameter in module.parameters(recurse=False):  # weight and bias
        init.uniform_(parameter, -bound, bound, generator=generator)
