// Tokens and lengths from Python: copies of integers in range.
#pragma once

#include <string>
#include <vector>

#include "python/arguments.h"

namespace recurra {

inline bool is_integers(py::handle object) {
  if (!py::isinstance<py::array>(object)) return false;
  const char kind = py::reinterpret_borrow<py::array>(object).dtype().kind();
  return kind == 'i' || kind == 'u';
}

// An array of integers, as a plain one; else a TypeError.
inline py::array integer_array(py::handle object, Name name, Takes takes = Takes::kArrays) {
  py::array array = any_array(object, name, "integers", "int64", takes);
  if (!is_integers(array)) refuse_dtype(object, array, name, "integers", "int64");
  return array;
}

// A copy of integers in 0..most, of any integer dtype and layout: the caller's may change while it is used. `array` is
// one that integer_array has returned.
inline std::vector<Index> integers_of(const py::array &array, const char *name, const std::string &range, Index most) {
  const auto values = py::array_t<long long, py::array::c_style | py::array::forcecast>::ensure(
      array.flags() & py::detail::npy_api::NPY_ARRAY_ALIGNED_ ? array : copied(array));
  if (!values) throw py::error_already_set();
  std::vector<Index> result(values.data(), values.data() + values.size());
  for (std::size_t i = 0; i < result.size(); ++i) {
    if (result[i] < 0 || result[i] > most) {
      const auto flat = array.attr("ravel")();
      refuse_value(name, range + std::to_string(most),
                   std::string(py::str(flat[py::int_(i)])) + " at index " + index_text(array, static_cast<Index>(i)));
    }
  }
  return result;
}

// (B,) integers in 0..steps; empty for None.
inline std::vector<Index> lengths_of(py::handle object, Index batch, Index steps) {
  if (object.is_none()) return {};
  const py::array array = integer_array(object, "lengths", Takes::kNumbers);
  check_shape(array, "lengths", [] { return "(B,)"; }, {batch});
  return integers_of(array, "lengths", "integers in 0..T = 0..", steps);
}

}  // namespace recurra
