// What calls without a tape run: the forward program without what only the backward part reads, its values in as few
// places as they need.
#include <map>
#include <set>
#include <utility>

#include "model/cell_access.h"
#include "model/cell_check.h"

namespace recurra {
namespace {

// Slots of one kind of memory, the lowest free one first.
class Slots {
 public:
  std::int32_t take() {
    const std::int32_t slot = free_.empty() ? most_++ : *free_.begin();
    free_.erase(slot);
    return slot;
  }
  void give_back(std::int32_t slot) { free_.insert(slot); }
  std::int32_t most() const { return most_; }

 private:
  std::set<std::int32_t> free_;
  std::int32_t most_ = 0;
};

class Untaped {
 public:
  explicit Untaped(NamedCell &named) : named_(named), cell_(named.cell) {
    for (int s = 0; s < cell_.stage_count; ++s) {
      const Range &range = cell_.stages[s].instructions;
      for (int i = 0; i < range.count; ++i) steps_.push_back({cell_.instructions[range.first + i], s});
    }
    for (std::size_t i = 0; i < named.arrays.operands.size(); ++i) {
      const Operand &operand = named.arrays.operands[i];
      numbers_[{operand.kind, operand.index}] = static_cast<std::int32_t>(i);
    }
  }

  void add() {
    find_needed();
    find_values();
    std::vector<Stage> &stages = named_.arrays.untaped_stages;
    stages = named_.arrays.stages;
    for (int s = 0; s < cell_.stage_count; ++s) {
      Range &range = stages[static_cast<std::size_t>(s)].instructions;
      range = {static_cast<std::int32_t>(named_.arrays.instructions.size()), 0};
      for (std::size_t i = 0; i < steps_.size(); ++i) {
        if (steps_[i].stage == s && steps_[i].needed) append(i);
      }
      range.count = static_cast<std::int32_t>(named_.arrays.instructions.size()) - range.first;
    }
    cell_.operand_count = static_cast<std::int32_t>(named_.arrays.operands.size());
    cell_.untaped_temporaries = temporaries_.most();
    cell_.untaped_held = held_.most();
    check_range("untaped_temporaries", cell_.untaped_temporaries, 0, kMaxSlots);
    check_range("untaped_held", cell_.untaped_held, 0, kMaxSlots);
    check_range("operand_count with those of untaped calls", cell_.operand_count, 0, kMaxOperands);
    check_range("instruction_count with those of untaped calls",
                static_cast<std::int64_t>(named_.arrays.instructions.size()), 0, kMaxInstructions);
  }

 private:
  struct Step {
    Instruction instruction;
    int stage;
    bool needed = false;
    int to_value = -1, from_value[3] = {-1, -1, -1};
  };
  // What one instruction writes to memory that the program alone uses, until the next one that writes there.
  struct Value {
    int stage;  // that writes it
    std::size_t last_read = 0;
    std::int32_t slot = -1;
    bool crosses = false;  // read by a later stage
  };
  using Place = std::pair<std::int32_t, std::int32_t>;

  Place place(std::int32_t number) const {
    const Operand &operand = named_.arrays.operands[static_cast<std::size_t>(number)];
    return {operand.kind, operand.index};
  }
  static bool is_own(const Place &at) { return at.first == kTemporary || at.first == kHeld || at.first == kKept; }

  // From the end: what a state, a product or a mean is made of.
  void find_needed() {
    std::set<Place> wanted;
    for (std::size_t i = steps_.size(); i-- > 0;) {
      const Place to = place(steps_[i].instruction.to);
      steps_[i].needed = !is_own(to) || wanted.erase(to) > 0;
      for (int k = 0; steps_[i].needed && k < arity(steps_[i].instruction.operation); ++k) {
        const Place from = place(steps_[i].instruction.from[k]);
        if (is_own(from)) wanted.insert(from);
      }
    }
  }

  void find_values() {
    std::map<Place, int> current;
    for (std::size_t i = 0; i < steps_.size(); ++i) {
      Step &step = steps_[i];
      if (!step.needed) continue;
      for (int k = 0; k < arity(step.instruction.operation); ++k) {
        const Place from = place(step.instruction.from[k]);
        if (!is_own(from)) continue;
        step.from_value[k] = current.at(from);
        Value &value = values_[static_cast<std::size_t>(step.from_value[k])];
        value.last_read = i;
        value.crosses = value.stage != step.stage;
      }
      const Place to = place(step.instruction.to);
      if (!is_own(to)) continue;
      step.to_value = current[to] = static_cast<int>(values_.size());
      values_.push_back({step.stage});
    }
  }

  void append(std::size_t i) {
    const Step &step = steps_[i];
    Instruction instruction = step.instruction;
    for (int k = 0; k < 3; ++k) {
      if (step.from_value[k] >= 0) instruction.from[k] = number(values_[static_cast<std::size_t>(step.from_value[k])]);
    }
    // An instruction may write where it has read, so what it reads last is free.
    for (const int from : std::set<int>{step.from_value[0], step.from_value[1], step.from_value[2]}) {
      if (from < 0 || values_[static_cast<std::size_t>(from)].last_read != i) continue;
      Value &value = values_[static_cast<std::size_t>(from)];
      (value.crosses ? held_ : temporaries_).give_back(value.slot);
    }
    if (step.to_value >= 0) {
      Value &value = values_[static_cast<std::size_t>(step.to_value)];
      value.slot = (value.crosses ? held_ : temporaries_).take();
      instruction.to = number(value);
    }
    named_.arrays.instructions.push_back(instruction);
  }

  // The operand of a value, which may be one that there is already.
  std::int32_t number(const Value &value) {
    const Place at(value.crosses ? kHeld : kTemporary, value.slot);
    const auto [found, added] = numbers_.insert({at, static_cast<std::int32_t>(named_.arrays.operands.size())});
    if (added) named_.arrays.operands.push_back({at.first, at.second});
    return found->second;
  }

  NamedCell &named_;
  Cell &cell_;
  std::vector<Step> steps_;  // of all stages
  std::vector<Value> values_;
  std::map<Place, std::int32_t> numbers_;
  Slots temporaries_, held_;
};

// A state has two buffers unless each unit's old value has been read for the last time when its new one is written.
std::int32_t swapped_states(const Cell &cell) {
  std::int32_t swapped = 0, written = 0;
  for (int p = 0; p < cell.product_count; ++p) {
    if (cell.products[p].source < cell.states) swapped |= 1 << cell.products[p].source;
  }
  for (int s = 0; s < cell.stage_count; ++s) {
    const Range &range = cell.stages[s].instructions;
    for (int i = range.first; i < range.first + range.count; ++i) {
      const Instruction &instruction = cell.instructions[i];
      for (int k = 0; k < arity(instruction.operation); ++k) {
        const Operand &from = cell.operands[instruction.from[k]];
        if (from.kind == kOld) swapped |= written & (1 << from.index);
      }
      const Operand &to = cell.operands[instruction.to];
      if (to.kind == kNew) written |= 1 << to.index;
    }
  }
  return swapped;
}

}  // namespace

void add_untaped(NamedCell &named) {
  named.cell.swapped = swapped_states(named.cell);
  Untaped(named).add();
}

}  // namespace recurra
