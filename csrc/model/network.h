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
#include "system/interrupt.h"

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

struct NetworkShape {
  CellId cell;
  Index input_size, hidden_size, layers;
  int directions;
  bool bias;
  bool single;           // a cell, which takes one step; its parameters' names lack the suffix "_l0"
  std::size_t part = 0;  // of a cell that shares a layer's parameters: 1 + the place of its own first one among those

  Index features() const { return directions * hidden_size; }
  Index states() const { return layers * directions; }
  bool has_cell_state() const { return kCells[cell].states > 1; }
};

// What one layer saves for the backward pass; arrays are compact, (rows, …), see Rows.
template <class T>
struct LayerTape {
  Buffer<T> out;                   // (rows, directions * hidden_size): h_t
  Buffer<T> mask, masked;          // the same, where dropout follows: the mask, and out ∘ mask
  std::array<Buffer<T>, 2> saved;  // by direction: activations
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
  ParametersPtr<T> parameters;  // that forward used, and which version of them
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

// The shape of a stack of layers, and the kernels that compute it. Weights are an object of their own, made for the
// network's table of parameters; several of them may share a network.
template <class T>
class Network {
 public:
  // With a table of its own, or, for a cell that shares a layer's parameters, with that of the layer.
  explicit Network(const NetworkShape &shape, TablePtr shared = nullptr);

  // Fills y, h_n and c_n; `tape`, if given, has its sequences and nothing else yet.
  Outcome forward(const ParametersPtr<T> &parameters, const Sequences &sequences, const ForwardCall<T> &call,
                  TapeMemory<T> *tape) const;
  // kOutdated: the weights have changed since the tape was made. Nothing is added unless kDone.
  Outcome backward(const TapeMemory<T> &tape, const BackwardCall<T> &call) const;

  const NetworkShape shape;
  const TablePtr table;

 private:
  Index inputs(Index layer) const { return layer == 0 ? shape.input_size : shape.features(); }
  // The place in the table of a parameter of a layer and direction, counted as `layer * directions + direction`.
  std::size_t entry(Index layer_direction, Role role) const {
    const std::size_t first = shape.part ? shape.part - 1 : 0;
    return first + static_cast<std::size_t>(layer_direction * (shape.bias ? 4 : 2) + role);
  }
  bool has(Role role) const { return shape.bias || !is_bias(role); }
  PackTask<T> pack_task(const Parameters<T> &parameters, Index layer, int direction, T *to, Worker *worker) const;
  // Null if interrupted; backward also if the weights are no longer of that version, and says so.
  PackedPtr<T> packed_forward(Parameters<T> &parameters, Signalled signalled) const;
  PackedPtr<T> packed_backward(Parameters<T> &parameters, long long version, Signalled signalled, bool &outdated) const;
  Plan plan(const Sequences &sequences, const PlanWish &wish, int products) const;
  Outcome report(const Plan &plan, int members, bool stopped) const;

  const CellDescription &cell_;
  const Kernels<T> &kernels_;
  std::vector<Index> forward_at_, backward_at_;  // where (layer, direction) begins in a snapshot; at the end the size
  Index multiply_adds_ = 0;                      // of one row, forward
};

extern template class Network<float>;
extern template class Network<double>;

}  // namespace recurra
