"""Dropout that costs a processor little: the rest of a decoder this small is soon done."""

import torch
import torch.nn.functional as F
from torch import Tensor


def dropout(values: Tensor, probability: float, training: bool = True) -> Tensor:
    """Zeros with a probability, all else scaled by 1 / (1 - probability), as `torch.nn.functional.dropout`.

    That draws numbers one by one on a processor, which takes as long as all the decoder's products together. Here a
    64-bit draw of the same generator serves four values, sixteen bits each, so that the probability is a multiple of
    2^-16.

    Args:
        values: of any shape and floating type.
        probability: in [0, 1].
        training: whether anything is dropped.
    """
    if not training or probability == 0:
        return values
    if values.device.type != "cpu" or probability == 1 or torch.compiler.is_compiling():  # which fuses PyTorch's own
        return F.dropout(values, probability)
    count = values.numel()
    draws = torch.empty((count + 3) // 4, dtype=torch.int64).random_(-(2**63), None)  # all 64 bits
    sixteen = draws.view(torch.int16)[:count].view(values.shape)
    kept = sixteen >= round(probability * 2**16) - 2**15
    return values * kept.to(values.dtype).mul_(1 / (1 - probability))
