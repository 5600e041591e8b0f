// The classes that Python sees: made by a call or by us, never empty, never taken for each other.
#pragma once

#include <memory>

#include "python/errors.h"

namespace recurra {

// The object of class C behind a Python object, or null if it isn't one. Only the real type counts: pybind11's own
// conversion of an argument would also believe what an object says of itself.
template <class C>
std::shared_ptr<C> object_of(py::handle object) {
  if (reinterpret_cast<PyObject *>(Py_TYPE(object.ptr())) != py::type::of<C>().ptr()) return nullptr;
  return py::cast<std::shared_ptr<C>>(object);
}

template <class C>
std::shared_ptr<C> self_of(py::handle object) {
  std::shared_ptr<C> self = object_of<C>(object);
  if (!self) refuse_type("self", std::string(py::str(py::type::of<C>())), type_name(object));
  return self;
}

// What def() takes for a member function, or for a function of an object and more.
template <class R, class C, class... A>
auto method(R (C::*function)(A...)) {
  return [function](py::handle self, A... arguments) { return (*self_of<C>(self).*function)(arguments...); };
}
template <class R, class C, class... A>
auto method(R (C::*function)(A...) const) {
  return [function](py::handle self, A... arguments) { return (*self_of<C>(self).*function)(arguments...); };
}
template <class R, class C, class... A>
auto method(R (*function)(const std::shared_ptr<C> &, A...)) {
  return [function](py::handle self, A... arguments) { return function(self_of<C>(self), arguments...); };
}

// A class whose objects are shared. Nothing can be derived from it.
template <class C>
using Class = py::class_<C, std::shared_ptr<C>>;

// To be called once a class has all its methods: no object of it is made but by a call of the class or by us, none is
// turned into one by assigning to __class__, and none hands out its address.
template <class C>
void seal(Class<C> &bound) {
  auto *type = reinterpret_cast<PyTypeObject *>(bound.ptr());
  py::delattr(bound, "_pybind11_conduit_v1_");
  // pybind11's __new__ makes an object with nothing behind it, for __init__ to fill. Python refuses to call it by name
  // for a class that has another one.
  type->tp_new = [](PyTypeObject *made, PyObject *args, PyObject *kwargs) {
    return made->tp_base->tp_new(made, args, kwargs);
  };
  type->tp_flags |= Py_TPFLAGS_IMMUTABLETYPE;
  PyType_Modified(type);
}

}  // namespace recurra
