// Sequences of different length as sorted rows; see Rows in kernels.h. A sequence whose state is reset on its way is
// cut there into segments, and each segment is a row.
#pragma once

#include <algorithm>
#include <vector>

#include "kernels.h"

namespace recurra {

class Sequences {
 public:
  // `lengths` (batch) within 0..steps, or null where every sequence has all steps. `resets` (batch, steps), or null: 1
  // where the state before a step is zero. Those beyond a sequence's end don't count.
  Sequences(Index steps, Index batch, const Index *lengths, const unsigned char *resets = nullptr);
  Sequences(Sequences &&) = default;
  Sequences(const Sequences &) = delete;

  Index total() const { return rows.offset[rows.steps]; }
  Index length(Index sorted) const {
    // alive is not increasing, so this is the first step that does without the row
    return std::partition_point(rows.alive, rows.alive + rows.steps, [=](Index n) { return n > sorted; }) - rows.alive;
  }

  // Whether any of the caller's sequences is shorter than `steps`.
  bool padded() const { return padded_; }
  // Whether rows of states are the caller's sequences no longer, but segments, or not all begin with their initial
  // state.
  bool cut() const { return cut_; }

  // The places in arrays of states of the row that begins with a sequence's initial state, or -1 where a reset at step
  // 0 has dropped it, and of the row that ends with its final state.
  Index entering(Index sequence, bool reverse) const {
    if (!cut_) return sequence;
    if (reverse) return first_[sequence + 1] - 1;
    return dropped_[sequence] ? -1 : first_[sequence];
  }
  Index leaving(Index sequence, bool reverse) const {
    if (!cut_) return sequence;
    return reverse ? first_[sequence] : first_[sequence + 1] - 1;
  }
  // Whether a sorted row is the last segment of its sequence.
  bool last(Index sorted) const { return leaving(rows.sequence[sorted], false) == rows.order[sorted]; }

  // Where to cut the sorted rows into `parts` slices of about the same number of steps: parts + 1 bounds.
  std::vector<Index> slices(Index parts) const;

  const Index steps, batch;  // the caller's
  Rows rows;

 private:
  std::vector<Index> memory_;
  const Index *first_ = nullptr;    // (batch + 1) sequence -> place of its first segment
  const Index *dropped_ = nullptr;  // (batch) 1 where there is a reset at step 0
  bool padded_ = false, cut_ = false;
};

}  // namespace recurra
