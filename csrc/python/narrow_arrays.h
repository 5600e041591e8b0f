// Arrays of narrow weights from Python, checked: a dict by the parameters' names, of int8 also their scales.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "model/narrow.h"
#include "python/gil.h"
#include "python/named_arrays.h"

namespace recurra {

inline Weights weights_of(const std::string &name) {
  if (name == "bfloat16") return Weights::kBfloat16;
  if (name == "float16") return Weights::kFloat16;
  if (name != "int8") refuse_value("weights", "'int8', 'bfloat16' or 'float16'", "'" + name + "'");
  return Weights::kInt8;
}

// A contiguous array of a matrix in its narrow form; bfloat16 comes as the bits of its numbers.
inline py::array narrow_matrix(const ParameterTable::Entry &entry, Weights weights, py::handle object) {
  const char *dtype = weights == Weights::kInt8 ? "int8" : weights == Weights::kFloat16 ? "float16" : "uint16";
  const char kind = weights == Weights::kInt8 ? 'i' : weights == Weights::kFloat16 ? 'f' : 'u';
  const py::array array = any_array(object, entry.name, dtype, dtype);
  const py::dtype given = array.dtype();
  const bool native = given.byteorder() == '=' || given.byteorder() == '|';
  if (given.kind() != kind || given.itemsize() != bytes_of(weights) || !native) {
    refuse_type(entry.name, dtype, py::str(given));
  }
  check_shape(array, entry.name, [&] { return entry.symbols; }, shape_of(entry));
  const bool in_place = weights == Weights::kInt8 ? contiguous<std::int8_t>(array) : contiguous<std::uint16_t>(array);
  return in_place ? array : copied(array);
}

// They are kept for as long as this is.
class CheckedNarrowArrays {
 public:
  CheckedNarrowArrays(const ParameterTable &of, Weights weights, py::handle mapping) {
    std::vector<ParameterTable::Entry> entries;
    for (const auto &entry : of.entries) {
      entries.push_back({entry.name, entry.shape, entry.symbols, entry.narrows});
      if (!entry.narrows || weights != Weights::kInt8) continue;
      entries.push_back({entry.name + ".scale", {entry.shape[0]}, "(rows of " + entry.name + ",)"});
    }
    const ParameterTable table(std::move(entries));
    const std::vector<py::object> objects = objects_of(table, mapping, "arrays");
    arrays.weights = weights;
    for (std::size_t i = 0; i < table.entries.size(); ++i) {
      const auto &entry = table.entries[i];
      if (entry.narrows) {
        arrays.values.push_back(keep(narrow_matrix(entry, weights, objects[i])).data());
      } else {
        arrays.values.push_back(values(entry, objects[i]));
      }
      const bool scaled = entry.narrows && weights == Weights::kInt8;
      arrays.scales.push_back(scaled ? values(table.entries[i + 1], objects[i + 1]) : nullptr);
      i += scaled ? 1 : 0;
    }
  }

  NarrowArrays arrays;

 private:
  const py::array &keep(py::array array) {
    kept_.push_back(std::move(array));
    return kept_.back();
  }
  const float *values(const ParameterTable::Entry &entry, py::handle object) {
    const py::array array = array_of<float>(entry, object, Takes::kArrays);
    return pointer<float>(keep(contiguous<float>(array) ? array : copied(array)));
  }

  std::vector<py::array> kept_;
};

// A layer with weights of a narrow form, which has a pack() of the arrays.
template <class Layer>
std::shared_ptr<const Layer> packed_layer(std::shared_ptr<Layer> layer, const NarrowArrays &arrays) {
  bool done = false;
  {
    const WithoutGil released;
    done = layer->pack(arrays, signalled);
  }
  if (!done) throw py::error_already_set();
  return layer;
}

}  // namespace recurra
