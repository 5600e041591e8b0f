// The class of streams from Python. It is made with CPython's own functions: a step of a Linear of 8 takes 0.16 µs so,
// an array for y included, where a call of the layer takes 0.76.
#include <pybind11/pybind11.h>
#include <structmember.h>

#include <atomic>
#include <cstddef>

#include "python/bindings.h"
#include "python/classes.h"
#include "python/stream_object.h"
#include "python/stream_parts.h"
#include "system/fork.h"

namespace recurra {
namespace {

struct StreamInstance {
  PyObject_HEAD vectorcallfunc call;
  // 0, or the generation of forks, from 1 on, of the process in which a call is running: a child doesn't have the
  // thread.
  std::atomic<unsigned> used;
  std::atomic<bool> closed;
  std::unique_ptr<AnyStream> stream;  // null: closed
  PyObject *text;                     // what the model is, for repr
};

PyTypeObject *&stream_type() {
  static PyTypeObject *type = nullptr;
  return type;
}

StreamInstance *instance_of(PyObject *self) { return reinterpret_cast<StreamInstance *>(self); }

// The stream of an object, for one call at a time: another thread may come while the first has given up the GIL, and
// so may a signal handler within a long call.
class Using {
 public:
  explicit Using(PyObject *self) : instance_(*instance_of(self)) {
    const unsigned generation = ForkGate::instance().generation() + 1;
    if (instance_.used.exchange(generation, std::memory_order_acquire) == generation) {
      throw std::runtime_error(
          "stream: expected one call at a time, got one while another is running: "
          "give each thread its own, with fork()");
    }
  }
  ~Using() { instance_.used.store(0, std::memory_order_release); }
  Using(const Using &) = delete;
  Using &operator=(const Using &) = delete;

  AnyStream &stream() {
    if (!instance_.stream) throw py::value_error("stream: expected an open one, got one that has been closed");
    return *instance_.stream;
  }
  std::unique_ptr<AnyStream> take() {
    instance_.closed = true;
    return std::move(instance_.stream);
  }
  PyObject *text() const { return instance_.text; }

 private:
  StreamInstance &instance_;
};

// What a function returns, or null with its exception as Python's.
template <class Function>
PyObject *guarded(const Function &function) {
  try {
    return function().release().ptr();
  } catch (py::error_already_set &error) {
    error.restore();
  } catch (const py::builtin_exception &error) {
    error.set_error();
  } catch (const std::bad_alloc &) {
    PyErr_NoMemory();
  } catch (const std::exception &error) {
    PyErr_SetString(PyExc_RuntimeError, error.what());
  } catch (const Foreign &foreign) {  // of a call without with_foreign; catch (...) would stop a thread's exit as well
    PyErr_SetString(PyExc_RuntimeError, (foreign.name + ": expected a call that converts what isn't NumPy's").c_str());
  }
  return nullptr;
}

PyObject *call(PyObject *self, PyObject *const *arguments, std::size_t flags, PyObject *names);

PyObject *allocated(PyTypeObject *type, std::unique_ptr<AnyStream> stream, PyObject *text) {
  PyObject *self = type->tp_alloc(type, 0);
  if (!self) throw py::error_already_set();
  StreamInstance &instance = *instance_of(self);
  instance.call = call;
  new (&instance.used) std::atomic<unsigned>(0);
  new (&instance.closed) std::atomic<bool>(false);
  new (&instance.stream) std::unique_ptr<AnyStream>(std::move(stream));
  instance.text = Py_NewRef(text);
  return self;
}

void deallocate(PyObject *self) {
  PyTypeObject *type = Py_TYPE(self);
  instance_of(self)->stream.~unique_ptr();
  Py_XDECREF(instance_of(self)->text);
  type->tp_free(self);
  Py_DECREF(type);
}

// x and out of a call (x, out=None).
struct Given {
  py::handle x, out = py::none();

