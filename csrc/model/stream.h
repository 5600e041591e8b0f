// A model that goes on from step to step: its states, and every array that a step needs, made beforehand. A step runs
// the kernels in the caller's thread and allocates nothing. Arguments are checked by the caller.
#pragma once

#include <array>
#include <memory>
#include <utility>
#include <vector>

#include "model/stream_part.h"
#include "system/buffer.h"

namespace recurra {

// Samples (steps, batch, features) in the caller's memory: where the first one is, and how many bytes further on the
// next one of each axis is. They needn't be aligned.
struct Samples {
  char *base = nullptr;
  Index step = 0, row = 0, feature = 0;
};

template <class T>
class Stream {
 public:
  // At least one part that knows its features; each takes what the one before it gives.
  Stream(std::shared_ptr<const StreamParts<T>> parts, Index batch);
  // Another one that goes on from the same states.
  Stream(const Stream &other);
  Stream &operator=(const Stream &) = delete;

  // Steps x -> y; y may overlap x only if there is one step. `tokens` (steps, batch) instead of x, contiguous and in
  // range. False if interrupted: the states are as before, and y may be half written.
  bool run(Index steps, const Samples &x, const Index *tokens, const Samples &y, Signalled signalled);

  // A state of a part, (layers, batch, size).
  T *state(std::size_t part, int state) { return states_[current_].data() + states_at_[part][state]; }
  // Makes it zeros or the learned one, in the rows whose numbers are given, or in all.
  void reset(std::size_t part, int state, const std::vector<Index> *rows);

  const std::shared_ptr<const StreamParts<T>> parts;
  const Index batch;
  const Index in, out;        // features of x, or how many tokens there are, and of y
  const Index multiply_adds;  // of one step of all rows

 private:
  struct Schedule {
    Plan plan;
    WorkSizes sizes;
  };
  // A part, or one layer of it.
  struct Step {
    const StreamPart<T> *part;
    Index in, out;
    std::array<Index, kMaxStates> states;  // where they begin
    Schedule one, many;                    // for one step, and for a chunk
    ForwardTask<T> recurrent;
    LinearTask<T> linear;
  };

  void make_steps();
  void add_recurrent(const StreamPart<T> &part);
  bool run_chunk(Index steps, const Samples &x, const Index *tokens, const Samples &y, const T *states, Worker &worker);
  bool run_step(Step &step, Index steps, const T *x, const Index *tokens, T *y, const T *states, Worker &worker);
  bool run_recurrent(Step &step, Index steps, const T *x, const Index *tokens, T *y, const T *states, Worker &worker);

  std::vector<Step> steps_;
  std::vector<std::array<Index, kMaxStates>> states_at_;  // by part
  Index states_size_ = 0, width_ = 0;                     // elements of all states; the most features between two steps
  Index chunk_ = 1;                                       // steps that go through a layer together
  Sequences one_, many_;
  std::array<Buffer<T>, 2> states_;  // those of now are in [current_], and the next ones are written to the other
  int current_ = 0;
  std::array<Buffer<T>, 2> between_;  // (chunk, batch, width) of what layers hand on
  Buffer<T> work_;
};

extern template class Stream<float>;
extern template class Stream<double>;

}  // namespace recurra
