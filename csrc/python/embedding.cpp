// The layer that gives every token a vector, from Python.
#include "model/embedding.h"

#include "python/bindings.h"
#include "python/gil.h"
#include "python/integers.h"
#include "python/narrow_arrays.h"
#include "python/stream_parts.h"
#include "python/tapes.h"

namespace recurra {
namespace {

template <class T>
struct EmbeddingTape {
  Kept<std::vector<Index>> tokens;
  Shape shape;  // of y
  std::shared_ptr<const Parameters<T>> parameters;
};

// The vectors of tokens x, by a layer with `rows` of them, which computes forward(count, tokens, y); and the tokens.
template <class T, class Forward>
std::pair<py::array, std::vector<Index>> look_up(py::handle x, Index rows, Index width, const Forward &forward) {
  const py::array array = integer_array(x, "x");
  std::vector<Index> tokens = integers_of(array, "x", "tokens in 0..num_embeddings-1 = 0..", rows - 1);
  Shape shape(array);
  shape.push_back(width);
  const py::array y = new_array<T>(shape);
  T *to = pointer<T>(y);
  bool done = false;
  {
    const WithoutGil released;
    done = forward(static_cast<Index>(tokens.size()), tokens.data(), to);
  }
  if (!done) throw py::error_already_set();
  return {y, std::move(tokens)};
}

class PyNarrowEmbedding {
 public:
  explicit PyNarrowEmbedding(std::shared_ptr<const NarrowEmbedding> layer) : layer_(std::move(layer)) {}

  std::shared_ptr<StreamPart<float>> stream_part() const {
    return embedding_part<float>(layer_->rows, layer_->width,
                                 [layer = layer_](Index token, float *to) { layer->look_up(token, to); });
  }

  py::array call(py::handle x) const {
    return look_up<float>(
               x, layer_->rows, layer_->width,
               [&](Index count, const Index *tokens, float *y) { return layer_->forward(count, tokens, y, signalled); })
        .first;
  }

 private:
  std::shared_ptr<const NarrowEmbedding> layer_;
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

  std::shared_ptr<StreamPart<T>> stream_part() const {
    const auto table = packed_now([&] { return layer_.copy(signalled); });
    const Index width = layer_.width;
    return embedding_part<T>(layer_.rows, width, [table, width](Index token, T *to) {
      std::copy_n(table->memory.data() + token * width, width, to);
    });
  }

  py::array call(py::handle x) const { return run(x).first; }

  // The same layer with weights of a narrow form, of its own.
  std::shared_ptr<PyNarrowEmbedding> narrow(const std::string &weights, py::handle arrays) const {
    if constexpr (sizeof(T) == sizeof(float)) {
      const Weights form = weights_of(weights);
      const CheckedNarrowArrays checked(*layer_.parameters->table, form, arrays);
      auto layer = std::make_shared<NarrowEmbedding>(layer_.rows, layer_.width, form);
      return std::make_shared<PyNarrowEmbedding>(packed_layer(std::move(layer), checked.arrays));
    } else {
      refuse_value("weights", "a float32 layer", "a float64 one: convert it first");
    }
  }

  py::tuple forward(py::handle x) const {
    auto [y, tokens] = run(x);
    auto memory = std::make_shared<const std::vector<Index>>(std::move(tokens));
    auto tape = std::shared_ptr<EmbeddingTape<T>>(
        new EmbeddingTape<T>{Kept<std::vector<Index>>(std::move(memory)), Shape(y), layer_.parameters});
    return py::make_tuple(y, wrap(tape));
  }

