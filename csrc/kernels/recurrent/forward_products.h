// What the products of every step multiply, and where they put their sums: found once, before the first step, but for
// what must be made of a step's rows first.
#pragma once

#include "kernels/product/panel_product.h"
#include "kernels/product/row_product.h"
#include "kernels/recurrent/cell_code.h"
#include "kernels/recurrent/forward_units.h"
#include "kernels/recurrent/projection.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

template <class T, class W = FullWeights<T>>
struct ForwardProducts : ForwardUnits<T> {
  using Units = ForwardUnits<T>;
  using Storage = typename W::Storage;
  using Units::cell, Units::now, Units::row_count, Units::rows, Units::task, Units::V;

  const Stage *const stages;
  const ForwardEpilogue<T> *const compiled;  // by stage; null where the cell is a program
  Arena packed_arena, work_arena, shared_arena;
  const ForwardLayout<T, W> packed;
  const PanelShare<T> hidden, projected;  // this part's
  Projection<T, W> projection;

  // What a product of every step needs.
  struct ProductWork {
    int number, count;  // of the product; of its columns
    const PanelGrid<T> *grid;
    Index column;            // where its first one is in a projected row, in vectors of a panel's units
    const Storage *weights;  // its panels, `stride` apart
    Index stride, depth, heads;
    const typename W::Row *rows[2];  // of the source, by `now`
    int quantises;                   // the source that this product is the first to read in a step, or -1
    bool begun;                      // its chains go on from `partial`
    const PanelShare<T> *share;
  } *works;

  // A run of panels of a product by which a single row is multiplied at once, prepared once for all steps.
  struct RowRun {
    Panels<T, W> panels;
    Index from_row;               // of the source, where heads let the product begin
    const T *from, *last_from;    // of chunk row 0, or of `partial`
    Index row_width, last_width;  // from chunk row to chunk row
    Index panel_stride;
    Index first_panel, unit;
    int vectors;
    Index cost;          // in multiply-adds
    bool last, fetches;  // of its stage; whether what the tape keeps is prefetched
    T *to;               // of what isn't the last
    const T *projected;  // of chunk row 0
    TileColumns<T> columns;
  };

  RowRun *row_runs;  // [product][forwards, backwards][run]
  Index most_row_runs;
  Index *row_run_counts;  // [product]
  RowRun *runs_of(int product, bool backwards) const { return row_runs + (2 * product + backwards) * most_row_runs; }

  T *partial;   // sums of products that aren't the last of their stage, [panel][row][column][unit], or null
  bool copies;  // some product goes on with columns of which others have begun a part: then all are in `partial`
  const T **source_rows[kMaxSources][2];
  Sources<T, W> sources[kMaxSources];
  alignas(64) T zeros[kPanelVectors * V] = {};

  ForwardProducts(const ForwardTask<T> &of, Index count, Arena work, Arena shared)
      : Units(of, count, work, shared),
        stages(of.taped ? cell.stages : cell.untaped_stages),
        compiled(cell.compiled == kInterpreted ? nullptr : forward_code<T>(cell.compiled).stages),
        packed_arena{reinterpret_cast<char *>(const_cast<T *>(of.packed))},
        work_arena(work),
        shared_arena(shared),
        packed(of.shape, packed_arena),
        hidden(packed.hidden, of.part, of.parts),
        projected(packed.projected, of.part, of.parts),
        projection(of, packed, count, hidden.first, hidden.last, work_arena),
        copies(false) {
    for (int s = 0; s < cell.states + cell.staged; ++s) {
      for (int i = 0; i < 2; ++i) {
        source_rows[s][i] = reads(s) ? work_arena.take<const T *>(count) : nullptr;
      }
      if (reads(s)) {
        sources[s] = Sources<T, W>(count, source_size(of.shape, s), work_arena);
      }
    }
    works = work_arena.take<ProductWork>(cell.product_count);
    bool any_partial = false;
    for (int s = 0; !compiled && s < cell.stage_count; ++s) {
      any_partial = any_partial || stages[s].products.count > 1;
    }
    for (int p = 0; p < cell.product_count; ++p) {
      const Product &product = cell.products[p];
      const PanelGrid<T> &grid = packed.grid_of(product);
      int begun = 0;
      for (int c = product.column; !compiled && c < product.column + product.count; ++c) {
        begun += begins_before(p, c) ? 1 : 0;
      }
      copies = copies || (begun > 0 && begun < product.count);
      any_partial = any_partial || begun > 0;
      // Under measurement, when there is no memory, nothing may be read or written.
      if (of.work) {
        works[p] = {p,
                    product.count,
                    &grid,
                    cell.columns[product.column].size == kProjected ? 0 : product.column,
                    packed.products + packed.product_at(p),
                    packed.panel_stride(product),
                    packed.depth_of(product),
                    cell.parameters[product.parameter].heads,
                    {rows_of(product.source, 0), rows_of(product.source, 1)},
                    first_to_read(p) ? product.source : -1,
                    begun > 0,
                    &grid == &packed.projected ? &projected : &hidden};
      }
    }
    partial = work_arena.take<T>(any_partial ? packed.padded() * packed.columns * count : 0);
    const Index most_panels = larger(packed.hidden.panels, packed.projected.panels);
    most_row_runs = has_heads() ? most_panels : ceil_div(most_panels, kRowGroup) + 1;
    row_runs = work_arena.take<RowRun>(most_row_runs * 2 * cell.product_count);
    row_run_counts = work_arena.take<Index>(cell.product_count);
  }

