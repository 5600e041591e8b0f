// The checked arguments of a forward call of a recurrent layer, and the states that it returns.
#pragma once

#include "model/network.h"
#include "python/arguments.h"
#include "python/gil.h"
#include "python/integers.h"
#include "python/plan_wish.h"

namespace recurra {

// h and c of a state that may be None; c is None for cells that have none.
inline std::pair<py::object, py::object> split_state(const NetworkShape &shape, py::handle state, const char *name,
                                                     const char *h, const char *c) {
  if (!shape.has_cell_state()) return {py::reinterpret_borrow<py::object>(state), py::none()};
  if (state.is_none()) return {py::none(), py::none()};
  py::object pair;  // what a tuple or list holds, whatever a subclass says of itself
  if (PyTuple_Check(state.ptr())) pair = py::reinterpret_borrow<py::object>(state);
  if (PyList_Check(state.ptr())) pair = py::reinterpret_steal<py::object>(PyList_AsTuple(state.ptr()));
  if (!pair && PyErr_Occurred()) throw py::error_already_set();
  if (!pair || PyTuple_GET_SIZE(pair.ptr()) != 2) {
    refuse_type(name, std::string("a pair (") + h + ", " + c + ")", type_name(state));
  }
  return {py::reinterpret_borrow<py::object>(PyTuple_GET_ITEM(pair.ptr(), 0)),
          py::reinterpret_borrow<py::object>(PyTuple_GET_ITEM(pair.ptr(), 1))};
}

// What x may be if it is of integers. (T, I) of them may be tokens (T, B) or one sequence of features that was not
// cast.
enum class Integers { kTokens, kRefused, kUnlessFeatures };

// The checked arguments of a forward call, and the states it returns.
template <class T>
struct ForwardArguments {
  const NetworkShape &shape;
  Arguments<T> arguments;
  Layout layout;
  std::vector<Index> lengths, tokens;
  ForwardCall<T> call;
  py::object h_n, c_n;  // not py::array, whose constructor makes one

  // With a table (alphabet, input_size), x is tokens that stand for its rows.
  ForwardArguments(const NetworkShape &of, Integers integers, py::handle x, py::handle hx, py::handle given_lengths,
                   bool batch_first, py::handle table, py::handle wish)
      : shape(of) {
    call.wish = wish_of(wish);
    layout.single = shape.single;
    const Index full = shape.single ? 1 : 2;  // axes of a batch, beside the features
    const bool of_tokens =
        is_integers(x) && integers != Integers::kRefused && py::reinterpret_borrow<py::array>(x).ndim() <= full;
    if (of_tokens && integers == Integers::kUnlessFeatures && table.is_none()) refuse_features(x, full);
    const py::array array = of_tokens ? integer_array(x, "x") : typed_array<T>(x, "x");
    const Index axes = array.ndim() - (of_tokens ? 0 : 1);
    if ((axes != full && axes != full - 1) || (!of_tokens && array.shape(axes) != shape.input_size)) {
      refuse_value("x", expected_x(shape, batch_first), shape_text(array));
    }
    layout.unbatched = axes != full;
    layout.batch_first = batch_first && !layout.unbatched;
    layout.steps = shape.single ? 1 : array.shape(layout.batch_first ? 1 : 0);
    layout.batch = layout.unbatched ? 1 : array.shape(layout.batch_first || shape.single ? 0 : 1);
    Index bytes = 8 * (shape.input_size + 8 * shape.features());  // more than any array of the call takes
    if (__builtin_mul_overflow(bytes, layout.steps, &bytes) || __builtin_mul_overflow(bytes, layout.batch, &bytes)) {
      refuse_value("x", "sizes that fit in memory", shape_text(array));
    }
    if (layout.unbatched && !given_lengths.is_none()) {
      refuse_value("lengths", "None, as x has no batch", type_name(given_lengths));
    }
    lengths = lengths_of(given_lengths, layout.batch, layout.steps);
    if (of_tokens) {
      call.alphabet = shape.input_size;
      if (!table.is_none()) {
        const py::array rows = arguments.keep(typed_array<T>(table, "table"));
        call.alphabet = rows.shape(0);
        check_shape(rows, "table", [] { return "(num_embeddings, input_size)"; }, {call.alphabet, shape.input_size});
        call.table = pointer<T>(contiguous<T>(rows) ? rows : arguments.keep(copied(rows)));
      }
      const char *range = call.table ? "tokens in 0..num_embeddings-1 = 0.." : "tokens in 0..input_size-1 = 0..";
      tokens = integers_of(array, "x", range, call.alphabet - 1);
      if (tokens.empty()) tokens.push_back(0);  // null would mean that there are none
      call.tokens = {tokens.data(),
                     layout.single        ? 0
                     : layout.batch_first ? 1
                                          : layout.batch,
                     layout.batch_first ? layout.steps : 1};
    } else {
      call.x = layout.strided<const T>(arguments.keep(readable_in_place<T>(array) ? array : copied(array)));
    }
    const auto [h, c] = split_state(shape, hx, "hx", "h0", "c0");
    call.h0 = arguments.state(h, "h0", layout, shape.states(), shape.hidden_size);
    call.c0 = arguments.state(c, "c0", layout, shape.states(), shape.hidden_size);
    call.signalled = signalled;
  }

