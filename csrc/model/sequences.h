// Sequences of different length as sorted rows; see Rows in kernels.h.
#pragma once

#include <algorithm>
#include <numeric>
#include <vector>

#include "kernels.h"

namespace recurra {

class Sequences {
 public:
  // `lengths` (batch) within 0..steps, or null where every sequence has all steps.
  Sequences(Index steps, Index batch, const Index *lengths) : memory_(static_cast<std::size_t>(batch + 2 * steps + 2)) {
    Index *order = memory_.data(), *alive = order + batch, *offset = alive + steps + 1;
    std::iota(order, order + batch, Index(0));
    if (lengths) {
      ragged_ = std::any_of(lengths, lengths + batch, [=](Index length) { return length != steps; });
    }
    if (ragged_) {
      std::stable_sort(order, order + batch, [=](Index a, Index b) { return lengths[a] > lengths[b]; });
    }
    Index reach = batch;
    for (Index t = 0; t <= steps; ++t) {
      while (ragged_ && reach > 0 && lengths[order[reach - 1]] <= t) --reach;
      alive[t] = t == steps ? 0 : reach;
    }
    offset[0] = 0;
    for (Index t = 0; t < steps; ++t) offset[t + 1] = offset[t] + alive[t];
    rows = {steps, batch, order, alive, offset};
  }
  Sequences(const Sequences &) = delete;
  Sequences &operator=(const Sequences &) = delete;

  Index total() const { return rows.offset[rows.steps]; }
  bool ragged() const { return ragged_; }
  Index length(Index sorted) const {
    // alive is not increasing, so this is the first step that does without the row
    return std::partition_point(rows.alive, rows.alive + rows.steps, [=](Index n) { return n > sorted; }) - rows.alive;
  }

  // Where to cut the sorted rows into `parts` slices of about the same number of steps: parts + 1 bounds.
  std::vector<Index> slices(Index parts) const {
    std::vector<Index> bounds{0};
    Index b = 0, done = 0;
    for (Index part = 1; part < parts; ++part) {
      if (!ragged_) {
        b = rows.batch * part / parts;
      }
      while (ragged_ && b < rows.batch && done < total() * part / parts) done += length(b++);
      bounds.push_back(b);
    }
    bounds.push_back(rows.batch);
    return bounds;
  }

  Rows rows;

 private:
  std::vector<Index> memory_;
  bool ragged_ = false;
};

}  // namespace recurra