  bool has_heads() const {
    bool any = false;
    for (int i = 0; i < cell.parameter_count; ++i) {
      any = any || cell.parameters[i].heads > 1;
    }
    return any;
  }
  bool reads(int source) const {
    bool read = false;
    for (int p = 0; p < cell.product_count; ++p) {
      read = read || cell.products[p].source == source;
    }
    return read;
  }
  bool first_to_read(int product) const {
    bool first = true;
    for (int p = 0; p < product; ++p) {
      first = first && cell.products[p].source != cell.products[product].source;
    }
    return first;
  }
  bool begins_before(int product, int column) const {
    bool before = false;
    for (const Product *p = cell.products; p < cell.products + product; ++p) {
      before = before || (column >= p->column && column < p->column + p->count);
    }
    return before;
  }

  // What products read: the rows themselves, or what they are quantised to.
  const typename W::Row *rows_of(int source, int which) const {
    if constexpr (W::kIntegers) {
      return sources[source].rows;
    } else {
      return source_rows[source][which];
    }
  }
  // Of `count` rows, before a step's first product with the source. Every part of a team does it for itself.
  RECURRA_INLINE void quantise_rows(const ProductWork &work, Index count) const {
    if constexpr (W::kIntegers) {
      if (work.quantises >= 0) {
        sources[work.quantises].of(source_rows[work.quantises][now], count, floor_of(work.quantises));
      }
    }
  }
  // h of these cells is within [-1, 1], so that its scale is a constant.
  T floor_of(int source) const {
    const bool bounded = cell.compiled != kInterpreted && cell.compiled != kRnnRelu;
    return bounded && source == 0 ? T(1) : T(0);
  }

  int run_vectors(const PanelGrid<T> &grid, const PanelRun &run) const {
    return static_cast<int>(smaller(run.count * grid.unit_vectors, grid.vectors - run.first * grid.unit_vectors));
  }
  // Of the source of a product with heads, what the units of some panels read.
  Range source_range(const ProductWork &work, const PanelRun &run) const {
    if (work.heads == 1) {
      return {0, static_cast<std::int32_t>(work.depth)};
    }
    const Index units = work.grid->size / work.heads, part = work.depth / work.heads;
    const Index after = smaller((run.first + run.count) * work.grid->units, work.grid->size);
    const Index first = run.first * work.grid->units / units, last = (after - 1) / units + 1;
    const Index begin = first * part / W::kGroup * W::kGroup, end = last * part;
    return {static_cast<std::int32_t>(begin), static_cast<std::int32_t>(end - begin)};
  }

  Panels<T, W> panels_of(const ProductWork &work, const PanelRun &run, const Range &source) const {
    const Index end = run.first + run.count - 1;
    const int vectors = work.grid->vectors_of(run.first) * work.count;
    const int last = run.uneven ? work.grid->vectors_of(end) * work.count : 0;
    return {run.count - (last ? 1 : 0),
            vectors,
            last,
            W::panel_at(work.weights + run.first * work.stride, source.first, vectors),
            W::panel_at(work.weights + end * work.stride, source.first, last),
            work.stride,
            source.count,
            run.next < 0 || !task.plan->alternate ? nullptr : work.weights + run.next * work.stride,
            run.backwards};
  }

