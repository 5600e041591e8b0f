#include "model/network.h"

#include <string>
#include <utility>

#include "dispatch.h"

namespace recurra {
namespace {

TablePtr table_of(const NetworkShape &shape) {
  std::vector<ParameterTable::Entry> entries;
  const Index gates = kCells[shape.cell].gates, rows = checked_product(gates, shape.hidden_size);
  const std::string symbol = (gates > 1 ? std::to_string(gates) + "*" : "") + "hidden_size";
  for (Index layer = 0; layer < shape.layers; ++layer) {
    const bool first = layer == 0;
    const Index inputs = first ? shape.input_size : checked_product(shape.directions, shape.hidden_size);
    const std::string input = first ? "input_size" : shape.directions > 1 ? "2*hidden_size" : "hidden_size";
    for (int direction = 0; direction < shape.directions; ++direction) {
      const std::string suffix = shape.single ? "" : "_l" + std::to_string(layer) + (direction ? "_reverse" : "");
      for (const ParameterDescription &parameter : kParameters) {
        const std::string name = parameter.name + suffix;
        if (!is_bias(parameter.role)) {
          const bool of_input = parameter.role == kInputWeight;
          const std::string columns = of_input ? input : "hidden_size";
          entries.push_back({name, {rows, of_input ? inputs : shape.hidden_size}, "(" + symbol + ", " + columns + ")"});
        } else if (shape.bias) {
          entries.push_back({name, {rows}, "(" + symbol + ",)"});
        }
      }
    }
  }
  return std::make_shared<ParameterTable>(std::move(entries));
}

}  // namespace

LastPlan &last_plan() {
  static thread_local LastPlan last;
  return last;
}

template <class T>
Network<T>::Network(const NetworkShape &of, TablePtr shared)
    : shape(of), table(shared ? std::move(shared) : table_of(of)), cell_(kCells[of.cell]), kernels_(kernels_of<T>()) {
  Index forward_size = 0, backward_size = 0;
  for (Index layer = 0; layer < shape.layers; ++layer) {
    for (int direction = 0; direction < shape.directions; ++direction) {
      forward_at_.push_back(forward_size);
      backward_at_.push_back(backward_size);
      forward_size += kernels_.packed_forward_size(shape.cell, inputs(layer), shape.hidden_size);
      backward_size += kernels_.packed_backward_size(shape.cell, inputs(layer), shape.hidden_size);
      multiply_adds_ += cell_.gates * shape.hidden_size * (inputs(layer) + shape.hidden_size);
    }
  }
  forward_at_.push_back(forward_size);
  backward_at_.push_back(backward_size);
}

template <class T>
PackTask<T> Network<T>::pack_task(const Parameters<T> &parameters, Index layer, int direction, T *to,
                                  Worker *worker) const {
  PackTask<T> task{};
  task.cell = shape.cell;
  task.input_size = inputs(layer);
  task.hidden_size = shape.hidden_size;
  for (const ParameterDescription &parameter : kParameters) {
    if (!has(parameter.role)) continue;
    task.parameters[parameter.role] = parameters.data(entry(layer * shape.directions + direction, parameter.role));
  }
  task.to = to;
  task.worker = worker;
  return task;
}

template <class T>
PackedPtr<T> Network<T>::packed_forward(Parameters<T> &parameters, Signalled signalled) const {
  std::unique_lock<std::mutex> lock(parameters.mutex);
  const auto pack = [&](T *to, Worker *worker) {
    for (Index layer = 0, k = 0; layer < shape.layers; ++layer) {
      for (int direction = 0; direction < shape.directions; ++direction, ++k) {
        const PackTask<T> task = pack_task(parameters, layer, direction, to + forward_at_[k], worker);
        if (!kernels_.pack_forward(&task)) return false;
      }
    }
    return true;
  };
  return parameters.packed[shape.part].forward.get(lock, parameters.version, parameters.unless_borrowed(signalled),
                                                   forward_at_.back(), pack);
}

template <class T>
PackedPtr<T> Network<T>::packed_backward(Parameters<T> &parameters, long long version, Signalled signalled,
                                         bool &outdated) const {
  std::unique_lock<std::mutex> lock(parameters.mutex);
  outdated = version != parameters.version;
  if (outdated) return nullptr;
  const auto pack = [&](T *to, Worker *worker) {
    for (Index layer = 0, k = 0; layer < shape.layers; ++layer) {
      for (int direction = 0; direction < shape.directions; ++direction, ++k) {
        const PackTask<T> task = pack_task(parameters, layer, direction, to + backward_at_[k], worker);
        if (!kernels_.pack_backward(&task)) return false;
      }
    }
    return true;
  };
  PackedPtr<T> packed = parameters.packed[shape.part].backward.get(
      lock, parameters.version, parameters.unless_borrowed(signalled), backward_at_.back(), pack);
  outdated = packed && packed->version != version;  // changed while Python was asked for signals
  return outdated ? nullptr : packed;
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
  work.projected_bytes = kernels_.projected_size(shape.cell, H) * bytes;
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
