// Arguments from Python: checked, refused with an error that names them, or handed on as plain pointers and strides.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <algorithm>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "model/network.h"
#include "python/copies.h"
#include "python/gil.h"

namespace recurra {

namespace py = pybind11;

// What a call of a few microseconds must not do is build strings and vectors that no error needs: names come as
// string_view, symbols as functions, shapes in place. That took 1 µs of the 2 µs of a step of an LSTM of 16 units.
using Name = std::string_view;

[[noreturn]] inline void refuse_value(Name name, const std::string &expected, const std::string &got) {
  throw py::value_error(std::string(name) + ": expected " + expected + ", got " + got);
}
[[noreturn]] inline void refuse_type(Name name, const std::string &expected, const std::string &got) {
  throw py::type_error(std::string(name) + ": expected " + expected + ", got " + got);
}

class Shape {
 public:
  Shape() = default;
  Shape(std::initializer_list<Index> lengths) {
    for (const Index length : lengths) push_back(length);
  }
  explicit Shape(const py::array &array) {
    for (py::ssize_t axis = 0; axis < array.ndim(); ++axis) push_back(array.shape(axis));
  }
  Shape(const Shape &other) : size_(other.size_) { std::copy_n(other.at_, size_, at_); }
  Shape &operator=(const Shape &other) {
    size_ = other.size_;
    std::copy_n(other.at_, size_, at_);
    return *this;
  }

  void push_back(Index length) {
    if (size_ == kMost) throw py::value_error("expected at most 64 axes");
    at_[size_++] = length;
  }
  Index &back() { return at_[size_ - 1]; }
  const Index *data() const { return at_; }
  int size() const { return size_; }

 private:
  static constexpr int kMost = 64;  // NumPy's
  Index at_[kMost];
  int size_ = 0;
};

// A new array, uninitialised: what py::array_t's constructor does, without its vectors of shape and strides.
template <class T>
py::array new_array(const Shape &shape) {
  const auto &numpy = py::detail::npy_api::get();
  py::object array = py::reinterpret_steal<py::object>(
      numpy.PyArray_NewFromDescr_(numpy.PyArray_Type_, py::dtype::of<T>().release().ptr(), shape.size(),
                                  reinterpret_cast<const Py_intptr_t *>(shape.data()), nullptr, nullptr, 0, nullptr));
  if (!array) throw py::error_already_set();
  return py::reinterpret_steal<py::array>(array.release());
}

inline std::string type_name(py::handle object) { return Py_TYPE(object.ptr())->tp_name; }

inline std::string shape_text(const Index *shape, Index rank) {
  std::string text = "(";
  for (Index i = 0; i < rank; ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + (rank == 1 ? ",)" : ")");
}
inline std::string shape_text(const Shape &shape) { return shape_text(shape.data(), shape.size()); }
inline std::string shape_text(const py::array &array) { return shape_text(array.shape(), array.ndim()); }

template <class T>
const char *dtype_name() {
  return sizeof(T) == 4 ? "float32" : "float64";
}

// A masked array is an array too, but what it masks would be read.
inline void refuse_masked(py::handle array, Name name) {
  if (Py_TYPE(array.ptr()) != py::detail::npy_api::get().PyArray_Type_ && py::hasattr(array, "mask")) {
    refuse_type(name, "a plain numpy.ndarray", "a masked one");
  }
}

// The array itself, if it is one of T; else a TypeError.
template <class T>
py::array typed_array(py::handle object, Name name) {
  if (!py::isinstance<py::array>(object)) {
    refuse_type(name, std::string("a numpy.ndarray of ") + dtype_name<T>(), type_name(object));
  }
  auto array = py::reinterpret_borrow<py::array>(object);
  refuse_masked(object, name);
  if (!py::isinstance<py::array_t<T>>(object)) {
    const std::string got = py::str(array.dtype());
    const bool number = std::string("biuf").find(array.dtype().kind()) != std::string::npos;
    const std::string advice =
        number ? ": cast it with " + std::string(name) + ".astype(numpy." + dtype_name<T>() + ")" : "";
    refuse_type(name, dtype_name<T>(), got + advice);
  }
  return array;
}

inline bool has_shape(const py::array &array, const Shape &shape) {
  return array.ndim() == shape.size() && std::equal(shape.data(), shape.data() + shape.size(), array.shape());
}

template <class Symbols>
void check_shape(const py::array &array, Name name, const Symbols &symbols, const Shape &shape) {
  if (!has_shape(array, shape)) {
    refuse_value(name, std::string(symbols()) + " = " + shape_text(shape), shape_text(array));
  }
}

// Rows of features can be read in place if each is contiguous and every element lies where a T may.
template <class T>
bool readable_in_place(const py::array &array) {
  if (reinterpret_cast<std::uintptr_t>(array.data()) % alignof(T) != 0) return false;
  for (py::ssize_t axis = 0; axis < array.ndim(); ++axis) {
    if (array.strides(axis) % static_cast<py::ssize_t>(sizeof(T)) != 0) return false;
  }
  const py::ssize_t last = array.ndim() - 1;
  return last < 0 || array.shape(last) <= 1 || array.strides(last) == static_cast<py::ssize_t>(sizeof(T));
}

template <class T>
bool contiguous(const py::array &array) {
  return (array.flags() & py::array::c_style) && reinterpret_cast<std::uintptr_t>(array.data()) % alignof(T) == 0;
}

template <class T>
T *pointer(const py::array &array) {
  return static_cast<T *>(const_cast<void *>(array.data()));
}

// How sequences lie in a caller's arrays: (T, B, features), (B, T, features) or (T, features); for a cell, which takes
// a single step, (B, features) or (features,).
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
  Shape state_shape(Index states, Index hidden_size) const {
    Shape shape;
    if (!single) shape.push_back(states);
    if (!unbatched) shape.push_back(batch);
    shape.push_back(hidden_size);
    return shape;
  }
  std::string state_symbols() const {
    if (single) return symbols("hidden_size");
    return std::string("(num_layers*num_directions, ") + (unbatched ? "" : "B, ") + "hidden_size)";
  }

  template <class U>
  Strided<U> strided(const py::array &array) const {
    const auto size = static_cast<py::ssize_t>(sizeof(U));
    const int time = batch_first ? 1 : 0, row = batch_first || single ? 0 : 1;
    return {static_cast<U *>(const_cast<void *>(array.data())), single ? 0 : array.strides(time) / size,
            unbatched ? 0 : array.strides(row) / size};
  }
};

// Keeps the arrays, and copies made of them, alive while their memory is read.
template <class T>
class Arguments {
 public:
  // (T, B, features) in the layout, in place where that can be; null for None.
  Strided<const T> sequences(py::handle object, Name name, const Layout &layout, const char *symbol, Index features) {
    if (object.is_none()) return {};
    py::array array = typed_array<T>(object, name);
    check_shape(array, name, [&] { return layout.symbols(symbol); }, layout.shape(features));
    return layout.strided<const T>(keep(readable_in_place<T>(array) ? array : copied(array)));
  }

