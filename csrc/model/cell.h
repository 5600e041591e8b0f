// Cells with their names and the memory that a description points into: the compiled ones, and those that arrive as
// numbers from somewhere else, of which nothing is believed before it has been checked.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "cells.h"

namespace recurra {

// What the parts of a cell are called; the description knows them by number alone.
struct CellWords {
  std::string name;
  std::vector<std::string> gates, states, parameters, inputs;
  std::vector<std::size_t> order =
      {};  // of the states for callers: which is their first one, and so on; none: as they are
};

// What a description's pointers point into.
struct CellArrays {
  std::vector<ParameterDescription> parameters;
  std::vector<Column> columns;
  std::vector<Product> products;
  std::vector<std::int32_t> blocks, staged_kept;
  std::vector<InputDescription> inputs;
  std::vector<Stage> stages, untaped_stages;
  std::vector<DeltaDescription> deltas;
  std::vector<Stage> back_stages;
  std::vector<std::int32_t> sources, means;
  std::vector<Operand> operands;
  std::vector<Instruction> instructions;
  std::vector<double> constants;
};

struct NamedCell : CellWords {
  NamedCell() = default;
  NamedCell(const NamedCell &) = delete;
  NamedCell &operator=(const NamedCell &) = delete;

  Cell cell{};
  CellArrays arrays;
};

std::shared_ptr<const NamedCell> compiled_cell(CompiledCell id);

// The cell that `size` numbers of `code` describe, with a variant of its program for calls without a tape. Throws
// std::invalid_argument, which says what is wrong, unless the kernels can run it on arrays of its sizes without reading
// or writing anything else, and without reading what nobody has written. The numbers are copied before they are looked
// at. If it is one of the compiled cells, it says so.
//
// The code is this header and then the arrays, in the order of CellArrays but for the untaped stages, which are made
// here: 1, states, projects, raw, and the counts of parameters, columns, input columns, products, blocks, staged
// vectors, inputs, stages, kept, held and temporary values, deltas, back stages, sources, staged, held and temporary
// values of the back stages, means, operands, instructions, constants, unit vectors and scalars.
std::shared_ptr<const NamedCell> checked_cell(const std::int32_t *code, std::size_t size, const double *constants,
                                              std::size_t constant_count, CellWords words);

}  // namespace recurra
