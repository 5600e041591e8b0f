// A fully connected layer with its weights: y = x Wᵀ + b. Arguments are checked by the caller.
#pragma once

#include <memory>

#include "model/parameters.h"

namespace recurra {

// x (rows, in) and y (rows, out), contiguous, with weights that these kernels have packed; false if interrupted.
template <class T>
bool linear_forward(const Kernels<T> &kernels, Index in, Index out, const PackedPtr<T> &packed, Index rows, const T *x,
                    T *y, Signalled signalled);

template <class T>
class Linear {
 public:
  Linear(Index in, Index out, bool bias);

  // x (rows, in) and y (rows, out), contiguous; returns false if interrupted. `version` is that of the weights used.
  bool forward(Index rows, const T *x, T *y, Signalled signalled, long long &version);
  // dx may be null. grads of weight and bias are added to, unless interrupted.
  bool backward(Index rows, const PackedPtr<T> &packed, const T *x, const T *dy, T *dx, T *const *grads,
                Signalled signalled);
  // For forward; null if interrupted.
  PackedPtr<T> packed_forward(Signalled signalled);
  // For backward; null if interrupted, and if the weights are no longer of that version, which it says.
  PackedPtr<T> packed_backward(long long version, Signalled signalled, bool &outdated);

  const Index in, out;
  const bool bias;
  const std::shared_ptr<Parameters<T>> parameters;

 private:
  int threads(Index rows, Index products) const;
};

extern template class Linear<float>;
extern template class Linear<double>;

}  // namespace recurra
