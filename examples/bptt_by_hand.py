"""Back-propagation through time by hand: one weight's gradient term by term, and how gradients fade over 200 steps.

A network of two hidden units takes four steps, with a loss at each. Its recurrent weight w22 acts at every step s, and
what it does there reaches the loss of every step t from s on: the table has a term for each such pair, and they sum to
the gradient that `backward` returns. In a row terms tend to shrink to the left: the past has less of a say. Then see
what is left of a gradient 200 steps before its loss. In an RNN, a GRU and an LSTM as they are made: next to nothing, as
half-open gates forget like an RNN. In LSTMs that a bias of the forget gate keeps from forgetting: enough to learn from.
"""

import common
import numpy as np

import recurra

INPUT, HIDDEN, BATCH = 4, 32, 8  # of the second part


def by_hand(W_h, h, dL):
    """(T, T): at [t, s] what w22 contributes to the gradient of L_t, the loss of step t, by acting at step s.

    h (T + 1, 2) are the states, from the initial one on; dL (T, 2) the gradient of each L_t with respect to h_t. From
        a_s = W_x x_s + W_h h_{s-1} + b and h_s = tanh(a_s):  w22 moves the second unit of a_s by that of h_{s-1},
        dh_t = (1 - h_t²) da_t, da_{t+1} = W_h dh_t:          and with it moves all that comes later
    """
    table = np.full((len(dL), len(dL)), np.nan)  # nothing acts on the past
    for s in range(len(dL)):  # counted from 0, as arrays are: h[s] is the state before step s, h[s + 1] after it
        da = np.array([0, h[s, 1]])  # da_s/dw22
        for t in range(s, len(dL)):
            dh = (1 - h[t + 1] ** 2) * da  # dh_t/dw22, by way of step s
            table[t, s] = dL[t] @ dh
            da = W_h @ dh
    return table


def one_weight(rng, steps=4):
    """The table, and the same gradient from `backward`; L is the sum over t of L_t = |h_t - target_t|² / 2."""
    rnn = recurra.RNN(2, 2, dtype=np.float64, seed=rng)
    x, target, h0 = (rng.standard_normal(shape) for shape in [(steps, 2), (steps, 2), (1, 2)])
    h, _, tape = rnn.forward(x, h0)  # (T, 2)
    rnn.backward(tape, h - target)
    table = by_hand(rnn.params["weight_hh_l0"], np.concatenate([h0, h]), h - target)
    return table, rnn.grads["weight_hh_l0"][1, 1]


def fading(cell, rng, steps):
    """|dL/dh_t| at t = T, T - 1, …, 0, mean over sequences: step by step forward, then step by step back."""
    state, tapes = None, []
    for x_t in rng.standard_normal((steps, BATCH, INPUT)):
        state, tape = cell.forward(x_t, state)
        tapes.append(tape)
    dh = rng.standard_normal((BATCH, HIDDEN))
    dh /= np.linalg.norm(dh, axis=1, keepdims=True)  # dL/dh_T, of length 1
    dstate, norms = (dh, None) if isinstance(state, tuple) else dh, [1.0]
    for tape in reversed(tapes):
        _, dstate = cell.backward(tape, dstate, need_dx=False)
        norms.append(np.linalg.norm(dstate[0] if isinstance(state, tuple) else dstate, axis=-1).mean())
    return np.array(norms)  # (T + 1,)


def main():
    parser = common.parser(__doc__)
    parser.add_argument("--steps", type=int, default=200, help="how far back gradients go in the second part")
    options = common.parse(parser)
    rng = np.random.default_rng(options.seed)
    table, gradient = one_weight(rng)
    print("The gradient of w22: columns are steps s where it acts, rows steps t whose loss feels it")
    for t, row in enumerate(table):
        print(f"t = {t + 1}" + "".join(f"{term:+10.5f}" for term in row[: t + 1]))
    print(f"sum of the terms {np.nansum(table):+.15f}\nbackward's       {gradient:+.15f}\n")
    ago = sorted({min(k, options.steps) for k in (1, 10, 50, options.steps)})
    print("|dL/dh|, steps earlier" + "".join(f"{k:10d}" for k in ago))
    picture, (left, right) = common.figure(11, 4.4, columns=2)
    figures = {}
    for name, bias in [("RNN", 0), ("GRU", 0), ("LSTM", 0), ("LSTM", 1), ("LSTM", 3)]:
        cell, label = getattr(recurra, f"{name}Cell")(INPUT, HIDDEN, dtype=np.float64, seed=rng), name
        if bias:
            weights, label = cell.state_dict(), f"{name}, forget bias + {bias}"
            weights["bias_ih"][HIDDEN : 2 * HIDDEN] += bias  # rows go gate by gate: i, f, g, o
            cell.load_state_dict(weights)
        norms = fading(cell, rng, options.steps)
        print(f"{label:22}" + "".join(f"{norms[k]:10.1e}" for k in ago))
        right.semilogy(norms, label=label)
        figures[f"{name.lower()}_bias_{bias}"] = norms[-1]
    right.grid(alpha=0.3)
    right.set(title="How a gradient fades", xlabel="steps before the loss", ylabel="|dL/dh|", ylim=(1e-50, 10))
    right.legend(loc="lower left")

    limit, end, ticks = 1.3 * np.nanmax(np.abs(table)), len(table) + 0.5, range(1, len(table) + 1)
    left.imshow(table, cmap="RdBu_r", vmin=-limit, vmax=limit, extent=(0.5, end, end, 0.5))
    for t, s in zip(*np.tril_indices(len(table)), strict=True):
        left.text(s + 1, t + 1, f"{table[t, s]:+.4f}", ha="center", va="center")
    left.set(title="The gradient of w22, term by term", xlabel="step s where it acts", ylabel="step t of the loss")
    left.set(xticks=ticks, yticks=ticks)
    common.save(picture, "bptt_by_hand")
    common.finish(gradient=gradient, difference=abs(np.nansum(table) - gradient), **figures)


if __name__ == "__main__":
    main()
