// Arguments from Python: checked, refused with an error that names them, or handed on as plain pointers and strides.
//
// Once the first array of a call has been looked at, no Python code may run until all of them are held as plain arrays:
// it could free the memory behind those that have passed. So what may run code (a mapping, an __index__) comes first.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "python/arrays.h"
#include "python/copies.h"
#include "python/foreign.h"
#include "python/layout.h"

namespace recurra {

// Any array, as a plain one; `kind` says what it is to hold, `dtype` which one it is best made with.
inline py::array any_array(py::handle object, Name name, const char *kind, const char *dtype,
                           Takes takes = Takes::kArrays) {
  if (!py::isinstance<py::array>(object)) {
    object = foreign_array(object, name, kind, dtype, takes);
  }
  if (!is_plain(object) && is_masked(object)) {
    refuse_type(name, "a plain numpy.ndarray", "a masked one: fill it with " + std::string(name) + ".filled(0)");
  }
  return plain_array(object);
}

// Says what to write instead of an array of another dtype, `given`; Python knows the ways of its type.
[[noreturn]] inline void refuse_dtype(py::handle given, const py::array &array, Name name, const char *kind,
                                      const char *dtype) {
  py::module_::import("recurra._foreign").attr("refuse_dtype")(std::string(name), given, array.dtype(), kind, dtype);
  throw std::runtime_error("refuse_dtype: expected an exception");
}

// An array of T, as a plain one; else a TypeError.
template <class T>
py::array typed_array(py::handle object, Name name, Takes takes = Takes::kArrays) {
  py::array array = any_array(object, name, dtype_name<T>(), dtype_name<T>(), takes);
  if (!py::isinstance<py::array_t<T>>(array)) refuse_dtype(object, array, name, dtype_name<T>(), dtype_name<T>());
  return array;
}

template <class Symbols>
void check_shape(const py::array &array, Name name, const Symbols &symbols, const Shape &shape) {
  if (!has_shape(array, shape)) {
    refuse_value(name, std::string(symbols()) + " = " + shape_text(shape), shape_text(array));
  }
}

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
  const T *state(py::handle object, Name name, const Layout &layout, Index states, const char *symbol, Index size) {
    if (object.is_none()) return nullptr;
    py::array array = typed_array<T>(object, name);
    check_shape(array, name, [&] { return layout.state_symbols(symbol); }, layout.state_shape(states, size));
    return pointer<T>(keep(contiguous<T>(array) ? array : copied(array)));
  }

  Arguments() { kept_.reserve(6); }  // as many as most calls have

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
  const int truth = PyObject_IsTrue(object.ptr());
  if (truth < 0) throw py::error_already_set();
  return truth == 1;
}

}  // namespace recurra
