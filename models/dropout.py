"""Dropout at one half, drawn 64 decisions at a time.

On a CPU, drawing a Bernoulli number per activation took almost half of CONV's training step. At probability one half
each bit of a random 64-bit word is an independent fair coin, so the bits themselves are the mask: the same
distribution as `nn.Dropout(0.5)` exactly, from another stream of random numbers.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def half_mask(like: Tensor) -> Tensor:
    """uint8 of the shape and memory layout of `like`; every entry is 0 or 2 with probability one half each."""
    count = like.numel()
    words = torch.empty(-(-count // 64), dtype=torch.int64).random_(-(2**63), None)
    shift = torch.arange(8, dtype=torch.uint8).unsqueeze(1)
    bits = (words.view(torch.uint8) >> shift).bitwise_and_(1).bitwise_left_shift_(1).flatten()
    return bits.as_strided(like.shape, like.stride())


class HalfDropout(nn.Module):
    """`nn.Dropout(0.5)`: in training zeroes each activation with probability one half and doubles the others."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        if x.device.type != "cpu":
            return F.dropout(x, 0.5)
        if not (x.is_contiguous() or x.is_contiguous(memory_format=torch.channels_last)):
            x = x.contiguous()
        return x * half_mask(x)
