// From a list of numbers to the arrays of a description.
#include "model/cell_check.h"

namespace recurra {
namespace {

constexpr std::int32_t kVersion = 1;
constexpr std::int64_t kMostProducts = kMaxColumns * kMaxSources;

// Takes the header's numbers one after another, each with its limits.
class Header {
 public:
  explicit Header(const std::vector<std::int32_t> &code) : code_(code) {}

  std::int32_t take(const char *name, std::int64_t least, std::int64_t most) {
    if (at_ == code_.size()) refuse_cell("code", "a header of 27 numbers", std::to_string(code_.size()));
    const std::int32_t value = code_[at_++];
    check_range(name, value, least, most);
    return value;
  }
  std::size_t used() const { return at_; }

 private:
  const std::vector<std::int32_t> &code_;
  std::size_t at_ = 0;
};

// How many numbers describe one of an array's elements, all of which are structs of nothing else.
template <class Element>
constexpr std::int64_t kNumbers = sizeof(Element) / sizeof(std::int32_t);

class Body {
 public:
  Body(const std::vector<std::int32_t> &code, std::size_t at) : code_(code), at_(at) {}

  template <class Element>
  Body &count(std::int32_t elements) {
    numbers_ += elements * kNumbers<Element>;
    return *this;
  }
  void check_size() const {
    check_equal("code's size", static_cast<std::int64_t>(code_.size()), static_cast<std::int64_t>(at_) + numbers_);
  }

  std::int32_t number() { return code_[at_++]; }
  void read(std::int32_t &to) { to = number(); }
  void read(ParameterDescription &to) { to = {number(), number(), number()}; }
  void read(Column &to) { to = {number(), number(), number(), number()}; }
  void read(Product &to) { to = {number(), number(), number(), number(), number()}; }
  void read(InputDescription &to) { to = {number()}; }
  void read(Stage &to) { to = {number(), {number(), number()}, {number(), number()}, {number(), number()}}; }
  void read(DeltaDescription &to) { to = {number(), number()}; }
  void read(Operand &to) { to = {number(), number()}; }
  void read(Instruction &to) { to = {number(), number(), {number(), number(), number()}}; }

  template <class Element>
  void read_all(std::vector<Element> &to, std::int32_t elements) {
    to.resize(static_cast<std::size_t>(elements));
    for (Element &element : to) read(element);
  }

 private:
  const std::vector<std::int32_t> &code_;
  std::size_t at_;
  std::int64_t numbers_ = 0;
};

}  // namespace

void read_code(const std::vector<std::int32_t> &code, std::vector<double> constants, NamedCell &to) {
  Cell &cell = to.cell;
  Header header(code);
  cell.compiled = kInterpreted;
  header.take("version", kVersion, kVersion);
  cell.states = header.take("states", 1, kMaxStates);
  cell.projects = header.take("projects", 0, 1);
  cell.raw = header.take("raw", 0, 1);
  cell.parameter_count = header.take("parameter_count", 0, kMaxParameters);
  cell.column_count = header.take("column_count", 0, kMaxColumns);
  cell.input_columns = header.take("input_columns", 0, cell.column_count);
  cell.product_count = header.take("product_count", 0, kMostProducts);
  const std::int32_t blocks = header.take("block_count", 0, kMostProducts);
  cell.staged = header.take("staged", 0, kMaxSources - cell.states);
  cell.input_count = header.take("input_count", 0, kMaxInputs);
  cell.stage_count = header.take("stage_count", 1, kMaxStages);
  cell.kept = header.take("kept", 0, kMaxSlots);
  cell.held = header.take("held", 0, kMaxSlots);
  cell.temporaries = header.take("temporaries", 0, kMaxSlots);
  cell.delta_count = header.take("delta_count", cell.column_count, kMaxDeltas);
  cell.back_stage_count = header.take("back_stage_count", 1, kMaxStages);
  const std::int32_t sources = header.take("source_count", 0, cell.states + cell.staged);
  cell.back_staged = header.take("back_staged", 0, kMaxSlots);
  cell.back_held = header.take("back_held", 0, kMaxSlots);
  cell.back_temporaries = header.take("back_temporaries", 0, kMaxSlots);
  const std::int32_t means = header.take("mean_count", 0, kMaxSlots);
  const std::int32_t operands = header.take("operand_count", 0, kMaxOperands);
  const std::int32_t instructions = header.take("instruction_count", 0, kMaxInstructions);
  cell.constant_count = header.take("constant_count", 0, kMaxSlots);
  cell.unit_count = header.take("unit_count", 0, cell.parameter_count);
  cell.scalar_count = header.take("scalar_count", 0, cell.parameter_count);
  check_range("scalar_count + constant_count", cell.scalar_count + cell.constant_count, 0, kMaxSlots);
  check_equal("constants' size", static_cast<std::int64_t>(constants.size()), cell.constant_count);

  Body body(code, header.used());
  body.count<ParameterDescription>(cell.parameter_count).count<Column>(cell.column_count);
  body.count<Product>(cell.product_count).count<std::int32_t>(blocks).count<std::int32_t>(cell.staged);
  body.count<InputDescription>(cell.input_count).count<Stage>(cell.stage_count);
  body.count<DeltaDescription>(cell.delta_count).count<Stage>(cell.back_stage_count);
  body.count<std::int32_t>(sources).count<std::int32_t>(means);
  body.count<Operand>(operands).count<Instruction>(instructions);
  body.check_size();

  CellArrays &arrays = to.arrays;
  body.read_all(arrays.parameters, cell.parameter_count);
  body.read_all(arrays.columns, cell.column_count);
  body.read_all(arrays.products, cell.product_count);
  body.read_all(arrays.blocks, blocks);
  body.read_all(arrays.staged_kept, cell.staged);
  body.read_all(arrays.inputs, cell.input_count);
  body.read_all(arrays.stages, cell.stage_count);
  body.read_all(arrays.deltas, cell.delta_count);
  body.read_all(arrays.back_stages, cell.back_stage_count);
  body.read_all(arrays.sources, sources);
  body.read_all(arrays.means, means);
  body.read_all(arrays.operands, operands);
  body.read_all(arrays.instructions, instructions);
  arrays.constants = std::move(constants);
}

void point_to_arrays(NamedCell &named) {
  const CellArrays &arrays = named.arrays;
  Cell &cell = named.cell;
  cell.parameters = arrays.parameters.data();
  cell.columns = arrays.columns.data();
  cell.products = arrays.products.data();
  cell.blocks = arrays.blocks.data();
  cell.staged_kept = arrays.staged_kept.data();
  cell.inputs = arrays.inputs.data();
  cell.stages = arrays.stages.data();
  cell.untaped_stages = arrays.untaped_stages.data();
  cell.deltas = arrays.deltas.data();
  cell.back_stages = arrays.back_stages.data();
  cell.sources = arrays.sources.data();
  cell.means = arrays.means.data();
  cell.operands = arrays.operands.data();
  cell.instructions = arrays.instructions.data();
  cell.constants = arrays.constants.data();
}

}  // namespace recurra
