// Gradients of weights: large products over many time steps at once, after BPTT has computed the deltas.
#pragma once

#include "kernels/gradients/input_tokens.h"
#include "kernels/gradients/strips.h"
#include "kernels/row_sums.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

template <class T>
struct WeightGradientWork {
  GradientWork<T> block;
  TokenWork<T> tokens;
  T *unit_sums;  // of a block, for a parameter that is one number

  WeightGradientWork(Arena &arena, const CellShape &shape, Index alphabet)
      : block(arena, 1 + shape.cell->states + shape.cell->staged),
        tokens(arena, alphabet),
        unit_sums(arena.take<T>(shape.cell->scalar_count ? shape.hidden_size : 0)) {}
};

template <class T>
struct WeightGradients {
  const GradientTask<T> &task;
  const CellShape &shape;
  const Cell &cell;
  const Index H;

  explicit WeightGradients(const GradientTask<T> &of)
      : task(of), shape(of.shape), cell(*of.shape.cell), H(of.shape.hidden_size) {}

  // Elements of a parameter.
  Index size_of_parameter(int number) const {
    const ParameterDescription &parameter = cell.parameters[number];
    switch (parameter.role) {
      case kInputWeight:
        return parameter.blocks * H * shape.input_size;
      case kRecurrentWeight:
        for (const Product *p = cell.products; p < cell.products + cell.product_count; ++p) {
          if (p->parameter == number) {
            return parameter.blocks * H * (source_size(shape, p->source) / parameter.heads);
          }
        }
        return 0;
      case kProjection:
        return shape.projected_size * H;
      case kScalar:
        return 1;
      default:
        return parameter.blocks * H;
    }
  }

  // This part's share of all elements, where there are no rows.
  void clear() const {
    for (int p = 0; p < cell.parameter_count; ++p) {
      const Index size = task.gradients[p] ? size_of_parameter(p) : 0;
      for (Index i = size * task.part / task.parts; i < size * (task.part + 1) / task.parts; ++i) {
        task.gradients[p][i] = 0;
      }
    }
  }

  // A block's share of weights with heads, of which each has its own columns of the source and rows of the weight.
  bool add_heads(GradientWork<T> &work, const Sides<T> &sides, Index from, Index count) const {
    const Index first = share(H, task.part, task.parts), last = share(H, task.part + 1, task.parts);  // units
    for (const Product *p = cell.products; p < cell.products + cell.product_count; ++p) {
      const Index heads = cell.parameters[p->parameter].heads, units = H / heads;
      const Index columns = source_size(shape, p->source) / heads;
      for (Index head = 0; heads > 1 && task.gradients[p->parameter] && head < heads; ++head) {
        const Side<T> side{columns, work.rows[sides.of[p->source]], head * columns};
        const Index begin = larger(first, head * units), end = smaller(last, (head + 1) * units);
        DeltaColumns<T> strips[kMaxProductColumns];
        for (int i = 0; i < p->count; ++i) {
          const Index at = delta_at(shape, p->column + i), row = cell.blocks[p->first_block + i] * H + begin;
          strips[i] = {at + begin, at + end, {task.gradients[p->parameter] + row * columns}, {}};
        }
        if (begin < end && !block_gradient(work, &side, 1, strips, p->count, count, delta_row(task.deltas, from),
                                           task.deltas.stride, from > 0, task.worker)) {
          return false;
        }
      }
    }
    return true;
  }

  // A block's share of parameters that are one number: summed over its rows unit by unit, then over the units.
  bool add_scalars(T *unit_sums, Index from, Index count) const {
    for (int d = 0; d < cell.delta_count; ++d) {
      const DeltaDescription &delta = cell.deltas[d];
      T *gradient = delta.of == kOfScalar ? gradient_of(task, kScalar, delta.index) : nullptr;
      if (!gradient || delta.index % task.parts != task.part) {
        continue;
      }
      block_sums(delta_row(task.deltas, from) + delta_at(shape, d), task.deltas.stride, count, H, unit_sums, false);
      const T sum = sum_of(unit_sums, H);
      *gradient = from > 0 ? *gradient + sum : sum;
      if (interrupted(task.worker, count * H)) {
        return false;
      }
    }
    return true;
  }

  bool run() const {
    const Index total = task.rows.offset[task.rows.steps];
    if (total == 0) {
      clear();
      return true;
    }
    Arena arena{reinterpret_cast<char *>(task.work)};
    WeightGradientWork<T> work(arena, shape, task.tokens ? task.alphabet : 0);
    const Sides<T> sides(task, work.block);
    Strips<T> strips(sides.all, sides.count);
    cut(task, sides, strips);
    const InputTokens<T> tokens(task, work.block, work.tokens);
    if (task.tokens) {
      tokens.start();
    }
    Visit visit(task.rows, task.reverse, task.from);
    for (Index from = task.from; from < task.to; from += kBlockRows) {
      const Index count = smaller(kBlockRows, task.to - from);
      sides.find_rows(visit, count);
      if ((task.tokens && !tokens.add_block(from, count)) ||
          !block_gradient(work.block, sides.all, sides.count, strips.all, strips.count, count,
                          delta_row(task.deltas, from), task.deltas.stride, from > 0, task.worker) ||
          !add_heads(work.block, sides, from, count) || !add_scalars(work.unit_sums, from, count)) {
        return false;
      }
    }
    return !task.tokens || task.to < total || tokens.finish();
  }
};

template <class T>
bool gradient(const GradientTask<T> *task) {
  return WeightGradients<T>(*task).run();
}

template <class T>
Index gradient_work(const CellShape *shape, Index alphabet) {
  Arena arena{nullptr};
  WeightGradientWork<T>(arena, *shape, alphabet);
  return arena.used / static_cast<Index>(sizeof(T));
}

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
