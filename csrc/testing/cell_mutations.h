// Descriptions that somebody has damaged, or written to do damage.
#pragma once

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <vector>

#include "testing/numbers.h"
#include "testing/varied_cells.h"

namespace recurra {
namespace testing {

// Of a code: its header, and where that says how many operands and instructions there are.
constexpr Index kHeaderSize = 27;
constexpr std::size_t kOperandCount = 22, kInstructionCount = 23;

// Anything anywhere.
inline void mutate_number(Random &random, std::vector<std::int32_t> &code) {
  const auto place = [&] { return static_cast<std::size_t>(random.integer(0, static_cast<Index>(code.size()) - 1)); };
  switch (random.integer(0, 11)) {
    case 0:
      code[place()] = static_cast<std::int32_t>(random.bits());
      break;
    case 1:
      code.resize(place());
      break;
    case 2:
      code.insert(code.end(), static_cast<std::size_t>(random.integer(1, 9)), code[place()]);
      break;
    case 3:
    case 4:
      std::swap(code[place()], code[place()]);
      break;
    case 5:
    case 6:
      code[place()] = code[place()];
      break;
    case 7:
      code[place()] ^= 1;
      break;
    default:
      code[place()] = static_cast<std::int32_t>(random.integer(-2, 12));
  }
}

// A program that isn't the one that was meant; the instructions, of five numbers each, are the end of a code.
inline void mutate_program(Random &random, std::vector<std::int32_t> &code, Index instructions, Index operands) {
  const auto instruction = [&] { return code.end() - 5 * random.integer(1, instructions); };
  switch (random.integer(0, 3)) {
    case 0: {
      const auto first = instruction(), second = instruction();
      if (first != second) std::swap_ranges(first, first + 5, second);
      break;
    }
    case 1:
      *instruction() = static_cast<std::int32_t>(random.integer(0, kOperationCount - 1));
      break;
    default:
      instruction()[random.integer(1, 4)] = static_cast<std::int32_t>(random.integer(0, operands - 1));
  }
}

// Numbers without any sense, of which most are small, as those of a description are; behind a header that has some, or
// not even that.
inline std::vector<std::int32_t> senseless_code(Random &random, const std::vector<std::int32_t> &good) {
  std::vector<std::int32_t> code;
  const bool headed = random.integer(0, 1) == 1;
  if (headed) code.assign(good.begin(), good.begin() + kHeaderSize);
  const Index size = headed ? static_cast<Index>(good.size()) - kHeaderSize : random.integer(0, 400);
  for (Index i = 0; i < size; ++i) {
    code.push_back(static_cast<std::int32_t>(random.integer(0, 3) ? random.integer(-1, 9)
                                                                  : static_cast<Index>(random.bits() >> 32)));
  }
  return code;
}

inline void mutate_constants(Random &random, std::vector<double> &constants) {
  for (double &constant : constants) {
    const std::uint64_t bits = random.bits();
    if (random.integer(0, 3) == 0) std::memcpy(&constant, &bits, sizeof bits);  // of any size, or NaN
  }
}

// Descriptions one after the other, most of them damaged so that they must be refused.
class DamagedCells {
 public:
  explicit DamagedCells(std::uint64_t seed) : random_(seed), good_(varied_sources()) {
    for (const CellWriter &writer : good_codes()) good_.emplace_back(writer);
  }

  // Null if it was refused.
  std::shared_ptr<const NamedCell> next() {
    const CellSource &of = good_[static_cast<std::size_t>(random_.integer(0, static_cast<Index>(good_.size()) - 1))];
    std::vector<std::int32_t> code = of.code;
    std::vector<double> constants = of.constants;
    const Index kind = random_.integer(0, 9), mutations = random_.integer(1, 3);
    if (kind == 0) {
      code = senseless_code(random_, of.code);
    } else if (kind < 6) {
      for (Index k = 0; k < mutations; ++k) {
        mutate_program(random_, code, of.code[kInstructionCount], of.code[kOperandCount]);
      }
    } else {
      for (Index k = 0; k < mutations && !code.empty(); ++k) mutate_number(random_, code);
    }
    if (random_.integer(0, 7) == 0) mutate_constants(random_, constants);
    try {
      return checked(code, constants, of.words);
    } catch (const std::invalid_argument &) {
      return nullptr;
    }
  }

 private:
  Random random_;
  std::vector<CellSource> good_;
};

}  // namespace testing
}  // namespace recurra
