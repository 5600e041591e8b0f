// Recurrent layers and their tapes from Python.
#include <pybind11/stl.h>

#include <optional>

#include "dispatch.h"
#include "python/bindings.h"
#include "python/cell_table.h"
#include "python/forward_arguments.h"
#include "python/named_arrays.h"
#include "python/tapes.h"

namespace recurra {

namespace {

template <class T>
struct Tape {
  Layout layout;
  NetworkShape shape;
  Kept<TapeMemory<T>> memory;

  Tape(const Layout &of, const NetworkShape &network, std::shared_ptr<const TapeMemory<T>> saved)
      : layout(of), shape(network), memory(std::move(saved)) {}
};

template <class T>
using TapePtr = std::shared_ptr<Tape<T>>;

// tape.outputs or tape.cells: layer -> (T, B, directions * hidden_size) in the caller's layout, made when asked for.
template <class T>
struct LayerArrays {
  TapePtr<T> tape;
  bool cells;

  Index size() const { return cells && !tape->shape.has_cell_state() ? 0 : tape->shape.layers; }

  py::array at(Index layer) const {
    if (layer < 0) layer += size();
    if (layer < 0 || layer >= size()) throw py::index_error("layer: expected one of " + std::to_string(size()));
    const auto memory = tape->memory.hold();
    if (!memory) throw std::runtime_error(kConsumed);
    const LayerTape<T> &kept = memory->layers[layer];
    const Rows &rows = memory->sequences.rows;
    const Index H = tape->shape.hidden_size, D = tape->shape.directions, features = D * H;
    const Layout &layout = tape->layout;
    py::array result = new_array<T>(layout.shape(features));
    const auto to = layout.strided<T>(result);
    std::fill(pointer<T>(result), pointer<T>(result) + result.size(), T(0));
    for (Index t = 0; t < rows.steps; ++t) {
      for (Index b = 0; b < rows.alive[t]; ++b) {
        T *row = to.base + t * to.step + rows.order[b] * to.row;
        const Index from = rows.offset[t] + b;
        if (!cells) {
          std::copy_n(kept.out.data() + from * features, features, row);
        } else {
          for (Index d = 0; d < D; ++d) std::copy_n(kept.cells[d].data() + from * H, H, row + d * H);
        }
      }
    }
    py::detail::array_proxy(result.ptr())->flags &= ~py::detail::npy_api::NPY_ARRAY_WRITEABLE_;
    return result;
  }
};

template <class T>
std::shared_ptr<LayerArrays<T>> outputs(const TapePtr<T> &tape) {
  return std::make_shared<LayerArrays<T>>(LayerArrays<T>{tape, false});
}
template <class T>
std::shared_ptr<LayerArrays<T>> cells(const TapePtr<T> &tape) {
  return std::make_shared<LayerArrays<T>>(LayerArrays<T>{tape, true});
}

template <class T>
class PyNetwork {
 public:
  PyNetwork(const std::string &cell, Index input_size, Index hidden_size, Index layers, int directions, bool bias,
            bool single, std::optional<bool> tokens)
      : PyNetwork(std::make_shared<Network<T>>(
                      checked({cell_named(cell), input_size, hidden_size, layers, directions, bias, single})),
                  tokens) {}

  // A cell with the parameters of one direction of one layer: the same memory, so that whoever changes them changes
  // both.
  std::shared_ptr<PyNetwork> cell(Index layer, int direction) const {
    NetworkShape shape = network_->shape;
    if (shape.single || layer < 0 || layer >= shape.layers || direction < 0 || direction >= shape.directions) {
      throw py::value_error("layer, direction: expected ones of a stack of layers");
    }
    if (layer > 0) shape.input_size = shape.features();
    shape.part = 1 + static_cast<std::size_t>((layer * shape.directions + direction) * (shape.bias ? 4 : 2));
    shape.layers = shape.directions = 1;
    shape.single = true;
    return std::make_shared<PyNetwork>(
        PyNetwork(std::make_shared<Network<T>>(shape, network_->table), parameters_, integers_));
  }

  ParametersPtr<T> parameters() const { return parameters_; }