  // What could as well be the features of one sequence, or of one row for a cell.
  void refuse_features(py::handle x, Index full) const {
    const auto array = py::reinterpret_borrow<py::array>(x);
    if (array.ndim() != full || array.shape(full - 1) != shape.input_size) return;
    const std::string time = shape.single ? "" : "T, ", size = std::to_string(shape.input_size);
    refuse_type("x",
                std::string(dtype_name<T>()) + " features (" + time +
                    "input_size), or tokens that can't be taken for " +
                    "such, whose last axis isn't input_size = " + size,
                std::string(py::str(array.dtype())) + " " + shape_text(array) + ": cast features with x.astype(numpy." +
                    dtype_name<T>() + "); to read tokens of any shape, make the layer with tokens=True");
  }

  static std::string expected_x(const NetworkShape &shape, bool batch_first) {
    Layout layout{batch_first, false, shape.single, 0, 0};
    std::string expected;
    for (const bool unbatched : {false, true}) {
      layout.unbatched = unbatched;
      expected += (unbatched ? " or " : "") + layout.symbols("input_size") + " = " +
                  layout.symbols(std::to_string(shape.input_size));
    }
    return expected;
  }

  void allocate_states() {
    const Shape states = layout.state_shape(shape.states(), shape.hidden_size);
    const auto allocate = [&](py::object &array) {
      py::array made = new_array<T>(states);
      T *data = pointer<T>(made);
      array = std::move(made);
      return data;
    };
    call.h_n = allocate(h_n);
    if (shape.has_cell_state()) call.c_n = allocate(c_n);
  }

  py::object states() const { return shape.has_cell_state() ? py::object(py::make_tuple(h_n, c_n)) : py::object(h_n); }

  // Whether writing to `out` could change an argument before it is read. Bounds only, so sometimes yes in vain.
  bool overlaps(const py::array &out) const {
    const auto [begin, end] = bounds<T>(out);
    for (const py::array &array : arguments.kept()) {
      const auto [from, to] = bounds<T>(array);
      if (begin < to && from < end) return true;
    }
    return false;
  }

  void forward(const Network<T> &network, const ParametersPtr<T> &parameters, const Sequences &sequences,
               TapeMemory<T> *tape) {
    Outcome outcome{};
    {
      const WithoutGil released;
      outcome = network.forward(parameters, sequences, call, tape);
    }
    if (outcome == Outcome::kInterrupted) throw py::error_already_set();
  }
};

}  // namespace recurra
