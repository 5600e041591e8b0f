// A stack of recurrent layers, one or two directions each: forward, and back through the tape. Arguments are checked by
// the caller; nothing here knows Python.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "model/cell.h"
#include "model/narrow.h"
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
  bool single;           // a cell, which takes one step; its parameters' names lack the suffix "_l0"
  Index projected_size;  // features of h: hidden_size, unless the cell projects
  bool reverse = false;  // the one direction goes from each sequence's end to its beginning
  bool learned = false;  // initial states are parameters, used where the caller gives none
  std::size_t part = 0;  // of a cell that shares a layer's parameters: 1 + the place of its first one among those
  std::size_t variant =
      0;  // of a network with the parameters of another one and a cell of its own: a number of its own

  const Cell &description() const { return cell->cell; }
  Index features() const { return directions * projected_size; }
  Index inputs(Index layer) const { return layer == 0 ? input_size : features(); }
  Index states() const { return layers * directions; }
  Index state_size(int state) const { return state == 0 ? projected_size : hidden_size; }
  bool reversed(Index direction) const { return reverse || direction == 1; }
};

// Whether a network of that shape has the parameters of a table, whatever it does with them.
bool fits(const NetworkShape &shape, const ParameterTable &table);
// A number that no variant of any network has.
std::size_t next_variant();

// What one layer saves for the backward pass; arrays are compact, (rows, …), see Rows.
template <class T>
struct LayerTape {
  Buffer<T> out;                                            // (rows, directions * projected_size): h_t
  Buffer<T> mask, masked;                                   // the same, where dropout follows: the mask, and out ∘ mask
  std::array<Buffer<T>, 2> kept;                            // by direction: what the cell keeps, (rows, kept_stride)
  std::array<std::array<Buffer<T>, kMaxStates>, 2> states;  // by direction and state, but h: (rows, padded_units)
};

// An input array of the cell: compact, or of kPerRow (the caller's batch, hidden_size).
template <class T>
struct InputTape {
  Buffer<T> values;
  bool layered = false;  // one for each layer and direction, `layer_size` elements further on
  Index layer_size = 0;
};

// What forward keeps for backward. It owns all of it, so later changes to the caller's arrays don't matter. What the
// kernels may read in whole vectors goes on for one beyond its end.
template <class T>
struct TapeMemory {
  explicit TapeMemory(Sequences of) : sequences(std::move(of)) {}

  Sequences sequences;
  Buffer<T> x;           // compact
  Buffer<Index> tokens;  // or these, compact
  Buffer<T> table;       // (alphabet, input_size) behind them, or empty
  Index alphabet = 0;
  std::vector<InputTape<T>> inputs;           // of the cell, in its order
  std::array<Buffer<T>, kMaxStates> initial;  // (layers * directions, rows.batch, its size), empty for zeros
  std::array<bool, kMaxStates> learned{};     // whether that is the parameter
  std::vector<LayerTape<T>> layers;
  ParametersPtr<T> parameters;  // that forward used, and which version of them
  long long version = 0;
};

// The caller's input array: features as in `Strided`; of kPerRow with a `step` of 0.
template <class T>
struct StridedInput {
  Strided<T> array;
  bool layered = false;  // one for each layer and direction, `layer_stride` elements further on
  Index layer_stride = 0;
};

template <class T>
struct ForwardCall {
  Strided<const T> x;
  Strided<const Index> tokens;  // instead of x: within 0..input_size-1, or with a table below its rows
  const T *table = nullptr;     // (alphabet, input_size): the vectors that tokens stand for; null: one-hot rows
  Index alphabet = 0;
  std::vector<StridedInput<const T>> inputs;    // of the cell, in its order
  std::array<const T *, kMaxStates> initial{};  // (layers * directions, batch, its size), null where not given
  Strided<T> y;
  std::array<T *, kMaxStates> final{};  // the same
  std::vector<Strided<const T>> masks;  // of all layers but the last, or empty; only with a tape
  PlanWish wish;
  Signalled signalled = nullptr;
};

template <class T>
struct BackwardCall {
  Strided<const T> dy;
  std::vector<Strided<const T>> doutputs;                         // of every layer, null where not given
  std::array<std::vector<Strided<const T>>, kMaxStates> dstates;  // the same by state, of h none
  std::array<const T *, kMaxStates> dfinal{};                     // null for zeros
  Strided<T> dx;                                                  // null: not wanted
  T *dtable = nullptr;                   // (alphabet, input_size) where the tape has a table; null: not wanted
  std::vector<StridedInput<T>> dinputs;  // of the cell's inputs: the gradient is added; null: not wanted
  std::array<T *, kMaxStates> dinitial{};
  std::vector<T *> grads;  // of every parameter, contiguous; the gradient is added. Null: not wanted
  bool fresh = false;      // the gradient is written to `grads`, which hold nothing yet
  PlanWish wish;
  Signalled signalled = nullptr;
};

enum class Outcome { kDone, kInterrupted, kOutdated };

// The shape of a stack of layers, and the kernels that compute it. Weights are an object of their own, made for the
// network's table of parameters; several of them may share a network.
template <class T>
class Network {
 public:
  // With a table of its own, or with that of another network whose parameters it shares.
  explicit Network(const NetworkShape &shape, TablePtr shared = nullptr);
  // Of float32 only: one that computes with weights of a narrow form, forward and without a tape.
  Network(const NetworkShape &shape, TablePtr shared, Weights weights);

