// The table of functions that a narrow form of weights has: forward passes alone.
#pragma once

#include "kernels/linear.h"
#include "kernels/recurrent/forward.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

// Weights as float32, each times a scale.
template <class W>
void widen(Index size, const void *from, float scale, float *to) {
  constexpr Index V = Vec<float>::size;
  using Storage = typename W::Storage;
  const auto *weights = static_cast<const Storage *>(from);
  for (Index i = 0; i < size; i += V) {
    Storage tail[V] = {};
    const Index lanes = smaller(V, size - i);
    std::memcpy(tail, weights + i, static_cast<std::size_t>(lanes) * sizeof(Storage));
    const Vec<float> values = W::widened(tail);
    put(W::kIntegers ? values * Vec<float>::broadcast(scale) : values, to + i, lanes);
  }
}

template <class W>
constexpr Kernels<float> narrow_kernels() {
  Kernels<float> kernels{};
  kernels.padded_units = padded_units<float>;
  kernels.packed_forward_size = packed_forward_size<float, W>;
  kernels.pack_forward = pack_forward<float, W>;
  kernels.projected_size = projected_size<float, W>;
  kernels.forward_sizes = forward_sizes<float, W>;
  kernels.forward = forward<float, W>;
  kernels.linear_packed = linear_packed_forward<float, W>;
  kernels.pack_linear_forward = pack_linear_forward<float, W>;
  kernels.linear_work = narrow_linear_work<float, W>;
  kernels.linear_forward = linear_forward<float, W>;
  kernels.widen = widen<W>;
  return kernels;
}

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
