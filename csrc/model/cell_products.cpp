// Forward stages of a description, and what their products read and add to.
#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "model/cell_check.h"

namespace recurra {
namespace {

class ProductCheck {
 public:
  explicit ProductCheck(const NamedCell &named)
      : cell_(named.cell),
        block_count_(static_cast<std::int64_t>(named.arrays.blocks.size())),
        source_sizes_(static_cast<std::size_t>(cell_.parameter_count), -1) {}

  void check(std::int32_t number, std::int32_t stage_number) {
    const Stage &stage = cell_.stages[stage_number];
    const Product &product = cell_.products[number];
    const auto at = static_cast<std::size_t>(number);
    check_range(item("products", at, "source"), product.source, 0, cell_.states + cell_.staged - 1);
    check_weight(at, product, stage);
    // The projection's column is the last, and of the last stage alone.
    const std::int32_t least = stage.size == kProjected ? cell_.column_count - 1 : 0;
    const std::int32_t most = cell_.column_count - 1 - (stage.size == kProjected ? 0 : cell_.projects);
    check_range(item("products", at, "column"), product.column, least, most);
    check_range(item("products", at, "count"), product.count, 1,
                std::min<std::int64_t>(kMaxProductColumns, most + 1 - product.column));
    check_equal(item("products", at, "first_block"), product.first_block, next_block_);
    check_range(item("products", at, "count"), product.count, 1, block_count_ - next_block_);
    for (std::int32_t i = 0; i < product.count; ++i) {
      check_stage(at, product.column + i, stage_number);
      check_block(at, product, i);
    }
    next_block_ += product.count;
  }

  void check_end() const {
    check_equal("block_count", block_count_, next_block_);
    for (std::int32_t i = 0; i < cell_.parameter_count; ++i) {
      const std::int32_t role = cell_.parameters[i].role;
      if (role != kRecurrentWeight && role != kProjection) continue;
      std::int64_t read = 0;
      for (const auto &[parameter, block] : read_blocks_) read += parameter == i;
      check_equal("blocks that products read of " + item("parameters", static_cast<std::size_t>(i)), read,
                  cell_.parameters[i].blocks);
    }
    for (std::int32_t i = cell_.input_columns; i < cell_.column_count; ++i) {
      if (column_stages_.count(i) == 0) {
        refuse_cell(item("columns", static_cast<std::size_t>(i)), "W_ih x or a product", "neither");
      }
    }
  }

 private:
  void check_weight(std::size_t at, const Product &product, const Stage &stage) {
    const std::string name = item("products", at, "parameter");
    check_range(name, product.parameter, 0, cell_.parameter_count - 1);
    const ParameterDescription &parameter = cell_.parameters[product.parameter];
    check_equal(name + "'s role", parameter.role, stage.size == kProjected ? kProjection : kRecurrentWeight);
    // The width of a weight is the size of what it multiplies.
    const std::int32_t size = source_size(cell_, product.source);
    std::int32_t &expected = source_sizes_[static_cast<std::size_t>(product.parameter)];
    if (parameter.role == kProjection) expected = kHidden;
    if (expected == -1) expected = size;
    check_equal("size of " + item("products", at, "source"), size, expected);
  }

  void check_block(std::size_t at, const Product &product, std::int32_t i) {
    const std::int32_t block = cell_.blocks[next_block_ + i], column = product.column + i;
    const std::string name = item("blocks", static_cast<std::size_t>(next_block_ + i));
    check_range(name, block, 0, cell_.parameters[product.parameter].blocks - 1);
    if (!read_blocks_.insert({product.parameter, block}).second) {
      refuse_cell(name, "a block that no other product reads", std::to_string(block));
    }
    if (!source_columns_.insert({product.source, column}).second ||
        !weight_columns_.insert({product.parameter, column}).second) {
      refuse_cell(item("products", at), "one product of a source and of a weight for column " + std::to_string(column),
                  "another");
    }
  }

  // Sums that one stage has begun aren't kept for another to go on with.
  void check_stage(std::size_t at, std::int32_t column, std::int32_t stage) {
    const std::int32_t first = column_stages_.insert({column, stage}).first->second;
    if (first == stage) return;
    refuse_cell(item("products", at), "all products of column " + std::to_string(column) + " in one stage",
                "some in " + item("stages", static_cast<std::size_t>(first)) + " and in " +
                    item("stages", static_cast<std::size_t>(stage)));
  }

  const Cell &cell_;
  const std::int64_t block_count_;
  std::vector<std::int32_t> source_sizes_;  // by parameter; -1: no product reads it yet
  std::int64_t next_block_ = 0;
  std::set<std::pair<std::int32_t, std::int32_t>> read_blocks_, source_columns_, weight_columns_;
  std::map<std::int32_t, std::int32_t> column_stages_;  // by column that has a product
};

// Where the tape has the staged vectors that products read.
void check_staged(const Cell &cell) {
  std::set<std::int32_t> slots;
  for (std::int32_t i = 0; i < cell.staged; ++i) {
    const std::string name = item("staged_kept", static_cast<std::size_t>(i));
    bool multiplied = false;
    for (std::int32_t p = 0; p < cell.product_count; ++p) multiplied |= cell.products[p].source == cell.states + i;
    check_range(name, cell.staged_kept[i], multiplied ? 0 : -1, multiplied ? cell.kept - 1 : -1);
    if (multiplied && !slots.insert(cell.staged_kept[i]).second) {
      refuse_cell(name, "a slot of its own", std::to_string(cell.staged_kept[i]));
    }
  }
}

}  // namespace

void check_products(const NamedCell &named) {
  const Cell &cell = named.cell;
  Consecutive products("products", static_cast<std::size_t>(cell.product_count));
  ProductCheck product_check(named);
  for (std::int32_t s = 0; s < cell.stage_count; ++s) {
    const Stage &stage = cell.stages[s];
    const auto at = static_cast<std::size_t>(s);
    const bool projects = cell.projects && s == cell.stage_count - 1;
    check_equal(item("stages", at, "size"), stage.size, projects ? kProjected : kHidden);
    products.take(item("stages", at, "products"), stage.products);
    if (projects) check_equal(item("stages", at, "products.count"), stage.products.count, 1);
    for (std::int32_t i = 0; i < stage.products.count; ++i) product_check.check(stage.products.first + i, s);
  }
  products.check_end();
  product_check.check_end();
  check_staged(cell);
  for (std::int32_t i = 0; i < cell.input_count; ++i) {
    check_range(item("inputs", static_cast<std::size_t>(i), "shape"), cell.inputs[i].shape, kPerUnit, kPerRow);
  }
}

}  // namespace recurra
