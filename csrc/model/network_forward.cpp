// Network::forward: the layers in turn, their slices and directions shared out among a team.
#include "dispatch.h"
#include "model/states.h"
#include "model/views.h"
#include "system/team.h"

namespace recurra {

// What the tasks of a call need. A stream of single steps asks again and again, and finding out takes as long as a
// tenth of a small step.
template <class T>
WorkSizes Network<T>::forward_sizes(Index rows, Index alphabet, bool taped, const Plan &plan) const {
  struct Asked {
    unsigned long network = 0;
    Index rows = 0, alphabet = 0, chunk = 0;
    int fused = 0;
    bool taped = false;
    WorkSizes sizes{};
  };
  static thread_local Asked last;
  if (last.network == serial_ && last.rows == rows && last.alphabet == alphabet && last.chunk == plan.chunk &&
      last.fused == plan.fused && last.taped == taped) {
    return last.sizes;
  }
  WorkSizes most{};
  for (Index layer = 0; layer < std::min<Index>(shape.layers, 2); ++layer) {
    const CellShape of = cell_shape(layer);
    const WorkSizes sizes = kernels_.forward_sizes(&of, rows, layer == 0 ? alphabet : 0, taped, &plan);
    most = {std::max(most.work, sizes.work), std::max(most.shared, sizes.shared)};
  }
  last = {serial_, rows, alphabet, plan.chunk, plan.fused, taped, most};
  return most;
}

template <class T>
Outcome Network<T>::forward(const ParametersPtr<T> &parameters, const Sequences &sequences, const ForwardCall<T> &call,
                            TapeMemory<T> *tape) const {
  if (tape) tape->parameters = parameters;
  return run_forward(sequences, call, tape, [&] { return packed_forward(*parameters, call.signalled); });
}

template <class T>
Outcome Network<T>::forward(const PackedPtr<T> &packed, const Sequences &sequences, const ForwardCall<T> &call) const {
  return run_forward(sequences, call, nullptr, [&] { return packed; });
}

template <class T>
template <class GetPacked>
Outcome Network<T>::run_forward(const Sequences &sequences, const ForwardCall<T> &call, TapeMemory<T> *tape,
                                const GetPacked &get) const {
  const Rows &rows = sequences.rows;
  const Index H = shape.hidden_size, P = shape.projected_size, I = shape.input_size, features = shape.features();
  const Index total = sequences.total();
  const Plan plan = this->plan(sequences, call.wish, 1);
  const std::vector<Index> bounds = sequences.slices(plan.split == kSplitBatch ? plan.threads : 1);
  const int slices = static_cast<int>(bounds.size()) - 1;
  Index most_rows = 0;
  for (int s = 0; s < slices; ++s) most_rows = std::max(most_rows, bounds[s + 1] - bounds[s]);

  if (tape) prepare(call, *tape);
  const WorkSizes sizes = forward_sizes(most_rows, call.table ? call.alphabet : 0, tape != nullptr, plan);
  const Index widest = sizes.work, shared = sizes.shared;
  const Index between = tape || shape.layers == 1 ? 0 : checked_product(total, features);  // layers' outputs
  std::array<T *, 2> hidden{};
  // Rows of states, where they aren't the caller's arrays.
  std::array<T *, kMaxStates> entering{}, leaving{};
  T *work = nullptr;
  Index *tokens = tape ? tape->tokens.data() : nullptr;
  const auto made = [&](int state) { return shape.learned && !call.initial[state]; };
  const auto cut = [&](Cutter cutter) {
    if (call.tokens && !tape) tokens = cutter.take<Index>(total);
    for (T *&buffer : hidden) buffer = cutter.take<T>(between);
    for (int state = 0; state < cell_.states; ++state) {
      const Index size = state_elements(state, rows.batch);
      const bool spread = !tape && (made(state) || (sequences.cut() && call.initial[state]));
      if (spread) entering[state] = cutter.take<T>(size);
      leaving[state] = sequences.cut() ? cutter.take<T>(size) : call.final[state];
    }
    work = cutter.take<T>(checked_product(plan.threads, widest + shared));
    return cutter.used();
  };
  const Workspace memory(cut(Cutter(nullptr)));
  cut(Cutter(memory.data()));

  const PackedPtr<T> packed = get();
  if (!packed) return Outcome::kInterrupted;
  if (tape) tape->version = packed->version;

  std::array<const T *, kMaxStates> initial = call.initial;
  for (int state = 0; state < cell_.states; ++state) {
    T *to = tape ? tape->initial[state].data() : entering[state];
    if (!to) continue;
    const T *from = made(state) ? packed->memory.data() + learned_at_[state] : call.initial[state];
    spread_states(shape, sequences, End::kEntering, shape.state_size(state), made(state), from, to);
    initial[state] = to;
  }

  Team team(call.signalled, plan.threads);
  const auto copy_input = [&](Index first, Index last, Worker &worker) {
    for_rows(rows, first, last, [&](Index t, Index b, Index row) {
      if (team.stopped() || stops(worker, kCopyWork * I)) return;
      if (call.tokens) {
        tokens[row] = *caller_row(call.tokens, rows, t, b);
      } else {
        std::copy_n(caller_row(call.x, rows, t, b), I, tape->x.data() + row * I);
      }
    });
  };
  const auto copy_inputs = [&](Index first, Index last, Worker &worker) {
    for (int input = 0; input < cell_.input_count; ++input) {
      if (cell_.inputs[input].shape == kPerRow) continue;
      const StridedInput<const T> &given = call.inputs[input];
      const Index width = cell_.inputs[input].shape == kPerUnit ? H : 1;
      for (Index k = 0; k < (given.layered ? shape.states() : 1); ++k) {
        T *to = tape->inputs[input].values.data() + k * tape->inputs[input].layer_size;
        for_rows(rows, first, last, [&](Index t, Index b, Index row) {
          if (team.stopped() || stops(worker, kCopyWork * width)) return;
          std::copy_n(caller_row(given.array, rows, t, b) + k * given.layer_stride, width, to + row * width);
        });
      }
    }
  };
  const auto apply_mask = [&](LayerTape<T> &kept, const Strided<const T> &mask, Index first, Index last,
                              Worker &worker) {
    for_rows(rows, first, last, [&](Index t, Index b, Index row) {
      if (team.stopped() || stops(worker, kCopyWork * features)) return;
      const T *from = caller_row(mask, rows, t, b), *out = kept.out.data() + row * features;
      T *factors = kept.mask.data() + row * features, *masked = kept.masked.data() + row * features;
      for (Index i = 0; i < features; ++i) {
        factors[i] = from[i];
        masked[i] = out[i] * from[i];
      }
    });
  };

  team.run([&](Worker &worker) {
    const int member = worker.member, members = worker.members;
    const bool by_direction = plan.split == kSplitDirections, by_unit = plan.split == kSplitUnits;
    const bool together = by_direction || by_unit;  // a layer's output is the work of several
    const auto mine = [&](int slice, int direction) { return (by_direction ? direction : slice) % members == member; };
    for (int s = 0; s < slices; ++s) {
      if (!mine(s, 0)) continue;
      if (tape || call.tokens) copy_input(bounds[s], bounds[s + 1], worker);
      if (tape) copy_inputs(bounds[s], bounds[s + 1], worker);
      clear_padding(sequences, bounds[s], bounds[s + 1], call.y, features, worker);
    }
    if (together && !worker.barrier(&worker)) return;
    for (Index layer = 0; layer < shape.layers; ++layer) {
      const bool last = layer + 1 == shape.layers;
      ForwardTask<T> task{};
      task.shape = cell_shape(layer);
      task.rows = rows;
      task.taped = tape != nullptr;
      task.kept_stride = kept_stride();
      task.plan = &plan;
      task.worker = &worker;
      task.part = by_unit ? member : 0;
      task.parts = by_unit ? members : 1;
      task.work = work + member * (widest + shared);
      task.shared = (by_unit ? work : task.work) + widest;
      if (layer > 0) {
        const T *from = !tape                ? hidden[(layer - 1) % 2]
                        : call.masks.empty() ? tape->layers[layer - 1].out.data()
                                             : tape->layers[layer - 1].masked.data();
        task.x = {from, 0, features, true};
      } else {
        task.tokens = call.tokens ? tokens : nullptr;
        task.table = tape && call.table ? tape->table.data() : call.table;
        task.alphabet = call.table ? call.alphabet : 0;
        task.x = tape ? RowView<const T>{tape->x.data(), 0, I, true} : view_of(call.x);
      }
      for (int s = 0; s < slices; ++s) {
        task.first = bounds[s];
        task.last = bounds[s + 1];
        for (int direction = 0; direction < shape.directions; ++direction) {
          if (!(by_unit || mine(s, direction)) || team.stopped()) continue;
          const Index k = layer * shape.directions + direction;
          const RowView<T> y = columns_of(view_of(call.y), direction * P);
          std::array<RowView<const T>, kMaxInputs> inputs{};
          for (int i = 0; i < cell_.input_count; ++i) {
            inputs[i] = tape ? taped_input(*tape, i, k) : given_input(call.inputs[i], k);
          }
          task.inputs = inputs.data();
          task.reverse = shape.reversed(direction);
          task.packed = packed->memory.data() + forward_at_[k];
          for (int state = 0; state < cell_.states; ++state) {
            task.initial[state] = state_at(initial[state], k, rows, shape.state_size(state));
            task.final[state] = state_at(leaving[state], k, rows, shape.state_size(state));
          }
          if (tape) {
            const LayerTape<T> &kept = tape->layers[layer];
            task.out = {kept.out.data() + direction * P, 0, features, true};
            task.copy = last ? y : RowView<T>{};
            task.kept = kept.kept[direction].data();
            for (int state = 1; state < cell_.states; ++state)
              task.states[state] = kept.states[direction][state].data();
          } else {
            task.out = last ? y : RowView<T>{hidden[layer % 2] + direction * P, 0, features, true};
          }
          kernels_.forward(&task);
        }
      }
      if (last) break;
      if (together && !worker.barrier(&worker)) return;
      if (tape && !call.masks.empty()) {
        for (int s = 0; s < slices; ++s) {
          if (mine(s, 0)) apply_mask(tape->layers[layer], call.masks[layer], bounds[s], bounds[s + 1], worker);
        }
        if (together && !worker.barrier(&worker)) return;
      }
    }
  });
  for (int state = 0; sequences.cut() && !team.stopped() && state < cell_.states; ++state) {
    gather_states(shape, sequences, End::kLeaving, shape.state_size(state), leaving[state], call.final[state]);
  }
  return report(plan, team.size(), team.stopped());
}

template WorkSizes Network<float>::forward_sizes(Index, Index, bool, const Plan &) const;
template WorkSizes Network<double>::forward_sizes(Index, Index, bool, const Plan &) const;
template Outcome Network<float>::forward(const ParametersPtr<float> &, const Sequences &, const ForwardCall<float> &,
                                         TapeMemory<float> *) const;
template Outcome Network<double>::forward(const ParametersPtr<double> &, const Sequences &, const ForwardCall<double> &,
                                          TapeMemory<double> *) const;
template Outcome Network<float>::forward(const PackedPtr<float> &, const Sequences &, const ForwardCall<float> &) const;
template Outcome Network<double>::forward(const PackedPtr<double> &, const Sequences &,
                                          const ForwardCall<double> &) const;

}  // namespace recurra
