"""EncoderDecoder: a model that reads a source, then a target while it looks back at the source."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ._branches import as_branch, branch_grads
from ._bridge import Bridge
from ._checks import check_array, check_flag, check_rng, shown
from ._members import batch_first_of, check_features, check_kind, check_parameters
from ._own_layer import as_member
from ._tapes import PartsTape, check_tape, versions_of
from .attention import Attention
from .composite import Composite, check_arrays
from .recurrent import Recurrent

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .module import Array
    from .recurrent import Seed
    from .sequential import Sequential


class DecoderState:
    """Where a decoder is: `memory` and `lengths` of the source, and `states`, a list as a `Sequential` takes one.

    `weights` is what the attention of the last call attended to, (Tt, B, Ts), or None without attention. As a gradient
    it has those of memory and of the states.
    """

    __slots__ = ("_remembered", "lengths", "memory", "states", "weights")

    def __init__(
        self, memory: Any, lengths: Array | None, states: Any, weights: Array | None = None, remembered: Any = None
    ) -> None:
        self.memory, self.lengths, self.states, self.weights = memory, lengths, states, weights
        self._remembered = remembered  # what the attention has computed of memory

    def __repr__(self) -> str:
        return f"DecoderState(memory {np.shape(self.memory)}, {len(self.states)} states)"


class EncoderDecoderTape(PartsTape):
    """What `forward` keeps: the parts' tapes. `state` is the final `DecoderState`."""

    __slots__ = ()


