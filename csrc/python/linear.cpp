// The fully connected layer from Python.
#include "model/linear.h"

#include "dispatch.h"
#include "python/bindings.h"
#include "python/gil.h"
#include "python/narrow_arrays.h"
#include "python/stream_parts.h"
#include "python/tapes.h"

namespace recurra {
namespace {

template <class T>
struct LinearMemory {
  py::array x;  // contiguous, and nobody else's
  long long version;
};

template <class T>
struct LinearTape {
  Kept<LinearMemory<T>> memory;
  Shape shape;  // of x
  std::shared_ptr<const Parameters<T>> parameters;
};

template <class T>
py::array checked_x(py::handle object, Index in) {
  py::array x = typed_array<T>(object, "x");
  if (x.ndim() == 0 || x.shape(x.ndim() - 1) != in) {
    refuse_value("x", "(..., in_features) = (..., " + std::to_string(in) + ")", shape_text(x));
  }
  return x;
}
template <class T>
py::array contiguous_x(py::handle object, Index in) {
  py::array x = checked_x<T>(object, in);
  return contiguous<T>(x) ? x : copied(x);
}

class PyNarrowLinear {
 public:
  explicit PyNarrowLinear(std::shared_ptr<const NarrowLinear> layer) : layer_(std::move(layer)) {}

  std::shared_ptr<StreamPart<float>> stream_part() const {
    return linear_part(layer_->in, layer_->out, layer_->kernels, layer_->packed);
  }

  py::array call(py::handle object) const {
    const py::array x = contiguous_x<float>(object, layer_->in);
    Shape shape(x);
    shape.back() = layer_->out;
    const py::array y = new_array<float>(shape);
    const Index rows = x.size() / layer_->in;
    const float *from = pointer<float>(x);
    float *to = pointer<float>(y);
    bool finished = false;
    {
      const WithoutGil released;
      finished = layer_->forward(rows, from, to, signalled);
    }
    if (!finished) throw py::error_already_set();
    return y;
  }

 private:
  std::shared_ptr<const NarrowLinear> layer_;
};

template <class T>
class PyLinear {
 public:
  PyLinear(Index in, Index out, bool bias) : layer_(in, out, bias) {
    if (in < 1 || out < 1) throw py::value_error("in_features, out_features: expected positive integers");
  }

  std::shared_ptr<Parameters<T>> parameters() const { return layer_.parameters; }

  std::shared_ptr<StreamPart<T>> stream_part() {
    return linear_part(layer_.in, layer_.out, kernels_of<T>(),
                       packed_now([&] { return layer_.packed_forward(signalled); }));
  }

  py::array call(py::handle x) { return run(contiguous_x<T>(x, layer_.in)).first; }

  // The same layer with weights of a narrow form, of its own.
  std::shared_ptr<PyNarrowLinear> narrow(const std::string &weights, py::handle arrays) const {
    if constexpr (sizeof(T) == sizeof(float)) {
      const Weights form = weights_of(weights);
      const CheckedNarrowArrays checked(*layer_.parameters->table, form, arrays);
      auto layer = std::make_shared<NarrowLinear>(layer_.in, layer_.out, layer_.bias, form);
      return std::make_shared<PyNarrowLinear>(packed_layer(std::move(layer), checked.arrays));
    } else {
      refuse_value("weights", "a float32 layer", "a float64 one: convert it first");
    }
  }

  py::tuple forward(py::handle given) {
    const py::array x = copied(checked_x<T>(given, layer_.in));  // so that later changes to it don't matter
    const auto [y, version] = run(x);
    auto memory = std::make_shared<const LinearMemory<T>>(LinearMemory<T>{x, version});
    auto tape = std::shared_ptr<LinearTape<T>>(
        new LinearTape<T>{Kept<LinearMemory<T>>(std::move(memory)), Shape(x), layer_.parameters});
    return py::make_tuple(y, wrap(tape));
  }

  py::object backward(py::handle tape_object, py::handle dy, py::handle need_dx_flag, py::handle grads,
                      py::handle retain_flag) {
    const bool need_dx = flag_of(need_dx_flag, "need_dx"), retain = flag_of(retain_flag, "retain");
    const auto tape = tape_of<LinearTape, T>(tape_object);
    if (tape->parameters != layer_.parameters) throw std::runtime_error(kOtherLayer);
    const std::vector<py::object> gradients = objects_of(*layer_.parameters->table, grads, "grads");
    Shape shape = tape->shape;
    shape.back() = layer_.out;
    py::array gradient = typed_array<T>(dy, "dy");
    check_shape(gradient, "dy", [] { return "(..., out_features)"; }, shape);
    if (!contiguous<T>(gradient)) gradient = copied(gradient);
    Arguments<T> arguments;
    const std::vector<T *> targets = gradient_targets(*layer_.parameters, gradients, arguments);
    py::object dx = py::none();
    T *dx_data = nullptr;
    if (need_dx) {
      const py::array array = new_array<T>(tape->shape);
      dx_data = pointer<T>(array);
      dx = array;
    }
    Taken<LinearMemory<T>> memory(tape->memory, retain);
    const Index rows = memory->x.size() / layer_.in;
    const T *x_data = pointer<T>(memory->x), *dy_data = pointer<T>(gradient);
    bool finished = false, outdated = false;
    {
      const WithoutGil released;
      const PackedPtr<T> packed = layer_.packed_backward(memory->version, signalled, outdated);
      finished = packed && layer_.backward(rows, packed, x_data, dy_data, dx_data, targets.data(), signalled);
    }
    if (outdated) throw std::runtime_error(kOutdatedTape);
    if (!finished) throw py::error_already_set();
    memory.done();
    return dx;
  }

 private:
  std::pair<py::array, long long> run(const py::array &x) {
    Shape shape(x);
    shape.back() = layer_.out;
    const py::array y = new_array<T>(shape);
    const Index rows = x.size() / layer_.in;
    const T *from = pointer<T>(x);
    T *to = pointer<T>(y);
    long long version = 0;
    bool finished = false;
    {
      const WithoutGil released;
      finished = layer_.forward(rows, from, to, signalled, version);
    }
    if (!finished) throw py::error_already_set();
    return {y, version};
  }

  Linear<T> layer_;
};

template <class T>
void bind(py::module_ &module, const std::string &suffix) {
  Class<LinearTape<T>> tape(module, "LinearTape" + suffix);
  using Layer = PyLinear<T>;
  Class<Layer> layer(module, "Linear" + suffix);
  layer.template constructor<Index, Index, bool>(py::arg("in_features"), py::arg("out_features"), py::arg("bias"))
      .def_property_readonly("parameters", &Layer::parameters)
      .def("stream_part", &Layer::stream_part)
      .def("narrow", &Layer::narrow, py::arg("weights"), py::arg("arrays"))
      .def("call", &Layer::call, py::arg("x"))
      .def("forward", &Layer::forward, py::arg("x"))
      .def("backward", &Layer::backward, py::arg("tape"), py::arg("dy"), py::arg("need_dx"), py::arg("grads"),
           py::arg("retain"));
}

}  // namespace

void register_linear(py::module_ &module) {
  Class<PyNarrowLinear> narrow(module, "NarrowLinear32");
  narrow.def("stream_part", &PyNarrowLinear::stream_part).def("call", &PyNarrowLinear::call, py::arg("x"));
  bind<float>(module, "32");
  bind<double>(module, "64");
}

}  // namespace recurra
