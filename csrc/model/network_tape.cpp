// What a forward pass keeps: how much room it takes, and what is copied to it at once.
#include "dispatch.h"
#include "model/views.h"

namespace recurra {

template <class T>
Index Network<T>::kept_stride() const {
  return padded_stride<T>(cell_.kept * kernels_.padded_units(shape.hidden_size));
}

// Of one layer and direction, or of all that share an array.
template <class T>
Index Network<T>::input_elements(int input, Index rows, Index batch) const {
  switch (cell_.inputs[input].shape) {
    case kPerUnit:
      return checked_product(rows, shape.hidden_size);
    case kPerStep:
      return rows;
    default:
      return checked_product(batch, shape.hidden_size);
  }
}

template <class T>
Index Network<T>::tape_bytes(Index steps, Index batch) const {
  const Index rows = checked_product(steps, batch), width = kernels_.padded_units(shape.hidden_size);
  Index elements = with_slack<T>(rows, shape.input_size);
  for (int input = 0; input < cell_.input_count; ++input) {
    elements += with_slack<T>(input_elements(input, rows, batch), 1);
  }
  const Index layer =
      with_slack<T>(rows, shape.features()) +
      shape.directions * (with_slack<T>(rows, kept_stride()) + (cell_.states - 1) * with_slack<T>(rows, width));
  return checked_product(elements + shape.layers * layer, sizeof(T));
}

template <class T>
void Network<T>::prepare(const ForwardCall<T> &call, TapeMemory<T> &tape) const {
  const Sequences &sequences = tape.sequences;
  const Index total = sequences.total(), batch = sequences.batch, I = shape.input_size, H = shape.hidden_size;
  const auto room = [](Index rows, Index width) { return Buffer<T>(with_slack<T>(rows, width), true); };
  if (call.tokens) {
    tape.tokens = Buffer<Index>(total);
    tape.alphabet = call.table ? call.alphabet : I;
    if (call.table) {
      tape.table = Buffer<T>(with_slack<T>(call.alphabet, I));
      std::copy_n(call.table, call.alphabet * I, tape.table.data());
    }
  } else {
    tape.x = room(total, I);
  }
  tape.inputs.resize(call.inputs.size());
  for (int input = 0; input < cell_.input_count; ++input) {
    const StridedInput<const T> &given = call.inputs[input];
    InputTape<T> &kept = tape.inputs[input];
    const Index size = input_elements(input, total, batch), copies = given.layered ? shape.states() : 1;
    kept.layered = given.layered;
    kept.layer_size = given.layered ? size : 0;
    kept.values = room(copies, size);
    if (cell_.inputs[input].shape != kPerRow) continue;  // copied by those who go through the steps
    for (Index k = 0; k < copies; ++k) {
      for (Index s = 0; s < batch; ++s) {
        std::copy_n(given.array.base + k * given.layer_stride + s * given.array.row, H,
                    kept.values.data() + k * size + s * H);
      }
    }
  }
  for (int state = 0; state < cell_.states; ++state) {
    tape.learned[state] = shape.learned && !call.initial[state];
    if (!call.initial[state] && !shape.learned) continue;
    tape.initial[state] = Buffer<T>(state_elements(state, sequences.rows.batch));
  }
  tape.layers.resize(static_cast<std::size_t>(shape.layers));
  for (Index layer = 0; layer < shape.layers; ++layer) {
    LayerTape<T> &kept = tape.layers[layer];
    kept.out = room(total, shape.features());
    if (layer + 1 < shape.layers && !call.masks.empty()) {
      kept.mask = room(total, shape.features());
      kept.masked = room(total, shape.features());
    }
    for (int direction = 0; direction < shape.directions; ++direction) {
      kept.kept[direction] = room(total, kept_stride());
      for (int state = 1; state < cell_.states; ++state) {
        kept.states[direction][state] = room(total, kernels_.padded_units(H));
      }
    }
  }
}

template <class T>
RowView<const T> Network<T>::given_input(const StridedInput<const T> &input, Index layer_direction) const {
  return {input.array.base + layer_direction * (input.layered ? input.layer_stride : 0), input.array.step,
          input.array.row, false};
}

template <class T>
RowView<const T> Network<T>::taped_input(const TapeMemory<T> &tape, int input, Index layer_direction) const {
  const InputTape<T> &kept = tape.inputs[input];
  const T *base = kept.values.data() + layer_direction * kept.layer_size;
  const std::int32_t shape_of = cell_.inputs[input].shape;
  return {base, 0, shape_of == kPerStep ? 1 : shape.hidden_size, shape_of != kPerRow};
}

template <class T>
RowView<const T> Network<T>::layer_input(const TapeMemory<T> &tape, Index layer) const {
  if (layer == 0) return {tape.x.data(), 0, shape.input_size, true};
  const LayerTape<T> &below = tape.layers[layer - 1];
  return {below.masked.data() ? below.masked.data() : below.out.data(), 0, shape.features(), true};
}

#define RECURRA_INSTANTIATE(T)                                                                   \
  template Index Network<T>::kept_stride() const;                                                \
  template Index Network<T>::input_elements(int, Index, Index) const;                            \
  template Index Network<T>::tape_bytes(Index, Index) const;                                     \
  template void Network<T>::prepare(const ForwardCall<T> &, TapeMemory<T> &) const;              \
  template RowView<const T> Network<T>::given_input(const StridedInput<const T> &, Index) const; \
  template RowView<const T> Network<T>::taped_input(const TapeMemory<T> &, int, Index) const;    \
  template RowView<const T> Network<T>::layer_input(const TapeMemory<T> &, Index) const;
RECURRA_INSTANTIATE(float)
RECURRA_INSTANTIATE(double)
#undef RECURRA_INSTANTIATE

}  // namespace recurra
