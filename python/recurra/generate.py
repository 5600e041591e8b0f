"""generate: a model of tokens goes on from a prompt, one token at a time."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ._checks import check_index, check_number, check_rng, check_size, is_masked, shown
from .composite import Composite
from .embedding import Embedding
from .encoder_decoder import EncoderDecoder
from .linear import Linear
from .recurrent import is_layer_type
from .sequential import Sequential, as_model
from .stream import Stream, steps_alone
from .training.items import reverse_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .module import Array
    from .recurrent import Seed


def generate(
    model: Any,
    prompt: Array | Sequence[int] | tuple[Any, Array | Sequence[int]],
    length: int,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    seed: Seed = None,
    stop: int | None = None,
) -> Array:
    """Reads a prompt, then samples token after token, each of which the model reads next.

    The model's states are carried from step to step, so that a token costs the same however long the text is.

    Args:
        model: maps tokens (T,) to logits (T, C), such as Sequential(Embedding, GRU, Linear), or a recurrent layer that
            takes tokens; of one direction, an encoder aside.
        prompt: at least one token, an array or a list; of a model around an `EncoderDecoder` a pair of the source,
            (Ts,) or (Ts, F), and what the decoder reads first.
        length: how many tokens to sample, from 1 up.
        temperature: logits are divided by it: below 1 the likely becomes likelier; 0 always takes the likeliest, the
            first of equals.
        top_k: only the k likeliest tokens may be chosen, the first of equals again; None for all.
        seed: of the sampling, an integer, a `numpy.random.Generator`, or None for the system's.
        stop: a token that ends the text.

    Returns:
        The sampled tokens, int64: `length` of them, or fewer, the last one being `stop`. Without the prompt.

    Raises:
        TypeError: an argument of the wrong type, or a prompt that isn't of integers.
        ValueError: a number out of range, a model that reads from the end, other shapes than these, or logits whose
            largest is NaN or infinite.

    Example:
        A model that has learned which token follows which, 0 1 2 3 0 1 …:

        >>> model = recurra.Sequential(
        ...     recurra.Embedding(4, 4, seed=0), recurra.GRU(4, 8, seed=1), recurra.Linear(8, 4, seed=2)
        ... )
        >>> tokens = np.arange(21).reshape(21, 1) % 4
        >>> adam = recurra.Adam(model, lr=0.05)
        >>> _ = recurra.fit(model, [(tokens[:-1], tokens[1:])], recurra.cross_entropy, adam, epochs=25)
        >>> recurra.generate(model, [2], 6, temperature=0)
        array([3, 0, 1, 2, 3, 0])
        >>> recurra.generate(model, [2], 6, temperature=0, stop=1)
        array([3, 0, 1])
    """
    model = as_model(model)
    reader = _from_the_end(model)
    if reader is not None:
        raise ValueError(
            f"model: expected layers of one direction, forward, as the future isn't known, got {shown(reader)}"
        )
    given: Any = prompt
    sourced = isinstance(given, tuple) and len(given) == 2 and np.ndim(given[1]) == 1
    tokens = _check_prompt(given[1] if sourced else given)
    check_size("length", length)
    check_number("temperature", temperature, "a number from 0 up", 0, math.inf)
    if top_k is not None:
        check_size("top_k", top_k)
    end = None if stop is None else check_index("stop", stop, "a token or None")
    draws = (check_rng("seed", seed).random(length) * (1 - 2**-52)).tolist()  # so that u * total < total when rounded

    y, read = _begin(model, (np.asarray(given[0]), tokens) if sourced else tokens, length)
    if not isinstance(y, np.ndarray) or y.ndim != 2 or len(y) != len(tokens) or not y.size:
        raise ValueError(f"model: expected logits (T, C) from {len(tokens)} tokens (T,), got {shown(np.shape(y))}")
    result = np.empty(length, np.int64)
    with np.errstate(all="ignore"):
        choose = _sampler(y.shape[1], temperature, top_k)
        logits = y[-1]
        for i, u in enumerate(draws):
            result[i] = chosen = choose(logits, u)
            if chosen == end:
                return result[: i + 1].copy()
            if i + 1 < length:
                logits = read(chosen)
    return result


def _begin(model: Any, prompt: Any, length: int) -> tuple[Any, Callable[[int], Array]]:
    """The logits of a prompt, and a function that reads the next token and returns its logits (C,)."""
    further = _without_embedding(model, length)
    if steps_alone(further):
        stream = Stream(further)
        return stream.many(prompt), stream
    y, state = model.run(prompt)

    def read(token: int) -> Array:
        nonlocal state
        logits, state = further.run(np.array([token]), state)
        return logits[0]  # type: ignore[no-any-return]

    return y, read


def _from_the_end(model: Any) -> Any:
    """A layer that reads from the end, if there is one; an encoder may, as it reads all before anything is written."""
    if isinstance(model, EncoderDecoder):
        return reverse_of(model.decoder)
    if isinstance(model, Composite):
        return next(filter(None, (_from_the_end(part) for _, part in model._parts())), None)
    return reverse_of(model)


def _without_embedding(model: Any, length: int) -> Any:
    """The model with its Embedding multiplied into the recurrent layer that reads it, if it has as few rows as steps.

    A step then looks its projection up instead of reading all of W_ih: at H = 256 half of a GRU's weights. The numbers
    are the same to the bit, since a row of the product is the beginning of the same chain: the bias, then the inputs.
    """
    members = [layer for _, layer in model._members] if type(model) is Sequential else []
    if len(members) < 2 or type(members[0]) is not Embedding or not is_layer_type(type(members[1])):
        return model  # a subclass may compute something else
    embedding, layer = members[:2]
    if embedding.num_embeddings > length or layer.formula.reads_input_itself:
        return model
    weights, size = layer.state_dict(), layer.hidden_size
    if "weight_ih_l0" not in weights:
        return model
    rows = len(weights["weight_ih_l0"])
    names = [name for name in ("bias_ih", "bias_hh") if name in layer.formula.parameters]
    sizes = {name: layer.formula.blocks_of(name) * size for name in names}
    if not layer.bias:
        weights |= {
            f"{name}_l{k}": np.zeros(sizes[name], layer.dtype) for name in names for k in range(layer.num_layers)
        }
    start, rest = weights["bias_ih_l0"].copy(), weights.get("bias_hh_l0", np.zeros(0, layer.dtype)).copy()
    for block, recurrent in layer.formula.joined_biases:  # which the same chain begins with
        start[block * size : (block + 1) * size] += rest[recurrent * size : (recurrent + 1) * size]
        rest[recurrent * size : (recurrent + 1) * size] = 0
    product = Linear(layer.input_size, rows, dtype=layer.dtype, seed=0)
    product.load_state_dict({"weight": weights["weight_ih_l0"], "bias": start})
    projected = np.ascontiguousarray(product(embedding.params["weight"]).T)
    options = {name: getattr(layer, name) for name in layer._options} | {"dropout": 0.0}  # which only training has
    reader = type(layer)(
        **(options | {"input_size": embedding.num_embeddings, "bias": True, "seed": 0, "tokens": True})
    )
    weights |= {"weight_ih_l0": projected, "bias_ih_l0": np.zeros_like(start)}
    reader.load_state_dict(weights | ({"bias_hh_l0": rest} if "bias_hh_l0" in weights else {}))
    return Sequential(reader, *members[2:])


def _sampler(classes: int, temperature: float, top_k: int | None) -> Callable[[Array, float], int]:
    """A function of logits (C,) and a number u in [0, 1) that returns a token, the same for the same."""
    if temperature == 0 or top_k == 1:
        return _likeliest
    k = None if top_k is None or top_k >= classes else top_k
    weights, sums = np.empty(k or classes), np.empty(k or classes)
    largest, subtract, divide, exp = np.maximum.reduce, np.subtract, np.divide, np.exp
    accumulate, search = np.add.accumulate, sums.searchsorted

    def sample(logits: Array, u: float) -> int:
        """Where u of the whole is reached in the running sum of exp((logits - max) / temperature)."""
        peak, tokens = largest(logits), None
        if k is not None:
            tokens = (-logits).argsort(kind="stable")[:k]
            logits = logits[tokens]
        subtract(logits, peak, out=weights)
        divide(weights, temperature, out=weights)
        exp(weights, out=weights)
        accumulate(weights, out=sums)
        total = sums.item(-1)
        if not total > 0:
            raise _not_finite(peak)
        at = int(search(u * total, "right"))
        return at if tokens is None else int(tokens[at])

    return sample


def _likeliest(logits: Array, _u: float) -> int:
    token = int(logits.argmax())
    if not math.isfinite(logits[token]):
        raise _not_finite(logits[token])
    return token


def _not_finite(largest: float) -> ValueError:
    return ValueError(f"logits: expected a finite one as the largest, got {largest}")


def _check_prompt(prompt: Array | Sequence[int]) -> Array:
    if isinstance(prompt, np.ndarray) and is_masked(prompt):
        raise TypeError("prompt: expected a plain numpy.ndarray or a list, got a masked array")
    tokens = np.asarray(prompt)
    if tokens.ndim != 1:
        raise ValueError(
            f"prompt: expected one sequence of tokens (T,), without an axis for a batch, got {tokens.shape}"
        )
    if not tokens.size:
        raise ValueError("prompt: expected at least one token, got none")
    if tokens.dtype.kind not in "iu":
        raise TypeError(f"prompt: expected integers, got {tokens.dtype}")
    return tokens
