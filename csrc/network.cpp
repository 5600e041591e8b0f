#include "network.h"

#include <string>

#include "dispatch.h"
#include "interrupt.h"
#include "parallel.h"

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

template <class T>
T *state_at(T *base, Index layer_direction, const Sequences &sequences, Index hidden_size) {
  return base ? base + layer_direction * sequences.rows.batch * hidden_size : nullptr;
}

// A view of the features of one direction.
template <class T>
RowView<T> columns_of(RowView<T> view, Index first) {
  if (view.base) view.base += first;
  return view;
}

template <class T>
RowView<T> view_of(const Strided<T> &array) {
  return {array.base, array.step, array.row, false};
}

template <class T>
RowView<const T> read(const RowView<T> &view) {
  return {view.base, view.step_stride, view.row_stride, view.compact};
}

// visit(t, b, compact row) for the rows of sorted sequences [first, last).
template <class Visit>
void for_rows(const Rows &rows, Index first, Index last, Visit visit) {
  for (Index t = 0; t < rows.steps; ++t) {
    for (Index b = first, end = std::min(last, rows.alive[t]); b < end; ++b) visit(t, b, rows.offset[t] + b);
  }
}

// Zeros beyond the end of the sorted sequences [first, last).
template <class T>
void clear_padding(const Sequences &sequences, Index first, Index last, const Strided<T> &array, Index features) {
  for (Index b = first; sequences.ragged() && b < last; ++b) {
    for (Index t = sequences.length(b); t < sequences.rows.steps; ++t) {
      T *row = array.base + t * array.step + sequences.rows.order[b] * array.row;
      std::fill(row, row + features, T(0));
    }
  }
}

// A row stride for `features` values; rows a multiple of 4 KB apart would fight for the same few lines of L1.
template <class T>
Index padded_stride(Index features) {
  const Index line = static_cast<Index>(kLine / sizeof(T)), lines = (features + line - 1) / line;
  return (lines % 8 == 0 ? lines + 1 : lines) * line;
}

}  // namespace

LastPlan &last_plan() {
  static thread_local LastPlan last;
  return last;
}

template <class T>
Network<T>::Network(const NetworkShape &of)
    : shape(of),
      parameters(std::make_shared<Parameters<T>>(entries_of<T>(of, kernels_of<T>().cells[of.kind].gates))),
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
  work.projected_bytes = cell_.projected(H) * bytes;
  work.hidden_bytes = cell_.gates * H * H * bytes;
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

