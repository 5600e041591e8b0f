// The programs of a description. They have no jumps, so one walk over the instructions sees everything that happens.
#include <set>
#include <utility>

#include "model/cell_access.h"
#include "model/cell_check.h"

namespace recurra {

namespace {

constexpr int kNever = -1;

// An operand of an instruction: its `from` of this number, or its `to`.
struct Place {
  static constexpr int kTo = -1;
  std::size_t instruction;
  int from;

  std::string text() const {
    const std::string name = item("instructions", instruction);
    return from == kTo ? name + ".to" : name + "." + item("from", static_cast<std::size_t>(from));
  }
};

// One direction's walk over its stages.
class Walk {
 public:
  Walk(const NamedCell &named, bool backward) : cell_(named.cell), arrays_(named.arrays), backward_(backward) {
    for (int kind = 0; kind < kKindCount; ++kind) written_[kind].assign(index(slots(cell_, kind, backward)), kNever);
    read_kept_.assign(index(cell_.kept), false);
    multiplied_.assign(written_[kStaged].size(), false);
    last_product_.assign(index(cell_.column_count), kNever);
    for (int s = 0; s < cell_.stage_count; ++s) {
      const Range &products = cell_.stages[s].products;
      for (int p = products.first; p < products.first + products.count; ++p) {
        const Product &product = cell_.products[p];
        for (int c = 0; c < product.count; ++c) last_product_[index(product.column + c)] = s;
      }
    }
  }

  void run(Consecutive &means, Consecutive &instructions, std::vector<bool> &used_operands) {
    const int stages = backward_ ? cell_.back_stage_count : cell_.stage_count;
    for (stage_number_ = 0; stage_number_ < stages; ++stage_number_) {
      stage_ = &(backward_ ? cell_.back_stages : cell_.stages)[stage_number_];
      const std::string name = item(backward_ ? "back_stages" : "stages", index(stage_number_));
      begin_stage(name, means);
      instructions.take(name + ".instructions", stage_->instructions);
      const Range &range = stage_->instructions;
      for (int i = range.first; i < range.first + range.count; ++i) check_instruction(index(i), used_operands);
    }
    check_end();
  }

  // The slots of the tape that this direction reads.
  const std::vector<bool> &read_kept() const { return read_kept_; }

 private:
  static std::size_t index(std::int32_t value) { return static_cast<std::size_t>(value); }
  Access access(std::int32_t kind) const { return backward_ ? kKindRules[kind].backward : kKindRules[kind].forward; }

  std::int32_t count(std::int32_t kind) const {
    return kind == kMean ? stage_->means.count : slots(cell_, kind, backward_);
  }

  // Products, means and gradients of a stage read what earlier stages have completed.
  void begin_stage(const std::string &name, Consecutive &means) {
    written_[kTemporary].assign(written_[kTemporary].size(), kNever);
    means.take(name + ".means", stage_->means);
    if (stage_->size == kProjected) check_equal(name + ".means.count", stage_->means.count, 0);
    std::set<std::int32_t> seen;
    for (int i = stage_->means.first; i < stage_->means.first + stage_->means.count; ++i) {
      const std::int32_t of = cell_.means[i];
      check_range(item("means", index(i)), of, 0, count(kStaged) - 1);
      if (!seen.insert(of).second) refuse_cell(item("means", index(i)), "each once in a stage", std::to_string(of));
      check_staged(item("means", index(i)), of);
    }
    const Range &range = stage_->products;
    for (int i = range.first; i < range.first + range.count; ++i) {
      if (backward_) {
        check_consumers(index(i));
      } else if (cell_.products[i].source >= cell_.states) {
        check_staged(item("products", index(i), "source"), cell_.products[i].source - cell_.states);
      }
    }
  }

  void check_staged(const std::string &name, std::int32_t staged) {
    if (written_[kStaged][index(staged)] == kNever) {
      refuse_cell(name, "what an earlier stage has written", "staged vector " + std::to_string(staged));
    }
    multiplied_[index(staged)] = true;
  }

  // The gradient of a staged vector is made of the deltas of all columns that read it.
  void check_consumers(std::size_t i) const {
    const std::int32_t source = cell_.sources[i];
    if (source < cell_.states) return;
    for (int p = 0; p < cell_.product_count; ++p) {
      const Product &product = cell_.products[p];
      if (product.source != source) continue;
      for (int c = product.column; c < product.column + product.count; ++c) {
        if (written_[kDelta][index(c)] == kNever) {
          refuse_cell(item("sources", i), "a source whose columns' deltas earlier back stages have written",
                      std::to_string(source) + ", which column " + std::to_string(c) + " reads");
        }
      }
    }
  }

  void check_instruction(std::size_t i, std::vector<bool> &used_operands) {
    const Instruction &instruction = cell_.instructions[i];
    if (instruction.operation < 0 || instruction.operation >= kOperationCount) {
      check_range(item("instructions", i, "operation"), instruction.operation, 0, kOperationCount - 1);
    }
    for (int k = 0; k < 3; ++k) {
      const Place place{i, k};
      if (k < arity(instruction.operation)) {
        check_read(place, operand(place, instruction.from[k], used_operands));
      } else if (instruction.from[k] != 0) {
        check_equal(place.text(), instruction.from[k], 0);
      }
    }
    const Place to{i, Place::kTo};
    write(to, operand(to, instruction.to, used_operands));
  }

