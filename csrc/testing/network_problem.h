// Random calls of a network, forward and back, with everything that a call may have. Arrays are of their own size and
// not one number more, so that a sanitizer sees what is beyond.
#pragma once

#include <array>
#include <utility>
#include <vector>

#include "model/network.h"
#include "testing/numbers.h"

namespace recurra {
namespace testing {

template <class T>
using Values = std::vector<T>;

template <class T>
Values<T> random_values(Random &random, Index count, T scale = T(1)) {
  Values<T> values(static_cast<std::size_t>(count));
  for (T &value : values) value = random.number<T>() * scale;
  return values;
}

// Choices of a schedule, each of which is left to the network at times. They are to change nothing.
inline PlanWish random_wish(Random &random) {
  const auto wish = [&](Index least, Index most) { return random.integer(0, 1) ? random.integer(least, most) : -1; };
  return {wish(1, 3), wish(0, 3), wish(0, 1), wish(1, 7), wish(0, 1), wish(1, 8), wish(1, 40), wish(0, 2)};
}

// What a call is given; arrays are time-major, and those that aren't given are empty.
template <class T>
struct NetworkProblem {
  struct Input {
    Values<T> values;
    StridedInput<const T> view;
  };

  NetworkShape shape;
  Index steps, batch;
  PlanWish wish;
  Values<Index> lengths, tokens;  // tokens: instead of x
  std::vector<unsigned char> resets;
  Index alphabet = 0;  // of a table behind tokens
  Values<T> table, x, dy;
  std::vector<Input> inputs;
  std::array<Values<T>, kMaxStates> initial, dfinal;
  std::vector<Values<T>> masks, doutputs;
  std::array<std::vector<Values<T>>, kMaxStates> dstates;

  NetworkProblem(Random &random, const NetworkShape &of, Index most_steps, Index most_batch)
      : shape(of),
        steps(random.integer(0, most_steps)),
        batch(random.integer(1, most_batch)),
        wish(random_wish(random)),
        dy(random_values<T>(random, rows() * of.features())) {
    const auto sometimes = [&random](int times) { return random.integer(1, times) == 1; };
    if (sometimes(2)) {
      for (Index b = 0; b < batch; ++b) lengths.push_back(random.integer(0, steps));
    }
    if (sometimes(4)) {
      for (Index n = 0; n < rows(); ++n) resets.push_back(random.integer(0, 5) == 0);
    }
    add_x(random, sometimes(4));
    add_inputs(random);
    const bool given = !sometimes(4);
    for (int state = 0; state < shape.description().states; ++state) {
      if (given) initial[state] = random_values<T>(random, state_elements(state));
      if (!sometimes(4)) dfinal[state] = random_values<T>(random, state_elements(state));
      for (Index layer = 0; layer < shape.layers; ++layer) {
        const bool there = state > 0 && sometimes(3);
        dstates[state].push_back(
            random_values<T>(random, there ? rows() * shape.directions * shape.state_size(state) : 0));
      }
    }
    const bool masked = sometimes(4);
    for (Index layer = 0; layer < shape.layers; ++layer) {
      doutputs.push_back(random_values<T>(random, sometimes(3) ? rows() * shape.features() : 0));
      if (masked && layer > 0) masks.push_back(random_values<T>(random, rows() * shape.features()));
    }
  }

  Index rows() const { return steps * batch; }
  Index state_elements(int state) const { return shape.states() * batch * shape.state_size(state); }
  Sequences sequences() const {
    return {steps, batch, lengths.empty() ? nullptr : lengths.data(), resets.empty() ? nullptr : resets.data()};
  }
  template <class U>
  static U *given(const std::vector<U> &values) {
    return values.empty() ? nullptr : const_cast<U *>(values.data());
  }
  template <class U>
  Strided<const U> strided(const Values<U> &values, Index features) const {
    return {given(values), batch * features, features};
  }

