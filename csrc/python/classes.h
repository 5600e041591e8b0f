// The classes that Python sees. They are made here and not by py::class_, whose objects may exist with nothing behind
// them (after __new__ alone), believe what others say of themselves, and end the process when there is no memory for
// the registry of all objects. One of ours is made with what it holds, or not at all.
#pragma once

#include <pybind11/pybind11.h>

#include <memory>
#include <new>
#include <string>
#include <utility>

#include "python/errors.h"
#include "python/foreign.h"

namespace recurra {

template <class C>
struct Instance {
  PyObject_HEAD std::shared_ptr<C> held;
};

// Null until the class has been made.
template <class C>
PyTypeObject *&type_of() {
  static PyTypeObject *type = nullptr;
  return type;
}

template <class C>
py::object wrap(std::shared_ptr<C> held) {
  PyObject *made = type_of<C>()->tp_alloc(type_of<C>(), 0);
  if (!made) throw py::error_already_set();
  new (&reinterpret_cast<Instance<C> *>(made)->held) std::shared_ptr<C>(std::move(held));
  return py::reinterpret_steal<py::object>(made);
}

// What is behind a Python object, or null if it is none of this class. The real type counts, not its __class__.
template <class C>
std::shared_ptr<C> object_of(py::handle object) {
  if (Py_TYPE(object.ptr()) != type_of<C>()) return nullptr;
  return reinterpret_cast<Instance<C> *>(object.ptr())->held;
}

// The same of a method's own object, which whoever calls the method keeps alive.
template <class C>
const std::shared_ptr<C> &self_of(py::handle object) {
  if (Py_TYPE(object.ptr()) != type_of<C>()) refuse_type("self", type_of<C>()->tp_name, type_name(object));
  return reinterpret_cast<Instance<C> *>(object.ptr())->held;
}

template <class R>
constexpr bool kIsWrapped = false;
template <class C>
constexpr bool kIsWrapped<std::shared_ptr<C>> = true;

// What a call returns, as Python takes it.
template <class Call>
auto returned(const Call &call) {
  if constexpr (kIsWrapped<decltype(call())>) {
    return wrap(call());
  } else {
    return call();
  }
}

// A class with methods, which are members of C or functions of a shared_ptr to it and more, and properties. It is done
// when this goes out of scope: nothing can be derived from it then, nor set.
template <class C>
class Class {
 public:
  Class(py::module_ &module, const std::string &name) : module_(module), name_(name) {
    static const std::string full = std::string(py::str(module.attr("__name__"))) + "." + name;
    PyType_Slot slots[] = {
        {Py_tp_dealloc, reinterpret_cast<void *>(dealloc)}, {Py_tp_new, reinterpret_cast<void *>(make)}, {0, nullptr}};
    PyType_Spec spec{full.c_str(), sizeof(Instance<C>), 0, Py_TPFLAGS_DEFAULT, slots};
    type_ = py::reinterpret_steal<py::object>(PyType_FromSpec(&spec));
    if (!type_) throw py::error_already_set();
    type_of<C>() = reinterpret_cast<PyTypeObject *>(type_.inc_ref().ptr());
    module.attr(name.c_str()) = type_;
  }
  ~Class() {
    type_of<C>()->tp_flags |= Py_TPFLAGS_IMMUTABLETYPE;
    PyType_Modified(type_of<C>());
  }
  Class(const Class &) = delete;
  Class &operator=(const Class &) = delete;

  // What a call of the class does; without it, it can't be called.
  template <class... A, class... Extra>
  Class &constructor(const Extra &...extra) {
    const auto construct = [](A... arguments) { return wrap(std::make_shared<C>(arguments...)); };
    factory() = py::cpp_function(construct, py::name(name_.c_str()), py::scope(module_), extra...).release();
    return *this;
  }
  template <class R, class... A, class... Extra>
  Class &def(const char *name, R (C::*function)(A...), const Extra &...extra) {
    return bind<A...>(name, [=](const auto &self, A... a) { return ((*self).*function)(a...); }, extra...);
  }
  template <class R, class... A, class... Extra>
  Class &def(const char *name, R (C::*function)(A...) const, const Extra &...extra) {
    return bind<A...>(name, [=](const auto &self, A... a) { return ((*self).*function)(a...); }, extra...);
  }
  template <class R, class... A, class... Extra>
  Class &def(const char *name, R (*function)(const std::shared_ptr<C> &, A...), const Extra &...extra) {
    return bind<A...>(name, function, extra...);
  }
  // A method without arguments, as a property.
  template <class Function>
  Class &def_property_readonly(const char *name, Function function) {
    def(name, function);
    const py::handle property(reinterpret_cast<PyObject *>(&PyProperty_Type));
    py::setattr(type_, name, property(py::getattr(type_, name)));
    return *this;
  }

 private:
  template <class... A, class Function, class... Extra>
  Class &bind(const char *name, Function function, const Extra &...extra) {
    const auto method = [=](py::handle self, A... arguments) {
      const std::shared_ptr<C> &held = self_of<C>(self);
      return with_foreign([&] { return returned([&] { return function(held, arguments...); }); });
    };
    py::setattr(type_, name, py::cpp_function(method, py::name(name), py::is_method(type_), extra...));
    return *this;
  }

  static py::handle &factory() {
    static py::handle made;
    return made;
  }
  static PyObject *make(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    if (factory()) return PyObject_Call(factory().ptr(), args, kwargs);
    PyErr_Format(PyExc_TypeError, "cannot create '%s' instances", type->tp_name);
    return nullptr;
  }
  static void dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    reinterpret_cast<Instance<C> *>(self)->held.~shared_ptr();
    type->tp_free(self);
    Py_DECREF(type);
  }

  py::module_ &module_;
  std::string name_;
  py::object type_;
};

}  // namespace recurra
