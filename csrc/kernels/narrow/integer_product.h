// Products with panels of int8 weights, as product/panel_product.h and product/row_product.h do those of floats.
#pragma once

#include "kernels/narrow/int8_weights.h"
#include "kernels/narrow/integer_row_tile.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

// All rows against one panel, of one term. Its depth isn't divided, since sums of integers end in registers.
template <class Finish, class Prepare = Unprepared, class Placing = ToScratch>
RECURRA_INLINE void panel_product(const PanelProduct<float, Int8Weights> &product, Finish finish,
                                  Prepare prepare = Unprepared(), Placing place = ToScratch()) {
  const Term<float, Int8Weights> &term = *product.terms;
  const int vectors = product.vectors;
  const Index width = vectors * kOutputs, most = smaller(product.tile_rows, integer_tile_rows(vectors));
  alignas(64) float scratch[kScratchRows * kPanelVectors * kOutputs];
  IntegerPanelPrefetch next(product.ahead, term.depth, vectors, product.rows, most);
  balanced_tiles(product.rows, most, vectors, [&](Index first, Index n) __attribute__((always_inline)) {
    const Destination<float> to = place(first, Destination<float>{scratch, width});
    if constexpr (std::is_invocable_v<Prepare, Index, Index, PrefetchList &>) {
      PrefetchList lines;
      prepare(first, n, lines);
      for (const void *line : lines) {
        fetch(line);
      }
    } else {
      prepare(first, n);
    }
    const IntegerPrefetch ahead = next.take();
    integer_tile_for(n, vectors)(product.from + first * product.from_stride, product.from_stride, term.rows + first,
                                 term.panel, term.row_offset, term.depth, to.at, to.stride, ahead);
    finish(first, n, to.at);
  });
}

// A single row against a run of panels.
RECURRA_INLINE void row_product(const QuantisedRow &row, Index first, const Panels<float, Int8Weights> &panels,
                                const float *from, Index from_panel_stride, const float *last_from, float *to) {
  const IntegerPanels run{panels.count,  panels.vectors, panels.last_vectors, panels.weights,  panels.last_weights,
                          panels.stride, first,          panels.depth,        panels.backwards};
  integer_row_product(row, run, from, from_panel_stride, last_from, to);
}

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
