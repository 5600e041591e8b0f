// The fully connected layer from Python.
#include "model/linear.h"

#include "python/arguments.h"
#include "python/bindings.h"
#include "python/tapes.h"

namespace recurra {

namespace {

template <class T>
struct DenseTape : Once {
  py::array x;  // contiguous, and nobody else's
  std::shared_ptr<const Parameters<T>> parameters;
  long long version = 0;
};

template <class T>
class PyDense {
 public:
  PyDense(Index in, Index out, bool bias) : dense_(in, out, bias) {}

  std::shared_ptr<Parameters<T>> parameters() const { return dense_.parameters; }

  py::array call(py::handle x) { return run(checked(x, "x", dense_.in, "in_features")).first; }

  py::tuple forward(py::handle x) {
    auto tape = std::make_shared<DenseTape<T>>();
    tape->x = copied(checked(x, "x", dense_.in, "in_features"));  // so that later changes to x don't matter
    const auto [y, version] = run(tape->x);
    tape->version = version;
    tape->parameters = dense_.parameters;
    return py::make_tuple(y, tape);
  }

  py::object backward(py::handle tape_object, py::handle dy, py::handle need_dx_flag, py::handle grads,
                      py::handle retain_flag) {
    const bool need_dx = flag_of(need_dx_flag, "need_dx"), retain = flag_of(retain_flag, "retain");
    const auto tape = tape_of<DenseTape, T>(tape_object);
    if (tape->parameters != dense_.parameters) throw std::runtime_error(kOtherLayer);
    Shape shape(tape->x);
    shape.back() = dense_.out;
    Arguments<T> arguments;
    py::array gradient = typed_array<T>(dy, "dy");
    check_shape(gradient, "dy", [] { return "(..., out_features)"; }, shape);
    if (!contiguous<T>(gradient)) gradient = copied(gradient);
    const std::vector<T *> targets = gradient_targets(*dense_.parameters, grads, arguments);
    py::object dx = py::none();
    T *dx_data = nullptr;
    if (need_dx) {
      shape.back() = dense_.in;
      const py::array array = new_array<T>(shape);
      dx_data = pointer<T>(array);
      dx = array;
    }
    tape->take(retain);
    bool done = false, outdated = false;
    try {
      const Index rows = tape->x.size() / dense_.in;
      const T *x_data = pointer<T>(tape->x), *dy_data = pointer<T>(gradient);
      const WithoutGil released;
      const PackedPtr<T> packed = dense_.packed_backward(tape->version, signalled, outdated);
      done = packed && dense_.backward(rows, packed, x_data, dy_data, dx_data, targets.data(), signalled);
    } catch (...) {
      if (!retain) tape->give_back();
      throw;
    }
    if (!done && !retain) tape->give_back();
    if (outdated) {
      throw std::runtime_error(kOutdatedTape);
    }
    if (!done) throw py::error_already_set();
    return dx;
  }

 private:
  static py::array checked(py::handle object, const char *name, Index features, const char *symbol) {
    py::array array = typed_array<T>(object, name);
    if (array.ndim() == 0 || array.shape(array.ndim() - 1) != features) {
      refuse_value(name, std::string("(..., ") + symbol + ") = (..., " + std::to_string(features) + ")",
                   shape_text(array));
    }
    return contiguous<T>(array) ? array : copied(array);
  }

  std::pair<py::array, long long> run(const py::array &x) {
    Shape shape(x);
    shape.back() = dense_.out;
    const py::array y = new_array<T>(shape);
    const Index rows = x.size() / dense_.in;
    const T *from = pointer<T>(x);
    T *to = pointer<T>(y);
    long long version = 0;
    bool done = false;
    {
      const WithoutGil released;
      done = dense_.forward(rows, from, to, signalled, version);
    }
    if (!done) throw py::error_already_set();
    return {y, version};
  }

  Dense<T> dense_;
};

template <class T>
void bind(py::module_ &module, const std::string &suffix) {
  py::class_<DenseTape<T>, std::shared_ptr<DenseTape<T>>>(module, ("DenseTape" + suffix).c_str());
  py::class_<PyDense<T>>(module, ("Dense" + suffix).c_str())
      .def(py::init<Index, Index, bool>(), py::arg("in_features"), py::arg("out_features"), py::arg("bias"))
      .def_property_readonly("parameters", &PyDense<T>::parameters)
      .def("call", &PyDense<T>::call, py::arg("x"))
      .def("forward", &PyDense<T>::forward, py::arg("x"))
      .def("backward", &PyDense<T>::backward, py::arg("tape"), py::arg("dy"), py::arg("need_dx"), py::arg("grads"),
           py::arg("retain"));
}

}  // namespace

void bind_dense(py::module_ &module) {
  bind<float>(module, "32");
  bind<double>(module, "64");
}

}  // namespace recurra
