// Functions of arrays: activations, softmax and the squared error.
#include "dispatch.h"
#include "python/arguments.h"
#include "python/bindings.h"
#include "python/gil.h"

namespace recurra {
namespace {

template <class T>
py::array activation(const py::array &x, void (*Kernels<T>::*function)(Index, const T *, T *)) {
  const py::array from = contiguous<T>(x) ? x : copied(x);
  const py::array to = new_array<T>(Shape(from));
  T *out = pointer<T>(to);
  {
    const WithoutGil released;
    (kernels_of<T>().*function)(from.size(), pointer<T>(from), out);
  }
  return to;
}

py::array activation_of(py::handle x, void (*Kernels<float>::*single)(Index, const float *, float *),
                        void (*Kernels<double>::*twice)(Index, const double *, double *)) {
  if (py::isinstance<py::array_t<double>>(x)) return activation<double>(typed_array<double>(x, "x"), twice);
  return activation<float>(typed_array<float>(x, "x"), single);
}

// (value, gradient) of the mean squared error. The sum is of doubles, in eight interleaved parts: a chain of its own
// each, or every addition would wait for the one before.
template <class T>
py::tuple mse_of(const py::array &prediction, const py::array &target) {
  if (!has_shape(target, Shape(prediction))) {
    refuse_value("target", "the shape of prediction " + shape_text(prediction), shape_text(target));
  }
  const Index size = prediction.size();
  if (size == 0) refuse_value("prediction", "at least one element", shape_text(prediction));
  const py::array p = contiguous<T>(prediction) ? prediction : copied(prediction);
  const py::array t = contiguous<T>(target) ? target : copied(target);
  const py::array gradient = new_array<T>(Shape(p));
  const T *from = pointer<T>(p), *to = pointer<T>(t), factor = static_cast<T>(2 / static_cast<double>(size));
  T *out = pointer<T>(gradient);
  double sums[8] = {};
  {
    const WithoutGil released;
    const auto add = [&](Index i, double &part) {
      const T error = from[i] - to[i];
      out[i] = error * factor;
      part += static_cast<double>(error) * static_cast<double>(error);
    };
    Index i = 0;
    for (; i + 8 <= size; i += 8) {
      for (int lane = 0; lane < 8; ++lane) add(i + lane, sums[lane]);
    }
    for (int lane = 0; i + lane < size; ++lane) add(i + lane, sums[lane]);
  }
  double sum = 0;
  for (const double part : sums) sum += part;
  return py::make_tuple(sum / static_cast<double>(size), gradient);
}

py::tuple mse(py::handle prediction, py::handle target) {
  if (py::isinstance<py::array_t<double>>(prediction)) {
    const py::array first = typed_array<double>(prediction, "prediction");
    return mse_of<double>(first, typed_array<double>(target, "target"));
  }
  const py::array first = typed_array<float>(prediction, "prediction");
  return mse_of<float>(first, typed_array<float>(target, "target"));
}

// Of the rows of x: softmax(x), or with weights (w softmax(x), maxima, log Σ e^(x - maximum)).
template <class T>
py::object softmax_of(const py::array &rows, py::handle weights) {
  if (rows.ndim() != 2) refuse_value("x", "(N, C)", shape_text(rows));
  const py::array x = contiguous<T>(rows) ? rows : copied(rows), y = new_array<T>(Shape(x));
  SoftmaxTask<T> task{x.shape(0), x.shape(1), pointer<T>(x), nullptr, pointer<T>(y), nullptr, nullptr};
  const auto run = [&task] {
    const WithoutGil released;
    kernels_of<T>().softmax(&task);
  };
  if (weights.is_none()) {
    run();
    return y;
  }
  py::array w = typed_array<double>(weights, "weights");
  check_shape(w, "weights", [] { return "(N,)"; }, {task.rows});
  if (!contiguous<double>(w)) w = copied(w);
  const py::array maxima = new_array<double>({task.rows}), log_sums = new_array<double>({task.rows});
  task.weights = pointer<double>(w);
  task.maxima = pointer<double>(maxima);
  task.log_sums = pointer<double>(log_sums);
  run();
  return py::make_tuple(y, maxima, log_sums);
}

py::object softmax(py::handle x, py::handle weights) {
  if (py::isinstance<py::array_t<double>>(x)) return softmax_of<double>(typed_array<double>(x, "x"), weights);
  return softmax_of<float>(typed_array<float>(x, "x"), weights);
}

}  // namespace

void register_functions(py::module_ &module) {
  module.def("sigmoid",
             [](py::handle x) { return activation_of(x, &Kernels<float>::sigmoid, &Kernels<double>::sigmoid); });
  module.def("tanh", [](py::handle x) { return activation_of(x, &Kernels<float>::tanh, &Kernels<double>::tanh); });
  module.def("mse", mse, py::arg("prediction"), py::arg("target"));
  module.def("softmax", [](py::handle x) { return softmax(x, py::none()); }, py::arg("x"));
  module.def("weighted_softmax", softmax, py::arg("x"), py::arg("weights"));
}

}  // namespace recurra
