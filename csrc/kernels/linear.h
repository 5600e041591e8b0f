// A fully connected layer, y = x Wᵀ + b, forward and backward, on the same tiles as the cells.
#pragma once

#include "kernels/gradients/block.h"
#include "kernels/narrow/integer_product.h"
#include "kernels/product/panels.h"
#include "kernels/recurrent/packing.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

constexpr Index kLinearRows = 256;  // rows that pass one panel before the next

// Elements of what is packed for x Wᵀ: the bias, then panels of W transposed.
template <class T, class W>
Index linear_packed_forward(Index in, Index out) {
  constexpr Index V = Vec<T>::size, full = kPanelVectors * V;
  const auto rest = static_cast<int>(ceil_div(out % full, V));
  const Index panels = out / full * W::panel_size(in, kPanelVectors) + (rest ? W::panel_size(in, rest) : 0);
  constexpr auto size = static_cast<Index>(sizeof(typename W::Storage));
  return padded_units<T>(out) + ceil_div(panels * size, static_cast<Index>(sizeof(T)));
}
// And for dy W: the weight as it stands.
template <class T>
Index linear_packed(Index in, Index out) {
  return larger(linear_packed_forward<T, FullWeights<T>>(in, out), padded_units<T>(in) * out);
}
template <class T, class W>
auto linear_panels(const T *packed, Index out) {
  return reinterpret_cast<const typename W::Storage *>(packed + padded_units<T>(out));
}

template <class T, class W = FullWeights<T>>
bool pack_linear_forward(Index in, Index out, const void *weight, const float *scales, const T *bias, T *to,
                         Worker *worker) {
  constexpr Index V = Vec<T>::size;
  auto *panel = const_cast<typename W::Storage *>(linear_panels<T, W>(to, out));
  for (Index begin = 0; begin < out; begin += V) {
    (bias ? get(bias + begin, out - begin) : Vec<T>::zero()).store(to + begin);
  }
  for (Index begin = 0; begin < out; begin += kPanelVectors * V) {
    const auto vectors = static_cast<int>(smaller(kPanelVectors, ceil_div(out - begin, V)));
    for (int v = 0; v < vectors; ++v) {
      const Index row = begin + v * V;
      pack_units(MatrixRows<W>{static_cast<const typename W::Storage *>(weight), scales, row, in}, row,
                 smaller(V, out - row), out, in, 1, PanelPlace<W>{panel, vectors, v});
    }
    panel += W::panel_size(in, vectors);
    if (interrupted(worker, kPackingWork * vectors * V * in)) {
      return false;
    }
  }
  return true;
}

template <class T>
bool pack_linear_backward(Index in, Index out, const T *weight, T *to, Worker *worker) {
  return pack_rows(weight, out, in, in, kPanelVectors, to, worker);
}

// Of x that becomes integers, as many rows as the half of an L2 cache holds of them.
template <class W>
constexpr Index linear_rows(Index in) {
  return W::kIntegers ? larger(8, smaller(kLinearRows, (Index(1) << 18) / larger(in, 1))) : kLinearRows;
}

template <class T, class W>
struct DenseWork {
  T *accumulators;
  const T **rows;
  Sources<T, W> sources;

  DenseWork(Index in, Arena &arena)
      : accumulators(arena.take<T>(kLinearRows * kPanelVectors * Vec<T>::size)),
        rows(arena.take<const T *>(kLinearRows)),
        sources(linear_rows<W>(in), in, arena) {}
};

template <class T>
struct LinearWork {
  DenseWork<T, FullWeights<T>> dense;
  GradientWork<T> gradient;

  explicit LinearWork(Arena &arena) : dense(0, arena), gradient(arena, 1) {}
};

template <class T>
Index linear_work(Index) {
  Arena arena{nullptr};
  LinearWork<T>{arena};
  return arena.used / static_cast<Index>(sizeof(T));
}
template <class T, class W>
Index narrow_linear_work(Index in) {
  Arena arena{nullptr};
  DenseWork<T, W>(in, arena);
  return arena.used / static_cast<Index>(sizeof(T));
}

// to[row][:] = from + Σ_k a[row][k] panel[k][:] for rows [first, last) of contiguous a and to; panels stand one after
// another, `from` (or zeros, if null) holds the beginning of each column's chain.
template <class T, class W>
bool dense(Index first, Index last, Index depth, Index columns, const T *a, const T *from,
           const typename W::Storage *panels, T *to, DenseWork<T, W> &work, Worker *worker) {
  constexpr Index V = Vec<T>::size;
  constexpr Index full = kPanelVectors * V;
  alignas(64) static const T zeros[full] = {};
  const Index most = linear_rows<W>(depth);
  for (Index begin = first; begin < last; begin += most) {
    const Index count = smaller(most, last - begin);
    for (Index i = 0; i < count; ++i) {
      work.rows[i] = a + (begin + i) * depth;
    }
    const typename W::Row *rows = work.sources.of(work.rows, count, T(0));
    const typename W::Storage *panel = panels;
    for (Index column = 0; column < columns; column += full) {
      const int vectors = static_cast<int>(smaller(kPanelVectors, ceil_div(columns - column, V)));
      const Index width = vectors * V;
      const Term<T, W> term{rows, 0, panel, depth};
      T *out = to + begin * columns + column;
      const bool whole = column + width <= columns;  // straight into the rows, 5 to 8 % of a call
      panel_product(
          PanelProduct<T, W>{count, vectors, from ? from + column : zeros, 0, &term, 1, depth, kMaxTileRows,
                             work.accumulators,
                             column + full < columns ? panel + W::panel_size(depth, vectors) : nullptr, true},
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
      panel += W::panel_size(depth, vectors);
      if (interrupted(worker, count * width * depth)) {
        return false;
      }
    }
  }
  return true;
}

template <class T, class W = FullWeights<T>>
bool linear_forward(const LinearTask<T> *task) {
  Arena arena{reinterpret_cast<char *>(task->work)};
  DenseWork<T, W> work(task->in, arena);
  return dense(task->first, task->last, task->in, task->out, task->x, task->packed,
               linear_panels<T, W>(task->packed, task->out), task->y, work, task->worker);
}

// dx of rows [first, last), and this part's share of the weight's rows.
template <class T>
bool linear_backward(const LinearTask<T> *task) {
  Arena arena{reinterpret_cast<char *>(task->work)};
  LinearWork<T> work(arena);
  if (task->dx && !dense(task->first, task->last, task->out, task->in, task->dy, static_cast<const T *>(nullptr),
                         task->packed, task->dx, work.dense, task->worker)) {
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
