// The time loop, over any cell: its states after step t from x_t and its states before.
//
// The input projection b + W_ih x_t of a chunk of steps is computed beforehand (projection.h). The products of a step's
// stages then continue the same chains, panel by panel, and the epilogue of a stage's last product applies the cell's
// mathematics to each tile while it is in L1. A team may share out the panels, `part` of `parts` to each member; there
// is then a barrier after every stage of a step.
#pragma once

#include "kernels/interrupt.h"
#include "kernels/product/panel_product.h"
#include "kernels/product/row_product.h"
#include "kernels/recurrent/cell_code.h"
#include "kernels/recurrent/forward_program.h"
#include "kernels/recurrent/projection.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

template <class T, class W = FullWeights<T>>
struct Forward : ForwardUnits<T> {
  using Units = ForwardUnits<T>;
  using Storage = typename W::Storage;
  using Units::cell, Units::H, Units::now, Units::row_count, Units::rows, Units::state, Units::state_width;
  using Units::task, Units::V, Units::width;

  const Stage *const stages;
  const ForwardEpilogue<T> *const compiled;  // by stage; null where the cell is a program
  Arena packed_arena, work_arena, shared_arena;
  const ForwardLayout<T, W> packed;
  const PanelShare<T> hidden, projected;  // this part's
  Projection<T, W> projection;
  ForwardProgram<T> program;  // of a cell whose mathematics isn't compiled

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

  T *accumulators;  // sums of panel_product, [row][panel]
  T *partial;       // sums of products that aren't the last of their stage, [panel][row][column][unit], or null
  bool copies;      // some product goes on with columns of which others have begun a part: then all are in `partial`
  const T **source_rows[kMaxSources][2];
  Sources<T, W> sources[kMaxSources];
  alignas(64) T zeros[kPanelVectors * V] = {};