  // A state, contiguous; null for None.
  const T *state(py::handle object, Name name, const Layout &layout, Index states, Index hidden_size) {
    if (object.is_none()) return nullptr;
    py::array array = typed_array<T>(object, name);
    check_shape(array, name, [&] { return layout.state_symbols(); }, layout.state_shape(states, hidden_size));
    return pointer<T>(keep(contiguous<T>(array) ? array : copied(array)));
  }

  const py::array &keep(py::array array) {
    kept_.push_back(std::move(array));
    return kept_.back();
  }
  const std::vector<py::array> &kept() const { return kept_; }

 private:
  std::vector<py::array> kept_;
};

// True or False, nothing that merely could be taken for either.
inline bool flag_of(py::handle object, const char *name) {
  if (PyBool_Check(object.ptr())) return object.ptr() == Py_True;
  if (type_name(object) != "numpy.bool" && type_name(object) != "numpy.bool_") {
    refuse_type(name, "True or False", py::repr(object));
  }
  return py::cast<bool>(object.attr("item")());
}

inline bool is_integers(py::handle object) {
  if (!py::isinstance<py::array>(object)) return false;
  const char kind = py::reinterpret_borrow<py::array>(object).dtype().kind();
  return kind == 'i' || kind == 'u';
}

// Where the i-th value of an array is: "3", or "(1, 2)" if it has several axes.
inline std::string index_text(const py::array &array, Index i) {
  std::string text;
  for (Index axis = array.ndim() - 1; axis >= 0; --axis) {
    text = std::to_string(i % array.shape(axis)) + (text.empty() ? "" : ", ") + text;
    i /= array.shape(axis);
  }
  return array.ndim() == 1 ? text : "(" + text + ")";
}

// A copy of integers in 0..most, of any integer dtype and layout: the caller's may change while it is used.
inline std::vector<Index> integers_of(const py::array &array, const char *name, const std::string &range, Index most) {
  refuse_masked(array, name);
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
  if (!py::isinstance<py::array>(object)) refuse_type("lengths", "a numpy.ndarray of integers", type_name(object));
  const auto array = py::reinterpret_borrow<py::array>(object);
  if (!is_integers(object)) refuse_type("lengths", "integers", py::str(array.dtype()));
  check_shape(array, "lengths", [] { return "(B,)"; }, {batch});
  return integers_of(array, "lengths", "integers in 0..T = 0..", steps);
}

// A member of a plan that a test forces, by name; -1 where it isn't given.
inline PlanWish wish_of(py::handle object) {
  PlanWish wish;
  if (object.is_none()) return wish;
  const std::pair<const char *, Index *> members[] = {{"threads", &wish.threads},
                                                      {"split", &wish.split},
                                                      {"fused", &wish.fused},
                                                      {"chunk", &wish.chunk},
                                                      {"alternate", &wish.alternate},
                                                      {"tile_rows", &wish.tile_rows},
                                                      {"depth_block", &wish.depth_block},
                                                      {"stretch", &wish.stretch}};
  for (const auto &[key, value] : py::cast<py::dict>(object)) {
    bool known = false;
    for (const auto &[name, member] : members) {
      if (py::cast<std::string>(key) != name) continue;
      *member = py::cast<Index>(value);
      known = true;
    }
    if (!known) throw py::key_error(py::cast<std::string>(key));
  }
  return wish;
}

}  // namespace recurra