  void backward(py::handle tape_object, py::handle dy, py::handle grads, py::handle retain_flag) const {
    const bool retain = flag_of(retain_flag, "retain");
    const auto tape = own_tape(tape_object);
    const std::vector<py::object> gradients = objects_of(*layer_.parameters->table, grads, "grads");
    const py::array gradient = gradient_of(dy, *tape);
    Arguments<T> arguments;
    T *target = gradient_targets(*layer_.parameters, gradients, arguments)[0];
    Taken<std::vector<Index>> tokens(tape->tokens, retain);
    const T *dy_data = pointer<T>(gradient);
    bool finished = false;
    {
      const WithoutGil released;
      TokenPlaces places;
      finished = find(places, *tokens);
      if (finished) {
        const Index size = checked_product(static_cast<Index>(places.runs.size()), layer_.width);
        const Workspace memory(checked_product(size, sizeof(T)));
        auto *sums = reinterpret_cast<T *>(memory.data());
        finished = layer_.sum(places, dy_data, sums, signalled);
        if (finished) layer_.add(places, sums, target);
      }
    }
    if (!finished) throw py::error_already_set();
    tokens.done();
  }

  // Hands the rows that tokens stand for, rising, and their gradients to add(rows, values). If that raises, the tape is
  // as before.
  void backward_rows(py::handle tape_object, py::handle dy, const py::function &add, py::handle retain_flag) const {
    const bool retain = flag_of(retain_flag, "retain");
    const auto tape = own_tape(tape_object);
    const py::array gradient = gradient_of(dy, *tape);
    Taken<std::vector<Index>> tokens(tape->tokens, retain);
    const T *dy_data = pointer<T>(gradient);
    TokenPlaces places;
    bool finished = false;
    {
      const WithoutGil released;
      finished = find(places, *tokens);
    }
    if (!finished) throw py::error_already_set();
    const auto used = static_cast<Index>(places.runs.size());
    const py::array_t<std::int64_t> rows(used);
    const py::array values = new_array<T>({used, layer_.width});
    std::int64_t *row = pointer<std::int64_t>(rows);
    T *sums = pointer<T>(values);
    {
      const WithoutGil released;
      for (const auto &run : places.runs) *row++ = run.token;
      finished = layer_.sum(places, dy_data, sums, signalled);
    }
    if (!finished) throw py::error_already_set();
    add(rows, values);
    tokens.done();
  }

 private:
  std::shared_ptr<EmbeddingTape<T>> own_tape(py::handle object) const {
    auto tape = tape_of<EmbeddingTape, T>(object);
    if (tape->parameters != layer_.parameters) throw std::runtime_error(kOtherLayer);
    return tape;
  }

  static py::array gradient_of(py::handle dy, const EmbeddingTape<T> &tape) {
    py::array gradient = typed_array<T>(dy, "dy");
    check_shape(gradient, "dy", [] { return "(..., embedding_dim)"; }, tape.shape);
    return contiguous<T>(gradient) ? gradient : copied(gradient);
  }

  bool find(TokenPlaces &places, const std::vector<Index> &tokens) const {
    return places.find(static_cast<Index>(tokens.size()), tokens.data(), layer_.rows, padding_, signalled);
  }

  std::pair<py::array, std::vector<Index>> run(py::handle x) const {
    return look_up<T>(x, layer_.rows, layer_.width, [&](Index count, const Index *tokens, T *y) {
      return layer_.forward(count, tokens, y, signalled);
    });
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
      .def("stream_part", &Layer::stream_part)
      .def("narrow", &Layer::narrow, py::arg("weights"), py::arg("arrays"))
      .def("call", &Layer::call, py::arg("x"))
      .def("forward", &Layer::forward, py::arg("x"))
      .def("backward", &Layer::backward, py::arg("tape"), py::arg("dy"), py::arg("grads"), py::arg("retain"))
      .def("backward_rows", &Layer::backward_rows, py::arg("tape"), py::arg("dy"), py::arg("add"), py::arg("retain"));
}

}  // namespace

void register_embedding(py::module_ &module) {
  Class<PyNarrowEmbedding> narrow(module, "NarrowEmbedding32");
  narrow.def("stream_part", &PyNarrowEmbedding::stream_part).def("call", &PyNarrowEmbedding::call, py::arg("x"));
  bind<float>(module, "32");
  bind<double>(module, "64");
}

}  // namespace recurra