  Given(const char *first, PyObject *const *arguments, Py_ssize_t count, PyObject *names) {
    const Py_ssize_t named = names ? PyTuple_GET_SIZE(names) : 0;
    if (count > 0) x = arguments[0];
    if (count > 1) out = arguments[1];
    bool twice = false, unknown = false;
    for (Py_ssize_t i = 0; i < named; ++i) {
      PyObject *name = PyTuple_GET_ITEM(names, i);
      const bool is_out = PyUnicode_CompareWithASCIIString(name, "out") == 0;
      const bool is_x = !is_out && PyUnicode_CompareWithASCIIString(name, first) == 0;
      unknown = unknown || !(is_out || is_x);
      twice = twice || (is_x && count > 0) || (is_out && count > 1);
      if (is_out) out = arguments[count + i];
      if (is_x) x = arguments[count + i];
    }
    if (count > 2 || !x || twice || unknown) {
      throw py::type_error(std::string("expected (") + first + ", out=None), got other arguments");
    }
  }
};

PyObject *call(PyObject *self, PyObject *const *arguments, std::size_t flags, PyObject *names) {
  return guarded([&] {
    const Given given("x_t", arguments, PyVectorcall_NARGS(flags), names);
    return with_foreign([&] { return Using(self).stream().step(given.x, given.out); });
  });
}

PyObject *block(PyObject *self, PyObject *const *arguments, Py_ssize_t count, PyObject *names) {
  return guarded([&] {
    const Given given("x", arguments, count, names);
    return with_foreign([&] { return Using(self).stream().block(given.x, given.out); });
  });
}

PyObject *reset(PyObject *self, PyObject *rows) {
  return guarded([&] {
    with_foreign([&] { Using(self).stream().reset(rows); });
    return py::none();
  });
}

PyObject *forked(PyObject *self, PyObject *) {
  return guarded([&] {
    Using used(self);
    return py::reinterpret_steal<py::object>(allocated(Py_TYPE(self), used.stream().fork(), used.text()));
  });
}

PyObject *closed_now(PyObject *self, PyObject *) {
  return guarded([&] {
    const std::unique_ptr<AnyStream> stream = Using(self).take();
    return py::none();
  });
}

PyObject *state(PyObject *self, void *) {
  return guarded([&] { return Using(self).stream().state(); });
}

int set_state(PyObject *self, PyObject *value, void *) {
  PyObject *done = guarded([&] {
    if (!value) throw py::type_error("state: expected a value, as it can't be deleted");
    with_foreign([&] { Using(self).stream().set_state(value); });
    return py::none();
  });
  Py_XDECREF(done);
  return done ? 0 : -1;
}

PyObject *batch(PyObject *self, void *) {
  return guarded([&] { return py::int_(Using(self).stream().batch()); });
}

PyObject *is_closed(PyObject *self, void *) { return PyBool_FromLong(instance_of(self)->closed); }

PyObject *text(PyObject *self, void *) { return Py_NewRef(instance_of(self)->text); }

// Parts given as objects of `stream_part` or the names of activations.
template <class T>
std::shared_ptr<StreamPart<T>> part_of(py::handle given) {
  if (auto part = object_of<StreamPart<T>>(given)) return part;
  if (!PyUnicode_Check(given.ptr())) return nullptr;
  const auto is = [&](const char *name) { return PyUnicode_CompareWithASCIIString(given.ptr(), name) == 0; };
  if (is("tanh")) return activation_part<T>(PartKind::kTanh);
  if (is("sigmoid")) return activation_part<T>(PartKind::kSigmoid);
  if (is("relu")) return activation_part<T>(PartKind::kRelu);
  return nullptr;
}

template <class T>
std::unique_ptr<AnyStream> made(const py::tuple &given, Index rows, bool batch_first, bool listed) {
  auto parts = std::make_shared<StreamParts<T>>();
  Index features = 0, states = 0;
  for (std::size_t i = 0; i < given.size(); ++i) {
    const std::shared_ptr<StreamPart<T>> part = part_of<T>(given[i]);
    if (!part) throw py::type_error("parts: expected parts of one dtype, or names of activations");
    const bool embeds = part->kind == PartKind::kEmbedding;
    if ((embeds && i > 0) || (i > 0 && features && part->in && part->in != features)) {
      throw py::value_error("parts: expected each to take what the one before it gives");
    }
    features = part->out ? part->out : features;
    states += part->network ? 1 : 0;
    parts->push_back(part);
  }
  if (features == 0) throw py::value_error("parts: expected one that knows its features");
  if (!listed && states != 1) throw py::value_error("listed: expected True, unless one part has states");
  return std::make_unique<PyStream<T>>(std::move(parts), rows, batch_first, listed);
}

PyObject *make(PyTypeObject *type, PyObject *arguments, PyObject *) {
  PyObject *parts = nullptr, *words = nullptr;
  Py_ssize_t rows = 0;
  int batch_first = 0, listed = 0;
  if (!PyArg_ParseTuple(arguments, "O!nppU", &PyTuple_Type, &parts, &rows, &batch_first, &listed, &words)) {
    return nullptr;
  }
  return guarded([&] {
    if (rows < 1) throw py::value_error("batch: expected a positive integer");
    const auto given = py::reinterpret_borrow<py::tuple>(parts);
    bool twice = false;  // float64
    for (const py::handle part : given) twice = twice || object_of<StreamPart<double>>(part) != nullptr;
    auto stream = twice ? made<double>(given, rows, batch_first != 0, listed != 0)
                        : made<float>(given, rows, batch_first != 0, listed != 0);
    return py::reinterpret_steal<py::object>(allocated(type, std::move(stream), words));
  });
}

// Nothing about a class derived from ours changes any more, so that its objects can be called the short way, which
// CPython before 3.12 leaves to classes in C: with out= by name that is 0.2 µs less.
PyObject *seal(PyObject *, PyObject *type) {
  return guarded([&] {
    if (!PyType_Check(type) || !PyType_IsSubtype(reinterpret_cast<PyTypeObject *>(type), stream_type())) {
      throw py::type_error("expected a class of streams");
    }
    reinterpret_cast<PyTypeObject *>(type)->tp_flags |= Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_IMMUTABLETYPE;
    PyType_Modified(reinterpret_cast<PyTypeObject *>(type));
    return py::none();
  });
}

template <class Function>
PyCFunction function(Function *of) {
  return reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(of));
}

}  // namespace

