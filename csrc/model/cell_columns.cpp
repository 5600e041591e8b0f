// Parameters and columns of a description.
#include <set>
#include <utility>

#include "model/cell_check.h"

namespace recurra {
namespace {

// The number of parameters of a role.
std::int64_t parameters_of(const Cell &cell, Role role) {
  std::int64_t count = 0;
  for (int i = 0; i < cell.parameter_count; ++i) count += cell.parameters[i].role == role;
  return count;
}

void check_parameters(const Cell &cell) {
  std::int32_t previous = kInputWeight;
  for (int i = 0; i < cell.parameter_count; ++i) {
    const ParameterDescription &parameter = cell.parameters[i];
    const auto at = static_cast<std::size_t>(i);
    check_range(item("parameters", at, "role"), parameter.role, previous, kScalar);
    check_range(item("parameters", at, "blocks"), parameter.blocks, 1,
                parameter.role < kProjection ? cell.column_count : 1);
    check_range(item("parameters", at, "heads"), parameter.heads, 1,
                parameter.role == kRecurrentWeight ? INT32_MAX : 1);
    previous = parameter.role;
  }
  check_equal("parameters of role kInputWeight", parameters_of(cell, kInputWeight), cell.input_columns > 0);
  check_range("parameters of role kInputBias", parameters_of(cell, kInputBias), 0, cell.input_columns > 0);
  check_range("parameters of role kRecurrentBias", parameters_of(cell, kRecurrentBias), 0, 1);
  check_equal("parameters of role kProjection", parameters_of(cell, kProjection), cell.projects);
  check_equal("parameters of role kUnitVector", parameters_of(cell, kUnitVector), cell.unit_count);
  check_equal("parameters of role kScalar", parameters_of(cell, kScalar), cell.scalar_count);
}

// The blocks of the one parameter of a role, each of which one column must have.
class Blocks {
 public:
  Blocks(const Cell &cell, Role role, const char *field) : field_(field) {
    for (int i = 0; i < cell.parameter_count; ++i) {
      if (cell.parameters[i].role == role) blocks_ = cell.parameters[i].blocks;
    }
  }
  void take(std::size_t column, std::int32_t block, bool optional) {
    const std::string name = item("columns", column, field_);
    if (optional && block == -1) return;
    check_range(name, block, 0, blocks_ - 1);
    if (!taken_.insert(block).second) refuse_cell(name, "a block of its own", std::to_string(block));
  }
  void check_all() const {
    check_equal(std::string("columns that have ") + field_, static_cast<std::int64_t>(taken_.size()), blocks_);
  }

 private:
  const char *field_;
  std::int32_t blocks_ = 0;
  std::set<std::int32_t> taken_;
};

}  // namespace

void check_columns(const NamedCell &named) {
  const Cell &cell = named.cell;
  check_parameters(cell);
  check_range("column_count", cell.column_count, cell.input_columns + cell.projects, kMaxColumns);
  Blocks input(cell, kInputWeight, "input_block"), input_bias(cell, kInputBias, "input_bias"),
      recurrent_bias(cell, kRecurrentBias, "recurrent_bias");
  for (int i = 0; i < cell.column_count; ++i) {
    const Column &column = cell.columns[i];
    const auto at = static_cast<std::size_t>(i);
    const bool has_input = i < cell.input_columns, projected = cell.projects && i == cell.column_count - 1;
    check_equal(item("columns", at, "size"), column.size, projected ? kProjected : kHidden);
    if (has_input) {
      input.take(at, column.input_block, false);
      input_bias.take(at, column.input_bias, true);
    } else {
      check_equal(item("columns", at, "input_block"), column.input_block, -1);
      check_equal(item("columns", at, "input_bias"), column.input_bias, -1);
    }
    if (projected) {
      check_equal(item("columns", at, "recurrent_bias"), column.recurrent_bias, -1);
    } else {
      recurrent_bias.take(at, column.recurrent_bias, true);
    }
  }
  for (const Blocks *blocks : {&input, &input_bias, &recurrent_bias}) blocks->check_all();
}

void check_words(const NamedCell &named) {
  const auto check = [](const char *what, const std::vector<std::string> &words, std::int64_t least,
                        std::int64_t most) {
    check_range(std::string("number of names of ") + what, static_cast<std::int64_t>(words.size()), least, most);
    std::set<std::string> seen;
    for (std::size_t i = 0; i < words.size(); ++i) {
      if (words[i].empty()) refuse_cell(item(what, i), "a name", "none");
      if (!seen.insert(words[i]).second) refuse_cell(item(what, i), "a name of its own", words[i]);
    }
  };
  const Cell &cell = named.cell;
  std::int32_t gates = 0;  // at least as many as have a share of any weight, and each has a column
  for (int i = 0; i < cell.parameter_count; ++i) {
    if (cell.parameters[i].role < kProjection && cell.parameters[i].blocks > gates) gates = cell.parameters[i].blocks;
  }
  check("gates", named.gates, gates, cell.column_count - cell.projects);
  check("states", named.states, cell.states, cell.states);
  check_equal("number of states in order", static_cast<std::int64_t>(named.order.size()), cell.states);
  std::set<std::size_t> ordered;
  for (std::size_t i = 0; i < named.order.size(); ++i) {
    check_range(item("order", i), static_cast<std::int64_t>(named.order[i]), 0, cell.states - 1);
    if (!ordered.insert(named.order[i]).second) refuse_cell(item("order", i), "each state once", "one again");
  }
  check("parameters", named.parameters, cell.parameter_count, cell.parameter_count);
  check("inputs", named.inputs, cell.input_count, cell.input_count);
  if (named.name.empty()) refuse_cell("name", "a name", "none");
}

}  // namespace recurra
