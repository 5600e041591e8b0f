// The epilogue of the forward pass of a cell that is a program: finds where a tile's operands are, runs the
// instructions, and hands out the new states.
#pragma once

#include "kernels/product/row_product.h"
#include "kernels/program/interpreter.h"
#include "kernels/recurrent/forward_units.h"
#include "kernels/recurrent/places.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

template <class T>
struct ForwardProgram {
  static constexpr Index V = Vec<T>::size;

  const ForwardUnits<T> &units;
  const ForwardTask<T> &task;
  const Cell &cell;
  const Stage *stages;
  Rule<T> *rules = nullptr;    // by operand
  Place<T> *places = nullptr;  // the same, of a tile
  StageOperands used;
  TileStrips<T> strips;
  T *means = nullptr;          // of the present stage, [mean][row], each number filling a vector
  int last_stage[2] = {0, 0};  // that computes units of a size

  // Of a compiled cell there is no program.
  ForwardProgram(const ForwardUnits<T> &of, const PackedValues<T> &values, const Stage *of_stages, Arena &arena)
      : units(of), task(of.task), cell(of.cell), stages(of_stages) {
    if (cell.compiled != kInterpreted) {
      return;
    }
    rules = arena.take<Rule<T>>(cell.operand_count);
    places = arena.take<Place<T>>(cell.operand_count);
    used = StageOperands(cell, stages, cell.stage_count, arena);
    strips = TileStrips<T>(cell, task.taped ? cell.temporaries : cell.untaped_temporaries, arena);
    means = arena.take<T>(most_means(stages, cell.stage_count) * of.row_count * V);
    if (!task.work) {
      return;
    }
    used.fill(cell, stages, cell.stage_count);
    for (int s = 0; s < cell.stage_count; ++s) {
      last_stage[stages[s].size] = s;
    }
    for (int i = 0; i < cell.operand_count; ++i) {
      rules[i] = rule_of(cell.operands[i], values);
    }
  }

  Rule<T> rule_of(const Operand &operand, const PackedValues<T> &values) const {
    const Index k = operand.index, width = units.width;
    switch (operand.kind) {
      case kTemporary:
        return {Rule<T>::kStrip, strips.temporary(k), 0, 0, 0};
      case kColumn:
        return {Rule<T>::kByTile, nullptr, 0, 0, 0};
      case kOld:
      case kNew:
        return {Rule<T>::kAffine, units.state[k][0], units.state_width[k], 1, V};
      case kKept:
        return {Rule<T>::kAffine, nullptr, task.kept_stride, 1, V};
      case kHeld:
        return {Rule<T>::kAffine, units.held_row(k, 0), width, 1, V};
      case kStaged:
        return {Rule<T>::kAffine, units.staged_row(k, 0), width, 1, V};
      case kMean:
        return {Rule<T>::kAffine, means + k * units.row_count * V, V, 0, 0};
      case kUnit:
        return {Rule<T>::kAffine, values.units + k * values.width, 0, 1, V};
      case kNumber:
        return {Rule<T>::kAffine, values.numbers + k * V, 0, 0, 0};
      case kInput:
        return {Rule<T>::kStrip, strips.input(k), 0, 0, 0};
      default:
        return {Rule<T>::kStrip, strips.raw(), 0, 0, 0};
    }
  }

  void begin_step(Index t) {
    const Index slot = padded_units<T>(units.H);
    for (int i = 0; i < cell.operand_count; ++i) {
      const Operand &operand = cell.operands[i];
      if (operand.kind == kOld) {
        rules[i].base = units.state[operand.index][units.now];
      } else if (operand.kind == kNew) {
        rules[i].base = units.state[operand.index][1 - units.now];
      } else if (operand.kind == kKept && task.taped) {
        rules[i].base = task.kept + units.compact_row(t, 0) * task.kept_stride + operand.index * slot;
      }
    }
  }

  void begin_stage(int stage, Index n) {
    for (int m = 0; m < stages[stage].means.count; ++m) {
      const std::int32_t staged = cell.means[stages[stage].means.first + m];
      fill_means(units.staged_row(staged, 0), units.width, n, units.H, means + m * units.row_count * V);
    }
  }

  void run(int stage, const UnitTile &tile, const TileColumns<T> &columns) {
    const Stage &of = stages[stage];
    for (const std::int32_t *i = used.first(stage); i < used.first(stage + 1); ++i) {
      const Rule<T> &rule = rules[*i];
      places[*i] = rule.how == Rule<T>::kAffine  ? place_of(rule, tile.first, tile.unit)
                   : rule.how == Rule<T>::kStrip ? Place<T>{rule.base, tile.vectors * V, V}
                                                 : column_place(cell.operands[*i].index, tile, columns);
    }
    strips.fill(used, stage, task, tile, units.H);
    run_program(cell.instructions + of.instructions.first, of.instructions.count, places, tile.count, tile.vectors);
    task.worker->credit -= program_work(of, tile.count * tile.vectors * V);
    if (stage == last_stage[of.size]) {
      hand_out(of.size, tile);
    }
  }

  Place<T> column_place(Index column, const UnitTile &tile, const TileColumns<T> &at) const {
    if (at.sums && column >= at.first && column < at.first + at.count) {
      return {at.sums + (column - at.first) * V, tile.vectors * at.count * V, at.count * V};
    }
    const bool begun = units.begun(static_cast<int>(column));
    T *base = const_cast<T *>(begun ? at.partial : at.projected) + column * at.column;
    return begun ? Place<T>{base, at.partial_row, at.partial_vector} : Place<T>{base, at.row, at.vector};
  }

  // The new states of a size, to where the caller and the tape want them.
  void hand_out(std::int32_t size, const UnitTile &tile) const {
    const bool of_h = cell.projects == (size == kProjected ? 1 : 0);
    const Index slot = padded_units<T>(units.H);
    for (Index b = tile.first; b < tile.first + tile.count; ++b) {
      if (of_h) {
        const Index P = task.shape.projected_size;
        const T *h = units.state[0][1 - units.now] + b * units.state_width[0];
        T *out = row_at(task.out, units.rows, tile.t, task.first + b);
        T *copy = task.copy.base ? row_at(task.copy, units.rows, tile.t, task.first + b) : nullptr;
        for (Index unit = tile.unit; unit < tile.unit + tile.vectors * V; unit += V) {
          const Vec<T> value = Vec<T>::load(h + unit);
          put(value, out + unit, P - unit);
          if (copy) {
            put(value, copy + unit, P - unit);
          }
        }
      }
      for (int j = 1; task.taped && size == kHidden && j < cell.states; ++j) {
        const T *from = units.state[j][1 - units.now] + b * units.state_width[j];
        T *to = task.states[j] + units.compact_row(tile.t, b) * slot;
        for (Index unit = tile.unit; unit < tile.unit + tile.vectors * V; unit += V) {
          Vec<T>::load(from + unit).store(to + unit);
        }
      }
    }
  }
};

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
