// Where the operands of a cell's programs are: by rules that hold for a pass or a step, and for a tile by places.
#pragma once

#include "kernels/product/panel_product.h"
#include "kernels/product/row_product.h"
#include "kernels/program/interpreter.h"
#include "kernels/recurrent/forward_units.h"
#include "kernels/row_sums.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

constexpr Index kMostStrip = (kRowGroup + 1) * kPanelVectors;  // vectors of a tile: those of a single row are the most

template <class T>
struct Rule {
  enum How : std::int32_t {
    kAffine,  // the vector of row b and unit u is at base + b * row + u * unit
    kStrip,   // memory of the tile's own
    kByTile,  // somewhere else for each tile
  } how;
  T *base;
  Index row, unit, vector;
};

template <class T>
RECURRA_INLINE Place<T> place_of(const Rule<T> &rule, Index first, Index unit) {
  return {rule.base + first * rule.row + unit * rule.unit, rule.row, rule.vector};
}

// The operands that each stage's program uses, every one once.
struct StageOperands {
  std::int32_t *numbers = nullptr, *begin = nullptr, *seen = nullptr;

  StageOperands() = default;
  StageOperands(const Cell &cell, const Stage *stages, int count, Arena &arena) {
    Index most = 0;
    for (int s = 0; s < count; ++s) {
      most += smaller(cell.operand_count, 4 * stages[s].instructions.count);
    }
    numbers = arena.take<std::int32_t>(most);
    begin = arena.take<std::int32_t>(count + 1);
    seen = arena.take<std::int32_t>(count ? cell.operand_count : 0);  // the last stage that used it, plus 1
  }
  void fill(const Cell &cell, const Stage *stages, int count) {
    for (int i = 0; i < cell.operand_count; ++i) {
      seen[i] = 0;
    }
    std::int32_t made = 0;
    for (int s = 0; s < count; ++s) {
      begin[s] = made;
      const Range &range = stages[s].instructions;
      for (const Instruction *i = cell.instructions + range.first; i < cell.instructions + range.first + range.count;
           ++i) {
        add(i->to, s, made);
        for (int k = 0; k < operands_read(i->operation); ++k) {
          add(i->from[k], s, made);
        }
      }
    }
    begin[count] = made;
  }
  void add(std::int32_t operand, int stage, std::int32_t &made) {
    if (seen[operand] != stage + 1) {
      seen[operand] = stage + 1;
      numbers[made++] = operand;
    }
  }
  const std::int32_t *first(int stage) const { return numbers + begin[stage]; }
};

// What a stage's program counts as until somebody asks whether the call is to go on, in multiply-adds: a long program
// of few units takes many times longer than its products.
RECURRA_INLINE Index program_work(const Stage &stage, Index elements) {
  constexpr Index kInstructionWork = 16;
  return stage.instructions.count * elements * kInstructionWork;
}

inline Index most_means(const Stage *stages, int count) {
  Index most = 0;
  for (int s = 0; s < count; ++s) {
    most = larger(most, stages[s].means.count);
  }
  return most;
}

// The means of n rows, each number filling a vector.
template <class T>
void fill_means(const T *rows, Index width, Index n, Index units, T *to) {
  for (Index b = 0; b < n; ++b) {
    constant(sum_of(rows + b * width, units) / static_cast<T>(units)).store(to + b * Vec<T>::size);
  }
}

// Memory of a tile's own: temporaries, and the parts of inputs that its rows and units need.
template <class T>
struct TileStrips {
  static constexpr Index V = Vec<T>::size, kSize = kMostStrip * V;

  const Cell *cell = nullptr;
  T *temporaries = nullptr, *inputs = nullptr;

  TileStrips() = default;

  TileStrips(const Cell &of, Index count, Arena &arena)
      : cell(&of),
        temporaries(arena.take<T>(count * kSize)),
        inputs(arena.take<T>((of.input_count + of.raw) * kSize)) {}

  T *temporary(Index number) const { return temporaries + number * kSize; }
  T *input(Index number) const { return inputs + number * kSize; }
  T *raw() const { return input(cell->input_count); }

  // Copies what a stage uses of inputs and of x, for a forward or a backward task.
  template <class Task>
  RECURRA_INLINE void fill(const StageOperands &used, int stage, const Task &task, const UnitTile &tile,
                           Index units) const {
    if (cell->input_count + cell->raw == 0) {
      return;
    }
    for (const std::int32_t *i = used.first(stage); i < used.first(stage + 1); ++i) {
      const Operand &operand = cell->operands[*i];
      if (operand.kind == kInput) {
        const bool one = cell->inputs[operand.index].shape == kPerStep;
        for (Index b = 0; b < tile.count; ++b) {
          const T *row = row_at(task.inputs[operand.index], task.rows, tile.t, task.first + tile.first + b);
          copy_row(row, one, tile, units, input(operand.index) + b * tile.vectors * V);
        }
      } else if (operand.kind == kRaw) {
        for (Index b = 0; b < tile.count; ++b) {
          const Index at = task.first + tile.first + b;
          const T *row = task.tokens ? task.table + task.tokens[task.rows.offset[tile.t] + at] * units
                                     : row_at(task.x, task.rows, tile.t, at);
          copy_row(row, false, tile, units, raw() + b * tile.vectors * V);
        }
      }
    }
  }
  static RECURRA_INLINE void copy_row(const T *row, bool one, const UnitTile &tile, Index units, T *to) {
    for (int v = 0; v < tile.vectors; ++v) {
      const Index unit = tile.unit + v * V;
      (one ? constant(*row) : get(row + unit, units - unit)).store(to + v * V);
    }
  }
};

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
