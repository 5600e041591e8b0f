// A stack of recurrent layers, one or two directions each: forward, and back through the tape. Arguments are checked by
// the caller; nothing here knows Python.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <mutex>
#include <vector>

#include "model/parameters.h"
#include "model/plan.h"
#include "model/sequences.h"

namespace recurra {

// The caller's array of sequences: the features of (t, b) begin at base + t * step + b * row, in elements.
template <class T>
struct Strided {
  T *base = nullptr;
  Index step = 0, row = 0;

  explicit operator bool() const { return base != nullptr; }
};

// What ran last on this thread of the caller's.
struct LastPlan {
  Plan plan;
  const char *isa = "";
};
LastPlan &last_plan();

// Asked now and then during a long call; true ends it.
using Signalled = bool (*)();

struct NetworkShape {
  CellKind kind;
  Index input_size, hidden_size, layers;
  int directions;
  bool bias;
  bool single;            // a cell, which takes one step; its parameters' names lack the suffix "_l0"
  std::size_t first = 0;  // of a cell that shares a layer's parameters: which of those is its own first one

  Index features() const { return directions * hidden_size; }
  Index states() const { return layers * directions; }
  bool has_cell_state() const { return kind == kLstm; }
};

// What one layer leaves for the way back; arrays are compact, (rows, …), see Rows.
template <class T>
struct LayerTape {
  Buffer<T> out;                   // (rows, directions * hidden_size): h_t
  Buffer<T> mask, masked;          // the same, where dropout follows: the mask, and out ∘ mask
  std::array<Buffer<T>, 2> kept;   // by direction
  std::array<Buffer<T>, 2> cells;  // by direction: c_t
};

// What forward keeps for backward. It owns all of it, so later changes to the caller's arrays don't matter.
template <class T>
struct TapeMemory {
  TapeMemory(Index steps, Index batch, const Index *lengths) : sequences(steps, batch, lengths) {}

  Sequences sequences;
  Buffer<T> x;           // compact
  Buffer<Index> tokens;  // or these, compact
  Buffer<T> table;       // (alphabet, input_size) behind them, or empty
  Index alphabet = 0;
  Buffer<T> h0, c0;  // (layers * directions, batch, hidden_size), empty for zeros
  std::vector<LayerTape<T>> layers;
  std::shared_ptr<const Parameters<T>> parameters;  // whose they are, and which version
  long long version = 0;
};

template <class T>
struct ForwardCall {
  Strided<const T> x;
  Strided<const Index> tokens;  // instead of x: within 0..input_size-1, or with a table below its rows
  const T *table = nullptr;     // (alphabet, input_size): the vectors that tokens stand for; null: one-hot rows
  Index alphabet = 0;
  const T *h0 = nullptr, *c0 = nullptr;  // (layers * directions, batch, hidden_size), null for zeros
  Strided<T> y;
  T *h_n = nullptr, *c_n = nullptr;
  std::vector<Strided<const T>> masks;  // of all layers but the last, or empty; only with a tape
  PlanWish wish;
  Signalled signalled = nullptr;
};

template <class T>
struct BackwardCall {
  Strided<const T> dy;
  std::vector<Strided<const T>> doutputs, dcells;  // of every layer, null where not given
  const T *dh_n = nullptr, *dc_n = nullptr;
  Strided<T> dx;        // null: not wanted
  T *dtable = nullptr;  // (alphabet, input_size) where the tape has a table; null: not wanted
  T *dh0 = nullptr, *dc0 = nullptr;
  std::vector<T *> grads;  // of every parameter, contiguous; the gradient is added
  PlanWish wish;
  Signalled signalled = nullptr;
};

enum class Outcome { kDone, kInterrupted, kOutdated };

template <class T>
class Network {
 public:
  // With parameters of its own, or with those of a layer, for a cell that shares some of them.
  explicit Network(const NetworkShape &shape, std::shared_ptr<Parameters<T>> shared = nullptr);

  // Fills y, h_n and c_n; `tape`, if given, has its sequences and nothing else yet.
  Outcome forward(const Sequences &sequences, const ForwardCall<T> &call, TapeMemory<T> *tape);
  // kOutdated: the weights have changed since the tape was made. Nothing is added unless kDone.
  Outcome backward(const TapeMemory<T> &tape, const BackwardCall<T> &call);

  const NetworkShape shape;
  const std::shared_ptr<Parameters<T>> parameters;

 private:
  Index inputs(Index layer) const { return layer == 0 ? shape.input_size : shape.directions * shape.hidden_size; }
  std::size_t entry(Index layer, int direction) const {
    return shape.first + static_cast<std::size_t>((layer * shape.directions + direction) * (shape.bias ? 4 : 2));
  }
  Plan plan(const Sequences &sequences, const PlanWish &wish, int products) const;
  PackedPtr<T> packed_forward(long long &version);
  PackedPtr<T> packed_backward(long long version);
  Outcome report(const Plan &plan, int members, bool stopped) const;

  const CellKernels<T> &cell_;
  PackedCache<T> forward_, backward_;
  std::vector<Index> forward_at_, backward_at_;  // where (layer, direction) begins in a snapshot; at the end the size
  Index multiply_adds_ = 0;                      // of one row, forward
};

extern template class Network<float>;
extern template class Network<double>;

}  // namespace recurra
