// Network::backward: the layers in turn, their slices and directions shared out among a team.
#include "dispatch.h"
#include "model/gradients.h"
#include "model/views.h"
#include "system/team.h"

namespace recurra {
namespace {

// Steps of BPTT, in the order of visits, and the blocks of rows that are complete after them.
struct StepRange {
  Index first_step, last_step;
  Index from, to;
};

// `blocks` complete blocks in each range but the last; 0: all in one.
std::vector<StepRange> step_ranges_of(const Rows &rows, Index blocks) {
  const Index total = rows.offset[rows.steps];
  if (blocks == 0 || blocks > total / kBlockRows) return {{0, rows.steps, 0, total}};
  std::vector<StepRange> ranges;
  Index first_step = 0, from = 0;
  for (Index s = 1; s <= rows.steps; ++s) {
    const Index visited = total - rows.offset[rows.steps - s];
    if (visited - from < blocks * kBlockRows && s < rows.steps) continue;
    const Index to = s == rows.steps ? total : visited / kBlockRows * kBlockRows;
    ranges.push_back({first_step, s, from, to});
    first_step = s;
    from = to;
  }
  return ranges;
}

// Rows of a ring of deltas: those of the step that is being visited, and either fewer than `blocks` blocks that wait
// for their products, or those of the step visited before it.
Index ring_of(const Rows &rows, Index blocks) {
  const Index live = rows.batch + std::max(blocks * kBlockRows, rows.batch);
  Index ring = kBlockRows;
  while (ring < live) ring *= 2;
  return ring;
}

}  // namespace

template <class T>
Outcome Network<T>::backward(const TapeMemory<T> &tape, const BackwardCall<T> &call) const {
  const Sequences &sequences = tape.sequences;
  const Rows &rows = sequences.rows;
  const Index H = shape.hidden_size, features = shape.directions * H, total = sequences.total();
  const Plan plan = this->plan(sequences, call.wish, 2);
  bool outdated = false;
  const PackedPtr<T> packed = packed_backward(*tape.parameters, tape.version, call.signalled, outdated);
  if (!packed) return outdated ? Outcome::kOutdated : Outcome::kInterrupted;
  const std::vector<Index> bounds = sequences.slices(plan.split == kSplitBatch ? plan.threads : 1);
  const int slices = static_cast<int>(bounds.size()) - 1;
  Index most_rows = 0;
  for (int s = 0; s < slices; ++s) most_rows = std::max(most_rows, bounds[s + 1] - bounds[s]);

  const std::vector<StepRange> step_ranges = step_ranges_of(rows, plan.delta_blocks);
  const Index delta_stride = padded_stride<T>(cell_.deltas * H);
  const Index ring = step_ranges.size() > 1 ? std::min(total, ring_of(rows, plan.delta_blocks)) : total;
  const Index alphabet = tape.tokens.data() ? tape.alphabet : 0;
  const Index pass_work = kernels_.backward_work(shape.cell, most_rows, H);  // lasts from range to range
  const Index widest = pass_work + std::max(kernels_.gradient_work(alphabet), kernels_.input_gradient_work());
  // Of the table's entries those of this network, which for a cell that shares a layer's parameters aren't all.
  const std::size_t after = entry(shape.states(), kInputWeight);
  const Index own_begin = table->entries[entry(0, kInputWeight)].offset;
  const Index own_end = after < table->entries.size() ? table->entries[after].offset : table->size;
  std::array<T *, 2> deltas{}, from_above{};
  T *grads = nullptr, *work = nullptr;
  const auto gradient_of = [&](std::size_t i) { return grads + (table->entries[i].offset - own_begin); };
  std::array<T *, 2> token_sums{};
  const auto cut = [&](Cutter cutter) {
    for (int d = 0; d < shape.directions; ++d) deltas[d] = cutter.take<T>(checked_product(ring, delta_stride));
    for (T *&buffer : from_above) buffer = cutter.take<T>(shape.layers > 1 ? checked_product(total, features) : 0);
    grads = cutter.take<T>(own_end - own_begin);
    for (int d = 0; d < shape.directions; ++d) {
      token_sums[d] = cutter.take<T>(checked_product(alphabet, cell_.deltas * H));
    }
    work = cutter.take<T>(checked_product(plan.threads, widest));
    return cutter.used();
  };
  const Workspace memory(cut(Cutter(nullptr)));
  cut(Cutter(memory.data()));

  const Index wrap = ring < total ? ring - 1 : -1;
  Team team(call.signalled, plan.threads);
  const auto through_time = [&](Index layer, int direction, int slice, int part, int parts, const StepRange &range,
                                Worker &worker, T *own_work) {
    const LayerTape<T> &kept = tape.layers[layer];
    const Index k = layer * shape.directions + direction, first = direction * H;
    BackwardTask<T> task{};
    task.cell = shape.cell;
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
    task.saved = kept.saved[direction].data();
    task.saved_stride = padded_stride<T>(cell_.saved * H);
    task.cells = kept.cells[direction].data();
    task.dy[0] = layer + 1 == shape.layers ? columns_of(view_of(call.dy), first)
                                           : RowView<const T>{from_above[layer % 2] + first, 0, features, true};
    task.dy[1] = columns_of(view_of(call.doutputs[layer]), first);
    task.dcell = columns_of(view_of(call.dcells[layer]), first);
    task.dh_n = state_at(call.dh_n, k, sequences, H);
    task.dc_n = state_at(call.dc_n, k, sequences, H);
    task.dh0 = state_at(call.dh0, k, sequences, H);
    task.dc0 = state_at(call.dc0, k, sequences, H);
    task.deltas = {deltas[direction], delta_stride, wrap};
    task.first_step = range.first_step;
    task.last_step = range.last_step;
    task.part = part;
    task.parts = parts;
    task.work = own_work;
    task.plan = &plan;
    task.worker = &worker;
    kernels_.backward(&task);
  };
  const auto layer_input = [&](Index layer) -> RowView<const T> {
    if (layer == 0) return {tape.x.data(), 0, shape.input_size, true};
    const LayerTape<T> &below = tape.layers[layer - 1];
    return {below.masked.size() ? below.masked.data() : below.out.data(), 0, features, true};
  };
  const auto weights = [&](Index layer, int direction, int part, int parts, const StepRange &range, Worker &worker,
                           T *own_work) {
    const LayerTape<T> &kept = tape.layers[layer];
    const Index k = layer * shape.directions + direction;
    GradientTask<T> task{};
    task.cell = shape.cell;
    task.rows = rows;
    task.reverse = direction == 1;
    task.input_size = inputs(layer);
    task.hidden_size = H;
    if (layer == 0 && alphabet) {
      task.tokens = tape.tokens.data();
      task.table = tape.table.data();
      task.alphabet = alphabet;
      task.token_sums = token_sums[direction];
    } else {
      task.x = layer_input(layer);
    }
    task.out = {kept.out.data() + direction * H, 0, features, true};
    task.h0 = state_at<const T>(tape.h0.data(), k, sequences, H);
    task.saved = kept.saved[direction].data();
    task.saved_stride = padded_stride<T>(cell_.saved * H);
    task.deltas = {deltas[direction], delta_stride, wrap};
    task.from = range.from;
    task.to = range.to;
    for (const ParameterDescription &parameter : kParameters) {
      if (!has(parameter.role)) continue;
      task.gradients[parameter.role] = gradient_of(entry(k, parameter.role));
    }
    task.part = part;
    task.parts = parts;
    task.work = own_work;
    task.worker = &worker;
    kernels_.gradient(&task);
  };
  const auto input_task = [&](Index layer, const Rows &of, Index first, Index last, Worker &worker, T *own_work) {
    InputGradientTask<T> task{};
    task.cell = shape.cell;
    task.rows = of;
    task.first = first;
    task.last = last;
    task.input_size = inputs(layer);
    task.hidden_size = H;
    task.directions = shape.directions;
    for (int d = 0; d < shape.directions; ++d) {
      task.packed[d] = packed->memory.data() + backward_at_[layer * shape.directions + d];
      task.deltas[d] = {deltas[d], delta_stride, wrap};
    }
    task.work = own_work;
    task.plan = &plan;
    task.worker = &worker;
    return task;
  };
  // The gradient of a table: the same product, of the deltas summed token by token, as if they were one step of a
  // batch.
  const Index table_alive[] = {alphabet, 0}, table_offset[] = {0, alphabet};
  const Rows table_rows{1, alphabet, nullptr, table_alive, table_offset};
  const auto table_gradient = [&](Index first, Index last, Worker &worker, T *own_work) {
    if (total == 0) return std::fill(call.dtable + first * inputs(0), call.dtable + last * inputs(0), T(0));
    InputGradientTask<T> task = input_task(0, table_rows, first, last, worker, own_work);
    for (int d = 0; d < shape.directions; ++d) task.deltas[d] = {token_sums[d], cell_.deltas * H, -1};
    task.dx = {call.dtable, 0, inputs(0), true};
    kernels_.input_gradient(&task);
  };
  const auto input_gradient = [&](Index layer, Index first, Index last, Worker &worker, T *own_work) {
    InputGradientTask<T> task = input_task(layer, rows, first, last, worker, own_work);
    task.dx = layer == 0 ? view_of(call.dx) : RowView<T>{from_above[(layer - 1) % 2], 0, features, true};
    if (!kernels_.input_gradient(&task) || layer == 0) return;
    const Buffer<T> &mask = tape.layers[layer - 1].mask;
    for (Index row = first; mask.size() && row < last; ++row) {
      for (Index i = row * features; i < (row + 1) * features; ++i) task.dx.base[i] *= mask.data()[i];
      if (stops(worker, kCopyWork * features)) return;
    }
  };

  team.run([&](Worker &worker) {
    const int member = worker.member, members = worker.members;
    T *own_work = work + member * widest;
    const bool by_direction = plan.split == kSplitDirections, by_unit = plan.split == kSplitUnits;
    if (member == 0 && call.dx) clear_padding(sequences, 0, rows.batch, call.dx, shape.input_size, worker);
    for (Index layer = shape.layers - 1; layer >= 0; --layer) {
      for (const StepRange &range : step_ranges) {
        for (int s = 0; s < slices; ++s) {
          for (int direction = 0; direction < shape.directions; ++direction) {
            const bool mine = by_unit || (by_direction ? direction : s) % members == member;
            if (!mine || team.stopped()) continue;
            through_time(layer, direction, s, by_unit ? member : 0, by_unit ? members : 1, range, worker, own_work);
          }
        }
        if (!worker.barrier(&worker)) return;
        for (int direction = 0; direction < shape.directions && !team.stopped(); ++direction) {
          weights(layer, direction, member, members, range, worker, own_work + pass_work);
        }
        if ((layer > 0 || call.dx) && !team.stopped()) {
          const Index first = rows.offset[rows.steps - range.last_step];
          const Index count = rows.offset[rows.steps - range.first_step] - first;
          input_gradient(layer, first + count * member / members, first + count * (member + 1) / members, worker,
                         own_work + pass_work);
        }
        if (!worker.barrier(&worker)) return;
      }
    }
    if (call.dtable && !team.stopped()) {
      table_gradient(alphabet * member / members, alphabet * (member + 1) / members, worker, own_work);
    }
  });
  for (std::size_t i = entry(0, kInputWeight); i < after && !team.stopped(); ++i) {
    add_gradient(table->entries[i].size, gradient_of(i), call.grads[i]);
  }
  return report(plan, team.size(), team.stopped());
}

template Outcome Network<float>::backward(const TapeMemory<float> &, const BackwardCall<float> &) const;
template Outcome Network<double>::backward(const TapeMemory<double> &, const BackwardCall<double> &) const;

}  // namespace recurra
