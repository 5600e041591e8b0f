// The tape of a recurrent layer as Python sees it.
#pragma once

#include <memory>
#include <string>

#include "dispatch.h"
#include "model/views.h"
#include "python/layout.h"
#include "python/tapes.h"

namespace recurra {

template <class T>
struct Tape {
  Layout layout;
  std::shared_ptr<const Network<T>> network;  // that forward ran
  Kept<TapeMemory<T>> memory;

  Tape(const Layout &of, std::shared_ptr<const Network<T>> by, std::shared_ptr<const TapeMemory<T>> saved)
      : layout(of), network(std::move(by)), memory(std::move(saved)) {}
  const NetworkShape &shape() const { return network->shape; }
};

template <class T>
using TapePtr = std::shared_ptr<Tape<T>>;

// tape.outputs, or one of tape.states: layer -> (T, B, directions * its size) in the caller's layout, made when asked
// for.
template <class T>
struct LayerArrays {
  TapePtr<T> tape;
  int state;

  Index size() const { return tape->shape().layers; }

  py::array at(Index layer) const {
    if (layer < 0) layer += size();
    if (layer < 0 || layer >= size()) throw py::index_error("layer: expected one of " + std::to_string(size()));
    const auto memory = tape->memory.hold();
    if (!memory) throw std::runtime_error(kConsumed);
    const LayerTape<T> &kept = memory->layers[static_cast<std::size_t>(layer)];
    const Rows &rows = memory->sequences.rows;
    const Index width = tape->shape().state_size(state), D = tape->shape().directions, features = D * width;
    const Layout &layout = tape->layout;
    py::array result = new_array<T>(layout.shape(features));
    const auto to = layout.strided<T>(result);
    std::fill(pointer<T>(result), pointer<T>(result) + result.size(), T(0));
    const Index padded = kernels_of<T>().padded_units(tape->shape().hidden_size);
    for_rows(rows, 0, rows.batch, [&](Index t, Index b, Index from) {
      T *row = caller_row(to, rows, t, b);
      if (state == 0) {
        std::copy_n(kept.out.data() + from * features, features, row);
        return;
      }
      for (Index d = 0; d < D; ++d) {
        std::copy_n(kept.states[d][state].data() + from * padded, width, row + d * width);
      }
    });
    py::detail::array_proxy(result.ptr())->flags &= ~py::detail::npy_api::NPY_ARRAY_WRITEABLE_;
    return result;
  }
};

template <class T>
std::shared_ptr<LayerArrays<T>> outputs(const TapePtr<T> &tape) {
  return std::make_shared<LayerArrays<T>>(LayerArrays<T>{tape, 0});
}

// A dict of all states but the one that is y, by name.
template <class T>
py::dict states(const TapePtr<T> &tape) {
  py::dict result;
  for (const std::size_t state : tape->shape().cell->order) {
    if (state == 0) continue;
    const std::string &name = tape->shape().cell->states[state];
    result[py::str(name)] = wrap(std::make_shared<LayerArrays<T>>(LayerArrays<T>{tape, static_cast<int>(state)}));
  }
  return result;
}

}  // namespace recurra
