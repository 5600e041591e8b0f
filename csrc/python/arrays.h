// NumPy's arrays as what they are in memory: shape, strides and data. Nothing here runs Python code.
#pragma once

#include <pybind11/critical_section.h>
#include <pybind11/numpy.h>

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <utility>

#include "kernels.h"
#include "python/errors.h"

namespace recurra {

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

inline std::string shape_text(const Index *shape, Index rank) {
  std::string text = "(";
  for (Index i = 0; i < rank; ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + (rank == 1 ? ",)" : ")");
}
inline std::string shape_text(const Shape &shape) { return shape_text(shape.data(), shape.size()); }
inline std::string shape_text(const py::array &array) { return shape_text(array.shape(), array.ndim()); }

// Where the i-th value of an array is: "3", or "(1, 2)" if it has several axes.
inline std::string index_text(const py::array &array, Index i) {
  std::string text;
  for (Index axis = array.ndim() - 1; axis >= 0; --axis) {
    text = std::to_string(i % array.shape(axis)) + (text.empty() ? "" : ", ") + text;
    i /= array.shape(axis);
  }
  return array.ndim() == 1 ? text : "(" + text + ")";
}

inline bool has_shape(const py::array &array, const Shape &shape) {
  return array.ndim() == shape.size() && std::equal(shape.data(), shape.data() + shape.size(), array.shape());
}

template <class T>
const char *dtype_name() {
  return sizeof(T) == 4 ? "float32" : "float64";
}

inline py::array owned_array(PyObject *made) {
  if (!made) throw py::error_already_set();
  return py::reinterpret_steal<py::array>(made);
}

// A new array, uninitialised: what py::array_t's constructor does, without its vectors of shape and strides.
template <class T>
py::array new_array(const Shape &shape) {
  const auto &numpy = py::detail::npy_api::get();
  return owned_array(numpy.PyArray_NewFromDescr_(numpy.PyArray_Type_, py::dtype::of<T>().release().ptr(), shape.size(),
                                                 reinterpret_cast<const Py_intptr_t *>(shape.data()), nullptr, nullptr,
                                                 0, nullptr));
}

inline bool is_plain(py::handle array) { return Py_TYPE(array.ptr()) == py::detail::npy_api::get().PyArray_Type_; }

// Whether a subclass of numpy.ndarray has a member `mask`, as numpy.ma.MaskedArray does: what it masks would be read.
// Asked of the classes' own dictionaries, as a property could change the array that is being checked.
inline bool is_masked(py::handle array) {
  const PyObject *classes = Py_TYPE(array.ptr())->tp_mro;
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(classes); ++i) {
    auto *type = reinterpret_cast<PyTypeObject *>(PyTuple_GET_ITEM(classes, i));
    if (type == py::detail::npy_api::get().PyArray_Type_) continue;
    PyObject *key = nullptr, *value = nullptr;
    Py_ssize_t position = 0;
    const py::scoped_critical_section locked(type->tp_dict);  // without a GIL others may be changing it
    while (type->tp_dict && PyDict_Next(type->tp_dict, &position, &key, &value)) {
      if (PyUnicode_Check(key) && PyUnicode_CompareWithASCIIString(key, "mask") == 0) return true;
    }
  }
  return false;
}

// A plain array of its own over the same memory: what others do to the shape and strides of the first doesn't reach it.
inline py::array own_view(const py::array &given) {
  const auto &numpy = py::detail::npy_api::get();
  const int flags = given.flags() & py::detail::npy_api::NPY_ARRAY_WRITEABLE_;
  py::array view = owned_array(numpy.PyArray_NewFromDescr_(
      numpy.PyArray_Type_, given.dtype().release().ptr(), static_cast<int>(given.ndim()),
      reinterpret_cast<const Py_intptr_t *>(given.shape()), reinterpret_cast<const Py_intptr_t *>(given.strides()),
      const_cast<void *>(given.data()), flags, nullptr));
  const py::object base = given;
  if (numpy.PyArray_SetBaseObject_(view.ptr(), base.inc_ref().ptr()) != 0) throw py::error_already_set();
  return view;
}

// The array itself, or of an array of a subclass (numpy.matrix, numpy.memmap, somebody's own) the memory behind it: a
// view with a shape and strides of its own, whatever the subclass says and does. `array` is an ndarray of some kind.
inline py::array plain_array(py::handle array) {
  const auto given = py::reinterpret_borrow<py::array>(array);
  return is_plain(array) ? given : own_view(given);
}

// Whether every element lies where a T may, and strides count whole ones.
template <class T>
bool lies_well(const py::array &array) {
  if (reinterpret_cast<std::uintptr_t>(array.data()) % alignof(T) != 0) return false;
  for (py::ssize_t axis = 0; axis < array.ndim(); ++axis) {
    if (array.strides(axis) % static_cast<py::ssize_t>(sizeof(T)) != 0) return false;
  }
  return true;
}

// Rows of features can be read in place if each of them is contiguous, too.
template <class T>
bool readable_in_place(const py::array &array) {
  if (!lies_well<T>(array)) return false;
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

// The addresses between which the elements of an array of T lie.
template <class T>
std::pair<std::uintptr_t, std::uintptr_t> bounds(const py::array &array) {
  auto low = reinterpret_cast<std::uintptr_t>(array.data()), high = low + sizeof(T);
  for (py::ssize_t axis = 0; axis < array.ndim(); ++axis) {
    if (array.shape(axis) == 0) return {low, low};
    const auto reach = static_cast<std::uintptr_t>((array.shape(axis) - 1) * array.strides(axis));
    (array.strides(axis) < 0 ? low : high) += reach;
  }
  return {low, high};
}

}  // namespace recurra