void register_stream(py::module_ &module) {
  Class<StreamPart<float>>(module, "StreamPart32");
  Class<StreamPart<double>>(module, "StreamPart64");
  static PyMethodDef methods[] = {{"many", function(block), METH_FASTCALL | METH_KEYWORDS, nullptr},
                                  {"_reset", function(reset), METH_O, nullptr},
                                  {"fork", function(forked), METH_NOARGS, nullptr},
                                  {"close", function(closed_now), METH_NOARGS, nullptr},
                                  {nullptr, nullptr, 0, nullptr}};
  static PyGetSetDef properties[] = {{"_states", state, set_state, nullptr, nullptr},
                                     {"batch", batch, nullptr, nullptr, nullptr},
                                     {"closed", is_closed, nullptr, nullptr, nullptr},
                                     {"_text", text, nullptr, nullptr, nullptr},
                                     {nullptr, nullptr, nullptr, nullptr, nullptr}};
  static PyMemberDef members[] = {
      {"__vectorcalloffset__", T_PYSSIZET, offsetof(StreamInstance, call), READONLY, nullptr},
      {nullptr, 0, 0, 0, nullptr}};
  PyType_Slot slots[] = {{Py_tp_dealloc, reinterpret_cast<void *>(deallocate)},
                         {Py_tp_new, reinterpret_cast<void *>(make)},
                         {Py_tp_call, reinterpret_cast<void *>(PyVectorcall_Call)},
                         {Py_tp_methods, methods},
                         {Py_tp_getset, properties},
                         {Py_tp_members, members},
                         {0, nullptr}};
  PyType_Spec spec{"recurra._core.Stream", sizeof(StreamInstance), 0,
                   Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_IMMUTABLETYPE,
                   slots};
  py::object type = py::reinterpret_steal<py::object>(PyType_FromSpec(&spec));
  if (!type) throw py::error_already_set();
  stream_type() = reinterpret_cast<PyTypeObject *>(type.inc_ref().ptr());
  module.attr("Stream") = type;
  static PyMethodDef sealing{"seal", seal, METH_O, nullptr};
  module.attr("seal") = py::reinterpret_steal<py::object>(PyCFunction_New(&sealing, nullptr));
}

}  // namespace recurra
