"""Two processes train one model, each with its share of every batch; torch.distributed adds their gradients up.

    python examples/distributed_torch.py

The shares are of 4 and of 3 sequences. `fit` hands over sums with their counts, so the step is still that of the whole
batch: at the end process 0 trains alone with whole batches, and says how far the weights are from each other.
"""

import tempfile

import numpy as np
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

import recurra


def share(rank, size):
    """Batches of the sequences that are this process's: a running mean is to be found."""
    x = np.random.default_rng(0).standard_normal((5, 20, 7, 3)).astype(np.float32)  # 5 batches of 7 sequences
    target = np.cumsum(x[..., :1], axis=1) / np.arange(1, 21, dtype=np.float32)[:, None, None]
    return [(x[i, :, rank::size], target[i, :, rank::size]) for i in range(5)]


def add_up(array):
    dist.all_reduce(torch.from_numpy(array))  # the tensor shares the array's memory


def train(batches, reduce=None):
    model = recurra.Sequential(recurra.GRU(3, 16, seed=0), recurra.Linear(16, 1, seed=1))  # the same in all processes
    optimizer = recurra.SGD(model, lr=0.2, momentum=0.9)
    history = recurra.fit(model, batches, recurra.mse, optimizer, epochs=10, clip_norm=1.0, reduce=reduce)
    return model, history


def main(rank, size, store):
    recurra.set_num_threads(1)  # of a CPU for each process
    dist.init_process_group("gloo", init_method=f"file://{store}/processes", rank=rank, world_size=size)
    model, history = train(share(rank, size), add_up)
    print(f"process {rank}: loss {history.losses[0]:.4f} to {history.losses[-1]:.4f}")
    dist.destroy_process_group()
    if rank == 0:
        alone, _ = train(share(0, 1))
        distance = max(np.abs(model.params[name] - value).max() for name, value in alone.params.items())
        print(f"distance from training alone: {distance:.1e}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        mp.spawn(main, (2, folder), nprocs=2)
