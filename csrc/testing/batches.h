// Batches of sequences of random length, sorted as kernels want them.
#pragma once

#include <algorithm>
#include <vector>

#include "testing/numbers.h"

namespace recurra {
namespace testing {

struct RandomBatch {
  std::vector<Index> order, sequence, begin, alive, offset;
  Index steps, longest = 0;  // longest: of the caller's sequences, of which these may be parts

  // At least one sequence has `most` steps, and some may have none.
  RandomBatch(Random &random, Index count, Index most) : steps(count > 0 ? most : 0) {
    std::vector<Index> lengths;
    for (Index b = 0; b < count; ++b) {
      lengths.push_back(b == 0 ? most : random.integer(0, most));
      begin.push_back(random.integer(0, 3));
      sequence.push_back(b);
      order.push_back(b);
    }
    std::sort(lengths.begin(), lengths.end(), std::greater<Index>());
    for (std::size_t b = 0; b < lengths.size(); ++b) {
      std::swap(order[b], order[static_cast<std::size_t>(random.integer(static_cast<Index>(b), count - 1))]);
      std::swap(sequence[b], sequence[static_cast<std::size_t>(random.integer(static_cast<Index>(b), count - 1))]);
      longest = std::max(longest, begin[b] + lengths[b]);
    }
    Index total = 0;
    for (Index t = 0; t <= steps; ++t) {
      offset.push_back(total);
      alive.push_back(std::count_if(lengths.begin(), lengths.end(), [t](Index length) { return length > t; }));
      total += alive.back();
    }
  }
  Index batch() const { return static_cast<Index>(order.size()); }
  Index total() const { return offset.back(); }
  Rows rows() const {
    return {steps, batch(), order.data(), sequence.data(), begin.data(), alive.data(), offset.data()};
  }
};

// A row (t, b), and the order in which the backward pass visits rows.
struct Place {
  Index t, b;
};
inline std::vector<Place> visits(const RandomBatch &batch, bool reverse) {
  std::vector<Place> places;
  for (Index s = 0; s < batch.steps; ++s) {
    const Index t = reverse ? s : batch.steps - 1 - s;
    for (Index b = 0; b < batch.alive[static_cast<std::size_t>(t)]; ++b) places.push_back({t, b});
  }
  return places;
}

}  // namespace testing
}  // namespace recurra
