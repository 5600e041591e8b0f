"""States that stay as they are."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


def copied(state: Mapping[str, Any]) -> dict[str, Any]:
    """What a `state_dict` returned, which may be the very arrays that training changes, as PyTorch's are."""
    return copy.deepcopy(dict(state))
