// Layers with narrow weights, for inference: arrays that never change, packed once when the layer is made and shared by
// all who run it. Arguments are checked by the caller.
#pragma once

#include <memory>
#include <vector>

#include "model/parameters.h"

namespace recurra {

// What narrow weights are packed from, by the entries of a table: matrices in their narrow form, all else float32; of
// an int8 matrix also the scales of its rows. They are contiguous, and nobody reads them once the layer is made.
struct NarrowArrays {
  Weights weights = Weights::kFull;
  std::vector<const void *> values;
  std::vector<const float *> scales;
};

inline Index bytes_of(Weights weights) {
  return weights == Weights::kFull ? sizeof(float) : weights == Weights::kInt8 ? 1 : 2;
}

// pack(to, worker) fills `size` elements; null if interrupted.
template <class Pack>
PackedPtr<float> packed_once(Index size, Signalled signalled, const Pack &pack) {
  std::mutex mutex;  // nobody else's, as long_read wants one
  std::unique_lock<std::mutex> lock(mutex);
  auto packed = std::make_shared<Packed<float>>();
  packed->memory = Buffer<float>(size);
  const long long version = packed->version = 0;
  const auto read = [&](Worker *worker) { return pack(packed->memory.data(), worker); };
  return long_read(lock, version, signalled, read) ? packed : nullptr;
}

// y = x Wᵀ + b.
class NarrowLinear {
 public:
  // With arrays by the table of a Linear.
  NarrowLinear(Index in, Index out, bool bias, Weights weights);
  bool pack(const NarrowArrays &arrays, Signalled signalled);  // before all else; false if interrupted
  // x (rows, in) and y (rows, out), contiguous; false if interrupted.
  bool forward(Index rows, const float *x, float *y, Signalled signalled) const;

  const Index in, out;
  const bool bias;
  const Weights weights;
  const Kernels<float> &kernels;
  PackedPtr<float> packed;
};

// A table of vectors, which are widened when they are looked up.
class NarrowEmbedding {
 public:
  NarrowEmbedding(Index rows, Index width, Weights weights);
  bool pack(const NarrowArrays &arrays, Signalled signalled);
  // y[n] = weight[tokens[n]]; false if interrupted.
  bool forward(Index count, const Index *tokens, float *y, Signalled signalled) const;
  void look_up(Index token, float *to) const;

  const Index rows, width;
  const Weights weights;
  const Kernels<float> &kernels;
  PackedPtr<float> packed;  // the scales of int8, then the table
};

}  // namespace recurra