  // The same network over the caller's arrays: themselves, where they are contiguous, else copies.
  std::shared_ptr<PyNetwork> borrow(py::handle arrays, long long version) const {
    return std::make_shared<PyNetwork>(
        PyNetwork(network_, borrowed_parameters<T>(network_->table, arrays, version), integers_));
  }

  // A cell returns the state alone, here and below.
  py::object call(py::handle x, py::handle hx, py::handle lengths, py::handle out, bool batch_first, py::handle table,
                  py::handle wish) {
    ForwardArguments<T> run(network_->shape, integers_, x, hx, lengths, batch_first, table, wish);
    const Sequences sequences(run.layout.steps, run.layout.batch, run.lengths.empty() ? nullptr : run.lengths.data());
    const Shape shape = run.layout.shape(features());
    py::object y, target, written;
    run.allocate_states();
    if (run.layout.single) {
      y = target = run.h_n;
    } else if (out.is_none()) {
      y = target = new_array<T>(shape);
    } else {
      const py::array given = own_view(typed_array<T>(out, "out"));
      y = py::reinterpret_borrow<py::object>(out);
      check_shape(given, "out", [&] { return run.layout.symbols(features_symbol()); }, shape);
      if (!given.writeable()) refuse_value("out", "an array that can be written to", "a read-only one");
      const bool in_place = readable_in_place<T>(given) && !run.overlaps(given);
      target = in_place ? py::object(given) : py::object(new_array<T>(shape));
      written = given;
    }
    run.call.y = run.layout.template strided<T>(py::reinterpret_borrow<py::array>(target));
    run.forward(*network_, parameters_, sequences, nullptr);
    if (written && target.ptr() != written.ptr()) {
      copy_into(py::reinterpret_borrow<py::array>(written), py::reinterpret_borrow<py::array>(target));
    }
    return run.layout.single ? run.states() : py::object(py::make_tuple(y, run.states()));
  }

  // `masks` is None or a function of (T, B) that returns one array (T, B, features) for each layer but the last.
  py::tuple forward(py::handle x, py::handle hx, py::handle lengths, bool batch_first, py::handle masks,
                    py::handle table, py::handle wish) {
    py::list drawn;
    if (!masks.is_none()) {  // before the arrays are held, as it may run any code
      const Layout of =
          ForwardArguments<T>(network_->shape, integers_, x, hx, lengths, batch_first, table, wish).layout;
      drawn = py::reinterpret_borrow<py::object>(masks)(of.steps, of.batch);
    }
    ForwardArguments<T> run(network_->shape, integers_, x, hx, lengths, batch_first, table, wish);
    const Layout &layout = run.layout;
    if (!masks.is_none()) {
      const auto needed = static_cast<std::size_t>(network_->shape.layers - 1);
      if (drawn.size() != needed) {
        refuse_value("masks", std::to_string(needed) + " arrays, one between each two layers",
                     std::to_string(drawn.size()));
      }
      const Layout time_major{false, false, false, layout.steps, layout.batch};
      for (std::size_t i = 0; i < needed; ++i) {
        if (drawn[i].is_none()) refuse_type("masks", "arrays", "None");
        run.call.masks.push_back(run.arguments.sequences(drawn[i], "masks[" + std::to_string(i) + "]", time_major,
                                                         features_symbol(), features()));
      }
    }
    auto memory =
        std::make_shared<TapeMemory<T>>(layout.steps, layout.batch, run.lengths.empty() ? nullptr : run.lengths.data());
    run.allocate_states();
    const py::array y =
        layout.single ? py::reinterpret_borrow<py::array>(run.h_n) : new_array<T>(layout.shape(features()));
    run.call.y = layout.template strided<T>(y);
    run.forward(*network_, parameters_, memory->sequences, memory.get());
    const auto tape = std::make_shared<Tape<T>>(layout, network_->shape, std::move(memory));
    if (layout.single) return py::make_tuple(run.states(), wrap(tape));
    return py::make_tuple(y, run.states(), wrap(tape));
  }