  const Operand &operand(const Place &place, std::int32_t number, std::vector<bool> &used_operands) const {
    const auto operands = static_cast<std::int32_t>(arrays_.operands.size());
    if (number < 0 || number >= operands) check_range(place.text(), number, 0, operands - 1);
    used_operands[index(number)] = true;
    const Operand &found = cell_.operands[number];
    if (found.kind < 0 || found.kind >= kKindCount) {
      check_range(item("operands", index(number), "kind"), found.kind, 0, kKindCount - 1);
    }
    if (found.index < 0 || found.index >= count(found.kind)) {
      check_range(place.text() + ", its number among " + kKindRules[found.kind].name, found.index, 0,
                  count(found.kind) - 1);
    }
    return found;
  }

  void check_read(const Place &place, const Operand &operand) {
    const Access rule = access(operand.kind);
    if (!is_read(rule)) refuse_here(place, operand, "what may be read");
    if (is_written(rule) && written_[operand.kind][index(operand.index)] == kNever) {
      refuse_here(place, operand, "what has been written");
    }
    if (operand.kind == kKept) read_kept_[index(operand.index)] = true;
    check_size(place, operand);
    bool available = true;
    switch (operand.kind) {
      case kColumn: {
        const int last = last_product_[index(operand.index)];
        available = last == kNever || last == stage_number_;
        break;
      }
      case kGradient:
        available = false;
        for (int s = stage_->products.first; s < stage_->products.first + stage_->products.count; ++s) {
          available |= cell_.sources[s] == operand.index && operand.index >= cell_.states;
        }
        break;
      case kIncoming:
        available = stage_number_ == (operand.index == 0 ? 0 : cell_.projects);
        break;
      default:
        break;
    }
    if (!available) refuse_here(place, operand, "what this stage completes");
  }

  void write(const Place &place, const Operand &operand) {
    const Access rule = access(operand.kind);
    if (!is_written(rule)) refuse_here(place, operand, "what may be written");
    int &stage = written_[operand.kind][index(operand.index)];
    if (is_written_once(rule) && stage != kNever) refuse_here(place, operand, "one that hasn't been written");
    check_size(place, operand);
    stage = stage_number_;
  }

  // A stage's program runs over the units of one size. Numbers that units share go with both.
  void check_size(const Place &place, const Operand &operand) const {
    std::int32_t size = kHidden;
    switch (operand.kind) {
      case kTemporary:
      case kNumber:
        return;
      case kColumn:
        size = cell_.columns[operand.index].size;
        break;
      case kDelta:
        size = operand.index < cell_.column_count ? cell_.columns[operand.index].size : kHidden;
        break;
      case kOld:
      case kOutgoing:  // a state that the projection makes is read by products alone
        if (source_size(cell_, operand.index) == kProjected) refuse_here(place, operand, "no projected state");
        break;
      case kNew:
        if (backward_ && source_size(cell_, operand.index) == kProjected) {
          refuse_here(place, operand, "no projected state");
        }
        [[fallthrough]];
      case kIncoming:
        size = source_size(cell_, operand.index);
        break;
      default:
        break;
    }
    if (size != stage_->size) refuse_here(place, operand, "the size of the stage");
  }

  // What is written once is written.
  void check_end() const {
    for (int kind = 0; kind < kKindCount; ++kind) {
      if (!is_written_once(access(kind))) continue;
      for (std::size_t i = 0; i < written_[kind].size(); ++i) {
        if (written_[kind][i] == kNever) refuse_cell(item(kKindRules[kind].name, i), "one that is written", "none");
      }
    }
    for (std::size_t i = 0; i < multiplied_.size(); ++i) {
      if (!multiplied_[i]) refuse_cell(item("kStaged", i), "one that a product or mean reads", "none");
    }
  }

  [[noreturn]] void refuse_here(const Place &place, const Operand &operand, const char *expected) const {
    refuse_cell(place.text() + (backward_ ? " (backward)" : " (forward)"), expected,
                item(kKindRules[operand.kind].name, index(operand.index)));
  }

  const Cell &cell_;
  const CellArrays &arrays_;
  const bool backward_;
  const Stage *stage_ = nullptr;
  int stage_number_ = 0;
  std::vector<int> written_[kKindCount];  // by index: the stage that last wrote it
  std::vector<bool> read_kept_, multiplied_;
  std::vector<int> last_product_;  // by column: the forward stage of its last product
};

}  // namespace

void check_programs(const NamedCell &named) {
  const Cell &cell = named.cell;
  const std::vector<Operand> &operands = named.arrays.operands;
  std::set<std::pair<std::int32_t, std::int32_t>> distinct;
  for (std::size_t i = 0; i < operands.size(); ++i) {
    if (!distinct.insert({operands[i].kind, operands[i].index}).second) {
      refuse_cell(item("operands", i), "one that isn't there before", "another of the same");
    }
  }
  check_equal("raw", cell.raw, static_cast<std::int64_t>(distinct.count({kRaw, 0})));
  Consecutive means("means", named.arrays.means.size());
  Consecutive instructions("instructions", named.arrays.instructions.size());
  std::vector<bool> used(operands.size(), false);
  Walk forward(named, false), backward(named, true);
  forward.run(means, instructions, used);
  backward.run(means, instructions, used);
  means.check_end();
  instructions.check_end();
  for (std::size_t i = 0; i < used.size(); ++i) {
    if (!used[i]) refuse_cell(item("operands", i), "one that an instruction has", "none");
  }
  std::vector<bool> kept = backward.read_kept();
  for (std::int32_t i = 0; i < cell.staged; ++i) {
    if (cell.staged_kept[i] >= 0) kept[static_cast<std::size_t>(cell.staged_kept[i])] = true;
  }
  for (std::size_t i = 0; i < kept.size(); ++i) {
    if (!kept[i]) refuse_cell(item("kKept", i), "one that the backward part reads", "none");
  }
}

}  // namespace recurra
