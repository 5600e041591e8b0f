// Network::forward: the layers in turn, their slices and directions shared out among a team.
#include "dispatch.h"
#include "model/views.h"
#include "system/team.h"

namespace recurra {

template <class T>
Outcome Network<T>::forward(const ParametersPtr<T> &parameters, const Sequences &sequences, const ForwardCall<T> &call,
                            TapeMemory<T> *tape) const {
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
    if (call.tokens) {
      tape->tokens = Buffer<Index>(total);
      tape->alphabet = call.table ? call.alphabet : I;
      if (call.table) {
        tape->table = Buffer<T>(checked_product(call.alphabet, I));
        std::copy_n(call.table, tape->table.size(), tape->table.data());
      }
    } else {
      tape->x = Buffer<T>(checked_product(total, I), true);
    }
    if (call.h0) tape->h0 = Buffer<T>(states);
    if (call.c0) tape->c0 = Buffer<T>(states);
    std::copy(call.h0, call.h0 ? call.h0 + states : nullptr, tape->h0.data());
    std::copy(call.c0, call.c0 ? call.c0 + states : nullptr, tape->c0.data());
    tape->layers.resize(static_cast<std::size_t>(shape.layers));
    for (Index layer = 0; layer < shape.layers; ++layer) {
      LayerTape<T> &kept = tape->layers[layer];
      kept.out = Buffer<T>(checked_product(total, features), true);
      if (layer + 1 < shape.layers && !call.masks.empty()) {
        kept.mask = Buffer<T>(total * features, true);
        kept.masked = Buffer<T>(total * features, true);
      }
      for (int direction = 0; direction < shape.directions; ++direction) {
        kept.saved[direction] = Buffer<T>(checked_product(total, padded_stride<T>(cell_.saved * H)), true);
        if (shape.has_cell_state()) kept.cells[direction] = Buffer<T>(total * H, true);
      }
    }
  }
  Index widest = 0, shared = 0;
  for (Index layer = 0; layer < std::min<Index>(shape.layers, 2); ++layer) {
    const Index alphabet = layer == 0 && call.table ? call.alphabet : 0;
    const ForwardSizes sizes = kernels_.forward_sizes(shape.cell, most_rows, inputs(layer), H, alphabet, &plan);
    widest = std::max(widest, sizes.work);
    shared = sizes.shared;
  }
  const Index between = tape || shape.layers == 1 ? 0 : checked_product(total, features);  // layers' outputs
  std::array<T *, 2> hidden{};
  T *work = nullptr;
  Index *tokens = tape ? tape->tokens.data() : nullptr;
  const auto cut = [&](Cutter cutter) {
    if (call.tokens && !tape) tokens = cutter.take<Index>(total);
    for (T *&buffer : hidden) buffer = cutter.take<T>(between);
    work = cutter.take<T>(checked_product(plan.threads, widest + shared));
    return cutter.used();
  };
  const Workspace memory(cut(Cutter(nullptr)));
  cut(Cutter(memory.data()));

  const PackedPtr<T> packed = packed_forward(*parameters, call.signalled);
  if (!packed) return Outcome::kInterrupted;
  if (tape) tape->version = packed->version;

  Team team(call.signalled, plan.threads);
  const auto copy_input = [&](Index first, Index last, Worker &worker) {
    for_rows(rows, first, last, [&](Index t, Index b, Index row) {
      if (team.stopped() || stops(worker, kCopyWork * I)) return;
      if (call.tokens) {
        tokens[row] = call.tokens.base[t * call.tokens.step + rows.order[b] * call.tokens.row];
        return;
      }
      const T *from = call.x.base + t * call.x.step + rows.order[b] * call.x.row;
      std::copy(from, from + I, tape->x.data() + row * I);
    });
  };
  const auto apply_mask = [&](LayerTape<T> &kept, const Strided<const T> &mask, Index first, Index last,
                              Worker &worker) {
    for_rows(rows, first, last, [&](Index t, Index b, Index row) {
      if (team.stopped() || stops(worker, kCopyWork * features)) return;
      const T *from = mask.base + t * mask.step + rows.order[b] * mask.row;
      const T *out = kept.out.data() + row * features;
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
      clear_padding(sequences, bounds[s], bounds[s + 1], call.y, features, worker);
    }
    if (together && !worker.barrier(&worker)) return;
    for (Index layer = 0; layer < shape.layers; ++layer) {
      const bool last = layer + 1 == shape.layers;
      ForwardTask<T> task{};
      task.cell = shape.cell;
      task.rows = rows;
      task.input_size = inputs(layer);
      task.hidden_size = H;
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
            task.saved = kept.saved[direction].data();
            task.saved_stride = padded_stride<T>(cell_.saved * H);
            task.cells = kept.cells[direction].data();
          } else {
            task.out = last ? y : RowView<T>{hidden[layer % 2] + direction * H, 0, features, true};
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
  return report(plan, team.size(), team.stopped());
}

template Outcome Network<float>::forward(const ParametersPtr<float> &, const Sequences &, const ForwardCall<float> &,
                                         TapeMemory<float> *) const;
template Outcome Network<double>::forward(const ParametersPtr<double> &, const Sequences &, const ForwardCall<double> &,
                                          TapeMemory<double> *) const;

}  // namespace recurra