  py::tuple backward(py::handle tape_object, py::handle dy, py::handle dstate, py::handle doutputs, py::handle dcells,
                     py::handle need_dx_flag, py::handle grads, py::handle retain_flag, py::handle wish) {
    const bool need_dx = flag_of(need_dx_flag, "need_dx"), retain = flag_of(retain_flag, "retain");
    const TapePtr<T> tape_held = tape_of<Tape, T>(tape_object);
    Tape<T> &tape = *tape_held;
    const auto memory = tape.memory.hold();
    if (!memory) throw std::runtime_error(kConsumed);
    const bool same_part = tape.shape.single == network_->shape.single && tape.shape.part == network_->shape.part;
    if (memory->parameters != parameters_ || !same_part) throw std::runtime_error(kOtherLayer);

    const Layout &layout = tape.layout;
    const std::vector<py::object> gradients = objects_of(*network_->table, grads, "grads");
    Arguments<T> arguments;
    BackwardCall<T> call;
    call.wish = wish_of(wish);
    call.signalled = signalled;
    call.dy = arguments.sequences(dy, "dy", layout, features_symbol(), features());
    call.doutputs = by_layer(doutputs, "doutputs", network_->shape.layers, layout, arguments);
    call.dcells =
        by_layer(dcells, "dcells", network_->shape.has_cell_state() ? network_->shape.layers : 0, layout, arguments);
    const auto [dh, dc] = split_state(network_->shape, dstate, "dstate", "dh_n", "dc_n");
    const Shape states = layout.state_shape(network_->shape.states(), network_->shape.hidden_size);
    call.dh_n = arguments.state(dh, "dh_n", layout, network_->shape.states(), network_->shape.hidden_size);
    call.dc_n = arguments.state(dc, "dc_n", layout, network_->shape.states(), network_->shape.hidden_size);
    call.grads = gradient_targets(*parameters_, gradients, arguments);

    py::object dx = py::none();
    if (need_dx && memory->table.data()) {  // in the place of x's: that of the table
      const py::array array = new_array<T>({memory->alphabet, network_->shape.input_size});
      call.dtable = pointer<T>(array);
      dx = array;
    } else if (need_dx && !memory->tokens.data()) {  // one-hot tokens have no gradient
      const py::array array = new_array<T>(layout.shape(network_->shape.input_size));
      call.dx = layout.template strided<T>(array);
      dx = array;
    }
    const py::array dh0 = new_array<T>(states);
    call.dh0 = pointer<T>(dh0);
    py::object dprevious = dh0;
    if (network_->shape.has_cell_state()) {
      const py::array dc0 = new_array<T>(states);
      call.dc0 = pointer<T>(dc0);
      dprevious = py::make_tuple(dh0, dc0);
    }

    Taken<TapeMemory<T>> taken(tape.memory, retain);
    Outcome outcome{};
    {
      const WithoutGil released;
      outcome = network_->backward(*taken, call);
    }
    if (outcome == Outcome::kInterrupted) throw py::error_already_set();
    if (outcome == Outcome::kOutdated) throw std::runtime_error(kOutdatedTape);
    taken.done();
    return py::make_tuple(dx, dprevious);
  }

 private:
  PyNetwork(std::shared_ptr<const Network<T>> network, std::optional<bool> tokens)
      : PyNetwork(network, std::make_shared<Parameters<T>>(network->table),
                  !tokens   ? Integers::kUnlessFeatures
                  : *tokens ? Integers::kTokens
                            : Integers::kRefused) {}
  PyNetwork(std::shared_ptr<const Network<T>> network, ParametersPtr<T> parameters, Integers integers)
      : network_(std::move(network)), parameters_(std::move(parameters)), integers_(integers) {}

  static NetworkShape checked(const NetworkShape &shape) {
    const bool good = shape.input_size > 0 && shape.hidden_size > 0 && shape.layers > 0 &&
                      (shape.directions == 1 || shape.directions == 2);
    if (!good) throw py::value_error("sizes, layers, directions: expected a network that there can be");
    return shape;
  }
  Index features() const { return network_->shape.features(); }
  const char *features_symbol() const { return network_->shape.directions == 2 ? "2*hidden_size" : "hidden_size"; }

