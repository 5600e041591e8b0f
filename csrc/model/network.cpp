#include "model/network.h"

#include <string>
#include <utility>

#include "dispatch.h"
#include "model/views.h"

namespace recurra {
namespace {

// The state or staged vector that a recurrent weight multiplies.
int source_of(const Cell &cell, int parameter) {
  for (int p = 0; p < cell.product_count; ++p) {
    if (cell.products[p].parameter == parameter) return cell.products[p].source;
  }
  return 0;
}

// The parameters of one layer and direction, as entries of a table.
class Entries {
 public:
  explicit Entries(const NetworkShape &of) : shape_(of), cell_(of.description()) {}

  ParameterTable::Entry entry(int number, Index layer, const std::string &suffix) const {
    const ParameterDescription &parameter = cell_.parameters[number];
    const std::string name = shape_.cell->parameters[static_cast<std::size_t>(number)] + suffix;
    const std::string rows =
        (parameter.blocks > 1 ? std::to_string(parameter.blocks) + "*" : "") + std::string("hidden_size");
    const Index H = shape_.hidden_size, units = checked_product(parameter.blocks, H);
    switch (parameter.role) {
      case kInputWeight:
        return {name, {units, shape_.inputs(layer)}, "(" + rows + ", " + input_symbol(layer) + ")", true};
      case kRecurrentWeight: {
        const bool of_h = source_of(cell_, number) == 0;
        const std::string head = parameter.heads > 1 ? "/" + std::to_string(parameter.heads) : "";
        const Index columns = (of_h ? shape_.projected_size : H) / parameter.heads;
        return {name, {units, columns}, "(" + rows + ", " + (of_h ? h_symbol() : "hidden_size") + head + ")", true};
      }
      case kProjection:
        return {name, {shape_.projected_size, H}, "(proj_size, hidden_size)", true};
      case kScalar:
        return {name, {}, "()"};
      default:
        return {name, {units}, "(" + rows + ",)"};
    }
  }

  const char *h_symbol() const { return cell_.projects ? "proj_size" : "hidden_size"; }

 private:
  std::string input_symbol(Index layer) const {
    if (layer == 0) return "input_size";
    return (shape_.directions > 1 ? "2*" : "") + std::string(h_symbol());
  }

