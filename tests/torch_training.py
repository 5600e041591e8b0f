"""A training script with DistributedDataParallel, as processes that `torch.multiprocessing` spawns run it."""

from __future__ import annotations

import os

import torch
import torch.distributed

import recurra.torch


class Network(torch.nn.Module):
    """Recurrent layers and a readout."""

    def __init__(self):
        super().__init__()
        self.lstm, self.readout = torch.nn.LSTM(3, 8, num_layers=2), torch.nn.Linear(8, 1)

    def forward(self, x):
        return self.readout(self.lstm(x)[0])


def train(rank, path):
    """Some steps with torch.nn's LSTM, and the same with recurra's: gradients and weights go to a file for each."""
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"  # the name of the host may not resolve
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{path}", rank=rank, world_size=2)
    for name in ("theirs", "ours"):
        torch.manual_seed(0)
        model = Network()
        if name == "ours":
            recurra.torch.accelerate(model)
        parallel = torch.nn.parallel.DistributedDataParallel(model)
        optimizer = torch.optim.SGD(parallel.parameters(), lr=0.1)
        torch.manual_seed(rank)
        for _ in range(3):
            x = torch.randn(5, 4, 3)
            optimizer.zero_grad()
            parallel(x).square().mean().backward()
            optimizer.step()
        numbers = [tensor.reshape(-1) for p in model.parameters() for tensor in (p.grad, p.detach())]
        torch.save(torch.cat(numbers), f"{path}.{name}.{rank}")
    torch.distributed.barrier()
    os._exit(
        0
    )  # gloo's threads may want the GIL while the destructor of DistributedDataParallel waits for them with it
