#include "model/stream.h"

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "model/views.h"

namespace recurra {
namespace {

// Bytes of the largest array of a chunk. A chunk of some steps reads the input weights once for all of them; with 16
// rows and more that is what a block of any length costs, and a stream of 32 units stays at some 50 KB.
constexpr Index kChunkBytes = 64 << 10;
constexpr Index kMostChunk = 32;

template <class T>
Index input_of(const StreamParts<T> &parts) {
  for (const auto &part : parts) {
    if (part->in) return part->in;
  }
  return 0;
}
template <class T>
Index output_of(const StreamParts<T> &parts) {
  Index features = 0;
  for (const auto &part : parts) features = part->out ? part->out : features;
  return features;
}

// The work of one row.
template <class T>
Index work_of(const StreamParts<T> &parts) {
  Index work = 0, features = input_of(parts);
  for (const auto &part : parts) {
    features = part->out ? part->out : features;
    work += part->multiply_adds ? part->multiply_adds : features * kElementWork;
  }
  return work;
}

template <class T>
Index chunk_of(const StreamParts<T> &parts, Index batch) {
  Index widest = 1;
  for (const auto &part : parts) {
    widest = std::max(widest, part->out);
    if (part->kind != PartKind::kRecurrent) continue;
    for (Index layer = 0; layer < std::min<Index>(part->network->shape.layers, 2); ++layer) {
      const CellShape shape = part->network->cell_shape(layer);
      widest = std::max(widest, part->kernels->projected_size(&shape));
    }
  }
  const Index bytes = checked_product(checked_product(widest, batch), sizeof(T));
  return std::clamp<Index>(kChunkBytes / bytes, 1, kMostChunk);
}

// Elements of T that lie one after another, (steps, batch, features).
template <class T>
bool contiguous(const Samples &samples, Index steps, Index batch, Index features) {
  const auto size = static_cast<Index>(sizeof(T));
  return reinterpret_cast<std::uintptr_t>(samples.base) % alignof(T) == 0 &&
         (features == 1 || samples.feature == size) && (batch == 1 || samples.row == features * size) &&
         (steps == 1 || samples.step == batch * features * size);
}

template <class T, class Copy>
void for_samples(const Samples &samples, Index steps, Index batch, Index features, const Copy &copy) {
  for (Index t = 0; t < steps; ++t) {
    for (Index b = 0; b < batch; ++b) {
      for (Index i = 0; i < features; ++i)
        copy(samples.base + t * samples.step + b * samples.row + i * samples.feature);
    }
  }
}

template <class T>
void gather(const Samples &from, Index steps, Index batch, Index features, T *to) {
  for_samples<T>(from, steps, batch, features, [&](const char *at) { std::memcpy(to++, at, sizeof(T)); });
}
template <class T>
void scatter(const T *from, Index steps, Index batch, Index features, const Samples &to) {
  for_samples<T>(to, steps, batch, features, [&](char *at) { std::memcpy(at, from++, sizeof(T)); });
}

// max(x, 0), of which NaN is NaN and -0 is 0, told by the bits: our floating-point mode takes subnormal numbers for 0.
template <class T>
void relu(Index size, const T *x, T *y) {
  using Bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
  constexpr Bits kSign = Bits(1) << (8 * sizeof(Bits) - 1);
  constexpr Bits kInfinity = sizeof(T) == 4 ? static_cast<Bits>(0x7f800000) : static_cast<Bits>(0x7ff0000000000000);
  for (Index i = 0; i < size; ++i) {
    Bits bits{};
    std::memcpy(&bits, x + i, sizeof bits);
    if ((bits & kSign) && (bits & ~kSign) <= kInfinity) bits = 0;
    std::memcpy(y + i, &bits, sizeof bits);
  }
}

struct Polling {
  Interrupt interrupt;

