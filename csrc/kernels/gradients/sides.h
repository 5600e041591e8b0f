// What the weights of a layer have multiplied: x, and the sources of its products.
#pragma once

#include "kernels/gradients/block.h"
#include "kernels/recurrent/layout.h"
#include "kernels/recurrent/order.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

template <class T>
struct Sides {
  const GradientTask<T> &task;
  const Cell &cell;
  const GradientWork<T> &work;

  Side<T> all[kMaxSides];  // x, or nothing where it is tokens, then sources; of weights without heads
  int count = 1;
  int of[kMaxSources] = {};  // the side that is a source; 0: no product reads it

  Sides(const GradientTask<T> &of_task, const GradientWork<T> &memory)
      : task(of_task), cell(*of_task.shape.cell), work(memory) {
    all[0] = {task.tokens || cell.input_columns == 0 ? 0 : task.shape.input_size, work.rows[0], 0};
    for (int p = 0; p < cell.product_count; ++p) {
      const Product &product = cell.products[p];
      int &side = of[product.source];
      if (side == 0) {
        side = count++;
        all[side] = {0, work.rows[side], 0};
      }
      if (cell.parameters[product.parameter].heads == 1) {
        all[side].columns = source_size(task.shape, product.source);
      }
    }
  }

  const T *source_row(int source, const Visit &at) const {
    const Index units = padded_units<T>(task.shape.hidden_size);
    if (source >= cell.states) {
      const Index row = task.rows.offset[at.t] + at.b;
      return task.kept + row * task.kept_stride + cell.staged_kept[source - cell.states] * units;
    }
    return entering(task.rows, task.reverse, at.t, at.b, source ? task.states[source] : task.out.base,
                    source ? units : task.out.row_stride, task.initial[source], source_size(task.shape, source));
  }

  // Notes where the rows of a block are, or which tokens they have.
  void find_rows(Visit &visit, Index row_count) const {
    for (Index i = 0; i < row_count; ++i, visit.next()) {
      if (task.tokens) {
        work.tokens[i] = task.tokens[task.rows.offset[visit.t] + visit.b];
      } else if (all[0].columns > 0) {
        work.rows[0][i] = row_at(task.x, task.rows, visit.t, visit.b);
      }
      for (int source = 0; source < cell.states + cell.staged; ++source) {
        if (of[source]) {
          work.rows[of[source]][i] = source_row(source, visit);
        }
      }
    }
  }
};

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
