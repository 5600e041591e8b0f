// Functions of arrays: activations, softmax and the squared error.
#include "dispatch.h"
#include "model/softmax.h"
#include "python/arguments.h"
#include "python/bindings.h"
#include "python/gil.h"
#include "system/pieces.h"

namespace recurra {
namespace {

template <class T>
py::array activation(const py::array &x, void (*Kernels<T>::*function)(Index, const T *, T *)) {
  const py::array from = contiguous<T>(x) ? x : copied(x);
  const py::array to = new_array<T>(Shape(from));
  const T *in = pointer<T>(from);
  T *out = pointer<T>(to);
  constexpr Index kElementWork = 32;  // multiply-adds in whose time an element is done
  bool done = false;
  {
    const WithoutGil released;
    done = in_pieces(from.size(), kElementWork, signalled, [&](Index first, Index last) {
      (kernels_of<T>().*function)(last - first, in + first, out + first);
    });
  }
  if (!done) throw py::error_already_set();
  return to;
}

py::array activation_of(py::handle given, void (*Kernels<float>::*single)(Index, const float *, float *),
                        void (*Kernels<double>::*twice)(Index, const double *, double *)) {
  return with_foreign([&] {
    const py::handle x = resolved(given);
    if (py::isinstance<py::array_t<double>>(x)) return activation<double>(typed_array<double>(x, "x"), twice);
    return activation<float>(typed_array<float>(given, "x"), single);
  });
}

// The mean of the squared errors; false if interrupted. Done in pieces, between which Ctrl-C is seen: 4 million
// elements take some 5 ms. The chains go on from piece to piece, so the number is the same as in one.
template <class T>
bool mean_squared_error(const MseTask<T> &task, double &value) {
  constexpr Index kPiece = 1 << 22;
  const Index rows = std::max<Index>(1, kPiece / task.columns), columns = std::min(kPiece, task.columns);
  double chains[kSquareChains] = {}, sum = 0;
  Index counted = 0;
  for (Index row = 0; row < task.rows; row += rows) {
    for (Index column = 0; column < task.columns; column += columns) {
      MseTask<T> piece = task;
      const Index offset = row * task.columns + column;
      piece.rows = std::min(rows, task.rows - row);
      piece.columns = std::min(columns, task.columns - column);
      piece.prediction += offset;
      piece.target += offset;
      piece.gradient += offset;
      if (task.weights) piece.weights += row;
      counted = kernels_of<T>().mse(&piece, chains, counted);
      if (2 * piece.rows * piece.columns > kPiece && signalled()) return false;
    }
  }
  for (const double chain : chains) sum += chain;
  value = sum / task.total;
  return true;
}

// (value, gradient) of the mean squared error. Weights are those of rows, into which the elements are divided evenly;
// `total` is then the sum of all elements' weights.
template <class T>
py::tuple mse_of(const py::array &prediction, const py::array &target, py::handle weights, double total) {
  if (!has_shape(target, Shape(prediction))) {
    refuse_value("target", "the shape of prediction " + shape_text(prediction), shape_text(target));
  }
  const Index size = prediction.size();
  if (size == 0) refuse_value("prediction", "at least one element", shape_text(prediction));
  const py::array p = contiguous<T>(prediction) ? prediction : copied(prediction);
  const py::array t = contiguous<T>(target) ? target : copied(target);
  const py::array gradient = new_array<T>(Shape(p));
  MseTask<T> task{1, size, pointer<T>(p), pointer<T>(t), nullptr, static_cast<double>(size), pointer<T>(gradient)};
  py::array w;
  if (!weights.is_none()) {
    w = typed_array<double>(weights, "weights");
    if (!contiguous<double>(w)) w = copied(w);
    if (w.size() == 0 || size % w.size() != 0) refuse_value("weights", "one for each row", shape_text(w));
    task.rows = w.size();
    task.columns = size / w.size();
    task.weights = pointer<double>(w);
    task.total = total;
  }
  double value = 0;
  bool done = false;
  {
    const WithoutGil released;
    done = mean_squared_error(task, value);
  }
  if (!done) throw py::error_already_set();
  return py::make_tuple(value, gradient);
}

py::tuple mse(py::handle prediction, py::handle target, py::handle weights, double total) {
  return with_foreign([&] {
    if (py::isinstance<py::array_t<double>>(resolved(prediction))) {
      const py::array first = typed_array<double>(prediction, "prediction");
      return mse_of<double>(first, typed_array<double>(target, "target"), weights, total);
    }
    const py::array first = typed_array<float>(prediction, "prediction");
    return mse_of<float>(first, typed_array<float>(target, "target"), weights, total);
  });
}

// Of the rows of x: softmax(x), or with weights (w softmax(x), maxima, log Σ e^(x - maximum)).
template <class T>
py::object softmax_of(const py::array &rows, py::handle weights) {
  if (rows.ndim() != 2) refuse_value("x", "(N, C)", shape_text(rows));
  const py::array x = contiguous<T>(rows) ? rows : copied(rows), y = new_array<T>(Shape(x));
  SoftmaxTask<T> task{x.shape(0), x.shape(1), pointer<T>(x), nullptr, pointer<T>(y), nullptr, nullptr, nullptr};
  const auto run = [&task] {
    bool done = false;
    {
      const WithoutGil released;
      done = softmax_rows(task, signalled);
    }
    if (!done) throw py::error_already_set();
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
  return with_foreign([&] {
    if (py::isinstance<py::array_t<double>>(resolved(x))) {
      return softmax_of<double>(typed_array<double>(x, "x"), weights);
    }
    return softmax_of<float>(typed_array<float>(x, "x"), weights);
  });
}

// Where an array's data is. NumPy's two attributes that tell it fail otherwise than by MemoryError where memory is
// short, as a conversion by pybind11 does.
py::object address(const py::array &array) {
  PyObject *made = PyLong_FromVoidPtr(const_cast<void *>(array.data()));
  if (!made) throw py::error_already_set();
  return py::reinterpret_steal<py::object>(made);
}

}  // namespace

void register_functions(py::module_ &module) {
  module.def("address", address, py::arg("array"));
  module.def(
      "sigmoid", [](py::handle x) { return activation_of(x, &Kernels<float>::sigmoid, &Kernels<double>::sigmoid); },
      py::arg("x"));
  module.def(
      "tanh", [](py::handle x) { return activation_of(x, &Kernels<float>::tanh, &Kernels<double>::tanh); },
      py::arg("x"));
  module.def("mse", mse, py::arg("prediction"), py::arg("target"), py::arg("weights") = py::none(),
             py::arg("total") = 0.0);
  module.def("softmax", [](py::handle x) { return softmax(x, py::none()); }, py::arg("x"));
  module.def("weighted_softmax", softmax, py::arg("x"), py::arg("weights"));
}

}  // namespace recurra
