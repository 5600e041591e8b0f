"""Schedules of learning rates, with the names, arguments and numbers of torch.optim.lr_scheduler.

The rates of steps or of epochs, whatever `step` counts::

    adam = recurra.Adam(model, lr=1e-2)
    warm_up = LinearLR(adam, start_factor=0.1, total_iters=5)
    decay = CosineAnnealingLR(adam, T_max=95)
    schedule = SequentialLR(adam, [warm_up, decay], milestones=[5])
    for epoch in range(100):
        ...  # adam.step() for every batch
        schedule.step()

Making a schedule sets the rate of step 0. Two of them on one optimizer multiply, if both are stepped, as in PyTorch;
but LambdaLR and CosineAnnealingWarmRestarts set the rate from the first one, whatever it has become.
"""

from .cosine import CosineAnnealingLR, CosineAnnealingWarmRestarts
from .factors import ConstantLR, ExponentialLR, LambdaLR, LinearLR, MultiStepLR, StepLR
from .plateau import ReduceLROnPlateau
from .schedule import Schedule
from .sequence import SequentialLR

__all__ = [
    "ConstantLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "ExponentialLR",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "ReduceLROnPlateau",
    "Schedule",
    "SequentialLR",
    "StepLR",
]
