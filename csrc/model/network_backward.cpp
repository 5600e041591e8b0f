// Network::backward: the layers in turn, their slices and directions shared out among a team.
#include "dispatch.h"
#include "model/gradients.h"
#include "model/input_sums.h"
#include "model/states.h"
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
std::vector<StepRange> step_ranges_of(const Rows &rows, bool reverse, Index blocks) {
  const Index total = rows.offset[rows.steps];
  if (blocks == 0 || blocks > total / kBlockRows) return {{0, rows.steps, 0, total}};
  std::vector<StepRange> ranges;
  Index first_step = 0, from = 0;
  for (Index s = 1; s <= rows.steps; ++s) {
    const Index visited = reverse ? rows.offset[s] : total - rows.offset[rows.steps - s];
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

// The gradients of states (layers * directions, batch, size), each summed over the batch.
template <class T>
void sum_sequences(Index states, Index batch, Index size, const T *gradients, T *sums) {
  std::fill_n(sums, states * size, T(0));
  for (Index k = 0; k < states; ++k) {
    for (Index s = 0; s < batch; ++s) {
      for (Index i = 0; i < size; ++i) sums[k * size + i] += gradients[(k * batch + s) * size + i];
    }
  }
}

}  // namespace

template <class T>
Outcome Network<T>::backward(const TapeMemory<T> &tape, const BackwardCall<T> &call) const {
  const Sequences &sequences = tape.sequences;
  const Rows &rows = sequences.rows;
  const Index P = shape.projected_size, features = shape.features(), total = sequences.total();
  const Plan plan = this->plan(sequences, call.wish, 2);
  bool outdated = false;
  const PackedPtr<T> packed = packed_backward(*tape.parameters, tape.version, call.signalled, outdated);
  if (!packed) return outdated ? Outcome::kOutdated : Outcome::kInterrupted;
  const std::vector<Index> bounds = sequences.slices(plan.split == kSplitBatch ? plan.threads : 1);
  const int slices = static_cast<int>(bounds.size()) - 1;
  Index most_rows = 0;
  for (int s = 0; s < slices; ++s) most_rows = std::max(most_rows, bounds[s + 1] - bounds[s]);

  const std::vector<StepRange> step_ranges = step_ranges_of(rows, shape.reversed(0), plan.delta_blocks);
  const Index delta_stride = padded_stride<T>(delta_elements_);
  const Index ring = step_ranges.size() > 1 ? std::min(total, ring_of(rows, plan.delta_blocks)) : total;
  const Index alphabet = tape.tokens.data() ? tape.alphabet : 0;
  WorkSizes pass{};  // lasts from range to range
  Index other_work = kernels_.input_gradient_work();
  for (Index layer = 0; layer < std::min<Index>(shape.layers, 2); ++layer) {
    const CellShape of = cell_shape(layer);
    const WorkSizes sizes = kernels_.backward_sizes(&of, most_rows);
    pass = {std::max(pass.work, sizes.work), std::max(pass.shared, sizes.shared)};
    other_work = std::max(other_work, kernels_.gradient_work(&of, layer == 0 ? alphabet : 0));
  }
  const Index widest = pass.work + pass.shared + other_work;
  // Of the table's entries those of this network, which for a cell that shares a layer's parameters aren't all.
  const std::size_t begin = first_entry(0), after = first_entry(shape.states());
  const std::size_t end = after + static_cast<std::size_t>(shape.learned ? cell_.states : 0);
  const auto offset_of = [&](std::size_t i) {
    return i < table->entries.size() ? table->entries[i].offset : table->size;
  };
  InputSums<T> input_sums(shape, tape, call);
  std::array<T *, 2> deltas{}, from_above{}, token_sums{};
  std::array<T *, kMaxStates> dleaving{}, dentering{};  // rows of states, where they aren't the caller's arrays
  T *grads = nullptr, *work = nullptr;
  const auto wanted = [&](std::size_t i) { return call.grads[i] != nullptr; };
  const auto gradient_of = [&](std::size_t i) {
    return call.fresh ? call.grads[i] : grads + (offset_of(i) - offset_of(begin));
  };
  const auto cut = [&](Cutter cutter) {
    for (int d = 0; d < shape.directions; ++d) deltas[d] = cutter.take<T>(with_slack<T>(ring, delta_stride));
    for (T *&buffer : from_above) buffer = cutter.take<T>(shape.layers > 1 ? with_slack<T>(total, features) : 0);
    grads = cutter.take<T>(call.fresh ? 0 : offset_of(end) - offset_of(begin));
    for (int d = 0; d < shape.directions; ++d) {
      token_sums[d] = cutter.take<T>(checked_product(alphabet, cell_.input_columns * shape.hidden_size));
    }
    for (int state = 0; state < cell_.states; ++state) {
      const Index size = state_elements(state, rows.batch);
      if (sequences.cut() && call.dfinal[state]) dleaving[state] = cutter.take<T>(size);
      dentering[state] = sequences.cut() ? cutter.take<T>(size) : call.dinitial[state];
    }
    input_sums.cut(cutter);
    work = cutter.take<T>(checked_product(plan.threads, widest));
    return cutter.used();
  };
  const Workspace memory(cut(Cutter(nullptr)));
  cut(Cutter(memory.data()));

  std::array<const T *, kMaxStates> dfinal = call.dfinal;
  for (int state = 0; state < cell_.states; ++state) {
    if (!dleaving[state]) continue;
    spread_states(shape, sequences, End::kLeaving, shape.state_size(state), false, dfinal[state], dleaving[state]);
    dfinal[state] = dleaving[state];
  }

  const Index wrap = ring < total ? ring - 1 : -1;
  Team team(call.signalled, plan.threads);
  const auto through_time = [&](Index layer, int direction, int slice, int part, int parts, const StepRange &range,
                                Worker &worker, T *own_work, T *shared) {
    const LayerTape<T> &kept = tape.layers[layer];
    const Index k = layer * shape.directions + direction, first = direction * P;
    std::array<RowView<const T>, kMaxInputs> inputs{};
    for (int i = 0; i < cell_.input_count; ++i) inputs[i] = taped_input(tape, i, k);
    BackwardTask<T> task{};
    task.shape = cell_shape(layer);
    task.rows = rows;
    task.first = bounds[slice];
    task.last = bounds[slice + 1];
    task.reverse = shape.reversed(direction);
    task.packed = packed->memory.data() + backward_at_[k];
    if (layer == 0 && alphabet) {
      task.tokens = tape.tokens.data();
      task.table = tape.table.data();
    } else {
      task.x = layer_input(tape, layer);
    }
    task.inputs = inputs.data();
    task.out = {kept.out.data() + first, 0, features, true};
    task.kept = kept.kept[direction].data();
    task.kept_stride = kept_stride();
    task.dy[0] = layer + 1 == shape.layers ? columns_of(view_of(call.dy), first)
                                           : RowView<const T>{from_above[layer % 2] + first, 0, features, true};
    task.dy[1] = columns_of(view_of(call.doutputs[layer]), first);
    for (int state = 0; state < cell_.states; ++state) {
      const Index size = shape.state_size(state);
      task.initial[state] = state_at<const T>(tape.initial[state].data(), k, rows, size);
      task.dfinal[state] = state_at(dfinal[state], k, rows, size);
      task.dinitial[state] = state_at(dentering[state], k, rows, size);
      if (state == 0) continue;
      task.states[state] = kept.states[direction][state].data();
      task.dstates[state] = columns_of(view_of(call.dstates[state][layer]), direction * size);
    }
    task.deltas = {deltas[direction], delta_stride, wrap};
    task.first_step = range.first_step;
    task.last_step = range.last_step;
    task.part = part;
    task.parts = parts;
    task.work = own_work;
    task.shared = shared;
    task.plan = &plan;
    task.worker = &worker;
    kernels_.backward(&task);
  };
  const auto weights = [&](Index layer, int direction, int part, int parts, const StepRange &range, Worker &worker,
                           T *own_work) {
    const LayerTape<T> &kept = tape.layers[layer];
    const Index k = layer * shape.directions + direction;
    GradientTask<T> task{};
    task.shape = cell_shape(layer);
    task.rows = rows;
    task.reverse = shape.reversed(direction);
    if (layer == 0 && alphabet) {
      task.tokens = tape.tokens.data();
      task.table = tape.table.data();
      task.alphabet = alphabet;
      task.token_sums = token_sums[direction];
    } else {
      task.x = layer_input(tape, layer);
    }
    task.out = {kept.out.data() + direction * P, 0, features, true};
    task.kept = kept.kept[direction].data();
    task.kept_stride = kept_stride();
    for (int state = 0; state < cell_.states; ++state) {
      task.initial[state] = state_at<const T>(tape.initial[state].data(), k, rows, shape.state_size(state));
      task.states[state] = kept.states[direction][state].data();
    }
    task.deltas = {deltas[direction], delta_stride, wrap};
    task.from = range.from;
    task.to = range.to;
    bool any = false;
    for (int p = 0; p < cell_.parameter_count; ++p) {
      if (!has(p) || !wanted(entry(k, p))) continue;
      task.gradients[p] = gradient_of(entry(k, p));
      any = true;
    }
    if (!any && !call.dtable) return;
    task.part = part;
    task.parts = parts;
    task.work = own_work;
    task.worker = &worker;
    kernels_.gradient(&task);
  };
  const auto input_task = [&](const CellShape &of, Index layer, const Rows &all, Index first, Index last,
                              Worker &worker, T *own_work) {
    InputGradientTask<T> task{};
    task.shape = of;
    task.rows = all;
    task.first = first;
    task.last = last;
    task.directions = shape.directions;
    task.reverse = shape.reversed(0);
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
  // batch. What the cell reads itself isn't among those.
  const Index table_alive[] = {alphabet, 0}, table_offset[] = {0, alphabet};
  const Rows table_rows{1, alphabet, nullptr, nullptr, nullptr, table_alive, table_offset};
  Cell products_alone = cell_;
  products_alone.raw = 0;
  products_alone.delta_count = products_alone.column_count;
  const auto table_gradient = [&](Index first, Index last, Worker &worker, T *own_work) {
    const Index I = shape.input_size;
    if (total == 0) return std::fill(call.dtable + first * I, call.dtable + last * I, T(0));
    CellShape of = cell_shape(0);
    of.cell = &products_alone;
    InputGradientTask<T> task = input_task(of, 0, table_rows, first, last, worker, own_work);
    for (int d = 0; d < shape.directions; ++d) {
      task.deltas[d] = {token_sums[d], cell_.input_columns * shape.hidden_size, -1};
    }
    task.dx = {call.dtable, 0, I, true};
    if (kernels_.input_gradient(&task)) input_sums.add_table(first, last, call.dtable);
  };
  const auto input_gradient = [&](Index layer, Index first, Index last, Worker &worker, T *own_work) {
    InputGradientTask<T> task = input_task(cell_shape(layer), layer, rows, first, last, worker, own_work);
    task.dx = layer == 0 ? view_of(call.dx) : RowView<T>{from_above[(layer - 1) % 2], 0, features, true};
    if (!kernels_.input_gradient(&task) || layer == 0) return;
    const Buffer<T> &mask = tape.layers[layer - 1].mask;
    for (Index row = first; mask.data() && row < last; ++row) {
      for (Index i = row * features; i < (row + 1) * features; ++i) task.dx.base[i] *= mask.data()[i];
      if (stops(worker, kCopyWork * features)) return;
    }
  };

  team.run([&](Worker &worker) {
    const int member = worker.member, members = worker.members;
    T *own_work = work + member * widest, *after_pass = own_work + pass.work + pass.shared;
    const bool by_direction = plan.split == kSplitDirections, by_unit = plan.split == kSplitUnits;
    T *shared = (by_unit ? work : own_work) + pass.work;
    if (member == 0 && call.dx) clear_padding(sequences, 0, rows.batch, call.dx, shape.input_size, worker);
    for (Index layer = shape.layers - 1; layer >= 0; --layer) {
      for (const StepRange &range : step_ranges) {
        for (int s = 0; s < slices; ++s) {
          for (int direction = 0; direction < shape.directions; ++direction) {
            const bool mine = by_unit || (by_direction ? direction : s) % members == member;
            if (!mine || team.stopped()) continue;
            through_time(layer, direction, s, by_unit ? member : 0, by_unit ? members : 1, range, worker, own_work,
                         shared);
          }
        }
        if (!worker.barrier(&worker)) return;
        for (int direction = 0; direction < shape.directions && !team.stopped(); ++direction) {
          weights(layer, direction, member, members, range, worker, after_pass);
          input_sums.add({layer * shape.directions + direction,
                          shape.reversed(direction),
                          range.first_step,
                          range.last_step,
                          {deltas[direction], delta_stride, wrap}},
                         worker);
        }
        if ((layer > 0 || call.dx) && !team.stopped()) {
          const Index begin_step = shape.reversed(0) ? range.first_step : rows.steps - range.last_step;
          const Index end_step = shape.reversed(0) ? range.last_step : rows.steps - range.first_step;
          const Index first = rows.offset[begin_step], count = rows.offset[end_step] - first;
          input_gradient(layer, first + count * member / members, first + count * (member + 1) / members, worker,
                         after_pass);
        }
        if (!worker.barrier(&worker)) return;
      }
    }
    if (call.dtable && !team.stopped()) {
      table_gradient(alphabet * member / members, alphabet * (member + 1) / members, worker, own_work);
    }
  });
  if (!team.stopped()) {
    for (int state = 0; state < cell_.states; ++state) {
      const Index size = shape.state_size(state);
      if (sequences.cut()) {
        gather_states(shape, sequences, End::kEntering, size, dentering[state], call.dinitial[state]);
      }
      if (tape.learned[state] && wanted(after + state)) {
        sum_sequences(shape.states(), sequences.batch, size, call.dinitial[state], gradient_of(after + state));
      }
    }
    for (std::size_t i = begin; i < end; ++i) {
      const bool given = i >= after && !tape.learned[i - after];  // a state of the caller's in the parameter's place
      if (!wanted(i) || (call.fresh && !given)) continue;
      if (call.fresh) std::fill_n(call.grads[i], table->entries[i].size, T(0));
      if (!given) add_gradient(table->entries[i].size, gradient_of(i), call.grads[i]);
    }
    input_sums.finish();
  }
  return report(plan, team.size(), team.stopped());
}

template Outcome Network<float>::backward(const TapeMemory<float> &, const BackwardCall<float> &) const;
template Outcome Network<double>::backward(const TapeMemory<double> &, const BackwardCall<double> &) const;

}  // namespace recurra
