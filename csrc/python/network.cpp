// Recurrent layers and their tapes from Python.
#include <pybind11/stl.h>

#include <optional>

#include "dispatch.h"
#include "python/bindings.h"
#include "python/cell_table.h"
#include "python/layer_arguments.h"
#include "python/named_arrays.h"
#include "python/narrow_network.h"
#include "python/network_call.h"
#include "python/network_shape.h"
#include "python/network_tape.h"
#include "python/stream_parts.h"

namespace recurra {

namespace {

template <class T>
class PyNetwork {
 public:
  PyNetwork(py::handle cell, Index input_size, Index hidden_size, Index layers, int directions, bool bias, bool single,
            std::optional<bool> tokens, Index proj_size, bool reverse, bool learned_state)
      : PyNetwork(
            std::make_shared<Network<T>>(checked_shape({cell_of(cell), input_size, hidden_size, layers, directions,
                                                        bias, single, proj_size, reverse, learned_state})),
            tokens) {}

  // A cell with the parameters of one direction of one layer: the same memory, so that whoever changes them changes
  // both.
  std::shared_ptr<PyNetwork> cell(Index layer, int direction) const {
    NetworkShape shape = network_->shape;
    if (shape.single || layer < 0 || layer >= shape.layers || direction < 0 || direction >= shape.directions) {
      throw py::value_error("layer, direction: expected ones of a stack of layers");
    }
    if (layer > 0) shape.input_size = shape.features();
    shape.part = 1 + network_->first_entry(layer * shape.directions + direction);
    shape.layers = shape.directions = 1;
    shape.single = true;
    shape.reverse = shape.learned = false;
    return std::make_shared<PyNetwork>(
        PyNetwork(std::make_shared<Network<T>>(shape, network_->table), parameters_, integers_));
  }

  // The same network with another cell, which has the same parameters and states but perhaps other inputs. Either of
  // the two takes the other's tapes.
  std::shared_ptr<PyNetwork> with_cell(py::handle cell) const {
    NetworkShape shape = network_->shape;
    if (!shape.cell->cell.projects) shape.projected_size = 0;
    shape.cell = cell_of(cell);
    shape = checked_shape(shape);
    shape.variant = next_variant();
    if (shape.part || shape.cell->states != network_->shape.cell->states || !fits(shape, *network_->table)) {
      throw py::value_error("cell: expected one of the same states and parameters");
    }
    return std::make_shared<PyNetwork>(
        PyNetwork(std::make_shared<Network<T>>(shape, network_->table), parameters_, integers_));
  }

  ParametersPtr<T> parameters() const { return parameters_; }

  std::shared_ptr<StreamPart<T>> stream_part() const {
    return network_part(network_, packed_now([&] { return network_->packed_forward(*parameters_, signalled); }),
                        integers_);
  }

  // Whether the parameters are these arrays to the byte, which are given in the table's order.
  bool holds(py::handle arrays) const {
    const auto given = listed_arrays<T>(*network_->table, arrays);
    const auto pointers = pointers_of<T>(given);
    const WithoutGil released;
    return parameters_->holds(pointers);
  }
  // The same network over copies of them.
  std::shared_ptr<PyNetwork> holding(py::handle arrays) const {
    const auto given = listed_arrays<T>(*network_->table, arrays);
    const auto pointers = pointers_of<T>(given);
    ParametersPtr<T> made;
    {
      const WithoutGil released;
      made = std::make_shared<Parameters<T>>(network_->table, pointers);
    }
    return std::make_shared<PyNetwork>(PyNetwork(network_, std::move(made), integers_));
  }

  Index tape_bytes(Index steps, Index batch) const {
    if (steps < 0 || batch < 0) throw py::value_error("steps, batch: expected sizes of 0 or more");
    return network_->tape_bytes(steps, batch);
  }

