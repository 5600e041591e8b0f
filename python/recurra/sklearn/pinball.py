import numpy as np
def quantile(prediction, target, q, position_weights=None, lengths=None):
    e = target[..., None] - prediction
    q = np.asarray(q, prediction.dtype)
    w = np.ones(prediction.shape[:-1] + (1,), prediction.dtype) if position_weights is None else np.broadcast_to(position_weights.reshape(position_weights.shape + (1,)*(e.ndim-position_weights.ndim)), e.shape)
    w = w/(np.broadcast_to(w, e.shape).sum())
    return float((w*np.maximum(q*e, (q-1)*e)).sum()), (w*np.where(e>0, -q, 1-q)).astype(prediction.dtype)
