// What a stream goes through in every step: the members of a model, each with the weights that it had when the stream
// was made. Streams of one model share it.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "model/network.h"

namespace recurra {

enum class PartKind { kRecurrent, kLinear, kEmbedding, kSigmoid, kTanh, kRelu };

// What the first part of a stream may be given.
enum class PartTokens {
  kNever,     // features
  kPerhaps,   // features, or tokens where integers can't be taken for features that weren't cast
  kIntegers,  // features, or tokens where they are integers
  kAlways,    // tokens
};

template <class T>
struct StreamPart {
  PartKind kind = PartKind::kRelu;
  Index in = 0, out = 0;  // features; of an embedding, `in` is the number of tokens; 0: as many as there are
  Index multiply_adds = 0;
  PartTokens tokens = PartTokens::kNever;
  const Kernels<T> *kernels = nullptr;
  PackedPtr<T> packed;                              // but of an embedding
  std::shared_ptr<const Network<T>> network;        // of a recurrent part
  std::function<void(Index token, T *to)> look_up;  // of an embedding
};

template <class T>
using StreamParts = std::vector<std::shared_ptr<const StreamPart<T>>>;

}  // namespace recurra
