// The epilogue of the backward pass of a cell that is a program: gathers the gradients that reach a tile's states,
// finds where its operands are, runs the instructions, and hands out what can't be written in place.
#pragma once

#include "kernels/recurrent/backward_units.h"
#include "kernels/recurrent/places.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

template <class T>
struct BackwardProgram {
  static constexpr Index V = Vec<T>::size;

  const BackwardUnits<T> &units;
  const BackwardTask<T> &task;
  const Cell &cell;
  Rule<T> *rules = nullptr;
  Place<T> *places = nullptr;
  StageOperands used;
  TileStrips<T> strips;
  T *incoming = nullptr, *old = nullptr, *deltas = nullptr;  // strips of each state, of each delta
  T *held = nullptr, *staged = nullptr, *gradients = nullptr, *means = nullptr;

  // Of a compiled cell there is no program.
  BackwardProgram(const BackwardUnits<T> &of, const PackedValues<T> &values, Arena &arena, Arena &shared)
      : units(of), task(of.task), cell(of.cell) {
    if (cell.compiled != kInterpreted) {
      return;
    }
    const Index block = of.row_count * of.width, strip = TileStrips<T>::kSize;
    rules = arena.take<Rule<T>>(cell.operand_count);
    places = arena.take<Place<T>>(cell.operand_count);
    used = StageOperands(cell, cell.back_stages, cell.back_stage_count, arena);
    strips = TileStrips<T>(cell, cell.back_temporaries, arena);
    incoming = arena.take<T>(cell.states * strip);
    old = arena.take<T>(cell.states * strip);
    deltas = arena.take<T>(cell.delta_count * strip);
    held = arena.take<T>(cell.back_held * block);
    staged = shared.take<T>(cell.back_staged * block);
    gradients = arena.take<T>(cell.staged * block);
    means = arena.take<T>(most_means(cell.back_stages, cell.back_stage_count) * of.row_count * V);
    if (!task.work) {
      return;
    }
    used.fill(cell, cell.back_stages, cell.back_stage_count);
    for (int i = 0; i < cell.operand_count; ++i) {
      rules[i] = rule_of(cell.operands[i], values);
    }
  }

  // Of a source that is a staged vector, where other products' epilogues find its gradient.
  T *gradient_row(Index source, Index b) const {
    return gradients + ((source - cell.states) * units.row_count + b) * units.width;
  }

  Rule<T> rule_of(const Operand &operand, const PackedValues<T> &values) const {
    const Index k = operand.index, width = units.width, block = units.row_count * width;
    switch (operand.kind) {
      case kTemporary:
        return {Rule<T>::kStrip, strips.temporary(k), 0, 0, 0};
      case kNew:
        return {Rule<T>::kAffine, nullptr, k == 0 ? task.out.row_stride : width, 1, V};
      case kKept:
        return {Rule<T>::kAffine, nullptr, task.kept_stride, 1, V};
      case kHeld:
        return {Rule<T>::kAffine, held + k * block, width, 1, V};
      case kStaged:
        return {Rule<T>::kAffine, staged + k * block, width, 1, V};
      case kMean:
        return {Rule<T>::kAffine, means + k * units.row_count * V, V, 0, 0};
      case kUnit:
        return {Rule<T>::kAffine, values.units + k * values.width, 0, 1, V};
      case kNumber:
        return {Rule<T>::kAffine, values.numbers + k * V, 0, 0, 0};
      case kInput:
        return {Rule<T>::kStrip, strips.input(k), 0, 0, 0};
      case kRaw:
        return {Rule<T>::kStrip, strips.raw(), 0, 0, 0};
      case kIncoming:
        return {Rule<T>::kStrip, incoming + k * TileStrips<T>::kSize, 0, 0, 0};
      case kOutgoing:
        return {Rule<T>::kAffine, units.outgoing[k], units.state_width[k], 1, V};
      default:  // kColumn isn't read here; kGradient, kOld and kDelta are where the tile says
        return {Rule<T>::kByTile, nullptr, 0, 0, 0};
    }
  }