  // One array a layer from a dict {layer: array} or None; null where there is none.
  std::vector<Strided<const T>> by_layer(py::handle given, const std::string &name, Index layers, const Layout &layout,
                                         Arguments<T> &arguments) const {
    std::vector<Strided<const T>> result(static_cast<std::size_t>(network_->shape.layers));
    if (given.is_none()) return result;
    if (!py::isinstance<py::dict>(given)) refuse_type(name, "a dict of arrays by layer", type_name(given));
    const auto items = py::reinterpret_steal<py::dict>(PyDict_Copy(given.ptr()));
    if (!items) throw py::error_already_set();
    for (const auto &[key, array] : items) {
      const std::string range =
          layers ? "layers in 0.." + std::to_string(layers - 1) : "no layers, as only an LSTM has c_t";
      if (!PyLong_Check(key.ptr()) || PyBool_Check(key.ptr())) refuse_type(name, range, py::repr(key));
      int overflow = 0;
      const long long layer = PyLong_AsLongLongAndOverflow(key.ptr(), &overflow);
      if (overflow || layer < 0 || layer >= layers) refuse_value(name, range, py::str(key));
      result[static_cast<std::size_t>(layer)] =
          arguments.sequences(array, name + "[" + std::to_string(layer) + "]", layout, features_symbol(), features());
    }
    return result;
  }

  std::shared_ptr<const Network<T>> network_;
  ParametersPtr<T> parameters_;
  Integers integers_;
};

template <class T>
void bind(py::module_ &module, const std::string &suffix) {
  Class<Tape<T>> tape(module, "Tape" + suffix);
  tape.def_property_readonly("outputs", outputs<T>).def_property_readonly("cells", cells<T>);
  Class<LayerArrays<T>> history(module, "LayerArrays" + suffix);
  history.def("__len__", &LayerArrays<T>::size).def("__getitem__", &LayerArrays<T>::at, py::arg("layer"));
  using Network = PyNetwork<T>;
  Class<Network> network(module, "Network" + suffix);
  network
      .template constructor<std::string, Index, Index, Index, int, bool, bool, std::optional<bool>>(
          py::arg("cell"), py::arg("input_size"), py::arg("hidden_size"), py::arg("num_layers"),
          py::arg("num_directions"), py::arg("bias"), py::arg("single"), py::arg("tokens"))
      .def("cell", &Network::cell, py::arg("layer"), py::arg("direction"))
      .def_property_readonly("parameters", &Network::parameters)
      .def("borrow", &Network::borrow, py::arg("params"), py::arg("version"))
      .def("call", &Network::call, py::arg("x"), py::arg("hx"), py::arg("lengths"), py::arg("out"),
           py::arg("batch_first"), py::arg("table"), py::arg("plan"))
      .def("forward", &Network::forward, py::arg("x"), py::arg("hx"), py::arg("lengths"), py::arg("batch_first"),
           py::arg("masks"), py::arg("table"), py::arg("plan"))
      .def("backward", &Network::backward, py::arg("tape"), py::arg("dy"), py::arg("dstate"), py::arg("doutputs"),
           py::arg("dcells"), py::arg("need_dx"), py::arg("grads"), py::arg("retain"), py::arg("plan"));
}

py::dict last_plan_dict() {
  const LastPlan &last = last_plan();
  constexpr const char *splits[] = {"none", "batch", "direction", "unit"};
  py::dict result;
  result["isa"] = last.isa;
  result["threads"] = last.plan.threads;
  result["split"] = splits[last.plan.split];
  result["fused"] = last.plan.fused;
  result["chunk"] = last.plan.chunk;
  result["alternate"] = last.plan.alternate;
  result["tile_rows"] = last.plan.tile_rows;
  result["depth_block"] = last.plan.depth_block;
  result["delta_blocks"] = last.plan.delta_blocks;
  return result;
}

}  // namespace

void register_network(py::module_ &module) {
  module.def("last_plan", last_plan_dict);
  bind<float>(module, "32");
  bind<double>(module, "64");
}

}  // namespace recurra
