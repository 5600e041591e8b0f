// Batch 1: one row is multiplied by several panels at once. A tile of one row by one panel has four chains or fewer,
// half of what two FMA units with a latency of four cycles need; with more, a GRU at H=128 is 1.3 and an LSTM at
// H=32 1.4 times as fast.
#pragma once

#include "kernels/product/panel_product.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

constexpr int kRowPanels = 8;
constexpr Index kRowGroup = 8;  // panels whose sums wait for each other, so that their activations overlap

// Panels of `vectors` vectors by which a row is multiplied at once: 8 to 12 chains.
constexpr int row_panels(int vectors) { return vectors == 1 ? kRowPanels : vectors == 4 ? 2 : 4; }

// to[p][:] = from[p][:] + Σ_k row[k] * panel[p][k][:] for P panels, C vectors wide, one fma chain per element. After
// them comes one more panel of N vectors, if N isn't 0: the last of a row of units that isn't a whole number of panels.
template <class T, class W = FullWeights<T>>
using RowTile = void (*)(const T *from,                           // (P, C vectors): where the chains begin
                         Index from_stride,                       // from one panel's to the next
                         typename W::Row row,                     // (depth)
                         const typename W::Storage *panel,        // (P, depth, C vectors)
                         Index panel_stride,                      // from one panel to the next
                         Index depth,                             // of the product
                         T *to,                                   // (P, C vectors), then (N vectors)
                         const T *last_from,                      // (N vectors)
                         const typename W::Storage *last_panel);  // (depth, N vectors)

// The sums of weights of which two depths lie together.
template <int P, int C, int N, class W>
RECURRA_INLINE void multiply_row_pairs(const float *row, const typename W::Storage *panel, Index panel_stride,
                                       Index depth, const typename W::Storage *last_panel, Vec<float> (&sum)[P][C],
                                       Vec<float> (&last)[N ? N : 1]) {
  constexpr Index V = W::kLanes;
  const auto add_pair = [&](Index k, auto both) __attribute__((always_inline)) {
    constexpr bool kBoth = decltype(both)::value;
    const Vec<float> a = Vec<float>::broadcast(row[k]), b = Vec<float>::broadcast(row[kBoth ? k + 1 : k]);
    const auto add = [&](const typename W::Storage *from, Vec<float> &to) __attribute__((always_inline)) {
      const typename W::Pair pair = W::load_pair(from);
      to = fma(a, W::template half<0>(pair), to);
      if (kBoth) {
        to = fma(b, W::template half<1>(pair), to);
      }
    };
#pragma GCC unroll 8
    for (int p = 0; p < P; ++p) {
#pragma GCC unroll 4
      for (int c = 0; c < C; ++c) {
        add(panel + p * panel_stride + 2 * c * V, sum[p][c]);
      }
    }
#pragma GCC unroll 4
    for (int c = 0; c < N; ++c) {
      add(last_panel + 2 * c * V, last[c]);
    }
  };
  Index k = 0;
  for (; k + 1 < depth; k += 2, panel += 2 * C * V, last_panel += 2 * N * V) {
    add_pair(k, std::true_type());
  }
  if (k < depth) {
    add_pair(k, std::false_type());
  }
}

template <int P, int C, int N, class T, class W>
__attribute__((noinline)) void row_tile(const T *from, Index from_stride, typename W::Row row,
                                        const typename W::Storage *panel, Index panel_stride, Index depth, T *to,
                                        const T *last_from, const typename W::Storage *last_panel) {
  constexpr int V = Vec<T>::size;
  Vec<T> sum[P][C], last[N ? N : 1];
#pragma GCC unroll 8
  for (int p = 0; p < P; ++p) {
#pragma GCC unroll 4
    for (int c = 0; c < C; ++c) {
      sum[p][c] = Vec<T>::load(from + p * from_stride + c * V);
    }
  }
#pragma GCC unroll 4
  for (int c = 0; c < N; ++c) {
    last[c] = Vec<T>::load(last_from + c * V);
  }
  if constexpr (W::kGroup == 2) {
    multiply_row_pairs<P, C, N, W>(row, panel, panel_stride, depth, last_panel, sum, last);
  } else {
    for (Index k = 0; k < depth; ++k, panel += C * V, last_panel += N * V) {
      const Vec<T> a = Vec<T>::broadcast(row[k]);
#pragma GCC unroll 8
      for (int p = 0; p < P; ++p) {
#pragma GCC unroll 4
        for (int c = 0; c < C; ++c) {
          sum[p][c] = fma(a, W::load(panel + p * panel_stride + c * V), sum[p][c]);
        }
      }
#pragma GCC unroll 4
      for (int c = 0; c < N; ++c) {
        last[c] = fma(a, W::load(last_panel + c * V), last[c]);
      }
    }
  }
#pragma GCC unroll 8
  for (int p = 0; p < P; ++p) {
#pragma GCC unroll 4
    for (int c = 0; c < C; ++c) {
      sum[p][c].store(to + (p * C + c) * V);
    }
  }
#pragma GCC unroll 4
  for (int c = 0; c < N; ++c) {
    last[c].store(to + (P * C + c) * V);
  }
}

