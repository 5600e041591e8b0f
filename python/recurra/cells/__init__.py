"""Published cells, each a formula of a few lines: to be used as layers, and to be read, copied and changed.

::

    import recurra

    layer = recurra.cells.CoRNN(64, 128, num_layers=2, seed=0)

In their equations, a_g is W_ig x_t + b_ig + W_hg h_{t-1} + b_hg for a gate g; a_g.x is its half of x, a_g.h that of h;
a_g(v) has v in the place of h_{t-1}. σ is the sigmoid, ∘ multiplies unit by unit, and LN is what is left of values
without their mean and scale. Constants are those of the paper or of its code; another one is a line in a copy.
"""

from .continuous import (
    GRUD,
    LEM,
    LMU,
    AntisymmetricRNN,
    CfC,
    CoRNN,
    GatedAntisymmetricRNN,
    LeakyRNN,
    LeakyTanh,
    PhasedLSTM,
    TimeAwareLSTM,
    UnICORNN,
    legendre,
)
from .diagonal import LRU, QRNN, RGLRU, SRU, IndRNN, MinGRU, MinLSTM
from .exponential import SLSTM
from .gated import ATR, BRC, CFN, NBRC, RAN, SGRN, STAR, TRNN, Elman, MinimalRNN, NASCell
from .grus import AUGRU, GRU, MGU, MUT1, MUT2, MUT3, UGRNN, GRUResetBefore, LightRU, LiGRU
from .lstms import EALSTM, JANET, LSTM, CoupledLSTM, OriginalLSTM, PeepholeLSTM, WorkingMemoryLSTM
from .normalised import LayerNormGRU, LayerNormLSTM, SLiGRU
from .products import (
    MIRNN,
    RHN,
    SCRN,
    FastGRNN,
    FastRNN,
    IntersectionRNN,
    MultiplicativeLSTM,
    ProjectedLSTM,
)
from .spiking import LIF, AdaptiveLIF, SynapticLIF

__all__ = [
    "ATR",
    "AUGRU",
    "BRC",
    "CFN",
    "EALSTM",
    "GRU",
    "GRUD",
    "JANET",
    "LEM",
    "LIF",
    "LMU",
    "LRU",
    "LSTM",
    "MGU",
    "MIRNN",
    "MUT1",
    "MUT2",
    "MUT3",
    "NBRC",
    "QRNN",
    "RAN",
    "RGLRU",
    "RHN",
    "SCRN",
    "SGRN",
    "SLSTM",
    "SRU",
    "STAR",
    "TRNN",
    "UGRNN",
    "AdaptiveLIF",
    "AntisymmetricRNN",
    "CfC",
    "CoRNN",
    "CoupledLSTM",
    "Elman",
    "FastGRNN",
    "FastRNN",
    "GRUResetBefore",
    "GatedAntisymmetricRNN",
    "IndRNN",
    "IntersectionRNN",
    "LayerNormGRU",
    "LayerNormLSTM",
    "LeakyRNN",
    "LeakyTanh",
    "LiGRU",
    "LightRU",
    "MinGRU",
    "MinLSTM",
    "MinimalRNN",
    "MultiplicativeLSTM",
    "NASCell",
    "OriginalLSTM",
    "PeepholeLSTM",
    "PhasedLSTM",
    "ProjectedLSTM",
    "SLiGRU",
    "SynapticLIF",
    "TimeAwareLSTM",
    "UnICORNN",
    "WorkingMemoryLSTM",
    "legendre",
]
