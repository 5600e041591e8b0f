// What a stream goes through in every step: the members of a model, each with the weights that it had when the stream
// was made. Streams of one model share it.
#pragma once

#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "dispatch.h"
#include "model/network.h"

namespace recurra {

// Multiply-adds in whose time an element passes an activation.
constexpr Index kElementWork = 32;

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

// Of a network of one direction, forward, whose cell has no inputs.
template <class T>
std::shared_ptr<StreamPart<T>> recurrent_part(std::shared_ptr<const Network<T>> network, PackedPtr<T> packed,
                                              PartTokens tokens) {
  auto part = std::make_shared<StreamPart<T>>();
  part->kind = PartKind::kRecurrent;
  part->in = network->shape.input_size;
  part->out = network->shape.features();
  const NetworkShape &shape = network->shape;
  part->multiply_adds =
      network->multiply_adds() + shape.layers * shape.description().column_count * shape.hidden_size * kElementWork;
  part->tokens = tokens;
  part->kernels = &network->kernels();
  part->packed = std::move(packed);
  part->network = std::move(network);
  return part;
}

template <class T>
std::shared_ptr<StreamPart<T>> linear_part(Index in, Index out, const Kernels<T> &kernels, PackedPtr<T> packed) {
  auto part = std::make_shared<StreamPart<T>>();
  part->kind = PartKind::kLinear;
  part->in = in;
  part->out = out;
  part->multiply_adds = in * out;
  part->kernels = &kernels;
  part->packed = std::move(packed);
  return part;
}

template <class T>
std::shared_ptr<StreamPart<T>> embedding_part(Index rows, Index width, std::function<void(Index, T *)> look_up) {
  auto part = std::make_shared<StreamPart<T>>();
  part->kind = PartKind::kEmbedding;
  part->in = rows;
  part->out = width;
  part->multiply_adds = width;
  part->tokens = PartTokens::kAlways;
  part->look_up = std::move(look_up);
  return part;
}

template <class T>
std::shared_ptr<StreamPart<T>> activation_part(PartKind kind) {
  auto part = std::make_shared<StreamPart<T>>();
  part->kind = kind;
  part->kernels = &kernels_of<T>();
  return part;
}

template <class T>
using StreamParts = std::vector<std::shared_ptr<const StreamPart<T>>>;

}  // namespace recurra
