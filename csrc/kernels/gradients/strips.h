// Which gradients the columns of a row of deltas are summed into.
#pragma once

#include "kernels/gradients/sides.h"
#include "kernels/recurrent/deltas.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

// The gradient of the parameter of a role, or of the one of that number where the role has several; null if the cell or
// the caller has none.
template <class T>
T *gradient_of(const GradientTask<T> &task, Role role, int number = 0) {
  const Cell &cell = *task.shape.cell;
  for (int p = 0; p < cell.parameter_count; ++p) {
    if (cell.parameters[p].role == role && number-- == 0) {
      return task.gradients[p];
    }
  }
  return nullptr;
}

// As few strips as may be: deltas side by side whose gradients, too, go on side by side are one. All parts have the
// same arrays of gradients, and so the same strips.
template <class T>
struct Strips {
  const Side<T> *sides;
  const int side_count;
  DeltaColumns<T> all[kMaxDeltas];
  int count = 0;

  Strips(const Side<T> *by, int number) : sides(by), side_count(number) {}

  void add(const DeltaColumns<T> &strip) {
    if (count > 0 && goes_on(all[count - 1], strip)) {
      all[count - 1].last = strip.last;
    } else {
      all[count++] = strip;
    }
  }

  bool goes_on(const DeltaColumns<T> &strip, const DeltaColumns<T> &next) const {
    const Index columns = strip.last - strip.first;
    const auto after = [columns](T *gradient, Index width) { return gradient ? gradient + columns * width : nullptr; };
    bool same = strip.last == next.first;
    for (int side = 0; side < side_count; ++side) {
      same = same && next.weight[side] == after(strip.weight[side], sides[side].columns);
    }
    for (int i = 0; i < 2; ++i) {
      same = same && next.bias[i] == after(strip.bias[i], 1);
    }
    return same;
  }

  // Leaves columns [begin, end) of a strip, or as many of them as it has.
  void narrow(DeltaColumns<T> &strip, Index begin, Index end) const {
    const Index skip = larger(begin - strip.first, 0);
    strip.first += skip;
    strip.last = smaller(strip.last, end);
    for (int side = 0; side < side_count; ++side) {
      strip.weight[side] += strip.weight[side] ? skip * sides[side].columns : 0;
    }
    for (T *&bias : strip.bias) {
      bias += bias ? skip : 0;
    }
  }
};

// This part's share of all deltas of weights without heads, biases, and parameters of one number per unit.
template <class T>
void cut(const GradientTask<T> &task, const Sides<T> &sides, Strips<T> &strips) {
  const Cell &cell = *task.shape.cell;
  const Index H = task.shape.hidden_size;
  const auto block = [H](T *gradient, int number, Index width) {
    return gradient && number >= 0 ? gradient + number * H * width : nullptr;
  };
  T *weight_ih = task.tokens ? nullptr : gradient_of(task, kInputWeight);
  T *bias_ih = gradient_of(task, kInputBias), *bias_hh = gradient_of(task, kRecurrentBias);
  Index at = 0;
  for (int d = 0; d < cell.delta_count; ++d) {
    const DeltaDescription &delta = cell.deltas[d];
    DeltaColumns<T> strip{at, at + delta_size(task.shape, d), {}, {}};
    at = strip.last;
    if (delta.of == kOfUnit) {
      strip.bias[0] = gradient_of(task, kUnitVector, delta.index);
    } else if (delta.of == kOfColumn) {
      const Column &column = cell.columns[delta.index];
      strip.weight[0] = block(weight_ih, column.input_block, task.shape.input_size);
      strip.bias[0] = block(bias_ih, column.input_bias, 1);
      strip.bias[1] = block(bias_hh, column.recurrent_bias, 1);
      for (const Product *p = cell.products; p < cell.products + cell.product_count; ++p) {
        const int i = delta.index - p->column;
        if (i >= 0 && i < p->count && cell.parameters[p->parameter].heads == 1) {
          strip.weight[sides.of[p->source]] =
              block(task.gradients[p->parameter], cell.blocks[p->first_block + i], source_size(task.shape, p->source));
        }
      }
    } else {
      continue;
    }
    strips.add(strip);
  }
  for (int s = 0; s < strips.count; ++s) {
    DeltaColumns<T> &strip = strips.all[s];
    const Index columns = strip.last - strip.first, first = strip.first;
    strips.narrow(strip, first + share(columns, task.part, task.parts),
                  first + share(columns, task.part + 1, task.parts));
  }
}

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
