// The table of vectors from Python.
#include "model/embedding.h"

#include "python/arguments.h"
#include "python/bindings.h"
#include "python/tapes.h"

namespace recurra {
namespace {

template <class T>
struct TableTape : Once {
  std::vector<Index> tokens;
  Shape shape;  // of y
  std::shared_ptr<const Parameters<T>> parameters;
};

template <class T>
class PyTable {
 public:
  PyTable(Index rows, Index width, Index padding) : table_(rows, width), padding_(padding) {}

  std::shared_ptr<Parameters<T>> parameters() const { return table_.parameters; }

  py::array call(py::handle x) const { return run(x).first; }

  py::tuple forward(py::handle x) const {
    auto [y, tokens] = run(x);
    auto tape = std::make_shared<TableTape<T>>();
    tape->tokens = std::move(tokens);
    tape->shape = Shape(y);
    tape->parameters = table_.parameters;
    return py::make_tuple(y, tape);
  }

  void backward(py::handle tape_object, py::handle dy, py::handle grads, py::handle retain_flag) const {
    const bool retain = flag_of(retain_flag, "retain");
    const auto tape = tape_of<TableTape, T>(tape_object);
    if (tape->parameters != table_.parameters) throw std::runtime_error(kOtherLayer);
    py::array gradient = typed_array<T>(dy, "dy");
    check_shape(gradient, "dy", [] { return "(..., embedding_dim)"; }, tape->shape);
    if (!contiguous<T>(gradient)) gradient = copied(gradient);
    Arguments<T> arguments;
    const std::vector<T *> targets = gradient_targets(*table_.parameters, grads, arguments);
    tape->take(retain);
    bool done = false;
    try {
      const T *dy_data = pointer<T>(gradient);
      const WithoutGil released;
      done = table_.backward(static_cast<Index>(tape->tokens.size()), tape->tokens.data(), dy_data, padding_,
                             targets[0], signalled);
    } catch (...) {
      if (!retain) tape->give_back();
      throw;
    }
    if (done) return;
    if (!retain) tape->give_back();
    throw py::error_already_set();
  }

 private:
  std::pair<py::array, std::vector<Index>> run(py::handle x) const {
    if (!py::isinstance<py::array>(x)) refuse_type("x", "a numpy.ndarray of integers", type_name(x));
    const auto array = py::reinterpret_borrow<py::array>(x);
    if (!is_integers(x)) refuse_type("x", "integers", py::str(array.dtype()));
    std::vector<Index> tokens = integers_of(array, "x", "tokens in 0..num_embeddings-1 = 0..", table_.rows - 1);
    Shape shape(array);
    shape.push_back(table_.width);
    const py::array y = new_array<T>(shape);
    T *to = pointer<T>(y);
    bool done = false;
    {
      const WithoutGil released;
      done = table_.forward(static_cast<Index>(tokens.size()), tokens.data(), to, signalled);
    }
    if (!done) throw py::error_already_set();
    return {y, std::move(tokens)};
  }

  Table<T> table_;
  Index padding_;
};

template <class T>
void bind(py::module_ &module, const std::string &suffix) {
  py::class_<TableTape<T>, std::shared_ptr<TableTape<T>>>(module, ("TableTape" + suffix).c_str());
  py::class_<PyTable<T>>(module, ("Table" + suffix).c_str())
      .def(py::init<Index, Index, Index>(), py::arg("num_embeddings"), py::arg("embedding_dim"), py::arg("padding_idx"))
      .def_property_readonly("parameters", &PyTable<T>::parameters)
      .def("call", &PyTable<T>::call, py::arg("x"))
      .def("forward", &PyTable<T>::forward, py::arg("x"))
      .def("backward", &PyTable<T>::backward, py::arg("tape"), py::arg("dy"), py::arg("grads"), py::arg("retain"));
}

}  // namespace

void bind_embedding(py::module_ &module) {
  bind<float>(module, "32");
  bind<double>(module, "64");
}

}  // namespace recurra