  Forward(const ForwardTask<T> &of, Index count)
      : Forward(of, count, Arena{reinterpret_cast<char *>(of.work)}, Arena{reinterpret_cast<char *>(of.shared)}) {}
  Forward(const ForwardTask<T> &of, Index count, Arena work, Arena shared)
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
        program(*this, packed.values, stages, work_arena),
        copies(false) {
    for (int s = 0; s < cell.states + cell.staged; ++s) {
      for (int i = 0; i < 2; ++i) {
        source_rows[s][i] = reads(s) ? work_arena.take<const T *>(count) : nullptr;
      }
      if (reads(s)) {
        sources[s] = Sources<T, W>(count, source_size(of.shape, s), work_arena);
      }
    }
    accumulators = work_arena.take<T>(count * kPanelVectors * V);
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
  // What products read: the rows themselves, or what they are quantised to.
  const typename W::Row *rows_of(int source, int which) const {
    if constexpr (W::kIntegers) {
      return sources[source].rows;
    } else {
      return source_rows[source][which];
    }
  }
  bool first_to_read(int product) const {
    bool first = true;
    for (int p = 0; p < product; ++p) {
      first = first && cell.products[p].source != cell.products[product].source;
    }
    return first;
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
  bool begins_before(int product, int column) const {
    bool before = false;
    for (const Product *p = cell.products; p < cell.products + product; ++p) {
      before = before || (column >= p->column && column < p->column + p->count);
    }
    return before;
  }

  Index alive(Index t) const { return alive_rows(task, t); }

  const PanelShare<T> &state_share(int j) const { return j == 0 && cell.projects ? projected : hidden; }

  // This part's units of a row of the caller's state, null for zeros, into a padded row and back.
  void load_state(int j, const T *from, T *to) const {
    const PanelShare<T> &share = state_share(j);
    const Index size = state_size(task.shape, j);
    for (Index i = share.first_unit; i < share.last_unit; i += V) {
      (from ? get(from + i, size - i) : Vec<T>::zero()).store(to + i);
    }
  }
  void store_state(int j, const T *from, T *to) const {
    const PanelShare<T> &share = state_share(j);
    const Index size = state_size(task.shape, j);
    for (Index i = share.first_unit; i < share.last_unit; i += V) {
      put(Vec<T>::load(from + i), to + i, size - i);
    }
  }

  void start() {
    for (int j = 0; j < cell.states; ++j) {
      const Index size = state_size(task.shape, j);
      for (Index b = 0; b < task.last - task.first; ++b) {
        const T *from = task.initial[j] ? task.initial[j] + rows.order[task.first + b] * size : nullptr;
        for (int i = 0; i < 2; ++i) {  // both, so that a row that joins later finds its initial state in either
          if (i == 0 || state[j][0] != state[j][1]) {
            load_state(j, from, state[j][i] + b * state_width[j]);
          }
          if (source_rows[j][i]) {
            source_rows[j][i][b] = state[j][i] + b * state_width[j];
          }
        }
      }
    }
    for (int k = 0; k < cell.staged; ++k) {
      for (Index b = 0; source_rows[cell.states + k][0] && b < task.last - task.first; ++b) {
        source_rows[cell.states + k][0][b] = source_rows[cell.states + k][1][b] = this->staged_row(k, b);
      }
    }
    projection.start();
    if (rows.steps > 0 && alive(rows.steps - 1) <= 1) {
      prepare_rows();
    }
  }

  // Hands out the states of rows [from, to) of the slice, which have come to their end.
  void end(Index from, Index to) {
    for (int j = 0; j < cell.states; ++j) {
      for (Index b = from; b < to; ++b) {
        store_state(j, state[j][now] + b * state_width[j],
                    task.final[j] + rows.order[task.first + b] * state_size(task.shape, j));
      }
    }
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

  // Prefetches where the epilogue will store what the tape keeps: some 20 lines, few enough to request at once.
  RECURRA_INLINE void fetch_units(const UnitTile &tile) const {
    const Index slot = packed.padded();
    for (Index b = tile.first; b < tile.first + tile.count; ++b) {
      const Index row = this->compact_row(tile.t, b);
      const T *kept = task.kept + row * task.kept_stride, *out = row_at(task.out, rows, tile.t, task.first + b);
      for (Index unit = tile.unit; unit < tile.unit + tile.vectors * V; unit += V) {
        for (int k = 0; k < cell.kept; ++k) {
          fetch_to_write(kept + k * slot + unit);
        }
        for (int j = 1; j < cell.states; ++j) {
          fetch_to_write(task.states[j] + row * slot + unit);
        }
        fetch_to_write(out + unit);
      }
    }
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

  // A product of step t with one panel and n rows, whose projection begins at chunk row `row`.
  void product_panel(Index t, int stage, const ProductWork &work, const PanelRun &run, Index row, Index n) {
    const bool last = work.number + 1 == stages[stage].products.first + stages[stage].products.count;
    const bool of_h = work.grid == &packed.projected;
    if (work.number == 0 && projection.lazy() && !copies) {
      projection.project_panel(run.first, n);
    }
    const TileColumns<T> at = columns_of(nullptr, &work, of_h ? 0 : run.first, row, 0);
    const Index skip = of_h ? 0 : work.column * column_width(run.first);
    const T *from = of_h ? zeros : (work.begun || copies ? at.partial : at.projected) + skip;
    const Range source = source_range(work, run);
    const Panels<T, W> panels = panels_of(work, run, source);
    const Term<T, W> term{work.rows[now], source.first, panels.weights, panels.depth};
    const PanelProduct<T, W> product{n,
                                     panels.vectors,
                                     from,
                                     of_h ? 0 : at.row,
                                     &term,
                                     1,
                                     task.plan->depth_block,
                                     task.plan->tile_rows,
                                     accumulators,
                                     panels.ahead,
                                     task.plan->alternate != 0};
    if (!last) {
      T *to = partial + run.first * partial_stride() + skip;
      panel_product(
          product, [](Index, Index, T *) {}, Unprepared(),
          [&](Index first, const Destination<T> &) { return Destination<T>{to + first * at.row, at.row}; });
      return;
    }
    UnitTile tile{t, run.first * work.grid->units, 0, 0, run_vectors(*work.grid, run)};
    const bool fetches = task.taped && stage + 1 == cell.stage_count && !of_h;
    panel_product(
        product,
        [&](Index first, Index count, T *sums) {
          tile.first = first;
          tile.count = count;
          apply(stage, tile, columns_of(sums, &work, of_h ? 0 : run.first, row, first));
        },
        [&](Index first, Index count) {
          if (fetches) {
            tile.first = first;
            tile.count = count;
            fetch_units(tile);
          }
        });
  }

  // The same for a single row.
  void product_row(Index t, int stage, const ProductWork &work, RowRun &run, Index row) {
    if (work.number == 0 && projection.lazy() && !copies) {
      for (Index p = 0; p < run.panels.all(); ++p) {
        projection.project_panel(run.first_panel + p, 1);
      }
    }
    const UnitTile tile{t, run.unit, 0, 1, run.vectors};
    if (run.fetches) {
      fetch_units(tile);
    }
    alignas(64) T sums[(kRowGroup + 1) * kPanelVectors * V];
    row_product(work.rows[now][0], run.from_row, run.panels, run.from + row * run.row_width, run.panel_stride,
                run.last_from + row * run.last_width, sums);
    if (run.last) {
      run.columns.sums = sums;
      run.columns.projected = run.projected + row * run.columns.row;
      apply(stage, tile, run.columns);
      return;
    }
    const Index panel_width = run.panels.vectors * V;
    for (Index p = 0; p < run.panels.all(); ++p) {
      for (Index i = 0; i < panel_width; i += V) {
        Vec<T>::load(sums + p * panel_width + i).store(run.to + p * partial_stride() + i);
      }
    }
  }

  void apply(int stage, const UnitTile &tile, const TileColumns<T> &columns) {
    if (compiled) {
      compiled[stage](*this, tile, columns);
    } else {
      program.run(stage, tile, columns);
    }
  }

  bool run_product(Index t, int stage, const ProductWork &work, Index row, Index n, bool backwards) {
    quantise_rows(work, n);
    if (n == 1) {
      RowRun *runs = runs_of(work.number, backwards);
      for (RowRun *run = runs; run < runs + row_run_counts[work.number]; ++run) {
        product_row(t, stage, work, *run, row);
        if (interrupted(task.worker, run->cost)) {
          return false;
        }
      }
      return true;
    }
    const Index cost = work.grid->units * work.count * work.depth;
    return panel_runs(work.share->last - work.share->first, n, false, backwards, [&](PanelRun run) {
      run.first += work.share->first;
      run.next += run.next < 0 ? 0 : work.share->first;
      product_panel(t, stage, work, run, row, n);
      return !interrupted(task.worker, n * cost);
    });
  }

  // A stage without products: tiles of some rows and vectors of units.
  bool run_plain(Index t, int stage, Index row, Index n) {
    const Index most = n == 1 ? kMostStrip : kPanelVectors;
    const Index begin = hidden.first_unit, end = hidden.last_unit;
    const Index vectors = packed.hidden.unit_vectors == 1 ? most : packed.hidden.unit_vectors;
    for (Index unit = begin; unit < end; unit += vectors * V) {
      const int count = static_cast<int>(smaller(vectors, ceil_div(end - unit, V)));
      for (Index first = 0; first < n; first += kScratchRows) {
        const UnitTile tile{t, unit, first, smaller(kScratchRows, n - first), count};
        apply(stage, tile, columns_of(nullptr, nullptr, unit / packed.hidden.units, row, first));
      }
      if (interrupted(task.worker, n * vectors * V * 16)) {
        return false;
      }
    }
    return true;
  }

  // A step of a single row by a cell with one stage and one product: nothing but that, since at 32 units half of a step
  // was spent between its product and its mathematics.
  bool row_step(Index t, Index row, bool backwards) {
    RowRun *const runs = row_runs + (backwards ? most_row_runs : 0), *const end = runs + row_run_counts[0];
    if (!compiled) {
      program.begin_step(t);
      program.begin_stage(0, 1);
    }
    quantise_rows(works[0], 1);
    for (RowRun *run = runs; run < end; ++run) {
      product_row(t, 0, works[0], *run, row);
      if (interrupted(task.worker, run->cost)) {
        return false;
      }
    }
    now = 1 - now;
    return all_here();
  }

  bool step(Index s, Index row) {
    const Index t = time_of(task, s), n = alive(t);
    if (n == 1 && cell.stage_count == 1 && cell.product_count == 1) {
      return row_step(t, row, s % 2 == 1);
    }
    const bool backwards = s % 2 == 1 && (task.plan->alternate || n == 1);
    for (Index panel = hidden.first; copies && panel < hidden.last; ++panel) {
      if (projection.lazy()) {
        projection.project_panel(panel, n);
      }
      copy_projected(panel, row, n);
    }
    if (!compiled) {
      program.begin_step(t);
    }
    for (int stage = 0; stage < cell.stage_count; ++stage) {
      const Range &products = stages[stage].products;
      if (!compiled) {
        program.begin_stage(stage, n);
      }
      bool done = products.count > 0 || run_plain(t, stage, row, n);
      for (int p = products.first; done && p < products.first + products.count; ++p) {
        done = run_product(t, stage, works[p], row, n, backwards);
      }
      if (!done || !all_here()) {
        return false;
      }
    }
    now = 1 - now;
    return true;
  }

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

  // Every part has done its panels; false: the call is to end.
  bool all_here() const { return task.parts == 1 || task.worker->barrier(task.worker); }

  bool run() {
    const Index steps = rows.steps, count = task.last - task.first;
    start();
    if (!projection.project_table() || !all_here()) {
      return false;
    }
    if (!task.reverse) {
      end(steps ? alive(0) : 0, count);  // sequences of length 0
    }
    for (Index from = 0; from < steps; from += task.plan->chunk) {
      const Index to = smaller(from + task.plan->chunk, steps);
      if (!task.plan->fused && !projection.begin_chunk(from, to)) {
        return false;
      }
      for (Index s = from, row = 0; s < to; ++s) {
        const Index t = time_of(task, s), n = alive(t);
        if (n == 0) {
          continue;
        }
        if ((task.plan->fused && !projection.begin_chunk(s, s + 1)) || !step(s, row)) {
          return false;
        }
        if (!task.reverse) {
          end(alive(t + 1), n);
        }
        row += task.plan->fused ? 0 : n;
      }
    }
    if (task.reverse) {
      end(0, count);
    }
    return true;
  }
};

template <class T, class W = FullWeights<T>>
bool forward(const ForwardTask<T> *task) {
  return Forward<T, W>(*task, task->last - task->first).run();
}

template <class T, class W = FullWeights<T>>
WorkSizes forward_sizes(const CellShape *shape, Index row_count, Index alphabet, bool taped, const Plan *plan) {
  ForwardTask<T> task{};
  task.shape = *shape;
  task.alphabet = alphabet;
  task.taped = taped;
  task.plan = plan;
  task.parts = 1;
  const Forward<T, W> measured(task, row_count);
  constexpr auto size = static_cast<Index>(sizeof(T));
  return {measured.work_arena.used / size, measured.shared_arena.used / size};
}

template <class T, class W = FullWeights<T>>
Index projected_size(const CellShape *shape) {
  Arena arena{nullptr};
  const ForwardLayout<T, W> layout(*shape, arena);
  return layout.padded() * layout.columns;
}

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
