// The checked arguments of a forward call of a recurrent layer, and the state that it returns.
#pragma once

#include "model/network.h"
#include "python/arguments.h"
#include "python/gil.h"
#include "python/input_arguments.h"
#include "python/integers.h"
#include "python/plan_wish.h"
#include "python/state_arguments.h"

namespace recurra {

// What a forward call is given. Its mapping has become a list already, in the order of the cell's inputs.
struct ForwardObjects {
  py::handle x, hx, lengths, table, resets, wish;
  bool batch_first;
  const InputObjects &inputs;
};

// (T, B) of bool in x's layout, as 0 and 1, sequence by sequence; empty for None.
inline std::vector<unsigned char> resets_of(py::handle object, const Layout &layout) {
  if (object.is_none()) return {};
  if (layout.single) refuse_value("resets", "None, as a cell takes one step", type_name(object));
  const py::array array = any_array(object, "resets", "bool", "bool_", Takes::kNumbers);
  if (array.dtype().kind() != 'b') refuse_dtype(object, array, "resets", "bool", "bool_");
  Shape shape;
  if (!layout.unbatched && layout.batch_first) shape.push_back(layout.batch);
  shape.push_back(layout.steps);
  if (!layout.unbatched && !layout.batch_first) shape.push_back(layout.batch);
  check_shape(
      array, "resets", [&] { return layout.unbatched     ? "(T,)"
                                    : layout.batch_first ? "(B, T)"
                                                         : "(T, B)"; }, shape);
  const auto from = layout.strided<const unsigned char>(array);
  std::vector<unsigned char> result;
  result.reserve(static_cast<std::size_t>(layout.batch * layout.steps));
  for (Index b = 0; b < layout.batch; ++b) {
    for (Index t = 0; t < layout.steps; ++t) result.push_back(from.base[b * from.row + t * from.step] != 0);
  }
  return result;
}

// What x may be if it is of integers. (T, I) of them may be tokens (T, B) or one sequence of features that was not
// cast.
enum class Integers { kTokens, kRefused, kUnlessFeatures };

// The checked arguments of a forward call, and the state it returns.
template <class T>
struct ForwardArguments {
  const NetworkShape &shape;
  Arguments<T> arguments;
  Layout layout;
  std::vector<Index> lengths, tokens;
  std::vector<unsigned char> resets;
  ForwardCall<T> call;
  StateObjects final;

  // With a table (alphabet, input_size), x is tokens that stand for its rows.
  ForwardArguments(const NetworkShape &of, const StateNames &names, Integers integers, const ForwardObjects &given)
      : shape(of) {
    const py::handle x = resolved(given.x), table = given.table;
    call.wish = wish_of(given.wish);
    layout.single = shape.single;
    const Index full = shape.single ? 1 : 2;  // axes of a batch, beside the features
    const bool of_tokens =
        is_integers(x) && integers != Integers::kRefused && py::reinterpret_borrow<py::array>(x).ndim() <= full;
    if (of_tokens && integers == Integers::kUnlessFeatures && table.is_none()) refuse_features(x, full);
    if (of_tokens && table.is_none() && shape.description().raw) refuse_one_hot(x);
    const py::array array = of_tokens ? integer_array(given.x, "x") : typed_array<T>(given.x, "x");
    const Index axes = array.ndim() - (of_tokens ? 0 : 1);
    if ((axes != full && axes != full - 1) || (!of_tokens && array.shape(axes) != shape.input_size)) {
      refuse_value("x", expected_x(shape, given.batch_first), shape_text(array));
    }
    layout.unbatched = axes != full;
    layout.batch_first = given.batch_first && !layout.unbatched;
    layout.steps = shape.single ? 1 : array.shape(layout.batch_first ? 1 : 0);
    layout.batch = layout.unbatched ? 1 : array.shape(layout.batch_first || shape.single ? 0 : 1);
    Index bytes = 8 * (shape.input_size + 8 * shape.features());  // more than any array of the call takes
    if (__builtin_mul_overflow(bytes, layout.steps, &bytes) || __builtin_mul_overflow(bytes, layout.batch, &bytes)) {
      refuse_value("x", "sizes that fit in memory", shape_text(array));
    }
    if (layout.unbatched && !given.lengths.is_none()) {
      refuse_value("lengths", "None, as x has no batch", type_name(given.lengths));
    }
    lengths = lengths_of(given.lengths, layout.batch, layout.steps);
    resets = resets_of(given.resets, layout);
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
    call.initial = state_pointers(shape, split_state(given.hx, "hx", names.initial, names.order), names.initial, layout,
                                  arguments);
    call.inputs = inputs_of(shape, layout, given.inputs, arguments);
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
                std::string(py::str(array.dtype())) + " " + shape_text(array) + ": cast features with x.astype(np." +
                    dtype_name<T>() + "); to read tokens of any shape, make the layer with tokens=True");
  }

  void refuse_one_hot(py::handle x) const {
    refuse_type("x", std::string(dtype_name<T>()) + " features, as the cell reads x itself and not only W_ih x",
                "tokens of " + std::string(py::str(py::reinterpret_borrow<py::array>(x).dtype())) +
                    ": make vectors of them with an Embedding");
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

  Sequences sequences() const {
    return {layout.steps, layout.batch, lengths.empty() ? nullptr : lengths.data(),
            resets.empty() ? nullptr : resets.data()};
  }
  // Time-major masks, one between each two layers.
  void take_masks(const py::list &masks, const char *symbol) {
    const auto needed = static_cast<std::size_t>(shape.layers - 1);
    if (masks.size() != needed) {
      refuse_value("masks", std::to_string(needed) + " arrays, one between each two layers",
                   std::to_string(masks.size()));
    }
    for (std::size_t i = 0; i < needed; ++i) {
      if (masks[i].is_none()) refuse_type("masks", "arrays", "None");
      call.masks.push_back(arguments.sequences(masks[i], "masks[" + std::to_string(i) + "]", time_major(layout), symbol,
                                               shape.features()));
    }
  }
  void allocate_final() { allocate_states(shape, layout, final, call.final); }
  py::object state() const { return joined_state(shape, final); }

  // Whether writing to `out` could change an argument before it is read. Bounds only, so sometimes yes in vain.
  bool overlaps(const py::array &out) const {
    const auto [begin, end] = bounds<T>(out);
    for (const py::array &array : arguments.kept()) {
      const auto [from, to] = bounds<T>(array);
      if (begin < to && from < end) return true;
    }
    return false;
  }

  // Runs what returns an Outcome, without the GIL.
  template <class Run>
  static void forward(const Run &run) {
    Outcome outcome{};
    {
      const WithoutGil released;
      outcome = run();
    }
    if (outcome == Outcome::kInterrupted) throw py::error_already_set();
  }
};

}  // namespace recurra
