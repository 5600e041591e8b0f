// What a recurrent network may be, from Python.
#pragma once

#include <algorithm>
#include <string>

#include "model/network.h"
#include "python/errors.h"

namespace recurra {

constexpr Index kMostLayers =
    1 << 16;  // as in recurrent.py: beyond any use, and short of filling the memory with names

// A shape whose projected_size is 0 unless the caller has named one; throws ValueError where there is no such network.
inline NetworkShape checked_shape(NetworkShape shape) {
  const Cell &cell = shape.description();
  const bool good = shape.input_size > 0 && shape.hidden_size > 0 && shape.layers > 0 && shape.layers <= kMostLayers &&
                    (shape.directions == 1 || shape.directions == 2) && shape.projected_size >= 0;
  if (!good) throw py::value_error("sizes, layers, directions: expected a network that there can be");
  if (shape.reverse && shape.directions == 2) {
    refuse_value("reverse", "False, as the layer goes in both directions anyway", "True");
  }
  if ((cell.projects != 0) != (shape.projected_size > 0)) {
    refuse_value("proj_size",
                 cell.projects ? "a size of 1 or more, as the cell projects h" : "0, as the cell projects nothing",
                 std::to_string(shape.projected_size));
  }
  if (!cell.projects) shape.projected_size = shape.hidden_size;
  for (int p = 0; p < cell.parameter_count; ++p) {
    const Index heads = cell.parameters[p].heads;
    const bool hidden = shape.hidden_size % heads != 0;
    if (hidden || shape.projected_size % heads != 0) {
      refuse_value(hidden ? "hidden_size" : "proj_size", "a multiple of the cell's heads, " + std::to_string(heads),
                   std::to_string(hidden ? shape.hidden_size : shape.projected_size));
    }
  }
  for (Index layer = 0; cell.raw && layer < std::min<Index>(shape.layers, 2); ++layer) {
    if (shape.inputs(layer) == shape.hidden_size) continue;
    refuse_value(layer == 0 ? "input_size" : "num_layers, bidirectional",
                 "as many features in every layer's input as hidden_size = " + std::to_string(shape.hidden_size) +
                     ", as the cell reads x itself",
                 std::to_string(shape.inputs(layer)));
  }
  return shape;
}

}  // namespace recurra
