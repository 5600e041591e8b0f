#include "model/network.h"

#include <string>
#include <utility>

#include "dispatch.h"

namespace recurra {
namespace {

template <class T>
std::vector<typename Parameters<T>::Entry> entries_of(const NetworkShape &shape, Index gates) {
  std::vector<typename Parameters<T>::Entry> entries;
  const Index rows = checked_product(gates, shape.hidden_size);
  const std::string symbol = (gates > 1 ? std::to_string(gates) + "*" : "") + "hidden_size";
  for (Index layer = 0; layer < shape.layers; ++layer) {
    const bool first = layer == 0;
    const Index inputs = first ? shape.input_size : checked_product(shape.directions, shape.hidden_size);
    const std::string input = first ? "input_size" : shape.directions > 1 ? "2*hidden_size" : "hidden_size";
    for (int direction = 0; direction < shape.directions; ++direction) {
      const std::string suffix = shape.single ? "" : "_l" + std::to_string(layer) + (direction ? "_reverse" : "");
      entries.push_back({"weight_ih" + suffix, {rows, inputs}, "(" + symbol + ", " + input + ")"});
      entries.push_back({"weight_hh" + suffix, {rows, shape.hidden_size}, "(" + symbol + ", hidden_size)"});
      for (const char *name : {"bias_ih", "bias_hh"}) {
        if (shape.bias) entries.push_back({name + suffix, {rows}, "(" + symbol + ",)"});
      }
    }
  }
  return entries;
}

}  // namespace

LastPlan &last_plan() {
  static thread_local LastPlan last;
  return last;
}

template <class T>
Network<T>::Network(const NetworkShape &of, std::shared_ptr<Parameters<T>> shared)
    : shape(of),
      parameters(shared ? std::move(shared)
                        : std::make_shared<Parameters<T>>(entries_of<T>(of, kernels_of<T>().cells[of.kind].gates))),
      cell_(kernels_of<T>().cells[of.kind]) {
  Index forward_size = 0, backward_size = 0;
  for (Index layer = 0; layer < shape.layers; ++layer) {
    for (int direction = 0; direction < shape.directions; ++direction) {
      forward_at_.push_back(forward_size);
      backward_at_.push_back(backward_size);
      forward_size += cell_.packed_forward(inputs(layer), shape.hidden_size);
      backward_size += cell_.packed_backward(inputs(layer), shape.hidden_size);
      multiply_adds_ += cell_.gates * shape.hidden_size * (inputs(layer) + shape.hidden_size);
    }
  }
  forward_at_.push_back(forward_size);
  backward_at_.push_back(backward_size);
}

template <class T>
PackedPtr<T> Network<T>::packed_forward(long long &version) {
  const std::lock_guard<std::mutex> lock(parameters->mutex);
  version = parameters->version;
  return forward_.get(*parameters, forward_at_.back(), [&](T *to) {
    for (Index layer = 0, k = 0; layer < shape.layers; ++layer) {
      for (int direction = 0; direction < shape.directions; ++direction, ++k) {
        const std::size_t at = entry(layer, direction);
        cell_.pack_forward(inputs(layer), shape.hidden_size, parameters->data(at), parameters->data(at + 1),
                           shape.bias ? parameters->data(at + 2) : nullptr,
                           shape.bias ? parameters->data(at + 3) : nullptr, to + forward_at_[k]);
      }
    }
  });
}

template <class T>
PackedPtr<T> Network<T>::packed_backward(long long version) {
  const std::lock_guard<std::mutex> lock(parameters->mutex);
  if (version != parameters->version) return nullptr;
  return backward_.get(*parameters, backward_at_.back(), [&](T *to) {
    for (Index layer = 0, k = 0; layer < shape.layers; ++layer) {
      for (int direction = 0; direction < shape.directions; ++direction, ++k) {
        const std::size_t at = entry(layer, direction);
        cell_.pack_backward(inputs(layer), shape.hidden_size, parameters->data(at), parameters->data(at + 1),
                            to + backward_at_[k]);
      }
    }
  });
}

template <class T>
Plan Network<T>::plan(const Sequences &sequences, const PlanWish &wish, int products) const {
  const Index H = shape.hidden_size, bytes = static_cast<Index>(sizeof(T));
  Work work{};
  work.steps = sequences.rows.steps;
  work.batch = sequences.rows.batch;
  work.rows = sequences.total();
  work.directions = shape.directions;
  if (__builtin_mul_overflow(products * multiply_adds_, work.rows, &work.multiply_adds)) throw std::bad_alloc();
  work.step_work = sequences.rows.batch * cell_.gates * H * H;
  work.panels = H * bytes / (4 * active_kernels().vector_bytes);
  work.projected_bytes = cell_.projected(H) * bytes;
  work.hidden_bytes = cell_.gates * H * H * bytes;
  work.delta_bytes = cell_.deltas * H * bytes;
  work.panel_row_bytes = 4 * active_kernels().vector_bytes;
  return choose_plan(work, wish);
}

template <class T>
Outcome Network<T>::report(const Plan &plan, int members, bool stopped) const {
  LastPlan &last = last_plan();
  last.plan = plan;
  last.plan.threads = members;
  if (members == 1) last.plan.split = kSplitNothing;
  last.isa = active_kernels().isa;
  return stopped ? Outcome::kInterrupted : Outcome::kDone;
}

template class Network<float>;
template class Network<double>;

}  // namespace recurra
