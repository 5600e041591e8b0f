// A recurrent layer with narrow weights, for calls without a tape. It never changes.
#pragma once

#include <memory>
#include <utility>

#include "python/narrow_arrays.h"
#include "python/network_call.h"
#include "python/stream_parts.h"

namespace recurra {

class PyNarrowNetwork {
 public:
  PyNarrowNetwork(std::shared_ptr<const Network<float>> network, PackedPtr<float> packed,
                  std::shared_ptr<const StateNames> names, Integers integers)
      : network_(std::move(network)), packed_(std::move(packed)), names_(std::move(names)), integers_(integers) {}

  std::shared_ptr<StreamPart<float>> stream_part() const { return network_part(network_, packed_, integers_); }

  py::object call(py::handle x, py::handle hx, py::handle lengths, py::handle out, bool batch_first, py::handle table,
                  py::handle inputs, py::handle resets, py::handle wish) const {
    return call_network<float>(network_->shape, *names_, integers_,
                               {x, hx, lengths, out, table, inputs, resets, wish, batch_first},
                               [&](const Sequences &sequences, const ForwardCall<float> &call) {
                                 return network_->forward(packed_, sequences, call);
                               });
  }

 private:
  std::shared_ptr<const Network<float>> network_;
  PackedPtr<float> packed_;
  std::shared_ptr<const StateNames> names_;
  Integers integers_;
};

}  // namespace recurra
