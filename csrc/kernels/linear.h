// A fully connected layer, y = x Wᵀ + b, forward and backward, on the same tiles as the cells.
#pragma once

#include "kernels/gradients/block.h"
#include "kernels/product/panel_product.h"
#include "kernels/product/panels.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

constexpr Index kLinearRows = 256;  // rows that pass one panel before the next

// Elements of either packed form: for x Wᵀ the bias and W transposed, for dy W the weight as it stands.
template <class T>
Index linear_packed(Index in, Index out) {
  constexpr Index V = Vec<T>::size;
  return larger(ceil_div(out, V) * V * (in + 1), ceil_div(in, V) * V * out);
}

template <class T>
bool pack_linear_forward(Index in, Index out, const T *weight, const T *bias, T *to, Worker *worker) {
  constexpr Index V = Vec<T>::size;
  for (Index begin = 0; begin < out; begin += V, to += V) {
    (bias ? get(bias + begin, out - begin) : Vec<T>::zero()).store(to);
  }
  for (Index begin = 0; begin < out; begin += kPanelVectors * V) {
    const Index width = smaller(kPanelVectors * V, ceil_div(out - begin, V) * V);
    for (Index lane = 0; lane < width; lane += V) {
      pack_transposed(weight + (begin + lane) * in, smaller(V, out - begin - lane), in, in, width, to + lane);
    }
    to += width * in;
    if (interrupted(worker, kPackingWork * width * in)) {
      return false;
    }
  }
  return true;
}

template <class T>
bool pack_linear_backward(Index in, Index out, const T *weight, T *to, Worker *worker) {
  return pack_rows(weight, out, in, in, kPanelVectors, to, worker);
}

template <class T>
struct LinearWork {
  T *accumulators;
  const T **rows;
  GradientWork<T> gradient;

  explicit LinearWork(Arena &arena)
      : accumulators(arena.take<T>(kLinearRows * kPanelVectors * Vec<T>::size)),
        rows(arena.take<const T *>(kLinearRows)),
        gradient(arena, 1) {}
};

template <class T>
Index linear_work() {
  Arena arena{nullptr};
  LinearWork<T>{arena};
  return arena.used / static_cast<Index>(sizeof(T));
}

// to[row][:] = from + Σ_k a[row][k] panel[k][:] for rows [first, last) of contiguous a and to; panels stand one after
// another, `from` (or zeros, if null) holds the beginning of each column's chain.
template <class T>
bool dense(Index first, Index last, Index depth, Index columns, const T *a, const T *from, const T *panels, T *to,
           LinearWork<T> &work, Worker *worker) {
  constexpr Index V = Vec<T>::size;
  constexpr Index full = kPanelVectors * V;
  alignas(64) static const T zeros[full] = {};
  for (Index begin = first; begin < last; begin += kLinearRows) {
    const Index count = smaller(kLinearRows, last - begin);
    for (Index i = 0; i < count; ++i) {
      work.rows[i] = a + (begin + i) * depth;
    }
    const T *panel = panels;
    for (Index column = 0; column < columns; column += full) {
      const int vectors = static_cast<int>(smaller(kPanelVectors, ceil_div(columns - column, V)));
      const Index width = vectors * V;
      const Term<T> term{work.rows, 0, panel, depth};
      T *out = to + begin * columns + column;
      const bool whole = column + width <= columns;  // straight into the rows, 5 to 8 % of a call
      panel_product(
          PanelProduct<T>{count, vectors, from ? from + column : zeros, 0, &term, 1, depth, kMaxTileRows,
                          work.accumulators, column + full < columns ? panel + width * depth : nullptr, true},
          [&](Index row, Index n, const T *sums) {
            for (Index r = row; !whole && r < row + n; ++r, sums += width) {
              for (Index i = 0; i < width; i += V) {
                put(Vec<T>::load(sums + i), out + r * columns + i, columns - column - i);
              }
            }
          },
          [&](Index row, Index n, PrefetchList &lines) {
            for (Index r = row; r < row + n; ++r) {
              lines.add(out + r * columns);
            }
          },
          [&](Index row, const Destination<T> &scratch) {
            return whole ? Destination<T>{out + row * columns, columns} : scratch;
          });
      panel += width * depth;
      if (interrupted(worker, count * width * depth)) {
        return false;
      }
    }
  }
  return true;
}

template <class T>
bool linear_forward(const LinearTask<T> *task) {
  constexpr Index V = Vec<T>::size;
  Arena arena{reinterpret_cast<char *>(task->work)};
  LinearWork<T> work(arena);
  return dense(task->first, task->last, task->in, task->out, task->x, task->packed,
               task->packed + ceil_div(task->out, V) * V, task->y, work, task->worker);
}

// dx of rows [first, last), and this part's share of the weight's rows.
template <class T>
bool linear_backward(const LinearTask<T> *task) {
  Arena arena{reinterpret_cast<char *>(task->work)};
  LinearWork<T> work(arena);
  if (task->dx && !dense(task->first, task->last, task->out, task->in, task->dy, static_cast<const T *>(nullptr),
                         task->packed, task->dx, work, task->worker)) {
    return false;
  }
  const Index in = task->in, out = task->out;
  const Index first = share(out, task->part, task->parts), last = share(out, task->part + 1, task->parts);
  T *bias = task->dbias ? task->dbias + first : nullptr;
  if (task->rows == 0) {
    for (Index i = first * in; i < last * in; ++i) task->dweight[i] = 0;
    for (Index i = first; bias && i < last; ++i) task->dbias[i] = 0;
  }
  const Side<T> side{in, work.gradient.rows[0], 0};
  const DeltaColumns<T> strip{first, last, {task->dweight + first * in}, {bias}};
  for (Index from = 0; from < task->rows; from += kBlockRows) {
    const Index count = smaller(kBlockRows, task->rows - from);
    for (Index i = 0; i < count; ++i) {
      work.gradient.rows[0][i] = task->x + (from + i) * in;
    }
    if (!block_gradient(work.gradient, &side, 1, &strip, 1, count, task->dy + from * out, out, from > 0,
                        task->worker)) {
      return false;
    }
  }
  return true;
}

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