  static bool poll(Worker *worker) {
    Interrupt &interrupt = static_cast<Polling *>(worker->shared)->interrupt;
    worker->credit = kPollBudget;
    return (interrupt.due() && interrupt.ask()) || interrupt.stopped();
  }
  static bool barrier(Worker *worker) { return !static_cast<Polling *>(worker->shared)->interrupt.stopped(); }
};

}  // namespace

template <class T>
Stream<T>::Stream(std::shared_ptr<const StreamParts<T>> of, Index rows)
    : parts(std::move(of)),
      batch(rows),
      in(input_of(*parts)),
      out(output_of(*parts)),
      multiply_adds(checked_product(work_of(*parts), rows)),
      chunk_(chunk_of(*parts, rows)),
      one_(1, rows, nullptr),
      many_(chunk_, rows, nullptr) {
  make_steps();
  for (Buffer<T> &states : states_) states = Buffer<T>(states_size_);
  for (std::size_t part = 0; part < parts->size(); ++part) {
    if ((*parts)[part]->kind != PartKind::kRecurrent) continue;
    for (int state = 0; state < (*parts)[part]->network->shape.description().states; ++state)
      reset(part, state, nullptr);
  }
}

template <class T>
Stream<T>::Stream(const Stream &other) : Stream(other.parts, other.batch) {
  std::copy_n(other.states_[other.current_].data(), states_size_, states_[current_].data());
}

template <class T>
void Stream<T>::make_steps() {
  Index features = in;
  for (const auto &part : *parts) {
    states_at_.emplace_back();
    if (part->kind == PartKind::kRecurrent) {
      add_recurrent(*part);
    } else {
      Step step{};
      step.part = part.get();
      step.in = features;
      step.out = part->out ? part->out : features;
      steps_.push_back(step);
    }
    features = steps_.back().out;
  }
  Index work = 0;
  for (Step &step : steps_) {
    const StreamPart<T> &part = *step.part;
    width_ = std::max({width_, step.out, part.kind == PartKind::kEmbedding ? 0 : step.in});
    if (part.kind == PartKind::kLinear) {
      step.linear.in = step.in;
      step.linear.out = step.out;
      step.linear.packed = part.packed->memory.data();
      work = std::max(work, part.kernels->linear_work(step.in));
    }
    if (part.kind != PartKind::kRecurrent) continue;
    for (Schedule *schedule : {&step.one, &step.many}) {
      schedule->sizes = part.kernels->forward_sizes(&step.recurrent.shape, batch, 0, false, &schedule->plan);
      work = std::max(work, schedule->sizes.work + schedule->sizes.shared);
    }
  }
  work_ = Buffer<T>(work);
  for (Buffer<T> &buffer : between_) buffer = Buffer<T>(with_slack<T>(checked_product(chunk_, batch), width_));
  for (Step &step : steps_) step.linear.work = step.recurrent.work = work_.data();
}

template <class T>
void Stream<T>::add_recurrent(const StreamPart<T> &part) {
  const Network<T> &network = *part.network;
  const NetworkShape &shape = network.shape;
  PlanWish wish{};
  wish.threads = wish.chunk = 1;
  const Schedule one{network.plan(one_, wish, 1), {}};
  wish.chunk = chunk_;
  const Schedule many{network.plan(many_, wish, 1), {}};
  for (int state = 0; state < shape.description().states; ++state) {
    states_at_.back()[state] = states_size_;
    const Index size = checked_product(checked_product(shape.layers, batch), shape.state_size(state));
    if (__builtin_add_overflow(states_size_, size, &states_size_)) throw std::bad_alloc();
  }
  for (Index layer = 0; layer < shape.layers; ++layer) {
    Step step{};
    step.part = &part;
    step.in = shape.inputs(layer);
    step.out = shape.features();
    step.one = one;
    step.many = many;
    for (int state = 0; state < shape.description().states; ++state) {
      step.states[state] = states_at_.back()[state] + layer * batch * shape.state_size(state);
    }
    step.recurrent.shape = network.cell_shape(layer);
    step.recurrent.last = batch;
    step.recurrent.packed = part.packed->memory.data() + network.packed_at(layer);
    step.recurrent.parts = 1;
    steps_.push_back(step);
  }
}

template <class T>
void Stream<T>::reset(std::size_t part, int state, const std::vector<Index> *rows) {
  const StreamPart<T> &of = *(*parts)[part];
  const NetworkShape &shape = of.network->shape;
  const Index size = shape.state_size(state);
  const T *learned = shape.learned ? of.packed->memory.data() + of.network->learned_at(state) : nullptr;
  T *to = this->state(part, state);
  const auto fill = [&](Index layer, Index row) {
    T *at = to + (layer * batch + row) * size;
    if (learned) {
      std::copy_n(learned + layer * size, size, at);
    } else {
      std::fill_n(at, size, T(0));
    }
  };
  for (Index layer = 0; layer < shape.layers; ++layer) {
    if (rows) {
      for (const Index row : *rows) fill(layer, row);
    } else {
      for (Index row = 0; row < batch; ++row) fill(layer, row);
    }
  }
}

template <class T>
bool Stream<T>::run(Index steps, const Samples &x, const Index *tokens, const Samples &y, Signalled signalled) {
  Polling polling{Interrupt(signalled)};
  Worker worker{kPollBudget, Polling::poll, Polling::barrier, &polling, 0, 1};
  const T *from = states_[current_].data(), *next = states_[1 - current_].data();
  for (Index t = 0; t < steps; t += chunk_) {
    const Index count = std::min(chunk_, steps - t);
    const Samples x_now{x.base + t * x.step, x.step, x.row, x.feature};
    const Samples y_now{y.base + t * y.step, y.step, y.row, y.feature};
    if (!run_chunk(count, x_now, tokens ? tokens + t * batch : nullptr, y_now, t ? next : from, worker)) return false;
  }
  if (steps > 0) current_ = 1 - current_;
  return true;
}

// `states` are those before the chunk.
template <class T>
bool Stream<T>::run_chunk(Index steps, const Samples &x, const Index *tokens, const Samples &y, const T *states,
                          Worker &worker) {
  const Index rows = steps * batch;
  const T *at = reinterpret_cast<const T *>(x.base);
  bool direct = contiguous<T>(y, steps, batch, out);
  if (tokens) {
    at = nullptr;
  } else if (!contiguous<T>(x, steps, batch, in)) {
    gather(x, steps, batch, in, between_[0].data());
    at = between_[0].data();
  } else {
    const auto *target = reinterpret_cast<const T *>(y.base);
    direct = direct && !(at < target + rows * out && target < at + rows * in);
  }
  for (Step &step : steps_) {
    T *to = between_[at == between_[0].data() ? 1 : 0].data();
    if (direct && &step == &steps_.back()) to = reinterpret_cast<T *>(y.base);
    if (!run_step(step, steps, at, tokens, to, states, worker)) return false;
    at = to;
  }
  if (!direct) scatter(at, steps, batch, out, y);
  return true;
}

template <class T>
bool Stream<T>::run_step(Step &step, Index steps, const T *x, const Index *tokens, T *y, const T *states,
                         Worker &worker) {
  const StreamPart<T> &part = *step.part;
  const Index rows = steps * batch, elements = rows * step.out;
  switch (part.kind) {
    case PartKind::kRecurrent:
      return run_recurrent(step, steps, x, x ? nullptr : tokens, y, states, worker);
    case PartKind::kLinear:
      step.linear.rows = step.linear.last = rows;
      step.linear.x = x;
      step.linear.y = y;
      step.linear.worker = &worker;
      return part.kernels->linear_forward(&step.linear);
    case PartKind::kEmbedding:
      for (Index row = 0; row < rows; ++row) {
        part.look_up(tokens[row], y + row * step.out);
      }
      break;
    case PartKind::kSigmoid:
      part.kernels->sigmoid(elements, x, y);
      break;
    case PartKind::kTanh:
      part.kernels->tanh(elements, x, y);
      break;
    case PartKind::kRelu:
      relu(elements, x, y);
      break;
  }
  return !stops(worker, elements * kElementWork);
}

template <class T>
bool Stream<T>::run_recurrent(Step &step, Index steps, const T *x, const Index *tokens, T *y, const T *states,
                              Worker &worker) {
  const Schedule &schedule = steps == 1 ? step.one : step.many;
  ForwardTask<T> &task = step.recurrent;
  task.rows = steps == 1 ? one_.rows : many_.rows;
  task.rows.alive += task.rows.steps - steps;  // all rows, and behind the last step none
  task.rows.steps = steps;
  task.x = {x, batch * step.in, step.in, false};
  task.tokens = tokens;
  task.out = {y, batch * step.out, step.out, false};
  task.plan = &schedule.plan;
  task.shared = task.work + schedule.sizes.work;
  task.worker = &worker;
  T *next = states_[1 - current_].data();
  for (int state = 0; state < task.shape.cell->states; ++state) {
    task.initial[state] = states + step.states[state];
    task.final[state] = next + step.states[state];
  }
  return step.part->kernels->forward(&task);
}

template class Stream<float>;
template class Stream<double>;

}  // namespace recurra