class EncoderDecoder(Composite):
    """Sequence to sequence (Sutskever, Vinyals & Le 2014; Cho et al. 2014), with attention or without.

    The encoder reads a source; the decoder begins in the encoder's final states and reads a target, looking back at the
    encoder's outputs (Luong, Pham & Manning 2015)::

        memory, h = encoder(source)         from the initial states, over `lengths`
        q = decoder(target)                 from h, if `hand_over`
        y = q, or with attention [q; context of q in memory]

    It takes a pair (source, target) for x, target being what the decoder reads: in training the answer, one step late
    behind a symbol for the beginning (teacher forcing). What makes predictions of y, such as a `Linear`, comes after it
    in a `Sequential`, in whose list its state is one entry. `fit` takes batches `((source, target), answer, lengths)`,
    lengths being the source's, and `generate` a prompt (source, target).

    With a state x is the target alone, which goes on from there, step by step or in pieces. Parameters are "encoder.…",
    "decoder.…" and "attention.…".

    Args:
        encoder: a layer or a `Sequential`, whose output is the memory.
        decoder: the same, whose output are queries; it reads forward only. It may share layers with the encoder, such
            as an `Embedding`.
        attention: an `Attention` of the decoder's features and the encoder's, or None.
        hand_over: whether the decoder begins in the encoder's final states, so both need as many recurrent members, of
            the same kinds of states and of one size, where the two directions of an encoder count as one of twice the
            size, side by side. False: it begins in zeros, or what it has learned; it then needs attention.

    Raises:
        TypeError, ValueError: for parts that don't go together.

    Example:
        >>> reader = recurra.GRU(8, 16, bidirectional=True, seed=1)
        >>> encoder = recurra.Sequential(recurra.Embedding(10, 8, seed=0), reader)
        >>> decoder = recurra.Sequential(recurra.Embedding(12, 8, seed=2), recurra.GRU(8, 32, seed=3))
        >>> both = recurra.EncoderDecoder(encoder, decoder, recurra.Attention(32, 32, seed=4))
        >>> model = recurra.Sequential(both, recurra.Linear(64, 12, seed=5))
        >>> source, answer = np.array([[3], [1], [4]]), np.array([[4], [1], [3], [11]])  # backwards, 11 at the end
        >>> heard = np.concatenate([[[10]], answer[:-1]])  # 10 at the beginning
        >>> adam = recurra.Adam(model, lr=0.05)
        >>> _ = recurra.fit(model, [((source, heard), answer)], recurra.cross_entropy, adam, epochs=8)
        >>> recurra.generate(model, (source[:, 0], [10]), 9, temperature=0, stop=11)
        array([ 4,  1,  3, 11])
    """

    def __init__(self, encoder: Any, decoder: Any, attention: Attention | None = None, hand_over: bool = True) -> None:
        super().__init__()
        for layer in (encoder, decoder):
            check_kind(layer)
        if attention is not None and not isinstance(attention, Attention):
            raise TypeError(f"attention: expected a recurra.Attention or None, got {shown(attention)}")
        self._given = {"encoder": encoder, "decoder": decoder}
        self._encoder, self._decoder, self._attention = as_branch(encoder), as_branch(decoder), attention
        self._hand_over = check_flag("hand_over", hand_over)
        if attention is not None:
            _check_sizes(attention, self._encoder, self._decoder)
        parts = [self._encoder, self._decoder, *([] if attention is None else [attention])]
        check_parameters(parts)
        self._batch_first = batch_first_of(parts)
        backwards = [leaf for leaf in self._decoder.leaves() if isinstance(leaf, Recurrent) and _looks_ahead(leaf)]
        if backwards:
            raise ValueError(f"decoder: expected layers of one direction, forward, got {shown(backwards[0])}")
        if not self._hand_over and attention is None:
            raise ValueError("hand_over: expected True without attention, or nothing is known of the source, got False")
        self._bridge = Bridge(self._encoder, self._decoder) if self._hand_over else None
        self._key = object()

    @property
    def encoder(self) -> Any:
        """What reads the source: the layer that was given."""
        return self._given["encoder"]

    @property
    def decoder(self) -> Any:
        """What reads the target: the layer that was given."""
        return self._given["decoder"]

    @property
    def attention(self) -> Attention | None:
        """What the decoder looks back with, or None."""
        return self._attention

    @property
    def hand_over(self) -> bool:
        """Whether the decoder begins in the encoder's final states."""
        return self._hand_over

    @property
    def batch_first(self) -> bool | None:
        """Whether sequences are (B, T, …); None if no part says so or otherwise."""
        return self._batch_first

    def __call__(self, x: Any, *, lengths: Array | None = None) -> Array:
        """(source, target) -> y, (Tt, B, features); without dropout.

        Args:
            x: a pair (source, target), as for `run`.
            lengths: (B,) integers, how many steps each source has; None is all. A target's padding does nothing to the
                steps before it: leave it out of the loss.

        Returns:
            The decoder's output, or with attention that and beside it the context of each step.
        """
        return self.run(x, lengths=lengths)[0]

    def run(
        self, x: Any, state: DecoderState | None = None, *, lengths: Array | None = None
    ) -> tuple[Array, DecoderState]:
        """(source, target) -> y and the final state; without dropout, keeping nothing.

        Args:
            x: a pair (source, target), or, with a state, the target alone: source as the encoder takes it, target as
                the decoder does, of as many sequences, or both of one without an axis for a batch.
            state: where an earlier call of `run` or `forward` ended.
            lengths: (B,) integers, how many steps each source has; None is all. Only with a source.

        Returns:
            y and the state: `state.memory`, the encoder's outputs, `state.lengths`, the source's, `state.states`, a
            list of the decoder's, and `state.weights`, what this call attended to, (Tt, B, Ts), None without attention.

        Raises:
            TypeError, ValueError: an argument doesn't fit.
        """
        source, target = self._check_x(x, state, lengths)
        if state is None:
            memory, final = self._encoder.run(source, lengths=lengths)
            state = DecoderState(memory, lengths, None if self._bridge is None else self._bridge.there(final))
        queries, states = self._decoder.run(target, state.states)
        if self._attention is None:
            return queries, DecoderState(state.memory, state.lengths, states)
        remembered = state._remembered
        if remembered is None or remembered[-1] != versions_of(self._attention.leaves()):
            remembered = self._attention._remember(state.memory, state.lengths)
        context, weights, _ = self._attention._attend(queries, remembered)
        y = np.concatenate([queries, context], axis=-1)
        return y, DecoderState(state.memory, state.lengths, states, weights, remembered)

    def forward(
        self, x: Any, state: DecoderState | None = None, *, lengths: Array | None = None, rng: Seed = None
    ) -> tuple[Array, EncoderDecoderTape]:
        """(source, target) -> y and the tape for `backward`; with dropout.

        Args:
            x: a pair, or with a state the target alone, as for `run`.
            state: where an earlier call of `run` or `forward` ended.
            lengths: (B,) integers, how many steps each source has; None is all.
            rng: where dropout's masks come from, an integer or a generator, the encoder's first; needed if there is
                any.

        Returns:
            y and the tape; `tape.state` is the final state.
        """
        source, target = self._check_x(x, state, lengths)
        for branch in (self._encoder, self._decoder):
            branch._arguments.check_rng(rng)
        options: dict[str, Any] = {} if rng is None else {"rng": check_rng("rng", rng)}
        versions, encoder_tape, attention_tape, weights = versions_of(self.leaves()), None, None, None
        if state is None:
            memory, encoder_tape = self._encoder.forward(source, lengths=lengths, **options)
            state = DecoderState(
                memory, lengths, None if self._bridge is None else self._bridge.there(encoder_tape.state)
            )
        y, decoder_tape = self._decoder.forward(target, state.states, **options)
        width = y.shape[-1]
        if self._attention is not None:
            context, weights, attention_tape = self._attention.forward(y, state.memory, lengths=state.lengths)
            y = np.concatenate([y, context], axis=-1)
        final = DecoderState(state.memory, state.lengths, decoder_tape.state, weights)
        kept = encoder_tape, decoder_tape, attention_tape, width, (state.memory.shape, state.memory.dtype)
        return y, EncoderDecoderTape(self._key, versions, kept, final)

    def backward(
        self,
        tape: EncoderDecoderTape,
        dy: Array,
        dstate: DecoderState | None = None,
        *,
        need_dx: bool = True,
        grads: Mapping[str, Array] | None = None,
        retain: bool = False,
    ) -> Any:
        """From dy the gradients of source and target, a pair.

        Of a call that was given a state, `tape.dstate` is the state's gradient afterwards: the `dstate` of the call
        before.

        Args:
            tape: from `forward` of this model; it serves once, unless `retain` is set.
            dy: the gradient of y, of its shape.
            dstate: that of the final state, None for zeros: `tape.dstate` of a forward call that went on from it.
            need_dx: whether to compute the gradients of source and target.
            grads: what the gradients of the parameters are added to, arrays by the names of `params`; the layers' own
                if None.
            retain: keep the tape for another backward.

        Returns:
            (dsource, dtarget), or dtarget alone of a call that was given a state; None without need_dx, and in the
            place of tokens.

        Raises:
            RuntimeError: the tape is of another model, has been consumed, or is from before the weights changed.
            TypeError, ValueError: a gradient has a wrong dtype or shape. Nothing is changed then.
        """
        check_tape(tape, EncoderDecoderTape, self._key, versions_of(self.leaves()), "model")
        need_dx, retain = check_flag("need_dx", need_dx), check_flag("retain", retain)
        if grads is not None:
            check_arrays("grads", grads, self.params)
        if dstate is not None and not isinstance(dstate, DecoderState):
            raise TypeError(f"dstate: expected a DecoderState, as tape.dstate is, or None, got {shown(dstate)}")
        encoder_tape, decoder_tape, attention_tape, width, memory_like = tape.kept
        options: dict[str, Any] = {"retain": retain}
        dmemory, dstates = (None, None) if dstate is None else (dstate.memory, dstate.states)
        self._decoder._arguments.check_gradients(dstates, decoder_tape.state)
        if dmemory is not None:
            dmemory = check_array("dstate.memory", dmemory, memory_like[1])
            if dmemory.shape != memory_like[0]:
                raise ValueError(f"dstate.memory: expected the memory's shape {memory_like[0]}, got {dmemory.shape}")
        dqueries = dy
        if self._attention is not None:
            if not isinstance(dy, np.ndarray) or not dy.ndim or dy.shape[-1] != width + self._attention.memory_size:
                got = dy.shape if isinstance(dy, np.ndarray) else shown(dy)
                raise ValueError(f"dy: expected y's {width + self._attention.memory_size} features, got {got}")
            dqueries, dcontext = dy[..., :width], dy[..., width:]
            own = self.grads_of("attention", grads)
            dasked, along = self._attention.backward(attention_tape, dcontext, grads=own, **options)
            dqueries = dqueries + dasked
            dmemory = along if dmemory is None else along + dmemory
        dtarget = self._decoder.backward(
            decoder_tape, dqueries, dstates, need_dx=need_dx, grads=self._grads("decoder", grads), **options
        )
        if encoder_tape is None:
            like = np.zeros(*memory_like) if dmemory is None else dmemory
            tape.dstate = DecoderState(like, None, decoder_tape.dstate)
            tape.done(retain)
            return dtarget
        if dmemory is None:
            dmemory = np.zeros(*memory_like)
        dsource = self._encoder.backward(
            encoder_tape,
            dmemory,
            None if self._bridge is None else self._bridge.back(decoder_tape.dstate),
            need_dx=need_dx,
            grads=self._grads("encoder", grads),
            **options,
        )
        tape.done(retain)
        return (dsource, dtarget) if need_dx else None

    def _check_x(self, x: Any, state: Any, lengths: Array | None) -> tuple[Any, Any]:
        if state is None:
            if not isinstance(x, (tuple, list)) or len(x) != 2:
                raise TypeError(f"x: expected a pair (source, target), got {shown(x)}")
            return x[0], x[1]
        if not isinstance(state, DecoderState):
            raise TypeError(f"state: expected a DecoderState, as `run` returns one, or None, got {shown(state)}")
        if isinstance(x, (tuple, list)):
            raise TypeError(f"x: expected the target alone, as the state has read the source, got {shown(x)}")
        if lengths is not None:
            raise ValueError("lengths: expected None, as the state has those of the source, got an array")
        return None, x

    def _grads(self, name: str, grads: Mapping[str, Array] | None) -> dict[str, Array] | None:
        branch: Sequential = self._encoder if name == "encoder" else self._decoder
        return branch_grads(self._given[name], branch, f"{name}.", grads, {} if grads is None else self._aliases())

    def _parts(self) -> Iterator[tuple[str, Any]]:
        for name, layer in self._given.items():
            yield f"{name}.", as_member(layer)
        if self._attention is not None:
            yield "attention.", self._attention


def _check_sizes(attention: Attention, encoder: Any, decoder: Any) -> None:
    """Raises ValueError unless it takes the features that both give, as far as these are known."""
    for name, part, giver in (("query_size", decoder, "decoder"), ("memory_size", encoder, "encoder")):
        given, taken = check_features(list(part)), getattr(attention, name)
        if given not in (None, taken):
            raise ValueError(f"attention: expected {name} = {given}, what the {giver} gives, got {taken}")


def _looks_ahead(layer: Recurrent) -> bool:
    return layer.bidirectional or layer.reverse
