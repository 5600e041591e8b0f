// The parts that a stream is made of, of the objects that have the weights.
#pragma once

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

// Of a network that can go step by step; else a ValueError.
template <class T>
std::shared_ptr<StreamPart<T>> network_part(const std::shared_ptr<const Network<T>> &network, PackedPtr<T> packed,
                                            Integers integers) {
  const NetworkShape &shape = network->shape;
  if (shape.directions != 1 || shape.reverse || shape.single || shape.description().input_count > 0) {
    throw py::value_error("expected a layer of one direction, forward, that takes x alone");
  }
  const bool never = integers == Integers::kRefused || shape.description().raw;
  return recurrent_part(network, std::move(packed),
                        never                           ? PartTokens::kNever
                        : integers == Integers::kTokens ? PartTokens::kIntegers
                                                        : PartTokens::kPerhaps);
}

}  // namespace recurra