template <class T>
Outcome Network<T>::forward(const Sequences &sequences, const ForwardCall<T> &call, TapeMemory<T> *tape) {
  const Rows &rows = sequences.rows;
  const Index H = shape.hidden_size, I = shape.input_size, features = shape.directions * H;
  const Index total = sequences.total();
  const Plan plan = this->plan(sequences, call.wish, 1);
  const std::vector<Index> bounds = sequences.slices(plan.split == kSplitBatch ? plan.threads : 1);
  const int slices = static_cast<int>(bounds.size()) - 1;
  Index most_rows = 0;
  for (int s = 0; s < slices; ++s) most_rows = std::max(most_rows, bounds[s + 1] - bounds[s]);

  if (tape) {
    const Index states = checked_product(checked_product(shape.layers * shape.directions, rows.batch), H);
    tape->parameters = parameters;
    tape->x = Buffer<T>(checked_product(total, I));
    if (call.h0) tape->h0 = Buffer<T>(states);
    if (call.c0) tape->c0 = Buffer<T>(states);
    std::copy(call.h0, call.h0 ? call.h0 + states : nullptr, tape->h0.data());
    std::copy(call.c0, call.c0 ? call.c0 + states : nullptr, tape->c0.data());
    tape->layers.resize(static_cast<std::size_t>(shape.layers));
    for (Index layer = 0; layer < shape.layers; ++layer) {
      LayerTape<T> &kept = tape->layers[layer];
      kept.out = Buffer<T>(checked_product(total, features));
      if (layer + 1 < shape.layers && !call.masks.empty()) {
        kept.mask = Buffer<T>(total * features);
        kept.masked = Buffer<T>(total * features);
      }
      for (int direction = 0; direction < shape.directions; ++direction) {
        kept.kept[direction] = Buffer<T>(checked_product(total, cell_.kept * H));
        if (cell_.has_cell_state) kept.cells[direction] = Buffer<T>(total * H);
      }
    }
  }
  Index widest = 0;
  for (Index layer = 0; layer < std::min<Index>(shape.layers, 2); ++layer) {
    widest = std::max(widest, cell_.forward_work(most_rows, inputs(layer), H, &plan));
  }
  const Index between = tape || shape.layers == 1 ? 0 : checked_product(total, features);  // layers' outputs
  std::array<T *, 2> hidden{};
  T *work = nullptr;
  const auto cut = [&](Cutter cutter) {
    for (T *&buffer : hidden) buffer = cutter.take<T>(between);
    work = cutter.take<T>(checked_product(plan.threads, widest));
    return cutter.used();
  };
  const Workspace memory(cut(Cutter(nullptr)));
  cut(Cutter(memory.data()));

  long long version = 0;
  const PackedPtr<T> packed = packed_forward(version);
  if (tape) tape->version = version;

  Interrupt interrupt(call.signalled);
  std::atomic<int> team{1};
  const auto copy_input = [&](Index first, Index last) {
    for_rows(rows, first, last, [&](Index t, Index b, Index row) {
      const T *from = call.x.base + t * call.x.step + rows.order[b] * call.x.row;
      std::copy(from, from + I, tape->x.data() + row * I);
    });
  };
  const auto apply_mask = [&](LayerTape<T> &kept, const Strided<const T> &mask, Index first, Index last) {
    for_rows(rows, first, last, [&](Index t, Index b, Index row) {
      const T *from = mask.base + t * mask.step + rows.order[b] * mask.row;
      const T *out = kept.out.data() + row * features;
      T *factors = kept.mask.data() + row * features, *masked = kept.masked.data() + row * features;
      for (Index i = 0; i < features; ++i) {
        factors[i] = from[i];
        masked[i] = out[i] * from[i];
      }
    });
  };

  run_team(plan.threads, [&](int member, int members) {
    if (member == 0) team = members;
    Pulse pulse = interrupt.pulse(member == 0);
    const bool by_direction = plan.split == kSplitDirections;
    const auto mine = [&](int slice, int direction) { return (by_direction ? direction : slice) % members == member; };
    for (int s = 0; s < slices; ++s) {
      if (!mine(s, 0)) continue;
      if (tape) copy_input(bounds[s], bounds[s + 1]);
      clear_padding(sequences, bounds[s], bounds[s + 1], call.y, features);
    }
    if (by_direction) team_barrier();
    for (Index layer = 0; layer < shape.layers; ++layer) {
      const bool last = layer + 1 == shape.layers;
      ForwardTask<T> task{};
      task.rows = rows;
      task.input_size = inputs(layer);
      task.hidden_size = H;
      task.plan = &plan;
      task.pulse = &pulse;
      task.work = work + member * widest;
      if (layer > 0) {
        const T *from = !tape                ? hidden[(layer - 1) % 2]
                        : call.masks.empty() ? tape->layers[layer - 1].out.data()
                                             : tape->layers[layer - 1].masked.data();
        task.x = {from, 0, features, true};
      } else {
        task.x = tape ? RowView<const T>{tape->x.data(), 0, I, true} : view_of(call.x);
      }
      for (int s = 0; s < slices; ++s) {
        task.first = bounds[s];
        task.last = bounds[s + 1];
        for (int direction = 0; direction < shape.directions; ++direction) {
          if (!mine(s, direction) || interrupt.stopped()) continue;
          const Index k = layer * shape.directions + direction;
          const RowView<T> y = columns_of(view_of(call.y), direction * H);
          task.reverse = direction == 1;
          task.packed = packed->memory.data() + forward_at_[k];
          task.h0 = state_at(call.h0, k, sequences, H);
          task.c0 = state_at(call.c0, k, sequences, H);
          task.h_n = state_at(call.h_n, k, sequences, H);
          task.c_n = state_at(call.c_n, k, sequences, H);
          if (tape) {
            const LayerTape<T> &kept = tape->layers[layer];
            task.out = {kept.out.data() + direction * H, 0, features, true};
            task.copy = last ? y : RowView<T>{};
            task.kept = kept.kept[direction].data();
            task.cells = kept.cells[direction].data();
          } else {
            task.out = last ? y : RowView<T>{hidden[layer % 2] + direction * H, 0, features, true};
          }
          cell_.forward(&task);
        }
      }
      if (last) break;
      if (by_direction) team_barrier();
      if (tape && !call.masks.empty()) {
        for (int s = 0; s < slices; ++s) {
          if (mine(s, 0)) apply_mask(tape->layers[layer], call.masks[layer], bounds[s], bounds[s + 1]);
        }
        if (by_direction) team_barrier();
      }
    }
  });
  return report(plan, team, interrupt.stopped());
}