  void begin_step(Index t) {
    const Index first = units.rows.offset[t] + task.first;
    for (int i = 0; i < cell.operand_count; ++i) {
      const Operand &operand = cell.operands[i];
      if (operand.kind == kNew) {
        rules[i].base = const_cast<T *>(operand.index == 0 ? task.out.base + first * task.out.row_stride
                                                           : task.states[operand.index] + first * units.width);
      } else if (operand.kind == kKept) {
        rules[i].base = const_cast<T *>(task.kept) + first * task.kept_stride + operand.index * units.width;
      }
    }
  }

  void begin_stage(int stage, Index n) {
    const Range &range = cell.back_stages[stage].means;
    for (int m = 0; m < range.count; ++m) {
      const Index number = cell.means[range.first + m];
      fill_means(staged + number * units.row_count * units.width, units.width, n, units.H,
                 means + m * units.row_count * V);
    }
  }

  // Adds the lines that a step's first program will touch of a row, for the panel that begins at `unit`; of large cells
  // those of some values.
  RECURRA_INLINE void add_lines(Index t, Index b, Index unit, PrefetchList &lines) const {
    constexpr int kMost =
        4;  // kept values, and deltas; with two gradients and two states as many as of a compiled cell
    const Index sorted = task.first + b, row = units.rows.offset[t] + sorted;
    for (int k = 0; k < smaller(cell.kept, kMost); ++k) {
      lines.add(task.kept + row * task.kept_stride + k * units.width + unit);
    }
    const T *deltas_at = units.delta(t, b) + unit;
    for (int d = 0; d < smaller(cell.delta_count, kMost); ++d) {
      lines.add(deltas_at + d * units.H);
    }
    for (const RowView<const T> &dy : task.dy) {
      if (dy.base) {
        lines.add(row_at(dy, units.rows, t, sorted) + unit);
      }
    }
    for (int j = 1; j < smaller(cell.states, 3); ++j) {
      lines.add(task.states[j] + row * units.width + unit);
    }
  }

  void run(int stage, const BackwardTile<T> &tile) {
    const Stage &of = cell.back_stages[stage];
    const UnitTile at{tile.t, tile.unit, tile.first, tile.count, tile.vectors};
    const Index size = size_of(units.shape, of.size);
    const bool whole = tile.unit + tile.vectors * V <= size;
    for (const std::int32_t *i = used.first(stage); i < used.first(stage + 1); ++i) {
      const Rule<T> &rule = rules[*i];
      const Operand &operand = cell.operands[*i];
      if (rule.how == Rule<T>::kAffine) {
        places[*i] = place_of(rule, tile.first, tile.unit);
      } else if (rule.how == Rule<T>::kStrip) {
        places[*i] = {rule.base, tile.vectors * V, V};
        if (operand.kind == kIncoming) {
          fill_incoming(operand.index, tile, rule.base);
        }
      } else if (operand.kind == kGradient) {
        places[*i] = gradient_place(stage, operand.index, tile);
      } else if (operand.kind == kOld) {
        places[*i] = old_place(operand.index, tile);
      } else {
        places[*i] = delta_place(operand.index, tile, whole);
      }
    }
    strips.fill(used, stage, task, at, units.H);
    run_program(cell.instructions + of.instructions.first, of.instructions.count, places, tile.count, tile.vectors);
    task.worker->credit -= program_work(of, tile.count * tile.vectors * V);
    for (const std::int32_t *i = used.first(stage); i < used.first(stage + 1); ++i) {
      if (cell.operands[*i].kind == kDelta && places[*i].base == delta_strip(cell.operands[*i].index)) {
        put_delta(cell.operands[*i].index, tile, size);
      }
    }
  }