 private:
  void add_x(Random &random, bool of_tokens) {
    if (!of_tokens || rows() == 0) {
      x = random_values<T>(random, rows() * shape.input_size);
      return;
    }
    const bool tabled = shape.description().raw || random.integer(0, 1);
    alphabet = tabled ? random.integer(1, 9) : 0;
    table = random_values<T>(random, alphabet * shape.input_size);
    for (Index n = 0; n < rows(); ++n) {
      tokens.push_back(random.integer(0, (tabled ? alphabet : shape.input_size) - 1));
    }
  }
  void add_inputs(Random &random) {
    for (int i = 0; i < shape.description().input_count; ++i) {
      const std::int32_t of_shape = shape.description().inputs[i].shape;
      const Index features = of_shape == kPerStep ? 1 : shape.hidden_size;
      const Index size = (of_shape == kPerRow ? 1 : steps) * batch * features;
      const bool layered = random.integer(0, 3) == 0;
      Input input{random_values<T>(random, size * (layered ? shape.states() : 1)), {}};
      input.view = {
          {input.values.data(), of_shape == kPerRow ? 0 : batch * features, features}, layered, layered ? size : 0};
      inputs.push_back(std::move(input));
    }
  }
};

// What a call computes.
template <class T>
struct NetworkAnswer {
  Values<T> y, dx, dtable;
  std::array<Values<T>, kMaxStates> final, dinitial;
  std::vector<Values<T>> dinputs;
};

// Of what forward(sequences, call) computes; masks are for calls with a tape.
template <class T, class Forward>
NetworkAnswer<T> run_with(const NetworkProblem<T> &problem, const Sequences &sequences, bool taped,
                          const Forward &forward) {
  const NetworkShape &shape = problem.shape;
  NetworkAnswer<T> answer;
  answer.y.resize(problem.dy.size());
  ForwardCall<T> call;
  call.x = problem.strided(problem.x, shape.input_size);
  call.tokens = problem.strided(problem.tokens, 1);
  call.table = problem.given(problem.table);
  call.alphabet = problem.alphabet;
  for (const auto &input : problem.inputs) call.inputs.push_back(input.view);
  call.y = {answer.y.data(), problem.batch * shape.features(), shape.features()};
  for (int state = 0; state < shape.description().states; ++state) {
    answer.final[state].resize(static_cast<std::size_t>(problem.state_elements(state)));
    call.initial[state] = problem.given(problem.initial[state]);
    call.final[state] = answer.final[state].data();
  }
  for (const Values<T> &mask : problem.masks) {
    if (taped) call.masks.push_back(problem.strided(mask, shape.features()));
  }
  call.wish = problem.wish;
  forward(sequences, call);
  return answer;
}

// Without a tape if that is null.
template <class T>
NetworkAnswer<T> run_forward(const NetworkProblem<T> &problem, const Network<T> &network,
                             const ParametersPtr<T> &parameters, const Sequences &sequences, TapeMemory<T> *tape) {
  return run_with(problem, sequences, tape != nullptr, [&](const Sequences &rows, const ForwardCall<T> &call) {
    network.forward(parameters, rows, call, tape);
  });
}

// With narrow weights.
inline NetworkAnswer<float> run_forward(const NetworkProblem<float> &problem, const Network<float> &network,
                                        const PackedPtr<float> &packed) {
  return run_with(problem, problem.sequences(), false,
                  [&](const Sequences &rows, const ForwardCall<float> &call) { network.forward(packed, rows, call); });
}

// Adds to `answer` and to the arrays of `gradients`.
template <class T>
void run_backward(const NetworkProblem<T> &problem, const Network<T> &network, const TapeMemory<T> &tape,
                  const std::vector<T *> &gradients, NetworkAnswer<T> &answer) {
  const NetworkShape &shape = problem.shape;
  BackwardCall<T> call;
  call.dy = problem.strided(problem.dy, shape.features());
  for (const Values<T> &given : problem.doutputs) {
    call.doutputs.push_back(problem.strided(given, shape.features()));
  }
  answer.dx.resize(problem.x.size());
  answer.dtable.resize(problem.table.size());
  call.dx = {problem.given(answer.dx), problem.batch * shape.input_size, shape.input_size};
  call.dtable = problem.given(answer.dtable);
  answer.dinputs.reserve(problem.inputs.size());
  for (const auto &input : problem.inputs) {
    answer.dinputs.emplace_back(input.values.size());
    const StridedInput<const T> &view = input.view;
    call.dinputs.push_back(
        {{answer.dinputs.back().data(), view.array.step, view.array.row}, view.layered, view.layer_stride});
  }
  for (int state = 0; state < shape.description().states; ++state) {
    answer.dinitial[state].resize(static_cast<std::size_t>(problem.state_elements(state)));
    call.dfinal[state] = problem.given(problem.dfinal[state]);
    call.dinitial[state] = answer.dinitial[state].data();
    for (const Values<T> &given : problem.dstates[state]) {
      call.dstates[state].push_back(problem.strided(given, shape.directions * shape.state_size(state)));
    }
  }
  call.grads = gradients;
  call.wish = problem.wish;
  network.backward(tape, call);
}

}  // namespace testing
}  // namespace recurra
