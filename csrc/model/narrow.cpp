#include "model/narrow.h"

#include <algorithm>
#include <cstring>

#include "dispatch.h"
#include "model/linear.h"
#include "model/token_places.h"

namespace recurra {

NarrowLinear::NarrowLinear(Index inputs, Index outputs, bool with_bias, Weights of)
    : in(inputs), out(outputs), bias(with_bias), weights(of), kernels(kernels_with(of)) {}

bool NarrowLinear::pack(const NarrowArrays &arrays, Signalled signalled) {
  packed = packed_once(kernels.linear_packed(in, out), signalled, [&](float *to, Worker *worker) {
    const auto *biases = bias ? static_cast<const float *>(arrays.values[1]) : nullptr;
    return kernels.pack_linear_forward(in, out, arrays.values[0], arrays.scales[0], biases, to, worker);
  });
  return packed != nullptr;
}

bool NarrowLinear::forward(Index count, const float *x, float *y, Signalled signalled) const {
  return linear_forward(kernels, in, out, packed, count, x, y, signalled);
}

NarrowEmbedding::NarrowEmbedding(Index count, Index features, Weights of)
    : rows(count), width(features), weights(of), kernels(kernels_with(of)) {}

bool NarrowEmbedding::pack(const NarrowArrays &arrays, Signalled signalled) {
  const Index scales = weights == Weights::kInt8 ? rows : 0, row = width * bytes_of(weights);
  const Index size = checked_product(rows, row) / static_cast<Index>(sizeof(float)) + 1 + scales;
  packed = packed_once(size, signalled, [&](float *to, Worker *worker) {
    std::copy_n(arrays.scales[0], scales, to);
    auto *table = reinterpret_cast<char *>(to + scales);
    const auto *from = static_cast<const char *>(arrays.values[0]);
    for (Index i = 0; i < rows; ++i) {
      std::memcpy(table + i * row, from + i * row, static_cast<std::size_t>(row));
      if (stops(*worker, kCopyWork * width)) return false;
    }
    return true;
  });
  return packed != nullptr;
}

void NarrowEmbedding::look_up(Index token, float *to) const {
  const float *scales = packed->memory.data(), *table = scales + (weights == Weights::kInt8 ? rows : 0);
  const char *row = reinterpret_cast<const char *>(table) + token * width * bytes_of(weights);
  kernels.widen(width, row, weights == Weights::kInt8 ? scales[token] : 1.0f, to);
}

bool NarrowEmbedding::forward(Index count, const Index *tokens, float *y, Signalled signalled) const {
  Interrupt interrupt(signalled);
  Index credit = kPollBudget;
  for (Index n = 0; n < count; ++n) {
    look_up(tokens[n], y + n * width);
    credit -= width + kTokenWork;
    if (credit < 0 && interrupt.due() && interrupt.ask()) return false;
    credit = credit < 0 ? kPollBudget : credit;
  }
  return true;
}

}  // namespace recurra
