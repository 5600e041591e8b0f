"""A policy with a memory learns by reward alone: which way did the sign at the entrance of the maze point?

The maze is a T. A sign at its entrance says where the cheese lies; then comes a corridor, and then the fork, where the
right turn earns 1 and anything else -1. A step in the corridor that isn't forward earns -0.1.

What acts is a GRU with two read-outs: logits of forward, left, right, and how much it expects to earn. 32 mazes are
walked side by side, as endless streams. An update (A2C) reads the last 64 steps as they were lived; `resets` says where
episodes began, and no gradient crosses such a place. What has been done gets likelier as far as it earned more than
expected. See how it learns to walk first and then, of a sudden, to remember; one without memory earns 0 at best.
"""

import common
import numpy as np

import recurra

UNITS, MAZES, STEPS, DISCOUNT = 32, 32, 64, 0.97


class Mazes:
    """Many side by side, of different lengths. What is seen are tokens: signs to the left and right, wall, fork."""

    def __init__(self, rng, longest):
        self.rng, self.longest = rng, longest
        self.at, self.length, self.side = np.zeros((3, MAZES), int)
        self.begin(np.full(MAZES, True))

    def begin(self, which):
        count, self.at[which] = which.sum(), 0
        self.length[which] = self.rng.integers(2, self.longest + 1, count)
        self.side[which] = self.rng.integers(1, 3, count)  # as an action: left or right

    def seen(self):
        return np.where(self.at == 0, self.side - 1, np.where(self.at < self.length, 2, 3))

    def step(self, action):
        """The rewards (MAZES,), and where an episode has ended; the next one begins there."""
        ends, forward = self.at == self.length, action == 0
        self.at += forward
        reward = np.where(ends, np.where(action == self.side, 1, -1), np.where(forward, 0, -0.1))
        self.begin(ends)
        return reward, ends


def train(options, memory):
    """The mean return of the episodes that ended, update by update."""
    rng = np.random.default_rng(options.seed)
    gru, heads = recurra.GRU(4, UNITS, seed=rng, tokens=True), recurra.Linear(UNITS, 4, seed=rng)  # logits, a value
    adam = recurra.Adam([gru, heads], lr=3e-3)
    mazes, returns, total = Mazes(rng, options.longest), [], np.zeros(MAZES)
    state, begins = None, np.full(MAZES, True)
    for update in range(1, options.updates + 1):
        before, lived, ended = state, [], []
        for _ in range(STEPS):
            seen, reset = mazes.seen(), begins | (not memory)
            y, state = gru(seen[None], state, resets=reset[None])  # (1, MAZES, UNITS)
            chances = recurra.softmax(heads(y[0])[:, :3])
            action = (chances.cumsum(axis=1)[:, :2] < rng.random((MAZES, 1))).sum(axis=1)
            reward, begins = mazes.step(action)
            lived.append((seen, reset, action, reward, begins))
            total += reward
            ended += list(total[begins])
            total *= ~begins
        returns.append(np.mean(ended))
        x, resets, actions, rewards, ends = map(np.stack, zip(*lived, strict=True))  # (T, MAZES) each
        y, _, tape = gru.forward(x, before, resets=resets)
        out, heads_tape = heads.forward(y)  # (T, MAZES, 4)
        earned, later = np.empty_like(out[..., 3]), heads(gru(mazes.seen()[None], state)[0])[0, :, 3]
        for t in reversed(range(STEPS)):
            later = earned[t] = rewards[t] + DISCOUNT * np.where(ends[t], 0, later)
        surprise, chances = (earned - out[..., 3])[..., None], recurra.softmax(out[..., :3])
        dlogits = surprise * (chances - np.eye(3, dtype=np.float32)[actions])
        dout = np.concatenate([dlogits, -0.5 * surprise], axis=-1) / x.size
        adam.zero_grad()
        gru.backward(tape, heads.backward(heads_tape, dout))
        adam.step()
        if update % (options.updates // 4 or 1) == 0:
            print(f"update {update:4d}  {'with' if memory else 'without'} memory: mean return {returns[-1]:6.3f}")
    return returns


def main():
    options = common.parser(__doc__)
    options.add_argument("--updates", type=int, default=500, help="of training, each by 32 mazes for 64 steps")
    options.add_argument("--longest", type=int, default=20, help="steps from a maze's entrance to its fork, at most")
    options = common.parse(options)
    (picture, axis), figures = common.figure(), {}
    for name in ("with_memory", "without"):
        returns = train(options, memory=name == "with_memory")
        axis.plot(returns, label=name.replace("_", " "))
        figures[name] = np.mean(returns[-20:])
    axis.set(title="How much an episode earns", xlabel="update", ylabel="mean return of the episodes that ended in it")
    axis.legend()
    common.save(picture, "recurrent_policy")
    common.finish(**figures)


if __name__ == "__main__":
    main()
