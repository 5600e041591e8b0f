// The parts that a stream is made of, by the objects that have the weights.
#pragma once

#include <memory>

#include "dispatch.h"
#include "model/embedding.h"
#include "model/linear.h"
#include "model/stream_part.h"
#include "python/errors.h"
#include "python/gil.h"

namespace recurra {

// pack() returns a snapshot of the weights, null if interrupted.
template <class T, class Pack>
void take_weights(StreamPart<T> &part, const Pack &pack) {
  {
    const WithoutGil released;
    part.packed = pack();
  }
  if (!part.packed) throw py::error_already_set();
}

template <class T>
std::shared_ptr<StreamPart<T>> recurrent_part(const std::shared_ptr<const Network<T>> &network,
                                              const ParametersPtr<T> &parameters, PartTokens tokens) {
  const NetworkShape &shape = network->shape;
  if (shape.directions != 1 || shape.reverse || shape.single || shape.description().input_count > 0) {
    throw py::value_error("expected a layer of one direction, forward, that takes x alone");
  }
  auto part = std::make_shared<StreamPart<T>>();
  part->kind = PartKind::kRecurrent;
  part->in = shape.input_size;
  part->out = shape.features();
  part->multiply_adds = network->multiply_adds();
  part->tokens = shape.description().raw ? PartTokens::kNever : tokens;
  part->kernels = &network->kernels();
  part->network = network;
  take_weights(*part, [&] { return network->packed_forward(*parameters, signalled); });
  return part;
}

template <class T>
std::shared_ptr<StreamPart<T>> linear_part(Linear<T> &layer) {
  auto part = std::make_shared<StreamPart<T>>();
  part->kind = PartKind::kLinear;
  part->in = layer.in;
  part->out = layer.out;
  part->multiply_adds = layer.in * layer.out;
  part->kernels = &kernels_of<T>();
  take_weights(*part, [&] { return layer.packed_forward(signalled); });
  return part;
}

template <class T>
std::shared_ptr<StreamPart<T>> embedding_part(const Embedding<T> &layer) {
  auto part = std::make_shared<StreamPart<T>>();
  part->kind = PartKind::kEmbedding;
  part->in = layer.rows;
  part->out = layer.width;
  part->multiply_adds = layer.width;
  part->tokens = PartTokens::kAlways;
  part->kernels = &kernels_of<T>();
  take_weights(*part, [&] { return layer.copy(signalled); });
  return part;
}

}  // namespace recurra