template <class T>
Outcome Network<T>::backward(const TapeMemory<T> &tape, const BackwardCall<T> &call) {
  const Sequences &sequences = tape.sequences;
  const Rows &rows = sequences.rows;
  const Index H = shape.hidden_size, features = shape.directions * H, total = sequences.total();
  const Plan plan = this->plan(sequences, call.wish, 2);
  const PackedPtr<T> packed = packed_backward(tape.version);
  if (!packed) return Outcome::kOutdated;
  const std::vector<Index> bounds = sequences.slices(plan.split == kSplitBatch ? plan.threads : 1);
  const int slices = static_cast<int>(bounds.size()) - 1;
  Index most_rows = 0;
  for (int s = 0; s < slices; ++s) most_rows = std::max(most_rows, bounds[s + 1] - bounds[s]);

  const Index delta_stride = padded_stride<T>(cell_.deltas * H);
  const Index widest = std::max(
      {cell_.backward_work(most_rows, H), kernels_of<T>().gradient_work(), kernels_of<T>().input_gradient_work()});
  std::array<T *, 2> deltas{}, from_above{};
  T *grads = nullptr, *work = nullptr;
  const auto cut = [&](Cutter cutter) {
    for (int d = 0; d < shape.directions; ++d) deltas[d] = cutter.take<T>(checked_product(total, delta_stride));
    for (T *&buffer : from_above) buffer = cutter.take<T>(shape.layers > 1 ? checked_product(total, features) : 0);
    grads = cutter.take<T>(parameters->memory.size());
    work = cutter.take<T>(checked_product(plan.threads, widest));
    return cutter.used();
  };
  const Workspace memory(cut(Cutter(nullptr)));
  cut(Cutter(memory.data()));

  Interrupt interrupt(call.signalled);
  std::atomic<int> team{1};
  const auto through_time = [&](Index layer, int direction, int slice, Pulse &pulse, T *own_work) {
    const LayerTape<T> &kept = tape.layers[layer];
    const Index k = layer * shape.directions + direction, first = direction * H;
    BackwardTask<T> task{};
    task.rows = rows;
    task.first = bounds[slice];
    task.last = bounds[slice + 1];
    task.reverse = direction == 1;
    task.input_size = inputs(layer);
    task.hidden_size = H;
    task.packed = packed->memory.data() + backward_at_[k];
    task.out = {kept.out.data() + first, 0, features, true};
    task.h0 = state_at<const T>(tape.h0.data(), k, sequences, H);
    task.c0 = state_at<const T>(tape.c0.data(), k, sequences, H);
    task.kept = kept.kept[direction].data();
    task.cells = kept.cells[direction].data();
    task.dy[0] = layer + 1 == shape.layers ? columns_of(view_of(call.dy), first)
                                           : RowView<const T>{from_above[layer % 2] + first, 0, features, true};
    task.dy[1] = columns_of(view_of(call.doutputs[layer]), first);
    task.dcell = columns_of(view_of(call.dcells[layer]), first);
    task.dh_n = state_at(call.dh_n, k, sequences, H);
    task.dc_n = state_at(call.dc_n, k, sequences, H);
    task.dh0 = state_at(call.dh0, k, sequences, H);
    task.dc0 = state_at(call.dc0, k, sequences, H);
    task.deltas = deltas[direction];
    task.delta_stride = delta_stride;
    task.work = own_work;
    task.plan = &plan;
    task.pulse = &pulse;
    cell_.backward(&task);
  };
  const auto layer_input = [&](Index layer) -> RowView<const T> {
    if (layer == 0) return {tape.x.data(), 0, shape.input_size, true};
    const LayerTape<T> &below = tape.layers[layer - 1];
    return {below.masked.size() ? below.masked.data() : below.out.data(), 0, features, true};
  };
  const auto weights = [&](Index layer, int direction, int part, int parts, Pulse &pulse, T *own_work) {
    const LayerTape<T> &kept = tape.layers[layer];
    const Index k = layer * shape.directions + direction;
    const std::size_t at = entry(layer, direction);
    const auto gradient = [&](std::size_t i) { return grads + parameters->entries[i].offset; };
    GradientTask<T> task{};
    task.rows = rows;
    task.reverse = direction == 1;
    task.input_size = inputs(layer);
    task.hidden_size = H;
    task.x = layer_input(layer);
    task.out = {kept.out.data() + direction * H, 0, features, true};
    task.h0 = state_at<const T>(tape.h0.data(), k, sequences, H);
    task.kept = kept.kept[direction].data();
    task.deltas = deltas[direction];
    task.delta_stride = delta_stride;
    task.weight_ih = gradient(at);
    task.weight_hh = gradient(at + 1);
    task.bias_ih = shape.bias ? gradient(at + 2) : nullptr;
    task.bias_hh = shape.bias ? gradient(at + 3) : nullptr;
    task.part = part;
    task.parts = parts;
    task.work = own_work;
    task.pulse = &pulse;
    cell_.gradient(&task);
  };
  const auto input_gradient = [&](Index layer, Index first, Index last, Pulse &pulse, T *own_work) {
    InputGradientTask<T> task{};
    task.rows = rows;
    task.first = first;
    task.last = last;
    task.input_size = inputs(layer);
    task.hidden_size = H;
    task.directions = shape.directions;
    for (int d = 0; d < shape.directions; ++d) {
      task.packed[d] = packed->memory.data() + backward_at_[layer * shape.directions + d];
      task.deltas[d] = deltas[d];
    }
    task.delta_stride = delta_stride;
    task.dx = layer == 0 ? view_of(call.dx) : RowView<T>{from_above[(layer - 1) % 2], 0, features, true};
    task.work = own_work;
    task.plan = &plan;
    task.pulse = &pulse;
    if (!cell_.input_gradient(&task) || layer == 0) return;
    const Buffer<T> &mask = tape.layers[layer - 1].mask;
    for (Index i = first * features; mask.size() && i < last * features; ++i) task.dx.base[i] *= mask.data()[i];
  };

  run_team(plan.threads, [&](int member, int members) {
    if (member == 0) team = members;
    Pulse pulse = interrupt.pulse(member == 0);
    T *own_work = work + member * widest;
    const bool by_direction = plan.split == kSplitDirections;
    if (member == 0 && call.dx) clear_padding(sequences, 0, rows.batch, call.dx, shape.input_size);
    for (Index layer = shape.layers - 1; layer >= 0; --layer) {
      for (int s = 0; s < slices; ++s) {
        for (int direction = 0; direction < shape.directions; ++direction) {
          if ((by_direction ? direction : s) % members != member || interrupt.stopped()) continue;
          through_time(layer, direction, s, pulse, own_work);
        }
      }
      team_barrier();
      for (int direction = 0; direction < shape.directions && !interrupt.stopped(); ++direction) {
        weights(layer, direction, member, members, pulse, own_work);
      }
      if ((layer > 0 || call.dx) && !interrupt.stopped()) {
        input_gradient(layer, total * member / members, total * (member + 1) / members, pulse, own_work);
      }
      team_barrier();
    }
  });
  if (!interrupt.stopped()) {
    for (std::size_t i = 0; i < parameters->entries.size(); ++i) {
      const T *gradient = grads + parameters->entries[i].offset;
      for (Index k = 0; k < parameters->entries[i].size; ++k) call.grads[i][k] += gradient[k];
    }
  }
  return report(plan, team, interrupt.stopped());
}

template class Network<float>;
template class Network<double>;

}  // namespace recurra
