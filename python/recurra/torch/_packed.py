"""PackedSequence: its rows go step by step, those of a step by falling length, which is how padded ones are cut."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch


def padded_steps(data: Any, batch_sizes: Any) -> tuple[Any, Any]:
    """Rows (N, features) as (T, B, features), and the lengths (B,) as an array; what is beyond them isn't read."""
    padded, lengths = torch._VF._pad_packed_sequence(data, batch_sizes, False, 0.0, batch_sizes.numel())
    return padded, lengths.numpy()


def packed_rows(padded: Any, lengths: Any) -> Any:
    """The way back."""
    data, _ = torch._VF._pack_padded_sequence(padded, torch.from_numpy(np.asarray(lengths)), False)
    return data