  // A cell returns the state alone, here and below.
  py::object call(py::handle x, py::handle hx, py::handle lengths, py::handle out, bool batch_first, py::handle table,
                  py::handle inputs, py::handle resets, py::handle wish) {
    return call_network<T>(network_->shape, *names_, integers_,
                           {x, hx, lengths, out, table, inputs, resets, wish, batch_first},
                           [&](const Sequences &sequences, const ForwardCall<T> &call) {
                             return network_->forward(parameters_, sequences, call, nullptr);
                           });
  }

  // The same network with weights of a narrow form, of its own. Arrays are by the parameters' names, of int8 with
  // scales.
  std::shared_ptr<PyNarrowNetwork> narrow(const std::string &weights, py::handle arrays) const {
    if constexpr (sizeof(T) == sizeof(float)) {
      const Weights form = weights_of(weights);
      const CheckedNarrowArrays checked(*network_->table, form, arrays);
      const auto made = std::make_shared<const Network<float>>(network_->shape, network_->table, form);
      PackedPtr<float> packed;
      {
        const WithoutGil released;
        packed = made->pack(checked.arrays, signalled);
      }
      if (!packed) throw py::error_already_set();
      return std::make_shared<PyNarrowNetwork>(made, std::move(packed), names_, integers_);
    } else {
      refuse_value("weights", "a float32 network", "a float64 one: convert it first");
    }
  }

  // `draw` is None or a function of (T, B) that returns two things, each of which may be None: a list of masks, one
  // (T, B, features) for each layer but the last, and a dict of further inputs. All of them are time-major.
  py::tuple forward(py::handle x, py::handle hx, py::handle lengths, bool batch_first, py::handle draw,
                    py::handle table, py::handle inputs, py::handle resets, py::handle wish) {
    InputObjects named{input_objects(*network_->shape.cell, inputs, "inputs"), {}};
    const ForwardObjects given{x, hx, lengths, table, resets, wish, batch_first, named};
    py::object masks = py::none();
    if (!draw.is_none()) {  // before the arrays are held, as it may run any code
      named.incomplete = true;
      const Layout of = ForwardArguments<T>(network_->shape, *names_, integers_, given).layout;
      const py::object drawn = py::reinterpret_borrow<py::object>(draw)(of.steps, of.batch);
      const auto [between, further] = py::cast<std::pair<py::object, py::object>>(drawn);
      if (!between.is_none()) masks = py::list(between);
      named.drawn = input_objects(*network_->shape.cell, further, "inputs");
      for (std::size_t i = 0; i < named.drawn.size(); ++i) {
        if (named.drawn[i].is_none() || named.given[i].is_none()) continue;
        refuse_value(item_name("inputs", network_->shape.cell->inputs[i]), "none, as it is drawn", "an array");
      }
      named.incomplete = false;
    }
    ForwardArguments<T> run(network_->shape, *names_, integers_, given);
    const Layout &layout = run.layout;
    if (!masks.is_none()) run.take_masks(py::reinterpret_borrow<py::list>(masks), symbol());
    auto memory = std::make_shared<TapeMemory<T>>(run.sequences());
    run.allocate_final();
    const py::array y =
        layout.single ? py::reinterpret_borrow<py::array>(run.final[0]) : new_array<T>(layout.shape(features()));
    run.call.y = layout.template strided<T>(y);
    run.forward([&] { return network_->forward(parameters_, memory->sequences, run.call, memory.get()); });
    const auto tape = std::make_shared<Tape<T>>(layout, network_, std::move(memory));
    if (layout.single) return py::make_tuple(run.state(), wrap(tape));
    return py::make_tuple(y, run.state(), wrap(tape));
  }

  py::tuple backward(py::handle tape, py::handle dy, py::handle dstate, py::handle doutputs, py::handle dstates,
                     py::handle dinputs, py::handle need_dx, py::handle grads, py::handle retain, py::handle wish) {
    return back({tape, dy, dstate, doutputs, dstates, dinputs, need_dx, grads, retain, wish}, nullptr);
  }

