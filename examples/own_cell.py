"""A cell of one's own: excitatory and inhibitory neurons, written down as a formula, learn to decide and to remember.

The task is a monkey's: hold still, watch dots of which more move to one side, wait, and when the fixation point goes
out, say left or right. The cell is a leaky network of noisy rates; the noise is an array that each call is given:

    h_t = (1 - α) h_{t-1} + α relu(W_ih x_t + W_hh h_{t-1} + b + σ noise_t)          α = Δt / τ = 20 ms / 100 ms

A neuron excites all that it reaches or inhibits them all (Dale's law), and none reaches itself. So W_hh = |V| ∘ signs
of a free V, with zeros on the diagonal. The formula needn't know: W_hh is set, and its gradient carried back to V.
What to look at: answers get surer as evidence grows, and memory is activity that stays apart after the dots are gone.
"""

import common
import numpy as np

import recurra
from recurra.formula import relu

UNITS, EXCITATORY, ALPHA, SIGMA, RATE, COST = 100, 80, 0.2, 0.15, 3e-3, 0.02  # of mean(h²): neurons spare energy
HOLD, WATCH, LONGEST, ANSWER = 5, 25, 15, 10  # steps of 20 ms; how long it waits is drawn
COHERENCES = np.array([-0.5, -0.25, -0.12, -0.06, -0.03, 0.03, 0.06, 0.12, 0.25, 0.5])  # above 0 to the right
SIGNS = np.float32(np.where(np.arange(UNITS) < EXCITATORY, 1, -1) * (1 - np.eye(UNITS)))  # a neuron says a column


@recurra.formula(gates="n", inputs="noise")
def Rates(a, s, x):
    return (1 - ALPHA) * s.h + ALPHA * relu(a.n + SIGMA * x.noise)


def trials(rng, coherence, wait):
    """What is seen (T, B, 3), fixation point and evidence to each side; what is right (T, B), 0 for none; the noise."""
    go, batch = HOLD + WATCH + wait, len(coherence)
    seen = np.zeros((go + ANSWER, batch, 3), np.float32)
    seen[:go, :, 0] = 1
    evidence = (1 + np.stack([-coherence, coherence], axis=-1)) / 2
    seen[HOLD : HOLD + WATCH, :, 1:] = evidence + 0.3 * rng.standard_normal((WATCH, batch, 2))
    right = np.where(np.arange(go + ANSWER)[:, None] < go, 0, 1 + (coherence > 0))
    return seen, right, {"noise": rng.standard_normal((go + ANSWER, batch, UNITS), np.float32)}


def constrain(layer, free):
    """Gives the layer W_hh = |V| ∘ signs, and all else as it is."""
    layer.load_state_dict(free.state_dict() | {"weight_hh_l0": np.abs(free.params["weight_hh_l0"]) * SIGNS})


def draw(rates, said, coherence, W):
    picture, (curve, activity, weights) = common.figure(12.5, 4, columns=3)
    curve.plot(COHERENCES, [(said[coherence == c] == 2).mean() for c in COHERENCES], "o-")
    curve.set(title="Choices", xlabel="coherence of motion to the right", ylabel="share of answers: right")
    left, right = (rates[:, said == side].mean(axis=1) for side in (1, 2))  # (T, H)
    times, apart = 0.02 * np.arange(len(rates)), np.abs(left - right)[HOLD + WATCH : -ANSWER].sum(axis=0)
    for color, unit in enumerate(apart.argsort()[-3:]):
        activity.plot(times, right[:, unit], f"C{color}-", times, left[:, unit], f"C{color}--")
    activity.vlines(times[[HOLD, HOLD + WATCH, -ANSWER]], *activity.get_ylim(), color="gray", lw=0.8)
    activity.set(title="Three neurons: right –, left - -", xlabel="seconds: hold, watch, wait, answer", ylabel="rate")
    weights.imshow(W, cmap="RdBu_r", vmin=-0.3, vmax=0.3, interpolation="none")
    weights.set(title="W_hh: excitatory (red), inhibitory (blue)", xlabel="from neuron", ylabel="to neuron")
    common.save(picture, "own_cell")


def main():
    options = common.parser(__doc__)
    options.add_argument("--updates", type=int, default=600, help="of training, by 64 trials each")
    options = common.parse(options)
    rng = np.random.default_rng(options.seed)
    layer, readout = Rates(3, UNITS, seed=rng), recurra.Linear(UNITS, 3, seed=rng)
    free = Rates(3, UNITS, seed=rng)  # never runs, but has what is trained: V is its weight_hh
    V = free.params["weight_hh_l0"] * np.where(SIGNS > 0, 0.5, 2).astype(np.float32)  # for balance: few inhibit many
    free.load_state_dict(free.state_dict() | {"weight_hh_l0": V, "weight_ih_l0": 8 * free.params["weight_ih_l0"]})
    constrain(layer, free)
    adam = recurra.Adam([free, readout], lr=RATE)
    for update in range(1, options.updates + 1):
        seen, right, inputs = trials(rng, rng.choice(COHERENCES, 64), rng.integers(LONGEST + 1))
        rates, _, tape = layer.forward(seen, inputs=inputs)  # (T, B, UNITS)
        logits, readout_tape = readout.forward(rates)  # (T, B, 3)
        loss, dlogits = recurra.cross_entropy(logits, right, position_weights=np.where(right, 3.0, 1.0))
        adam.zero_grad()
        adam.lr = RATE * (1 - (update - 1) / options.updates)
        drates = readout.backward(readout_tape, dlogits) + 2 * COST / rates.size * rates
        layer.backward(tape, drates, grads=free.grads, need_dx=False)
        free.grads["weight_hh_l0"] *= SIGNS * np.sign(free.params["weight_hh_l0"])  # from dW to dV
        adam.step()
        constrain(layer, free)
        if update % 100 == 0:
            print(f"update {update:4d}  loss {loss:.4f}  right {(logits[-1].argmax(-1) == right[-1]).mean():.0%}")

    seen, right, inputs = trials(rng, coherence := np.repeat(COHERENCES, 200), LONGEST)
    rates, h_n = layer(seen, inputs=inputs)
    said = readout(h_n[0]).argmax(axis=-1)
    draw(rates, said, coherence, layer.params["weight_hh_l0"])
    correct, clear = said == right[-1], abs(coherence) == 0.5
    common.finish(loss=loss, right=correct.mean(), right_where_clear=correct[clear].mean())


if __name__ == "__main__":
    main()
