// Gradients of what cells read besides their states and W_ih x: sums of deltas, in memory of the call's own until all
// of them are complete.
#pragma once

#include <algorithm>
#include <vector>

#include "model/network.h"
#include "model/views.h"

namespace recurra {

// Chains of the sum over the units of a row: unit i goes to chain i mod 16.
constexpr Index kUnitChains = 16;

template <class T>
T sum_of_units(const T *values, Index count) {
  T chains[kUnitChains] = {};
  Index i = 0;
  for (; i + kUnitChains <= count; i += kUnitChains) {
    for (Index c = 0; c < kUnitChains; ++c) chains[c] += values[i + c];
  }
  for (Index c = 0; i + c < count; ++c) chains[c] += values[i + c];
  for (Index half = kUnitChains / 2; half > 0; half /= 2) {
    for (Index c = 0; c < half; ++c) chains[c] += chains[c + half];
  }
  return chains[0];
}

// A range of BPTT's steps, in the order of visits, of one direction of one layer, and the deltas of its rows.
template <class T>
struct VisitedSteps {
  Index layer_direction;
  bool reverse;
  Index first_step, last_step;
  Deltas<const T> deltas;
};

template <class T>
class InputSums {
 public:
  InputSums(const NetworkShape &shape, const TapeMemory<T> &tape, const BackwardCall<T> &call)
      : shape_(shape), tape_(tape), rows_(tape.sequences.rows), cell_(shape.description()) {
    Index at = 0;
    for (int d = 0; d < cell_.delta_count; ++d) {
      const DeltaDescription &delta = cell_.deltas[d];
      const bool projected = delta.of == kOfColumn && cell_.columns[delta.index].size == kProjected;
      if (delta.of == kOfInput && delta.index < static_cast<Index>(call.dinputs.size())) {
        const StridedInput<T> &target = call.dinputs[delta.index];
        const Kind kind = static_cast<Kind>(cell_.inputs[delta.index].shape);
        if (target.array) sums_.push_back({kind, at, size_of(kind), target, nullptr});
      } else if (delta.of == kOfRaw && call.dtable) {
        sums_.push_back({kPerToken, at, checked_product(tape.alphabet, shape.hidden_size), {}, nullptr});
      }
      at += projected ? shape.projected_size : shape.hidden_size;
    }
  }

  void cut(Cutter &cutter) {
    for (Sum &sum : sums_) sum.values = cutter.take<T>(checked_product(copies(sum), sum.size));
  }

  // A member's share of what a range adds. The layers and directions come in one order, the ranges of each in that of
  // visits.
  void add(const VisitedSteps<T> &range, Worker &worker) const {
    for (const Sum &sum : sums_) {
      const bool every = sum.target.layered || sum.kind == kPerToken;
      if (sum.kind == kPerToken && range.layer_direction >= shape_.directions) continue;  // of the layer that reads it
      const Index first_of_all = (shape_.layers - 1) * shape_.directions;
      const bool first =
          sum.kind == kPerToken ? range.layer_direction == 0 : every || range.layer_direction == first_of_all;
      T *to = sum.values + (sum.target.layered ? range.layer_direction * sum.size : 0);
      if (sum.kind == kEveryUnit || sum.kind == kEveryStep) {
        add_rows(sum, range, first, to, worker);
      } else {
        add_visits(sum, range, first && range.first_step == 0, to, worker);
      }
    }
  }

  // Adds to the caller's arrays.
  void finish() const {
    for (const Sum &sum : sums_) {
      for (Index k = 0; sum.kind != kPerToken && k < copies(sum); ++k) add_copy(sum, k);
    }
  }

  // Adds rows [first, last) of the table, where the cell reads it itself.
  void add_table(Index first, Index last, T *dtable) const {
    for (const Sum &sum : sums_) {
      if (sum.kind != kPerToken) continue;
      for (Index i = first * shape_.hidden_size; i < last * shape_.hidden_size; ++i) dtable[i] += sum.values[i];
    }
  }