  // The same with gradients of parameters in new arrays: a third result, those in the table's order for which `needed`
  // is true, and None for the others.
  py::tuple gradients(py::handle tape, py::handle dy, py::handle dstate, py::handle dinputs, py::handle need_dx,
                      const std::vector<bool> &needed, py::handle retain) {
    if (needed.size() != network_->table->entries.size())
      throw py::value_error("needed: expected one of each parameter");
    if (network_->shape.part) throw py::value_error("gradients: expected a network whose parameters are all its own");
    const py::none none;
    return back({tape, dy, dstate, none, none, dinputs, need_dx, none, retain, none}, &needed);
  }

 private:
  struct BackwardObjects {
    py::handle tape, dy, dstate, doutputs, dstates, dinputs, need_dx, grads, retain, wish;
  };

  // With `needed`, gradients are new arrays instead of `grads`.
  py::tuple back(const BackwardObjects &given, const std::vector<bool> *needed) {
    const bool need_dx = flag_of(given.need_dx, "need_dx"), retain = flag_of(given.retain, "retain");
    const TapePtr<T> tape_held = tape_of<Tape, T>(given.tape);
    Tape<T> &tape = *tape_held;
    const auto memory = tape.memory.hold();
    if (!memory) throw std::runtime_error(kConsumed);
    const NetworkShape &shape = tape.shape();
    const bool same_part = shape.single == network_->shape.single && shape.part == network_->shape.part;
    if (memory->parameters != parameters_ || !same_part) throw std::runtime_error(kOtherLayer);

    const Layout &layout = tape.layout;
    std::vector<py::object> gradients;
    if (!needed) gradients = objects_of(*network_->table, given.grads, "grads");
    const std::vector<py::object> targets = input_objects(*shape.cell, given.dinputs, "dinputs");
    Arguments<T> arguments;
    BackwardCall<T> call;
    call.wish = wish_of(given.wish);
    call.signalled = signalled;
    call.dy = arguments.sequences(given.dy, "dy", layout, symbol(), features());
    call.doutputs = by_layer(shape, given.doutputs, "doutputs", 0, layout, arguments);
    call.dstates = by_state(shape, given.dstates, layout, arguments);
    call.dfinal = state_pointers(shape, split_state(given.dstate, "dstate", names_->dfinal, names_->order),
                                 names_->dfinal, layout, arguments);
    call.dinputs = input_targets(shape, layout, targets, *memory, arguments);
    if (!needed) call.grads = gradient_targets(*parameters_, gradients, arguments);
    py::tuple fresh(needed ? needed->size() : 0);
    for (std::size_t i = 0; i < fresh.size(); ++i) {
      fresh[i] = py::none();
      call.grads.push_back(nullptr);
      if (!(*needed)[i] && !memory->tokens.data()) continue;  // sums of tokens serve several gradients
      const py::array &made = arguments.keep(new_array<T>(shape_of(network_->table->entries[i])));
      call.grads.back() = pointer<T>(made);
      if ((*needed)[i]) fresh[i] = made;
    }
    call.fresh = needed != nullptr;

    py::object dx = py::none();
    if (need_dx && memory->table.data()) {  // in the place of x's: that of the table
      const py::array array = new_array<T>({memory->alphabet, shape.input_size});
      call.dtable = pointer<T>(array);
      dx = array;
    } else if (need_dx && !memory->tokens.data()) {  // one-hot tokens have no gradient
      const py::array array = new_array<T>(layout.shape(shape.input_size));
      call.dx = layout.template strided<T>(array);
      dx = array;
    }
    StateObjects dinitial;
    allocate_states(shape, layout, dinitial, call.dinitial);

    Taken<TapeMemory<T>> taken(tape.memory, retain);
    Outcome outcome{};
    {
      const WithoutGil released;
      outcome = tape.network->backward(*taken, call);
    }
    if (outcome == Outcome::kInterrupted) throw py::error_already_set();
    if (outcome == Outcome::kOutdated) throw std::runtime_error(kOutdatedTape);
    taken.done();
    if (needed) return py::make_tuple(dx, joined_state(shape, dinitial), fresh);
    return py::make_tuple(dx, joined_state(shape, dinitial));
  }