  // The whole gradient of a state after the step: what the products give, or what is left from the step after, and what
  // the caller and the layer above give.
  void fill_incoming(Index state, const BackwardTile<T> &tile, T *to) const {
    const Index size = state_size(units.shape, state);
    const bool read = units.direct[state] || units.is_source(static_cast<int>(state));
    for (Index r = 0; r < tile.count; ++r) {
      const Index sorted = task.first + tile.first + r;
      T *left = units.outgoing_row(static_cast<int>(state), tile.first + r);
      const T *sums = state == 0 && tile.sums ? tile.sums + r * tile.vectors * V : nullptr;
      const T *given[2] = {};
      if (state == 0) {
        for (int i = 0; i < 2; ++i) {
          given[i] = task.dy[i].base ? row_at(task.dy[i], units.rows, tile.t, sorted) : nullptr;
        }
      } else if (task.dstates[state].base) {
        given[0] = row_at(task.dstates[state], units.rows, tile.t, sorted);
      }
      for (int v = 0; v < tile.vectors; ++v, to += V) {
        const Index unit = tile.unit + v * V;
        Vec<T> value = sums ? Vec<T>::load(sums + v * V) : Vec<T>::load(left + unit);
        if (sums && units.direct[state]) {
          value = value + Vec<T>::load(left + unit);
        }
        if (!read) {  // by no step: what is left of the final state's gradient counts once
          Vec<T>::zero().store(left + unit);
        }
        for (const T *gradient : given) {
          if (gradient) {
            value = value + get(gradient + unit, size - unit);
          }
        }
        value.store(to);
      }
    }
  }

  Place<T> gradient_place(int stage, Index source, const BackwardTile<T> &tile) const {
    const Range &sources = cell.back_stages[stage].products;
    if (cell.sources[sources.first + sources.count - 1] == source) {
      return {const_cast<T *>(tile.sums), tile.vectors * V, V};
    }
    return {gradient_row(source, tile.first) + tile.unit, units.width, V};
  }

  // A state before the step: the row of the step before it, or the initial one. Where not all of a tile's rows are the
  // former, they are copied.
  Place<T> old_place(Index state, const BackwardTile<T> &tile) const {
    const Rows &rows = units.rows;
    const T *compact = state == 0 ? task.out.base : task.states[state];
    const Index stride = state == 0 ? task.out.row_stride : units.width, size = state_size(units.shape, state);
    const Index first = task.first + tile.first;
    const Index inner = task.reverse ? rows.alive[tile.t + 1] : tile.t > 0 ? rows.alive[tile.t - 1] : 0;
    if (first + tile.count <= inner) {
      const Index before = task.reverse ? tile.t + 1 : tile.t - 1;
      return {const_cast<T *>(compact) + (rows.offset[before] + first) * stride + tile.unit, stride, V};
    }
    T *const strip = old + state * TileStrips<T>::kSize;
    T *to = strip;
    for (Index r = 0; r < tile.count; ++r) {
      const T *row = entering(rows, task.reverse, tile.t, first + r, compact, stride, task.initial[state], size);
      for (int v = 0; v < tile.vectors; ++v, to += V) {
        const Index unit = tile.unit + v * V;
        (row ? get(row + unit, size - unit) : Vec<T>::zero()).store(to);
      }
    }
    return {strip, tile.vectors * V, V};
  }

  T *delta_strip(Index delta) const { return deltas + delta * TileStrips<T>::kSize; }
  Index first_visited(const BackwardTile<T> &tile) const {
    return visited_row(units.rows, task.reverse, tile.t, task.first + tile.first);
  }

  // In place, unless the tile reaches beyond the units or the ring of deltas begins anew within it.
  Place<T> delta_place(Index delta, const BackwardTile<T> &tile, bool whole) const {
    const Index visited = first_visited(tile), last = visited + tile.count - 1;
    const bool apart = (visited & task.deltas.wrap) > (last & task.deltas.wrap);
    if (!whole || apart) {
      return {delta_strip(delta), tile.vectors * V, V};
    }
    T *row = delta_row(task.deltas, visited);
    return {row + delta_at(units.shape, static_cast<int>(delta)) + tile.unit, task.deltas.stride, V};
  }
  void put_delta(Index delta, const BackwardTile<T> &tile, Index size) const {
    const Index visited = first_visited(tile), at = delta_at(units.shape, static_cast<int>(delta));
    const T *from = delta_strip(delta);
    for (Index r = 0; r < tile.count; ++r) {
      T *to = delta_row(task.deltas, visited + r) + at;
      for (int v = 0; v < tile.vectors; ++v, from += V) {
        const Index unit = tile.unit + v * V;
        put(Vec<T>::load(from), to + unit, size - unit);
      }
    }
  }
};

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