  // Fills y and the final states; `tape`, if given, has its sequences and nothing else yet.
  Outcome forward(const ParametersPtr<T> &parameters, const Sequences &sequences, const ForwardCall<T> &call,
                  TapeMemory<T> *tape) const;
  // The same with weights packed beforehand, and without a tape.
  Outcome forward(const PackedPtr<T> &packed, const Sequences &sequences, const ForwardCall<T> &call) const;
  // Packs narrow weights; null if interrupted.
  PackedPtr<T> pack(const NarrowArrays &arrays, Signalled signalled) const;
  // kOutdated: the weights have changed since the tape was made. Nothing is added unless kDone.
  Outcome backward(const TapeMemory<T> &tape, const BackwardCall<T> &call) const;

  // Bytes that a forward pass over so many whole sequences of features allocates for its tape, but for initial states
  // and masks.
  Index tape_bytes(Index steps, Index batch) const;
  // The place in the table of the first parameter of a layer and direction, counted as `layer * directions +
  // direction`.
  std::size_t first_entry(Index layer_direction) const {
    return (shape.part ? shape.part - 1 : 0) + static_cast<std::size_t>(layer_direction * own_entries_);
  }

  // What a stream asks for, which runs the kernels itself: them, the weights as they read them (null if interrupted),
  // where those of (layer, direction) and a learned state begin, and the schedule.
  const Kernels<T> &kernels() const { return kernels_; }
  PackedPtr<T> packed_forward(Parameters<T> &parameters, Signalled signalled) const;
  Index packed_at(Index layer_direction) const { return forward_at_[static_cast<std::size_t>(layer_direction)]; }
  Index learned_at(int state) const { return learned_at_[static_cast<std::size_t>(state)]; }
  Plan plan(const Sequences &sequences, const PlanWish &wish, int products) const;
  CellShape cell_shape(Index layer) const {
    return {&cell_, shape.inputs(layer), shape.hidden_size, shape.projected_size};
  }
  Index multiply_adds() const { return multiply_adds_; }  // of one row, forward

  const NetworkShape shape;
  const TablePtr table;
  const Weights form;  // of the weights

 private:
  // The place of a parameter, counted as in the cell's description; only where there is one, see has().
  std::size_t entry(Index layer_direction, int parameter) const {
    return first_entry(layer_direction) + static_cast<std::size_t>(places_[parameter]);
  }
  bool has(int parameter) const { return places_[parameter] >= 0; }
  // The place of a state that is learned.
  std::size_t learned_entry(int state) const { return first_entry(shape.states()) + static_cast<std::size_t>(state); }
  Index state_elements(int state, Index batch) const;

  // Makes room on the tape, if there is one, and calls get() for the packed weights.
  template <class GetPacked>
  Outcome run_forward(const Sequences &sequences, const ForwardCall<T> &call, TapeMemory<T> *tape,
                      const GetPacked &get) const;
  // Fills a snapshot for forward passes, from arrays by the entries of the table.
  bool pack_layers(const void *const *values, const float *const *scales, T *to, Worker *worker) const;
  PackTask<T> pack_task(const Parameters<T> &parameters, Index layer, int direction, T *to, Worker *worker) const;
  // Null if interrupted, and if the weights are no longer of that version, which it says.
  PackedPtr<T> packed_backward(Parameters<T> &parameters, long long version, Signalled signalled, bool &outdated) const;
  // Makes room on a tape, and copies to it what isn't a sequence.
  void prepare(const ForwardCall<T> &call, TapeMemory<T> &tape) const;
  Index input_elements(int input, Index rows, Index batch) const;
  Index kept_stride() const;
  // The view of an input that a layer and direction reads: the caller's own, or what the tape has.
  RowView<const T> given_input(const StridedInput<const T> &input, Index layer_direction) const;
  RowView<const T> taped_input(const TapeMemory<T> &tape, int input, Index layer_direction) const;
  RowView<const T> layer_input(const TapeMemory<T> &tape, Index layer) const;
  Outcome report(const Plan &plan, int members, bool stopped) const;

  WorkSizes forward_sizes(Index rows, Index alphabet, bool taped, const Plan &plan) const;

  const Cell &cell_;
  const unsigned long serial_;  // no other network has had it
  const Kernels<T> &kernels_;
  std::array<int, kMaxParameters> places_{};     // of a cell's parameters among those of a layer and direction, or -1
  Index own_entries_ = 0;                        // of a layer and direction
  std::vector<Index> forward_at_, backward_at_;  // where (layer, direction) begins in a snapshot; at the end the size
  // The same of learned states, which lie at the end of forward's snapshot.
  std::array<Index, kMaxStates + 1> learned_at_{};
  Index recurrent_ = 0;  // multiply-adds of one row of one direction, forward, without those with x
  Index projected_elements_ = 0, delta_elements_ = 0;  // of one row of projected columns, of deltas
  Index multiply_adds_ = 0;                            // of one row, forward
};

extern template class Network<float>;
extern template class Network<double>;

}  // namespace recurra
