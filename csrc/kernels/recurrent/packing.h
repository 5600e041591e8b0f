// A cell's weights as panels, in the order in which the loops read them.
//
// Forward, a panel covers `unit_vectors` vectors of hidden units with all gates of a phase side by side, so that a
// register tile ends up with everything that the cell needs of those units. Backward, the same weights are used as they
// stand, (gate * hidden_size + unit, column), in panels of kPanelVectors.
#pragma once

#include "kernels.h"
#include "kernels/arena.h"
#include "kernels/integers.h"
#include "kernels/product/panels.h"
#include "kernels/product/tile_shapes.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

template <class T>
struct ForwardLayout {
  static constexpr Index V = Vec<T>::size;

  const CellDescription &cell;
  const Index hidden_size;
  const Index units;  // hidden units in a whole panel
  const Index panels;
  // Vectors that a projected row holds per vector of units. The projection of a split gate comes first and the sum of
  // its recurrent half, which begins as b_hh, last, [n_x r z n_h], so that the products go on over r, z and n_h.
  // Otherwise they are the gates in order.
  const int projected_gates;

  T *input;               // [panel][input_size][gate][unit]
  T *bias;                // [panel][gate][unit], b_ih + b_hh, rounded once
  T *hidden[kMaxPhases];  // [panel][hidden_size][gate of the phase][unit]
  T *split_bias;          // [panel][unit], b_hh of a split gate

  ForwardLayout(CellId id, Arena &arena, Index input_size, Index size)
      : cell(kCells[id]),
        hidden_size(size),
        units(cell.unit_vectors * V),
        panels(ceil_div(size, units)),
        projected_gates(cell.gates + (cell.split_gate ? 1 : 0)) {
    const Index width = padded();
    input = arena.take<T>(width * cell.gates * input_size);
    bias = arena.take<T>(width * cell.gates);
    for (int p = 0; p < kMaxPhases; ++p) {
      hidden[p] = arena.take<T>(p < cell.phase_count ? width * cell.phases[p].gates.count * hidden_size : 0);
    }
    split_bias = arena.take<T>(cell.split_gate ? width : 0);
  }

  Index padded() const { return ceil_div(hidden_size, V) * V; }
  int unit_vectors(Index panel) const {
    return cell.unit_vectors == 1
               ? 1
               : static_cast<int>(smaller(cell.unit_vectors, ceil_div(hidden_size - panel * units, V)));
  }
  // Which gate a column of the input panel belongs to.
  int input_gate(int column) const { return cell.split_gate ? (column + cell.gates - 1) % cell.gates : column; }
  // Where the sums of a phase begin in a projected row, in vectors.
  int first_column(int phase) const { return cell.phases[phase].gates.gate + (cell.split_gate ? 1 : 0); }
};

template <class T>
Index packed_forward_size(CellId cell, Index input_size, Index hidden_size) {
  Arena arena{nullptr};
  ForwardLayout<T>(cell, arena, input_size, hidden_size);
  return arena.used / static_cast<Index>(sizeof(T));
}

// The biases of one vector of units of a gate.
template <class T>
void pack_bias(const PackTask<T> &task, bool split, Index row, Index lanes, T *bias, T *split_bias) {
  const T *ih = task.parameters[kInputBias], *hh = task.parameters[kRecurrentBias];
  for (Index lane = 0; lane < Vec<T>::size; ++lane) {
    const bool real = lane < lanes && ih;
    const T value = !real ? T(0) : split ? ih[row + lane] : ih[row + lane] + hh[row + lane];
    bias[lane] = value + T(0);  // no -0, which a token's chain would keep and a row's zeros would not
    if (split) {
      split_bias[lane] = real ? hh[row + lane] : T(0);
    }
  }
}

template <class T>
bool pack_forward(const PackTask<T> *task) {
  constexpr Index V = Vec<T>::size;
  const Index I = task->input_size, H = task->hidden_size;
  Arena arena{reinterpret_cast<char *>(task->to)};
  ForwardLayout<T> at(task->cell, arena, I, H);
  const CellDescription &cell = at.cell;
  for (Index panel = 0; panel < at.panels; ++panel) {
    const int vectors = at.unit_vectors(panel);
    const Index width = vectors * cell.gates * V;
    for (int v = 0; v < vectors; ++v) {
      const Index unit = panel * at.units + v * V;
      const Index lanes = smaller(V, H - unit);
      for (int column = 0; column < cell.gates; ++column) {
        const int gate = at.input_gate(column);
        const Index row = gate * H + unit, to = (v * cell.gates + column) * V;
        pack_transposed(task->parameters[kInputWeight] + row * I, lanes, I, I, width, at.input + to);
        pack_bias(*task, cell.split_gate && gate == cell.gates - 1, row, lanes, at.bias + to, at.split_bias + unit);
      }
      for (int p = 0; p < cell.phase_count; ++p) {
        const GateRange &gates = cell.phases[p].gates;
        for (int i = 0; i < gates.count; ++i) {
          pack_transposed(task->parameters[kRecurrentWeight] + ((gates.gate + i) * H + unit) * H, lanes, H, H,
                          vectors * gates.count * V, at.hidden[p] + (v * gates.count + i) * V);
        }
      }
    }
    at.input += width * I;
    at.bias += width;
    for (int p = 0; p < cell.phase_count; ++p) {
      at.hidden[p] += vectors * cell.phases[p].gates.count * V * H;
    }
    if (interrupted(task->worker, kPackingWork * width * (I + H))) {
      return false;
    }
  }
  return true;
}

template <class T>
struct BackwardLayout {
  T *input;   // weight_ih: [panel of input columns][gate * hidden_size + unit][column]
  T *hidden;  // weight_hh: the same over hidden columns

  BackwardLayout(CellId cell, Arena &arena, Index input_size, Index hidden_size) {
    constexpr Index V = Vec<T>::size;
    const Index depth = kCells[cell].gates * hidden_size;
    input = arena.take<T>(ceil_div(input_size, V) * V * depth);
    hidden = arena.take<T>(ceil_div(hidden_size, V) * V * depth);
  }
};

template <class T>
Index packed_backward_size(CellId cell, Index input_size, Index hidden_size) {
  Arena arena{nullptr};
  BackwardLayout<T>(cell, arena, input_size, hidden_size);
  return arena.used / static_cast<Index>(sizeof(T));
}

template <class T>
bool pack_backward(const PackTask<T> *task) {
  const Index I = task->input_size, H = task->hidden_size, depth = kCells[task->cell].gates * H;
  Arena arena{reinterpret_cast<char *>(task->to)};
  BackwardLayout<T> at(task->cell, arena, I, H);
  return pack_rows(task->parameters[kInputWeight], depth, I, I, kPanelVectors, at.input, task->worker) &&
         pack_rows(task->parameters[kRecurrentWeight], depth, H, H, kPanelVectors, at.hidden, task->worker);
}

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