  // Where a panel's columns are, for rows from chunk row `row` and from row 0 of the slice on.
  TileColumns<T> columns_of(T *sums, const ProductWork *work, Index panel, Index row, Index first) const {
    const Index vectors = packed.hidden.vectors_of(panel), row_width = vectors * packed.columns * V;
    return {sums,
            work ? cell.products[work->number].column : 0,
            work ? work->count : 0,
            projection.panel_at(panel) + (row + first) * row_width,
            row_width,
            projection.panel_stride(),
            vectors * V,
            partial + panel * partial_stride() + first * row_width,
            row_width,
            partial_stride()};
  }

  Index partial_stride() const { return packed.hidden.units * packed.columns * row_count; }
  // From column to column of a panel.
  Index column_width(Index panel) const { return packed.hidden.vectors_of(panel) * V; }

  void copy_projected(Index panel, Index row, Index n) {
    const Index row_width = projection.width(panel);
    const T *from = projection.panel_at(panel) + row * row_width;
    for (Index i = 0; i < n * row_width; i += V) {
      Vec<T>::load(from + i).store(partial + panel * partial_stride() + i);
    }
  }

  int stage_of(const ProductWork &work) const {
    int stage = 0;
    while (work.number >= stages[stage].products.first + stages[stage].products.count) {
      ++stage;
    }
    return stage;
  }

  void fill(RowRun &to, const ProductWork &work, const PanelRun &run) const {
    const PanelGrid<T> &grid = *work.grid;
    const bool of_h = &grid == &packed.projected;
    const Index end = run.first + run.count - 1;
    const Range source = source_range(work, run);
    const int stage = stage_of(work);
    to.panels = panels_of(work, run, source);
    to.from_row = source.first;
    to.from = to.last_from = zeros;
    to.first_panel = run.first;
    to.unit = run.first * grid.units;
    to.vectors = run_vectors(grid, run);
    to.last = work.number + 1 == stages[stage].products.first + stages[stage].products.count;
    to.fetches = to.last && task.taped && stage + 1 == cell.stage_count && !of_h;
    to.columns = columns_of(nullptr, &work, of_h ? 0 : run.first, 0, 0);
    to.projected = to.columns.projected;
    to.cost = run.count * grid.units * work.count * source.count;
    to.row_width = to.last_width = to.panel_stride = 0;
    if (of_h) {
      return;
    }
    const Index skip = work.column * column_width(run.first);
    to.to = partial + run.first * partial_stride() + skip;
    if (work.begun || copies) {
      to.from = to.to;
      to.last_from = partial + end * partial_stride() + work.column * column_width(end);
      to.panel_stride = partial_stride();
    } else {
      to.from = projection.panel_at(run.first) + skip;
      to.last_from = projection.panel_at(end) + work.column * column_width(end);
      to.row_width = projection.width(run.first);
      to.last_width = projection.width(end);
      to.panel_stride = projection.panel_stride();
    }
  }

  // Fills row_runs, once there may be steps with a single row.
  void prepare_rows() {
    for (ProductWork *work = works; work < works + cell.product_count; ++work) {
      const PanelGrid<T> &grid = *work->grid;
      const Index count = work->share->last - work->share->first;
      const bool uneven = count > 0 && grid.vectors_of(work->share->last - 1) < grid.unit_vectors;
      for (int backwards = 0; backwards < (rows.steps > 1 ? 2 : 1); ++backwards) {  // the first step goes forwards
        Index made = 0;
        panel_runs(count, 1, uneven, backwards != 0, [&](PanelRun run) {
          run.first += work->share->first;
          run.next = -1;
          // With heads, few panels go together, since they multiply what any of them reads: four, or strips are short.
          // A narrower last one goes by itself.
          const Index end = run.first + run.count, whole = end - (run.uneven && work->heads > 1 ? 1 : 0);
          run.uneven = run.uneven && work->heads == 1;
          for (; run.first < end; run.first += run.count) {
            const Index last = run.first < whole ? whole : end;
            run.count = work->heads == 1 ? end - run.first : smaller(4, last - run.first);
            fill(runs_of(work->number, backwards != 0)[made++], *work, run);
          }
          return true;
        });
        row_run_counts[work->number] = made;
      }
    }
  }
};

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