 private:
  // Of which numbers there is a sum each; the first are those of InputShape.
  enum Kind { kEveryUnit = kPerUnit, kEveryStep = kPerStep, kEverySequence = kPerRow, kPerToken };

  struct Sum {
    Kind kind;
    Index delta;  // where a row of deltas has it
    Index size;   // of one layer and direction, or of all that share an array
    StridedInput<T> target;
    T *values;
  };

  Index copies(const Sum &sum) const { return sum.target.layered ? shape_.states() : 1; }
  Index size_of(Kind kind) const {
    const Index H = shape_.hidden_size, total = tape_.sequences.total();
    return kind == kEveryStep ? total : checked_product(kind == kEveryUnit ? total : tape_.sequences.batch, H);
  }
  const T *delta_at(const Sum &sum, const VisitedSteps<T> &range, Index t, Index b) const {
    const Index row = range.reverse ? rows_.offset[t] + b : rows_.offset[rows_.steps] - rows_.offset[t + 1] + b;
    return range.deltas.base + (row & range.deltas.wrap) * range.deltas.stride + sum.delta;
  }

  // One number or one row for each row of deltas: a share of the rows.
  void add_rows(const Sum &sum, const VisitedSteps<T> &range, bool first, T *to, Worker &worker) const {
    const Index H = shape_.hidden_size;
    for (Index s = range.first_step; s < range.last_step; ++s) {
      const Index t = range.reverse ? s : rows_.steps - 1 - s, n = rows_.alive[t];
      for (Index b = n * worker.member / worker.members; b < n * (worker.member + 1) / worker.members; ++b) {
        const T *delta = delta_at(sum, range, t, b);
        const Index row = rows_.offset[t] + b;
        if (sum.kind == kEveryStep) {
          const T all = sum_of_units(delta, H);
          to[row] = first ? all : to[row] + all;
        } else if (first) {
          std::copy_n(delta, H, to + row * H);
        } else {
          for (Index i = 0; i < H; ++i) to[row * H + i] += delta[i];
        }
        if (stops(worker, kCopyWork * H)) return;
      }
    }
  }

  // One row for each sequence or token, a chain over its rows of deltas in the order of visits: a share of the units.
  void add_visits(const Sum &sum, const VisitedSteps<T> &range, bool first, T *to, Worker &worker) const {
    const Index H = shape_.hidden_size;
    const Index begin = H * worker.member / worker.members, end = H * (worker.member + 1) / worker.members;
    for (Index row = 0; first && row < sum.size / H; ++row) std::fill(to + row * H + begin, to + row * H + end, T(0));
    for (Index s = range.first_step; s < range.last_step; ++s) {
      const Index t = range.reverse ? s : rows_.steps - 1 - s;
      for (Index b = 0; b < rows_.alive[t]; ++b) {
        const T *delta = delta_at(sum, range, t, b);
        const Index row = sum.kind == kPerToken ? tape_.tokens.data()[rows_.offset[t] + b] : rows_.sequence[b];
        for (Index i = begin; i < end; ++i) to[row * H + i] += delta[i];
        if (stops(worker, kCopyWork * (end - begin))) return;
      }
    }
  }

  void add_copy(const Sum &sum, Index k) const {
    const Index H = shape_.hidden_size, width = sum.kind == kEveryStep ? 1 : H;
    Strided<T> target = sum.target.array;
    target.base += k * sum.target.layer_stride;
    const T *from = sum.values + k * sum.size;
    const auto add = [width](T *to, const T *row) {
      for (Index i = 0; i < width; ++i) to[i] += row[i];
    };
    if (sum.kind == kEverySequence) {
      for (Index s = 0; s < tape_.sequences.batch; ++s) add(target.base + s * target.row, from + s * H);
    } else {
      for_rows(rows_, 0, rows_.batch,
               [&](Index t, Index b, Index row) { add(caller_row(target, rows_, t, b), from + row * width); });
    }
  }

  const NetworkShape &shape_;
  const TapeMemory<T> &tape_;
  const Rows &rows_;
  const Cell &cell_;
  std::vector<Sum> sums_;
};

}  // namespace recurra
