"""A policy with a memory learns by reward alone: which way did the sign at the entrance of the maze point?

The maze is a T. At its entrance a sign, seen once, says where the cheese lies; then comes a corridor of some length,
with nothing to see but walls, and then the fork, where a wrong turn earns -1, the right one 1. A step in the corridor
that isn't forward earns -0.1. Without memory, the mean return can't be above 0.

What acts is a GRU of 32 units, with a head of three logits, forward, left and right, and another that predicts the rest
of the return. 32 mazes go on side by side, one step at a time, as a stream: where an episode ends, the next one begins.
`resets` says where, so that an update reads a window of 64 steps as it was lived, and no gradient crosses from one
episode to the one before. The update is A2C: log π(action) is pushed by how much better things went than predicted.

What to look at: the return stays near 0 until the sign is remembered; then it climbs, the shorter mazes first.
"""

import common
import numpy as np

import recurra

UNITS, MAZES, WINDOW, DISCOUNT, RATE = 32, 32, 64, 0.97, 3e-3
FORWARD, LEFT, RIGHT = range(3)
SHORTEST = 3


class Mazes:
    """Many at a time, each of a length of its own; what is seen is (MAZES, 4): a sign to the left or right, wall, fork."""

    def __init__(self, rng, longest):
        self.rng, self.longest = rng, longest
        self.length, self.at, self.side = (np.zeros(MAZES, int) for _ in range(3))
        self.begin(np.ones(MAZES, bool))

    def begin(self, which):
        self.at[which] = 0
        self.length[which] = self.rng.integers(SHORTEST, self.longest + 1, which.sum())
        self.side[which] = self.rng.integers(LEFT, RIGHT + 1, which.sum())

    def seen(self):
        kind = np.where(self.at == 0, self.side - LEFT, np.where(self.at < self.length, 2, 3))
        return np.eye(4, dtype=np.float32)[kind]

    def step(self, action):
        """The rewards, and which episodes end: at the fork, whatever is done there. Those begin anew."""
        at_fork = self.at == self.length
        reward = np.where(at_fork, np.where(action == self.side, 1.0, -1.0), np.where(action == FORWARD, 0.0, -0.1))
        self.at += action == FORWARD
        self.begin(at_fork)
        return reward, at_fork
