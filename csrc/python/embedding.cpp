// The layer that gives every token a vector, from Python.
#include "model/embedding.h"

#include "python/bindings.h"
#include "python/gil.h"
#include "python/integers.h"
#include "python/named_arrays.h"
#include "python/tapes.h"

namespace recurra {
namespace {

template <class T>
struct EmbeddingTape {
  Kept<std::vector<Index>> tokens;
  Shape shape;  // of y
  std::shared_ptr<const Parameters<T>> parameters;
};

template <class T>
class PyEmbedding {
 public:
  PyEmbedding(Index rows, Index width, Index padding) : layer_(rows, width), padding_(padding) {
    if (rows < 1 || width < 1 || padding < -1 || padding >= rows) {
      throw py::value_error("num_embeddings, embedding_dim, padding_idx: expected a layer that there can be");
    }
  }

  std::shared_ptr<Parameters<T>> parameters() const { return layer_.parameters; }

  py::array call(py::handle x) const { return run(x).first; }

  py::tuple forward(py::handle x) const {
    auto [y, tokens] = run(x);
    auto memory = std::make_shared<const std::vector<Index>>(std::move(tokens));
    auto tape = std::shared_ptr<EmbeddingTape<T>>(
        new EmbeddingTape<T>{Kept<std::vector<Index>>(std::move(memory)), Shape(y), layer_.parameters});
    return py::make_tuple(y, wrap(tape));
  }

  void backward(py::handle tape_object, py::handle dy, py::handle grads, py::handle retain_flag) const {
    const bool retain = flag_of(retain_flag, "retain");
    const auto tape = tape_of<EmbeddingTape, T>(tape_object);
    if (tape->parameters != layer_.parameters) throw std::runtime_error(kOtherLayer);
    const std::vector<py::object> gradients = objects_of(*layer_.parameters->table, grads, "grads");
    py::array gradient = typed_array<T>(dy, "dy");
    check_shape(gradient, "dy", [] { return "(..., embedding_dim)"; }, tape->shape);
    if (!contiguous<T>(gradient)) gradient = copied(gradient);
    Arguments<T> arguments;
    const std::vector<T *> targets = gradient_targets(*layer_.parameters, gradients, arguments);
    Taken<std::vector<Index>> tokens(tape->tokens, retain);
    const T *dy_data = pointer<T>(gradient);
    bool finished = false;
    {
      const WithoutGil released;
      finished =
          layer_.backward(static_cast<Index>(tokens->size()), tokens->data(), dy_data, padding_, targets[0], signalled);
    }
    if (!finished) throw py::error_already_set();
    tokens.done();
  }

 private:
  std::pair<py::array, std::vector<Index>> run(py::handle x) const {
    const py::array array = integer_array(x, "x");
    std::vector<Index> tokens = integers_of(array, "x", "tokens in 0..num_embeddings-1 = 0..", layer_.rows - 1);
    Shape shape(array);
    shape.push_back(layer_.width);
    const py::array y = new_array<T>(shape);
    T *to = pointer<T>(y);
    bool done = false;
    {
      const WithoutGil released;
      done = layer_.forward(static_cast<Index>(tokens.size()), tokens.data(), to, signalled);
    }
    if (!done) throw py::error_already_set();
    return {y, std::move(tokens)};
  }

  Embedding<T> layer_;
  Index padding_;
};

template <class T>
void bind(py::module_ &module, const std::string &suffix) {
  Class<EmbeddingTape<T>> tape(module, "EmbeddingTape" + suffix);
  using Layer = PyEmbedding<T>;
  Class<Layer> layer(module, "Embedding" + suffix);
  layer
      .template constructor<Index, Index, Index>(py::arg("num_embeddings"), py::arg("embedding_dim"),
                                                 py::arg("padding_idx"))
      .def_property_readonly("parameters", &Layer::parameters)
      .def("call", &Layer::call, py::arg("x"))
      .def("forward", &Layer::forward, py::arg("x"))
      .def("backward", &Layer::backward, py::arg("tape"), py::arg("dy"), py::arg("grads"), py::arg("retain"));
}

}  // namespace

void register_embedding(py::module_ &module) {
  bind<float>(module, "32");
  bind<double>(module, "64");
}

}  // namespace recurra