// Of `panels` panels of `vectors` vectors, and one of last_vectors, or 0; only full panels have one after them.
template <class T, class W = FullWeights<T>>
inline RowTile<T, W> row_tile_for(Index panels, int vectors, int last_vectors) {
  static constexpr RowTile<T, W> even[kPanelVectors][kRowPanels] = {
      {row_tile<1, 1, 0, T, W>, row_tile<2, 1, 0, T, W>, row_tile<3, 1, 0, T, W>, row_tile<4, 1, 0, T, W>,
       row_tile<5, 1, 0, T, W>, row_tile<6, 1, 0, T, W>, row_tile<7, 1, 0, T, W>, row_tile<8, 1, 0, T, W>},
      {row_tile<1, 2, 0, T, W>, row_tile<2, 2, 0, T, W>, row_tile<3, 2, 0, T, W>, row_tile<4, 2, 0, T, W>},
      {row_tile<1, 3, 0, T, W>, row_tile<2, 3, 0, T, W>, row_tile<3, 3, 0, T, W>, row_tile<4, 3, 0, T, W>},
      {row_tile<1, 4, 0, T, W>, row_tile<2, 4, 0, T, W>},
  };
  static constexpr RowTile<T, W> uneven[2][kPanelVectors - 1] = {
      {row_tile<1, kPanelVectors, 1, T, W>, row_tile<1, kPanelVectors, 2, T, W>, row_tile<1, kPanelVectors, 3, T, W>},
      {row_tile<2, kPanelVectors, 1, T, W>, row_tile<2, kPanelVectors, 2, T, W>, row_tile<2, kPanelVectors, 3, T, W>},
  };
  return last_vectors ? uneven[panels - 1][last_vectors - 1] : even[vectors - 1][panels - 1];
}

// `count` panels, alike and `stride` apart, and after them perhaps one of last_vectors vectors. More than one in all
// only for a single row.
template <class T, class W = FullWeights<T>>
struct Panels {
  Index count;
  int vectors;
  int last_vectors;  // 0: none
  const typename W::Storage *weights, *last_weights;
  Index stride;
  Index depth;
  const typename W::Storage *ahead;  // the next panel, or null; several panels at once prefetch nothing
  bool backwards;

  Index all() const { return count + (last_vectors ? 1 : 0); }
};

// The sums of a row with a run of panels, one panel's after another, into to[(kRowGroup + 1) * kPanelVectors vectors].
// Those of panel p begin as from + p * from_panel_stride, those of an uneven last panel as last_from.
template <class T, class W>
RECURRA_INLINE void row_product(typename W::Row row, const Panels<T, W> &panels, const T *from, Index from_panel_stride,
                                const T *last_from, T *to) {
  const Index width = panels.vectors * Vec<T>::size, most = row_panels(panels.vectors);
  const Index stride = panels.backwards ? -most : most;  // `most` is a power of two
  for (Index p = panels.backwards ? (panels.count - 1) & -most : 0; p >= 0 && p < panels.count; p += stride) {
    const Index count = smaller(most, panels.count - p);
    const int last_vectors = p + count == panels.count ? panels.last_vectors : 0;
    row_tile_for<T, W>(count, panels.vectors, last_vectors)(
        from + p * from_panel_stride, from_panel_stride, row, panels.weights + p * panels.stride, panels.stride,
        panels.depth, to + p * width, last_from, panels.last_weights);
  }
}
// The same of a row whose first elements, of which the panels know nothing, are passed over.
template <class T, class W>
RECURRA_INLINE void row_product(typename W::Row row, Index first, const Panels<T, W> &panels, const T *from,
                                Index from_panel_stride, const T *last_from, T *to) {
  row_product(row + first, panels, from, from_panel_stride, last_from, to);
}

// Panels to do at once: `count` from `first` on, of which the last may be uneven, and the one that comes next, or -1.
struct PanelRun {
  Index first, count;
  bool uneven;
  Index next;
  bool backwards;
};

// Calls visit(run) for balanced runs of `panels` panels: one panel each for several rows, up to kRowGroup for a single
// row, where an uneven last panel joins the run before it. Stops when visit returns false.
template <class Visit>
RECURRA_INLINE bool panel_runs(Index panels, Index rows, bool uneven, bool backwards, Visit visit) {
  const bool joins = uneven && rows == 1 && panels > 1;
  const Index units = panels - (joins ? 1 : 0), runs = rows == 1 ? ceil_div(units, kRowGroup) : units;
  const auto start = [=](Index run) {  // most often without a division
    return runs == units ? run : run == 0 ? 0 : run == runs ? units : units * run / runs;
  };
  for (Index i = 0; i < runs; ++i) {
    const Index run = backwards ? runs - 1 - i : i;
    const Index next = i + 1 == runs ? -1 : start(backwards ? run - 1 : run + 1);
    const Index first = start(run), end = start(run + 1);
    const bool last = joins && run == runs - 1;
    if (!visit(PanelRun{first, end - first + (last ? 1 : 0), last, next, backwards})) {
      return false;
    }
  }
  return true;
}

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
