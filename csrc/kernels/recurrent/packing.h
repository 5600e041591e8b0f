// Weights as panels, in the order the loops read them.
//
// Forward, a panel covers Cell::kUnitVectors vectors of hidden units with all their gates side by side, so that a
// register tile ends up with everything the cell needs for those units. Backward, the same weights are used as they
// stand, (gate * hidden + unit, column), in panels of kPanelVectors.
#pragma once

#include "kernels/arena.h"
#include "kernels/integers.h"
#include "kernels/product/panels.h"
#include "kernels/product/tile_shapes.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

template <class Cell, class T>
struct ForwardLayout {
  static constexpr Index V = Vec<T>::size;
  static constexpr Index kUnits = Cell::kUnitVectors * V;  // hidden units in a panel
  // A projected row of a panel holds, for a split candidate, [n_x r z n_h]: the product with h goes on over the last
  // three, and n_h starts as b_hn. Otherwise it holds the gates in order.
  static constexpr Index kProjectedGates = Cell::kGates + (Cell::kSplitCandidate ? 1 : 0);

  static constexpr int input_gate(int column) {  // which gate a column of the input panel belongs to
    return Cell::kSplitCandidate ? (column + Cell::kGates - 1) % Cell::kGates : column;
  }
  static Index panels(Index hidden_size) { return ceil_div(hidden_size, kUnits); }
  static Index padded(Index hidden_size) { return ceil_div(hidden_size, V) * V; }
  static int unit_vectors(Index hidden_size, Index panel) {
    if constexpr (Cell::kUnitVectors == 1) {  // a constant, which unrolls what depends on it
      return 1;
    }
    return static_cast<int>(smaller(Cell::kUnitVectors, ceil_div(hidden_size - panel * kUnits, V)));
  }

  T *input;           // [panel][input_size][gate][unit]
  T *bias;            // [panel][gate][unit], b_ih + b_hh, rounded once
  T *hidden;          // [panel][hidden_size][gate][unit]; with reset before only gates r and z
  T *candidate;       // reset before: [panel][hidden_size][unit] of gate n
  T *candidate_bias;  // split candidate: [panel][unit], b_hn

  ForwardLayout(Arena &arena, Index input_size, Index hidden_size) {
    const Index units = padded(hidden_size);
    const Index hidden_gates = Cell::kGates - (Cell::kResetBefore ? 1 : 0);
    input = arena.take<T>(units * Cell::kGates * input_size);
    bias = arena.take<T>(units * Cell::kGates);
    hidden = arena.take<T>(units * hidden_gates * hidden_size);
    candidate = arena.take<T>(Cell::kResetBefore ? units * hidden_size : 0);
    candidate_bias = arena.take<T>(Cell::kSplitCandidate ? units : 0);
  }
};

template <class Cell, class T>
Index packed_forward(Index input_size, Index hidden_size) {
  Arena arena{nullptr};
  ForwardLayout<Cell, T>(arena, input_size, hidden_size);
  return arena.used / static_cast<Index>(sizeof(T));
}

template <class Cell, class T>
void pack_forward(Index input_size, Index hidden_size, const T *weight_ih, const T *weight_hh, const T *bias_ih,
                  const T *bias_hh, T *to) {
  using Layout = ForwardLayout<Cell, T>;
  constexpr Index V = Layout::V;
  constexpr int G = Cell::kGates;
  Arena arena{reinterpret_cast<char *>(to)};
  Layout at(arena, input_size, hidden_size);
  for (Index panel = 0; panel < Layout::panels(hidden_size); ++panel) {
    const int vectors = Layout::unit_vectors(hidden_size, panel);
    const Index width = vectors * G * V;
    const Index hidden_width = Cell::kResetBefore ? width - V : width;
    for (int v = 0; v < vectors; ++v) {
      const Index unit = panel * Layout::kUnits + v * V;
      const Index lanes = smaller(V, hidden_size - unit);
      for (int column = 0; column < G; ++column) {
        const int gate = Layout::input_gate(column);
        const Index row = gate * hidden_size + unit;
        pack_transposed(weight_ih + row * input_size, lanes, input_size, input_size, width,
                        at.input + (v * G + column) * V);
        for (Index lane = 0; lane < V; ++lane) {
          const bool real = lane < lanes && bias_ih;
          const bool split = Cell::kSplitCandidate && gate == G - 1;
          const T bias = !real ? T(0) : split ? bias_ih[row + lane] : bias_ih[row + lane] + bias_hh[row + lane];
          at.bias[(v * G + column) * V + lane] = bias + T(0);  // no -0, which a token's chain would keep and zeros not
          if (split) {
            at.candidate_bias[unit + lane] = real ? bias_hh[row + lane] : T(0);
          }
        }
      }
      for (int gate = 0; gate < G; ++gate) {
        const T *rows = weight_hh + (gate * hidden_size + unit) * hidden_size;
        if (Cell::kResetBefore && gate == G - 1) {
          pack_transposed(rows, lanes, hidden_size, hidden_size, V, at.candidate + unit * hidden_size);
        } else {
          pack_transposed(rows, lanes, hidden_size, hidden_size, hidden_width, at.hidden + (v * G + gate) * V);
        }
      }
    }
    at.input += width * input_size;
    at.bias += width;
    at.hidden += hidden_width * hidden_size;
  }
}

template <class Cell, class T>
struct BackwardLayout {
  T *input;   // W_ih: [panel of input columns][gate * hidden_size + unit][column]
  T *hidden;  // W_hh: the same over hidden columns

  BackwardLayout(Arena &arena, Index input_size, Index hidden_size) {
    constexpr Index V = Vec<T>::size;
    input = arena.take<T>(ceil_div(input_size, V) * V * Cell::kGates * hidden_size);
    hidden = arena.take<T>(ceil_div(hidden_size, V) * V * Cell::kGates * hidden_size);
  }
};

template <class Cell, class T>
Index packed_backward(Index input_size, Index hidden_size) {
  Arena arena{nullptr};
  BackwardLayout<Cell, T>(arena, input_size, hidden_size);
  return arena.used / static_cast<Index>(sizeof(T));
}

template <class Cell, class T>
void pack_backward(Index input_size, Index hidden_size, const T *weight_ih, const T *weight_hh, T *to) {
  Arena arena{reinterpret_cast<char *>(to)};
  BackwardLayout<Cell, T> at(arena, input_size, hidden_size);
  const Index depth = Cell::kGates * hidden_size;
  pack_rows(weight_ih, depth, input_size, input_size, kPanelVectors, at.input);
  pack_rows(weight_hh, depth, hidden_size, hidden_size, kPanelVectors, at.hidden);
}

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