  const NetworkShape &shape_;
  const Cell &cell_;
};

bool is_bias(const ParameterDescription &parameter) {
  return parameter.role == kInputBias || parameter.role == kRecurrentBias;
}

TablePtr table_of(const NetworkShape &shape) {
  const Entries own(shape);
  const Cell &cell = shape.description();
  std::vector<ParameterTable::Entry> entries;
  for (Index layer = 0; layer < shape.layers; ++layer) {
    for (int direction = 0; direction < shape.directions; ++direction) {
      const std::string suffix = shape.single ? "" : "_l" + std::to_string(layer) + (direction ? "_reverse" : "");
      for (int p = 0; p < cell.parameter_count; ++p) {
        if (shape.bias || !is_bias(cell.parameters[p])) entries.push_back(own.entry(p, layer, suffix));
      }
    }
  }
  for (int state = 0; shape.learned && state < cell.states; ++state) {
    const std::string size = state == 0 ? own.h_symbol() : "hidden_size";
    entries.push_back({shape.cell->states[static_cast<std::size_t>(state)] + "0",
                       {shape.states(), shape.state_size(state)},
                       "(num_layers*num_directions, " + size + ")"});
  }
  return std::make_shared<ParameterTable>(std::move(entries));
}

}  // namespace

namespace {

unsigned long next_serial() {
  static std::atomic<unsigned long> made{0};
  return ++made;
}

}  // namespace

LastPlan &last_plan() {
  static thread_local LastPlan last;
  return last;
}

namespace {

template <class T>
const Kernels<T> &kernels_for(Weights weights) {
  if constexpr (sizeof(T) == sizeof(float)) return kernels_with(weights);
  return kernels_of<T>();
}

}  // namespace

template <class T>
Network<T>::Network(const NetworkShape &of, TablePtr shared) : Network(of, std::move(shared), Weights::kFull) {}

template <class T>
Network<T>::Network(const NetworkShape &of, TablePtr shared, Weights weights)
    : shape(of),
      table(shared ? std::move(shared) : table_of(of)),
      form(weights),
      cell_(shape.description()),
      serial_(next_serial()),
      kernels_(kernels_for<T>(weights)) {
  const bool full = weights == Weights::kFull;
  for (int p = 0; p < cell_.parameter_count; ++p) {
    const bool there = shape.bias || !is_bias(cell_.parameters[p]);
    places_[p] = there ? static_cast<int>(own_entries_++) : -1;
  }
  for (int p = 0; p < cell_.product_count; ++p) {
    const Product &product = cell_.products[p];
    const Index rows = cell_.columns[product.column].size == kProjected ? shape.projected_size : shape.hidden_size;
    recurrent_ += product.count * rows * shape.state_size(product.source);
  }
  Index forward_size = 0, backward_size = 0;
  for (Index layer = 0; layer < shape.layers; ++layer) {
    const CellShape sizes = cell_shape(layer);
    for (int direction = 0; direction < shape.directions; ++direction) {
      forward_at_.push_back(forward_size);
      backward_at_.push_back(backward_size);
      forward_size += kernels_.packed_forward_size(&sizes);
      backward_size += full ? kernels_.packed_backward_size(&sizes) : 0;
      multiply_adds_ += cell_.input_columns * shape.hidden_size * sizes.input_size + recurrent_;
    }
  }
  for (int state = 0; state < cell_.states; ++state) {
    learned_at_[state] = forward_size;
    forward_size += shape.learned ? shape.states() * shape.state_size(state) : 0;
  }
  forward_at_.push_back(forward_size);
  backward_at_.push_back(backward_size);
  const CellShape sizes = cell_shape(0);
  projected_elements_ = kernels_.projected_size(&sizes);
  delta_elements_ = full ? kernels_.deltas_size(&sizes) : 0;
}

bool fits(const NetworkShape &shape, const ParameterTable &table) {
  const TablePtr own = table_of(shape);
  return std::equal(own->entries.begin(), own->entries.end(), table.entries.begin(), table.entries.end(),
                    [](const auto &a, const auto &b) { return a.name == b.name && a.shape == b.shape; });
}

std::size_t next_variant() {
  static std::atomic<std::size_t> last{0};
  return ++last;
}

template <class T>
Index Network<T>::state_elements(int state, Index batch) const {
  return checked_product(checked_product(shape.states(), batch), shape.state_size(state));
}

template <class T>
PackTask<T> Network<T>::pack_task(const Parameters<T> &parameters, Index layer, int direction, T *to,
                                  Worker *worker) const {
  PackTask<T> task{};
  task.shape = cell_shape(layer);
  for (int p = 0; p < cell_.parameter_count; ++p) {
    if (has(p)) task.parameters[p] = parameters.data(entry(layer * shape.directions + direction, p));
  }
  task.to = to;
  task.worker = worker;
  return task;
}

template <class T>
bool Network<T>::pack_layers(const void *const *values, const float *const *scales, T *to, Worker *worker) const {
  for (Index layer = 0, k = 0; layer < shape.layers; ++layer) {
    for (int direction = 0; direction < shape.directions; ++direction, ++k) {
      PackTask<T> task{};
      task.shape = cell_shape(layer);
      for (int p = 0; p < cell_.parameter_count; ++p) {
        if (!has(p)) continue;
        task.parameters[p] = values[entry(k, p)];
        task.scales[p] = scales[entry(k, p)];
      }
      task.to = to + forward_at_[static_cast<std::size_t>(k)];
      task.worker = worker;
      if (!kernels_.pack_forward(&task)) return false;
    }
  }
  for (int state = 0; shape.learned && state < cell_.states; ++state) {
    std::copy_n(static_cast<const T *>(values[learned_entry(state)]), state_elements(state, 1),
                to + learned_at_[state]);
  }
  return true;
}

template <class T>
PackedPtr<T> Network<T>::pack(const NarrowArrays &arrays, Signalled signalled) const {
  if constexpr (sizeof(T) == sizeof(float)) {
    return packed_once(forward_at_.back(), signalled, [&](T *to, Worker *worker) {
      return pack_layers(arrays.values.data(), arrays.scales.data(), to, worker);
    });
  }
  return nullptr;
}

template <class T>
PackedPtr<T> Network<T>::packed_forward(Parameters<T> &parameters, Signalled signalled) const {
  std::unique_lock<std::mutex> lock(parameters.mutex);
  const auto pack = [&](T *to, Worker *worker) {
    std::vector<const void *> values;
    for (std::size_t i = 0; i < table->entries.size(); ++i) values.push_back(parameters.data(i));
    const std::vector<const float *> scales(values.size());
    return pack_layers(values.data(), scales.data(), to, worker);
  };
  return parameters.packed[{shape.part, shape.variant}].forward.get(lock, parameters.version, signalled,
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
  PackedPtr<T> packed = parameters.packed[{shape.part, shape.variant}].backward.get(lock, parameters.version, signalled,
                                                                                    backward_at_.back(), pack);
  outdated = packed && packed->version != version;  // changed while Python was asked for signals
  return outdated ? nullptr : packed;
}

template <class T>
Plan Network<T>::plan(const Sequences &sequences, const PlanWish &wish, int products) const {
  const Index bytes = static_cast<Index>(sizeof(T)), weight_bytes = sizeof(T) == 4 ? bytes_of(form) : bytes;
  Work work{};
  work.steps = sequences.rows.steps;
  work.batch = sequences.rows.batch;
  work.rows = sequences.total();
  work.directions = shape.directions;
  if (__builtin_mul_overflow(products * multiply_adds_, work.rows, &work.multiply_adds)) throw std::bad_alloc();
  work.step_work = sequences.rows.batch * recurrent_;
  work.panels = shape.hidden_size * bytes / (4 * active_kernels().vector_bytes);
  work.projected_bytes = projected_elements_ * bytes;
  work.hidden_bytes = recurrent_ * weight_bytes;
  work.delta_bytes = delta_elements_ * bytes;
  work.panel_row_bytes = 4 * active_kernels().vector_bytes * weight_bytes / bytes;
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
