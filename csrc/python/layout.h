// How sequences and states lie in a caller's arrays.
#pragma once

#include <string>

#include "model/network.h"
#include "python/arrays.h"

namespace recurra {

// Sequences are (T, B, features), (B, T, features) or (T, features); for a cell, which takes a single step,
// (B, features) or (features,).
struct Layout {
  bool batch_first = false, unbatched = false, single = false;
  Index steps = 0, batch = 0;

  Shape shape(Index features) const {
    Shape shape;
    if (!unbatched && batch_first) shape.push_back(batch);
    if (!single) shape.push_back(steps);
    if (!unbatched && !batch_first) shape.push_back(batch);
    shape.push_back(features);
    return shape;
  }
  std::string symbols(const std::string &features) const {
    const std::string time = single ? "" : "T, ", row = unbatched ? "" : "B, ";
    const std::string leading = batch_first ? row + time : time + row;
    return "(" + leading + features + (leading.empty() ? ",)" : ")");
  }
  Shape state_shape(Index states, Index size) const {
    Shape shape;
    if (!single) shape.push_back(states);
    if (!unbatched) shape.push_back(batch);
    shape.push_back(size);
    return shape;
  }
  std::string state_symbols(const std::string &size) const {
    if (single) return symbols(size);
    return std::string("(num_layers*num_directions, ") + (unbatched ? "" : "B, ") + size + ")";
  }

  // Of an array whose axes are these after `leading` others, with or without that of the features.
  template <class U>
  Strided<U> strided(const py::array &array, int leading = 0) const {
    const auto size = static_cast<py::ssize_t>(sizeof(U));
    const int time = leading + (batch_first ? 1 : 0), row = leading + (batch_first || single ? 0 : 1);
    return {static_cast<U *>(const_cast<void *>(array.data())), single ? 0 : array.strides(time) / size,
            unbatched ? 0 : array.strides(row) / size};
  }
};

}  // namespace recurra
