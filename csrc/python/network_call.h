// A call of a recurrent layer without a tape.
#pragma once

#include "python/forward_arguments.h"

namespace recurra {

struct CallObjects {
  py::handle x, hx, lengths, out, table, inputs, resets, wish;
  bool batch_first;
};

// Checks the arguments, allocates the results and computes them by forward(sequences, call): (y, state), or of a cell
// the state alone.
template <class T, class Forward>
py::object call_network(const NetworkShape &of, const StateNames &names, Integers integers, const CallObjects &given,
                        const Forward &forward) {
  const InputObjects named{input_objects(*of.cell, given.inputs, "inputs"), {}};
  ForwardArguments<T> run(
      of, names, integers,
      {given.x, given.hx, given.lengths, given.table, given.resets, given.wish, given.batch_first, named});
  const Sequences sequences = run.sequences();
  const Shape shape = run.layout.shape(of.features());
  py::object y, target, written;
  run.allocate_final();
  if (run.layout.single) {
    y = target = run.final[0];
  } else if (given.out.is_none()) {
    y = target = new_array<T>(shape);
  } else {
    const py::array out = own_view(typed_array<T>(given.out, "out", Takes::kNumPy));
    y = py::reinterpret_borrow<py::object>(given.out);
    check_shape(out, "out", [&] { return run.layout.symbols(features_symbol(of, 0)); }, shape);
    if (!out.writeable()) refuse_value("out", "an array that can be written to", "a read-only one");
    const bool in_place = readable_in_place<T>(out) && !run.overlaps(out);
    target = in_place ? py::object(out) : py::object(new_array<T>(shape));
    written = out;
  }
  run.call.y = run.layout.template strided<T>(py::reinterpret_borrow<py::array>(target));
  run.forward([&] { return forward(sequences, run.call); });
  if (written && target.ptr() != written.ptr()) {
    copy_into(py::reinterpret_borrow<py::array>(written), py::reinterpret_borrow<py::array>(target));
  }
  return run.layout.single ? run.state() : py::object(py::make_tuple(y, run.state()));
}

}  // namespace recurra
