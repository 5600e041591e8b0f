"""Any number of processes train one model, each with its share of every batch; MPI adds their gradients up.

    mpiexec -n 2 python examples/distributed_mpi.py        (pip install mpi4py mpich)

`fit` hands over sums with their counts, so the step is that of the whole batch, though the shares differ in size: at
the end process 0 trains alone with whole batches, and says how far the weights are from each other.
"""

import numpy as np
from mpi4py import MPI

import recurra

world = MPI.COMM_WORLD


def share(rank, size):
    """Batches of the sequences that are this process's: a running mean is to be found."""
    x = np.random.default_rng(0).standard_normal((5, 20, 7, 3)).astype(np.float32)  # 5 batches of 7 sequences
    target = np.cumsum(x[..., :1], axis=1) / np.arange(1, 21, dtype=np.float32)[:, None, None]
    return [(x[i, :, rank::size], target[i, :, rank::size]) for i in range(5)]


def add_up(array):
    world.Allreduce(MPI.IN_PLACE, array)


def train(batches, reduce=None):
    model = recurra.Sequential(recurra.GRU(3, 16, seed=0), recurra.Linear(16, 1, seed=1))  # the same in all processes
    optimizer = recurra.SGD(model, lr=0.2, momentum=0.9)
    history = recurra.fit(model, batches, recurra.mse, optimizer, epochs=10, clip_norm=1.0, reduce=reduce)
    return model, history


if __name__ == "__main__":
    recurra.set_num_threads(1)  # of a CPU for each process
    model, history = train(share(world.rank, world.size), add_up)
    print(f"process {world.rank}: loss {history.losses[0]:.4f} to {history.losses[-1]:.4f}")
    if world.rank == 0:
        alone, _ = train(share(0, 1))
        distance = max(np.abs(model.params[name] - value).max() for name, value in alone.params.items())
        print(f"distance from training alone: {distance:.1e}")
