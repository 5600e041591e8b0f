// The parts that a stream is made of, of the objects that have the weights.
#pragma once

#include <functional>
#include <memory>
#include <utility>

#include "model/stream_part.h"
#include "python/forward_arguments.h"
#include "python/gil.h"

namespace recurra {

// What pack() returns, a snapshot of weights, made without the GIL; it is null if interrupted.
template <class Pack>
auto packed_now(const Pack &pack) {
  decltype(pack()) packed;
  {
    const WithoutGil released;
    packed = pack();
  }
  if (!packed) throw py::error_already_set();
  return packed;
}

template <class T>
std::shared_ptr<StreamPart<T>> recurrent_part(std::shared_ptr<const Network<T>> network, PackedPtr<T> packed,
                                              Integers integers) {
  const NetworkShape &shape = network->shape;
  if (shape.directions != 1 || shape.reverse || shape.single || shape.description().input_count > 0) {
    throw py::value_error("expected a layer of one direction, forward, that takes x alone");
  }
  const bool never = integers == Integers::kRefused || shape.description().raw;
  auto part = std::make_shared<StreamPart<T>>();
  part->kind = PartKind::kRecurrent;
  part->in = shape.input_size;
  part->out = shape.features();
  part->multiply_adds = network->multiply_adds();
  part->tokens = never                           ? PartTokens::kNever
                 : integers == Integers::kTokens ? PartTokens::kIntegers
                                                 : PartTokens::kPerhaps;
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

}  // namespace recurra
