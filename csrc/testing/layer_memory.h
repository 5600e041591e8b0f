// What one direction of a layer has written by the time that its gradients are computed, as random numbers.
#pragma once

#include <limits>
#include <vector>

#include "kernels.h"
#include "testing/batches.h"

namespace recurra {
namespace testing {

inline Index count_of(const Cell &cell, Role role) {
  Index count = 0;
  for (int p = 0; p < cell.parameter_count; ++p) count += cell.parameters[p].role == role ? 1 : 0;
  return count;
}

// The parameter of a role with that number among those of the role, or -1.
inline int find_parameter(const Cell &cell, Role role, int number = 0) {
  for (int p = 0; p < cell.parameter_count; ++p) {
    if (cell.parameters[p].role == role && number-- == 0) return p;
  }
  return -1;
}

inline Index size_of_source(const CellShape &shape, int source) {
  return source == 0 ? shape.projected_size : shape.hidden_size;
}

// Columns of a parameter that is a matrix, else 1.
inline Index parameter_columns(const CellShape &shape, int parameter) {
  const Cell &cell = *shape.cell;
  if (cell.parameters[parameter].role == kInputWeight) return shape.input_size;
  for (int p = 0; p < cell.product_count; ++p) {
    if (cell.products[p].parameter == parameter) {
      return size_of_source(shape, cell.products[p].source) / cell.parameters[parameter].heads;
    }
  }
  return 1;
}

inline Index parameter_size(const CellShape &shape, int parameter) {
  const ParameterDescription &described = shape.cell->parameters[parameter];
  if (described.role == kScalar) return 1;
  const Index rows = described.role == kProjection ? shape.projected_size : described.blocks * shape.hidden_size;
  return rows * parameter_columns(shape, parameter);
}

// Where each delta begins in a row, and where the row ends.
inline std::vector<Index> delta_places(const CellShape &shape) {
  const Cell &cell = *shape.cell;
  std::vector<Index> places{0};
  for (int d = 0; d < cell.delta_count; ++d) {
    const bool projected = cell.deltas[d].of == kOfColumn && cell.columns[cell.deltas[d].index].size == kProjected;
    places.push_back(places.back() + (projected ? shape.projected_size : shape.hidden_size));
  }
  return places;
}

template <class T>
struct LayerMemory {
  CellShape shape;
  const RandomBatch &batch;
  bool reverse;
  Index out_stride, units, kept_stride, delta_stride;
  GuardedArray<T> x, out, kept, deltas;          // x (longest, batch, I) as the caller has it; deltas as visited
  std::vector<GuardedArray<T>> states, initial;  // initial: of no size where there is none

  LayerMemory(Random &random, const CellShape &of, const RandomBatch &rows, bool reversed, Index vector)
      : shape(of),
        batch(rows),
        reverse(reversed),
        out_stride(of.projected_size + random.integer(0, 3)),
        units((of.hidden_size + vector - 1) / vector * vector),
        kept_stride(of.cell->kept * units + random.integer(0, 1) * vector),
        delta_stride(delta_places(of).back() + random.integer(0, 3)),
        x(random.array<T>(rows.longest * rows.batch() * of.input_size)),
        out(random.array<T>(rows.total() * out_stride)),
        kept(random.array<T>(rows.total() * kept_stride)),
        deltas(random.array<T>(rows.total() * delta_stride)) {
    for (int state = 0; state < of.cell->states; ++state) {
      const Index size = size_of_source(of, state);
      states.push_back(random.array<T>(state ? rows.total() * units : 0));
      initial.push_back(random.array<T>(random.integer(0, 2) ? rows.batch() * size : 0));
    }
  }

  RowView<const T> x_view() const { return {x.data(), batch.batch() * shape.input_size, shape.input_size, false}; }
  const T *x_row(const Place &at) const {
    const std::size_t b = static_cast<std::size_t>(at.b);
    return x.data() + ((batch.begin[b] + at.t) * batch.batch() + batch.sequence[b]) * shape.input_size;
  }
  Index row(Index t, Index b) const { return batch.offset[static_cast<std::size_t>(t)] + b; }
  // What products read of a source at a row.
  T source(int number, const Place &at, Index unit) const {
    const Cell &cell = *shape.cell;
    if (number >= cell.states) {
      return kept[row(at.t, at.b) * kept_stride + cell.staged_kept[number - cell.states] * units + unit];
    }
    const Index before = reverse ? at.t + 1 : at.t - 1;
    if (before >= 0 && before < batch.steps && at.b < batch.alive[static_cast<std::size_t>(before)]) {
      return number == 0 ? out[row(before, at.b) * out_stride + unit]
                         : states[static_cast<std::size_t>(number)][row(before, at.b) * units + unit];
    }
    const GuardedArray<T> &first = initial[static_cast<std::size_t>(number)];
    const Index size = size_of_source(shape, number);
    return first.size() ? first[batch.order[static_cast<std::size_t>(at.b)] * size + unit] : T(0);
  }

  GradientTask<T> task(const Rows &rows) const {
    GradientTask<T> made{};
    made.shape = shape;
    made.rows = rows;
    made.reverse = reverse;
    made.x = x_view();
    made.out = {out.data(), 0, out_stride, true};
    for (std::size_t state = 0; state < states.size(); ++state) {
      made.initial[state] = initial[state].size() ? initial[state].data() : nullptr;
      made.states[state] = states[state].data();
    }
    made.kept = kept.data();
    made.kept_stride = kept_stride;
    made.deltas = {deltas.data(), delta_stride, -1};
    made.from = 0;
    made.to = batch.total();
    made.part = 0;
    made.parts = 1;
    return made;
  }
};

}  // namespace testing
}  // namespace recurra
