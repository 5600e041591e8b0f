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
  std::shared_ptr<const NamedCell> cell;  // names, and the description that the kernels read
  Index input_size, hidden_size, layers;
  int directions;
  bool bias;
  bool single;             // a cell, which takes one step; its parameters' names lack the suffix "_l0"
  bool reverse = false;    // the one direction goes from each sequence's end to its beginning
  Index projected_size;    // features of h: hidden_size, unless the cell projects
  bool learned = false;    // initial states are parameters, used where the caller gives none
  std::size_t part = 0;    // of a cell that shares a layer's parameters: 1 + the place of its own first one among those

  Index features() const { return directions * projected_size; }
  Index states() const { return layers * directions; }
  Index state_size(int state) const { return state == 0 ? projected_size : hidden_size; }
};

// What one layer saves for the backward pass; arrays are compact, (rows, …), see Rows.
template <class T>
struct LayerTape {
  Buffer<T> out;                  // (rows, directions * projected_size): h_t
  Buffer<T> mask, masked;         // the same, where dropout follows: the mask, and out ∘ mask
  std::array<Buffer<T>, 2> kept;  // by direction: what the cell keeps, (rows, kept_stride)
  std::array<std::vector<Buffer<T>>, 2> states;  // by direction and state, but h: (rows, padded_units(hidden_size))
};

// What forward keeps for backward. It owns all of it, so later changes to the caller's arrays don't matter.
template <class T>
struct TapeMemory {
  Sequences sequences;
  Buffer<T> x;           // compact
  Buffer<Index> tokens;  // or these, compact
  Buffer<T> table;       // (alphabet, input_size) behind them, or empty
  Index alphabet = 0;
  std::vector<Buffer<T>> inputs;   // of the cell, in its order: compact, or of kPerRow (batch, hidden_size); each once
                                   // or layers * directions times
  std::vector<Buffer<T>> initial;  // by state: (layers * directions, sequences, its size), empty for zeros
  std::vector<LayerTape<T>> layers;
  ParametersPtr<T> parameters;  // that forward used, and which version of them
  long long version = 0;
};

// An input array of the cell: as `Strided`, for each layer and direction `layer_stride` further on; 0: the same for all.
template <class T>
struct StridedInput {
  Strided<T> array;
  Index layer_stride = 0;
};

template <class T>
struct ForwardCall {
  Strided<const T> x;
  Strided<const Index> tokens;  // instead of x: within 0..input_size-1, or with a table below its rows
  const T *table = nullptr;     // (alphabet, input_size): the vectors that tokens stand for; null: one-hot rows
  Index alphabet = 0;
  std::vector<StridedInput<const T>> inputs;    // of the cell, in its order
  std::vector<const T *> initial;  // by state: (layers * directions, batch, its size), null for zeros
  Strided<T> y;
  std::vector<T *> final;               // by state, the same
  std::vector<Strided<const T>> masks;  // of all layers but the last, or empty; only with a tape
  PlanWish wish;
  Signalled signalled = nullptr;
};

template <class T>
struct BackwardCall {
  Strided<const T> dy;
  std::vector<Strided<const T>> doutputs;               // of every layer, null where not given
  std::vector<std::vector<Strided<const T>>> dstates;   // by state and layer; of h none
  std::vector<const T *> dfinal;                        // by state, null for zeros
  Strided<T> dx;        // null: not wanted
  T *dtable = nullptr;  // (alphabet, input_size) where the tape has a table; null: not wanted
  std::vector<StridedInput<T>> dinputs;  // of the cell's inputs: the gradient is added; null: not wanted
  std::vector<T *> dinitial;             // by state
  std::vector<T *> grads;                // of every parameter, contiguous; the gradient is added
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
