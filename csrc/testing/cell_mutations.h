// Descriptions that somebody has damaged, or written to do damage.
#pragma once

#include <stdexcept>
#include <vector>

#include "testing/cell_codes.h"
#include "testing/numbers.h"

namespace recurra {
namespace testing {

inline void mutate(Random &random, std::vector<std::int32_t> &code) {
  const auto place = [&] { return static_cast<std::size_t>(random.integer(0, static_cast<Index>(code.size()) - 1)); };
  if (code.empty()) return;
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
      code[place()] += static_cast<std::int32_t>(random.integer(0, 1) * 2 - 1);
      break;
    default:
      code[place()] = static_cast<std::int32_t>(random.integer(-2, 12));
  }
}

// Those of `count` mutated descriptions that are accepted all the same.
inline std::vector<std::shared_ptr<const NamedCell>> fuzz_cells(std::uint64_t seed, int count) {
  const std::vector<CellWriter> good = good_codes();
  std::vector<std::vector<std::int32_t>> codes;
  for (const CellWriter &writer : good) codes.push_back(writer.code());
  std::vector<std::shared_ptr<const NamedCell>> accepted;
  Random random(seed);
  for (int i = 0; i < count; ++i) {
    const auto of = static_cast<std::size_t>(random.integer(0, static_cast<Index>(good.size()) - 1));
    std::vector<std::int32_t> code = codes[of];
    for (Index mutations = random.integer(1, 3); mutations > 0; --mutations) mutate(random, code);
    if (code == codes[of]) continue;
    try {
      accepted.push_back(checked(code, good[of].arrays.constants, good[of].words));
    } catch (const std::invalid_argument &) {
    }
  }
  return accepted;
}

}  // namespace testing
}  // namespace recurra
