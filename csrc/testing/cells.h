// Descriptions of cells for tests of what doesn't run their programs: random ones of anything that a description may
// say about columns, products, parameters and deltas.
#pragma once

#include <vector>

#include "cells.h"
#include "testing/numbers.h"

namespace recurra {
namespace testing {

struct RandomCell {
  std::vector<ParameterDescription> parameters;
  std::vector<Column> columns;
  std::vector<Product> products;
  std::vector<std::int32_t> blocks, staged_kept;
  std::vector<DeltaDescription> deltas;
  Index heads;  // hidden_size and projected_size have to be multiples of it
  Cell cell{};

  explicit RandomCell(Random &random) : heads(random.integer(1, 3)) {
    cell.compiled = kInterpreted;
    cell.states = number(random, 1, 3);
    cell.staged = number(random, 0, 2);
    cell.projects = cell.staged > 0 && random.integer(0, 2) > 0;
    cell.input_columns = number(random, 0, 4);
    cell.raw = number(random, 0, 1);
    cell.input_count = number(random, 0, 2);
    cell.unit_count = number(random, 0, 3);
    cell.scalar_count = number(random, 0, 2);
    staged_kept.assign(static_cast<std::size_t>(cell.staged), -1);
    add_columns(random);
    add_values(random);
    cell.parameters = parameters.data();
    cell.parameter_count = static_cast<std::int32_t>(parameters.size());
    cell.columns = columns.data();
    cell.column_count = static_cast<std::int32_t>(columns.size());
    cell.products = products.data();
    cell.product_count = static_cast<std::int32_t>(products.size());
    cell.blocks = blocks.data();
    cell.staged_kept = staged_kept.data();
    cell.deltas = deltas.data();
    cell.delta_count = static_cast<std::int32_t>(deltas.size());
  }
  RandomCell(RandomCell &&) = default;
  RandomCell &operator=(RandomCell &&) = delete;

 private:
  static std::int32_t number(Random &random, Index least, Index most) {
    return static_cast<std::int32_t>(random.integer(least, most));
  }
  std::int32_t add_parameter(Role role, Index count, Index head_count) {
    parameters.push_back({role, static_cast<std::int32_t>(count), static_cast<std::int32_t>(head_count)});
    return static_cast<std::int32_t>(parameters.size()) - 1;
  }

  // Blocks of weights and biases are in the columns' order but for their beginning, so that some go on side by side.
  void add_columns(Random &random) {
    const std::int32_t inputs = cell.input_columns, turn = number(random, 0, 3);
    const std::int32_t hidden = inputs + number(random, inputs ? 0 : 1, 4);
    for (std::int32_t c = 0; c < inputs; ++c)
      columns.push_back({kHidden, (c + turn) % inputs, (c + turn) % inputs, -1});
    for (std::int32_t c = inputs; c < hidden; ++c) columns.push_back({kHidden, -1, -1, -1});
    if (inputs) add_parameter(kInputWeight, inputs, 1);
    std::vector<std::int32_t> recurrent;
    for (std::int32_t source = 0; source < cell.states + cell.staged; ++source) {
      std::vector<std::int32_t> readers;
      for (std::int32_t c = 0; c < hidden; ++c) {
        const bool needed = c >= inputs && source == 0;  // a column is the sum of something
        if (!needed && random.integer(0, 2) == 0) continue;
        readers.push_back(c);
        if (columns[static_cast<std::size_t>(c)].recurrent_bias < 0) {
          columns[static_cast<std::size_t>(c)].recurrent_bias = static_cast<std::int32_t>(recurrent.size());
          recurrent.push_back(c);
        }
      }
      if (!readers.empty()) add_products(random, source, readers);
    }
    if (inputs) add_parameter(kInputBias, inputs, 1);
    if (!recurrent.empty()) add_parameter(kRecurrentBias, static_cast<Index>(recurrent.size()), 1);
    if (cell.projects) {
      columns.push_back({kProjected, -1, -1, -1});
      const std::int32_t weight = add_parameter(kProjection, 1, 1), staged = cell.staged - 1;
      products.push_back({cell.states + staged, weight, hidden, 1, static_cast<std::int32_t>(blocks.size())});
      blocks.push_back(0);
      keep(staged);
    }
  }
  void add_products(Random &random, std::int32_t source, const std::vector<std::int32_t> &readers) {
    const Index count = static_cast<Index>(readers.size()), turn = random.integer(0, 2);
    const std::int32_t weight = add_parameter(kRecurrentWeight, count, random.integer(0, 1) ? heads : 1);
    for (Index i = 0; i < count; ++i) {
      const std::int32_t column = readers[static_cast<std::size_t>(i)];
      const bool goes_on = i > 0 && products.back().column + products.back().count == column &&
                           products.back().count < kMaxProductColumns && random.integer(0, 3) > 0;
      if (goes_on) {
        ++products.back().count;
      } else {
        products.push_back({source, weight, column, 1, static_cast<std::int32_t>(blocks.size())});
      }
      blocks.push_back(static_cast<std::int32_t>((i + turn) % count));
    }
    if (source >= cell.states) keep(source - cell.states);
  }
  void keep(std::int32_t staged) {
    std::int32_t &slot = staged_kept[static_cast<std::size_t>(staged)];
    if (slot < 0) slot = cell.kept = cell.kept + 1;  // slot 0 is something else
  }

  // Parameters of units, and the deltas. Inputs and x may be without.
  void add_values(Random &random) {
    const auto add_deltas = [this](DeltaOf of, std::int32_t count) {
      for (std::int32_t i = 0; i < count; ++i) deltas.push_back({of, i});
    };
    for (std::int32_t i = 0; i < cell.unit_count; ++i) add_parameter(kUnitVector, 1, 1);
    for (std::int32_t i = 0; i < cell.scalar_count; ++i) add_parameter(kScalar, 1, 1);
    add_deltas(kOfColumn, static_cast<std::int32_t>(columns.size()));
    add_deltas(kOfUnit, cell.unit_count);
    add_deltas(kOfScalar, cell.scalar_count);
    add_deltas(kOfInput, number(random, 0, cell.input_count));
    add_deltas(kOfRaw, number(random, 0, cell.raw));
    cell.kept += 1;
  }
};

}  // namespace testing
}  // namespace recurra
