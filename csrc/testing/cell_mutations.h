// Descriptions that somebody has damaged, or written to do damage.
#pragma once

#include <algorithm>
#include <stdexcept>
#include <vector>

#include "model/known_cells.h"
#include "testing/cell_codes.h"
#include "testing/numbers.h"

namespace recurra {
namespace testing {

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

// A description to start from.
struct GoodCell {
  std::vector<std::int32_t> code;
  std::vector<double> constants;
  CellWords words;
};

inline std::vector<GoodCell> good_cells() {
  std::vector<GoodCell> good;
  for (const CellWriter &writer : good_codes()) good.push_back({writer.code(), writer.arrays.constants, writer.words});
  for (int id = 0; id < kCompiledCells; ++id) {
    const KnownCell &known = kKnownCells[id];
    good.push_back({{known.code, known.code + known.size},
                    {known.constants, known.constants + known.constant_count},
                    *compiled_cell(static_cast<CompiledCell>(id))});
  }
  return good;
}

// Those of `count` mutated descriptions that are accepted all the same.
inline std::vector<std::shared_ptr<const NamedCell>> fuzz_cells(std::uint64_t seed, int count) {
  const std::vector<GoodCell> good = good_cells();
  std::vector<std::shared_ptr<const NamedCell>> accepted;
  Random random(seed);
  for (int i = 0; i < count; ++i) {
    const GoodCell &of = good[static_cast<std::size_t>(random.integer(0, static_cast<Index>(good.size()) - 1))];
    constexpr std::size_t kOperandCount = 22, kInstructionCount = 23;
    std::vector<std::int32_t> code = of.code;
    const Index mutations = random.integer(1, 3);
    if (random.integer(0, 1)) {
      for (Index k = 0; k < mutations; ++k) {
        mutate_program(random, code, of.code[kInstructionCount], of.code[kOperandCount]);
      }
    } else {
      for (Index k = 0; k < mutations && !code.empty(); ++k) mutate_number(random, code);
    }
    if (code == of.code) continue;
    try {
      accepted.push_back(checked(code, of.constants, of.words));
    } catch (const std::invalid_argument &) {
    }
  }
  return accepted;
}

}  // namespace testing
}  // namespace recurra