  PyNetwork(std::shared_ptr<const Network<T>> network, std::optional<bool> tokens)
      : PyNetwork(network, std::make_shared<Parameters<T>>(network->table),
                  !tokens   ? Integers::kUnlessFeatures
                  : *tokens ? Integers::kTokens
                            : Integers::kRefused) {}
  PyNetwork(std::shared_ptr<const Network<T>> network, ParametersPtr<T> parameters, Integers integers)
      : network_(std::move(network)),
        parameters_(std::move(parameters)),
        names_(std::make_shared<StateNames>(*network_->shape.cell)),
        integers_(integers) {}

  Index features() const { return network_->shape.features(); }
  const char *symbol() const { return features_symbol(network_->shape, 0); }

  std::shared_ptr<const Network<T>> network_;
  ParametersPtr<T> parameters_;
  std::shared_ptr<const StateNames> names_;
  Integers integers_;
};

template <class T>
void bind(py::module_ &module, const std::string &suffix) {
  Class<Tape<T>> tape(module, "Tape" + suffix);
  tape.def_property_readonly("outputs", outputs<T>).def_property_readonly("states", states<T>);
  Class<LayerArrays<T>> history(module, "LayerArrays" + suffix);
  history.def("__len__", &LayerArrays<T>::size).def("__getitem__", &LayerArrays<T>::at, py::arg("layer"));
  using Network = PyNetwork<T>;
  Class<Network> network(module, "Network" + suffix);
  network
      .template constructor<py::handle, Index, Index, Index, int, bool, bool, std::optional<bool>, Index, bool, bool>(
          py::arg("cell"), py::arg("input_size"), py::arg("hidden_size"), py::arg("num_layers"),
          py::arg("num_directions"), py::arg("bias"), py::arg("single"), py::arg("tokens"), py::arg("proj_size") = 0,
          py::arg("reverse") = false, py::arg("learned_state") = false)
      .def("cell", &Network::cell, py::arg("layer"), py::arg("direction"))
      .def("with_cell", &Network::with_cell, py::arg("cell"))
      .def_property_readonly("parameters", &Network::parameters)
      .def("stream_part", &Network::stream_part)
      .def("holds", &Network::holds, py::arg("arrays"))
      .def("holding", &Network::holding, py::arg("arrays"))
      .def("narrow", &Network::narrow, py::arg("weights"), py::arg("arrays"))
      .def("tape_bytes", &Network::tape_bytes, py::arg("steps"), py::arg("batch"))
      .def("call", &Network::call, py::arg("x"), py::arg("hx"), py::arg("lengths"), py::arg("out"),
           py::arg("batch_first"), py::arg("table"), py::arg("inputs"), py::arg("resets"), py::arg("plan"))
      .def("forward", &Network::forward, py::arg("x"), py::arg("hx"), py::arg("lengths"), py::arg("batch_first"),
           py::arg("draw"), py::arg("table"), py::arg("inputs"), py::arg("resets"), py::arg("plan"))
      .def("backward", &Network::backward, py::arg("tape"), py::arg("dy"), py::arg("dstate"), py::arg("doutputs"),
           py::arg("dstates"), py::arg("dinputs"), py::arg("need_dx"), py::arg("grads"), py::arg("retain"),
           py::arg("plan"))
      .def("gradients", &Network::gradients, py::arg("tape"), py::arg("dy"), py::arg("dstate"), py::arg("dinputs"),
           py::arg("need_dx"), py::arg("needed"), py::arg("retain"));
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
  Class<PyNarrowNetwork> narrow(module, "NarrowNetwork32");
  narrow.def("stream_part", &PyNarrowNetwork::stream_part);
  narrow.def("call", &PyNarrowNetwork::call, py::arg("x"), py::arg("hx"), py::arg("lengths"), py::arg("out"),
             py::arg("batch_first"), py::arg("table"), py::arg("inputs"), py::arg("resets"), py::arg("plan"));
}

}  // namespace recurra
