// The input arrays of a cell from Python, and those that their gradients are added to, by name.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "model/network.h"
#include "python/arguments.h"
#include "python/named_arrays.h"

namespace recurra {

// What an error calls an item of a mapping: inputs['noise'].
inline std::string item_name(Name what, const std::string &item) { return std::string(what) + "['" + item + "']"; }

// An input's shape beside x, with a leading axis where there is one array for each layer and direction.
inline Shape input_shape(const NetworkShape &shape, const Layout &layout, int input, bool layered) {
  Shape result;
  if (layered) result.push_back(shape.states());
  const std::int32_t kind = shape.description().inputs[input].shape;
  const Shape rows = kind == kPerRow ? layout.state_shape(0, shape.hidden_size) : layout.shape(shape.hidden_size);
  const int begin = kind == kPerRow && !layout.single ? 1 : 0, end = rows.size() - (kind == kPerStep ? 1 : 0);
  for (int axis = begin; axis < end; ++axis) result.push_back(rows.data()[axis]);
  return result;
}
inline std::string input_symbols(const NetworkShape &shape, const Layout &layout, int input, bool layered) {
  const std::int32_t kind = shape.description().inputs[input].shape;
  std::string axes = layered ? "num_layers*num_directions, " : "";
  const auto add = [&](bool there, const char *axis) { axes += there ? std::string(axis) + ", " : ""; };
  const bool of_steps = kind != kPerRow && !layout.single;
  add(of_steps && !layout.batch_first, "T");
  add(!layout.unbatched, "B");
  add(of_steps && layout.batch_first, "T");
  add(kind != kPerStep, "hidden_size");
  if (axes.empty()) return "()";
  const bool alone = std::count(axes.begin(), axes.end(), ',') == 1;
  axes.resize(axes.size() - (alone ? 1 : 2));
  return "(" + axes + ")";
}
inline std::string expected_input(const NetworkShape &shape, const Layout &layout, int input, bool layered) {
  return input_symbols(shape, layout, input, layered) + " = " + shape_text(input_shape(shape, layout, input, layered));
}

// What a mapping has for each of the cell's inputs, not looked at yet; None where it has none. Comparing names may run
// Python code, so it comes before any array is looked at.
inline std::vector<py::object> input_objects(const NamedCell &cell, py::handle mapping, Name what) {
  std::vector<py::object> objects(cell.inputs.size(), py::none());
  if (mapping.is_none()) return objects;
  const py::dict given = copied_mapping(mapping, what, "a dict of arrays by the inputs' names");
  for (const auto &[key, value] : given) {
    const std::string name = py::str(key);
    const auto found = std::find(cell.inputs.begin(), cell.inputs.end(), name);
    if (!PyUnicode_Check(key.ptr()) || found == cell.inputs.end()) {
      std::string names;
      for (const std::string &input : cell.inputs) names += (names.empty() ? "one of " : ", ") + input;
      refuse_value(item_name(what, name), names.empty() ? "no inputs, as the cell has none" : names, "another name");
    }
    objects[static_cast<std::size_t>(found - cell.inputs.begin())] = py::reinterpret_borrow<py::object>(value);
  }
  return objects;
}

// What there is of each of the cell's inputs: what the caller has given, and what has been drawn for the call.
struct InputObjects {
  std::vector<py::object> given, drawn;
  bool incomplete = false;  // drawn ones are still to come
};

inline Layout time_major(const Layout &layout) { return {false, false, layout.single, layout.steps, layout.batch}; }

template <class U>
StridedInput<U> strided_input(const NetworkShape &shape, const Layout &layout, int input, bool layered,
                              const py::array &array) {
  const int leading = layered ? 1 : 0;
  const auto size = static_cast<py::ssize_t>(sizeof(U));
  StridedInput<U> result;
  if (shape.description().inputs[input].shape == kPerRow) {
    result.array = {static_cast<U *>(const_cast<void *>(array.data())), 0,
                    layout.unbatched ? 0 : array.strides(leading) / size};
  } else {
    result.array = layout.strided<U>(array, leading);
  }
  result.layered = layered;
  result.layer_stride = layered ? array.strides(0) / size : 0;
  return result;
}

// One of them, in place where that can be.
template <class T>
StridedInput<const T> input_of(const NetworkShape &shape, const Layout &layout, int input, py::handle object,
                               Arguments<T> &arguments) {
  const std::string name = item_name("inputs", shape.cell->inputs[static_cast<std::size_t>(input)]);
  if (object.is_none()) refuse_value(name, "an array " + expected_input(shape, layout, input, false), "none");
  const py::array array = typed_array<T>(object, name);
  const bool layered = !shape.single && array.ndim() == input_shape(shape, layout, input, true).size();
  if (!has_shape(array, input_shape(shape, layout, input, layered))) {
    std::string expected = expected_input(shape, layout, input, false);
    if (!shape.single) expected += " or " + expected_input(shape, layout, input, true);
    refuse_value(name, expected, shape_text(array));
  }
  const bool of_steps = shape.description().inputs[input].shape == kPerStep;
  const bool in_place = of_steps ? lies_well<T>(array) : readable_in_place<T>(array);
  return strided_input<const T>(shape, layout, input, layered, arguments.keep(in_place ? array : copied(array)));
}

// All of them, in the order of the cell; drawn ones are time-major.
template <class T>
std::vector<StridedInput<const T>> inputs_of(const NetworkShape &shape, const Layout &layout,
                                             const InputObjects &objects, Arguments<T> &arguments) {
  std::vector<StridedInput<const T>> result;
  for (std::size_t i = 0; i < objects.given.size(); ++i) {
    const int input = static_cast<int>(i);
    const bool drawn = i < objects.drawn.size() && !objects.drawn[i].is_none();
    if (objects.incomplete && objects.given[i].is_none()) continue;
    result.push_back(drawn ? input_of<T>(shape, time_major(layout), input, objects.drawn[i], arguments)
                           : input_of<T>(shape, layout, input, objects.given[i], arguments));
  }
  return result;
}

// The arrays that gradients are added to, each of its input's shape; null where not wanted.
template <class T>
std::vector<StridedInput<T>> input_targets(const NetworkShape &shape, const Layout &layout,
                                           const std::vector<py::object> &objects, const TapeMemory<T> &tape,
                                           Arguments<T> &arguments) {
  std::vector<StridedInput<T>> result(objects.size());
  for (std::size_t i = 0; i < objects.size(); ++i) {
    if (objects[i].is_none()) continue;
    const int input = static_cast<int>(i);
    const bool layered = tape.inputs[i].layered;
    const std::string name = item_name("dinputs", shape.cell->inputs[i]);
    const py::array array = typed_array<T>(objects[i], name, Takes::kNumPy);
    check_shape(
        array, name, [&] { return input_symbols(shape, layout, input, layered); },
        input_shape(shape, layout, input, layered));
    if (!contiguous<T>(array) || !array.writeable()) {
      refuse_value(name, "a writeable C-contiguous array",
                   array.writeable() ? "one that isn't contiguous" : "a read-only one");
    }
    result[i] = strided_input<T>(shape, layout, input, layered, arguments.keep(array));
  }
  return result;
}

}  // namespace recurra
