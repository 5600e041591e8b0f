// fuzz_cells COUNT [SEED]: damages so many descriptions of cells, and runs each that is accepted all the same in tiny
// networks, forward without and with a tape and back. Under a sanitizer it shows whether what the check lets through
// can make the kernels touch memory that isn't theirs; by itself, whether the tape changes results.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <numeric>

#include "dispatch.h"
#include "model/known_cells.h"
#include "model/network.h"
#include "testing/cell_mutations.h"

namespace recurra {
namespace testing {
namespace {

constexpr Index kMostUnits = 70;

template <class T>
using Values = std::vector<T>;

template <class T>
Values<T> random_values(Random &random, Index count) {
  Values<T> values(static_cast<std::size_t>(count));
  for (T &value : values) value = random.number<T>();
  return values;
}

// Numbers of NaN may have any bits.
template <class T>
bool same_values(const Values<T> &a, const Values<T> &b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](T x, T y) { return same_bits(x, y) || (x != x && y != y); });
}

// The number that sizes must be multiples of, so that heads divide them.
Index heads_of(const Cell &cell) {
  Index common = 1;
  for (int i = 0; i < cell.parameter_count; ++i) {
    if (cell.parameters[i].heads > kMostUnits) return kMostUnits + 1;
    common = std::lcm(common, static_cast<Index>(cell.parameters[i].heads));
  }
  return common;
}

Index random_size(Random &random, Index factor) { return factor * random.integer(1, std::max<Index>(1, 36 / factor)); }

// A shape that the cell can have; hidden_size is 0 if there is none so small.
NetworkShape random_shape(Random &random, const std::shared_ptr<const NamedCell> &named) {
  const Cell &cell = named->cell;
  const Index factor = heads_of(cell);
  NetworkShape shape{};
  shape.cell = named;
  if (factor > kMostUnits) return shape;
  shape.hidden_size = random_size(random, factor);
  shape.projected_size = cell.projects ? random_size(random, factor) : shape.hidden_size;
  shape.directions = static_cast<int>(random.integer(1, 2));
  shape.layers = random.integer(1, 2);
  shape.input_size = random.integer(1, 20);
  shape.bias = random.integer(0, 1) == 1;
  if (cell.raw) {  // x, of every layer, has as many features as there are units
    shape.input_size = shape.hidden_size;
    if (shape.features() != shape.hidden_size) shape.layers = 1;
  }
  shape.reverse = shape.directions == 1 && random.integer(0, 3) == 0;
  return shape;
}

template <class T>
struct Input {
  Values<T> values, gradient;
  Index step, row;
};

// The arrays of a call, each of its own size and not one number more, so that a sanitizer sees what is beyond.
template <class T>
struct Problem {
  const NetworkShape &shape;
  const Index steps, batch;
  Values<T> x, dx;
  std::vector<Input<T>> inputs;
  Values<T> initial[kMaxStates], dinitial[kMaxStates], dfinal[kMaxStates];
  std::vector<Values<T>> dstates;

  Problem(Random &random, const NetworkShape &of)
      : shape(of), steps(random.integer(0, 5)), batch(random.integer(1, 9)) {
    const Cell &cell = shape.cell->cell;
    const Index rows = steps * batch, H = shape.hidden_size;
    x = random_values<T>(random, rows * shape.input_size);
    dx = x;
    for (int i = 0; i < cell.input_count; ++i) {
      const std::int32_t of_shape = cell.inputs[i].shape;
      const Index features = of_shape == kPerStep ? 1 : H, times = of_shape == kPerRow ? 1 : steps;
      Values<T> values = random_values<T>(random, times * batch * features);
      inputs.push_back({values, values, of_shape == kPerRow ? 0 : batch * features, features});
    }
    for (int j = 0; j < cell.states; ++j) {
      initial[j] = random_values<T>(random, shape.states() * batch * shape.state_size(j));
      dinitial[j] = dfinal[j] = initial[j];
      dstates.push_back(random_values<T>(random, rows * shape.directions * shape.state_size(j)));
    }
  }

  Strided<const T> strided(const Values<T> &values, Index features) const {
    return {values.data(), batch * features, features};
  }
};

template <class T>
struct Answer {
  Values<T> y, final[kMaxStates];
};

template <class T>
Answer<T> run_forward(const Problem<T> &problem, const Network<T> &network, const ParametersPtr<T> &parameters,
                      const Sequences &sequences, TapeMemory<T> *tape) {
  const NetworkShape &shape = problem.shape;
  Answer<T> answer;
  answer.y.resize(static_cast<std::size_t>(problem.steps * problem.batch * shape.features()));
  ForwardCall<T> call;
  call.x = problem.strided(problem.x, shape.input_size);
  for (const Input<T> &input : problem.inputs) {
    call.inputs.push_back({{input.values.data(), input.step, input.row}, false, 0});
  }
  call.y = {answer.y.data(), problem.batch * shape.features(), shape.features()};
  for (int j = 0; j < shape.cell->cell.states; ++j) {
    answer.final[j].resize(problem.initial[j].size());
    call.initial[static_cast<std::size_t>(j)] = problem.initial[j].data();
    call.final[static_cast<std::size_t>(j)] = answer.final[j].data();
  }
  network.forward(parameters, sequences, call, tape);
  return answer;
}

template <class T>
void run_backward(Problem<T> &problem, const Network<T> &network, const ParametersPtr<T> &parameters,
                  const TapeMemory<T> &tape, const Values<T> &dy) {
  const NetworkShape &shape = problem.shape;
  BackwardCall<T> call;
  call.dy = problem.strided(dy, shape.features());
  call.doutputs.resize(static_cast<std::size_t>(shape.layers));
  call.dx = {problem.dx.data(), problem.batch * shape.input_size, shape.input_size};
  for (Input<T> &input : problem.inputs) {
    call.dinputs.push_back({{input.gradient.data(), input.step, input.row}, false, 0});
  }
  for (int j = 0; j < shape.cell->cell.states; ++j) {
    const auto state = static_cast<std::size_t>(j);
    call.dfinal[state] = problem.dfinal[j].data();
    call.dinitial[state] = problem.dinitial[j].data();
    call.dstates[state].resize(static_cast<std::size_t>(shape.layers));
    for (auto &layer : call.dstates[state]) {
      if (j > 0) layer = problem.strided(problem.dstates[state], shape.directions * shape.state_size(j));
    }
  }
  std::vector<Values<T>> gradients;
  for (const auto &entry : parameters->entries) gradients.emplace_back(static_cast<std::size_t>(entry.size));
  for (Values<T> &gradient : gradients) call.grads.push_back(gradient.data());
  network.backward(tape, call);
}

// False if the tape changes results.
template <class T>
bool run_network(Random &random, const NetworkShape &shape) {
  const Network<T> network(shape);
  const auto parameters = std::make_shared<Parameters<T>>(network.table);
  for (std::size_t i = 0; i < parameters->entries.size(); ++i) {
    for (Index k = 0; k < parameters->entries[i].size; ++k) parameters->data(i)[k] = random.number<T>();
  }
  Problem<T> problem(random, shape);
  std::vector<Index> lengths;
  std::vector<unsigned char> resets;
  if (random.integer(0, 1)) {
    for (Index b = 0; b < problem.batch; ++b) lengths.push_back(random.integer(0, problem.steps));
  }
  if (random.integer(0, 3) == 0) {
    for (Index n = 0; n < problem.batch * problem.steps; ++n) resets.push_back(random.integer(0, 4) == 0);
  }
  TapeMemory<T> tape(Sequences(problem.steps, problem.batch, lengths.empty() ? nullptr : lengths.data(),
                               resets.empty() ? nullptr : resets.data()));
  const Answer<T> untaped = run_forward<T>(problem, network, parameters, tape.sequences, nullptr);
  const Answer<T> taped = run_forward(problem, network, parameters, tape.sequences, &tape);
  run_backward(problem, network, parameters, tape, taped.y);
  bool same = same_values(untaped.y, taped.y);
  for (int j = 0; j < shape.cell->cell.states; ++j) same = same && same_values(untaped.final[j], taped.final[j]);
  return same;
}

int run(int count, std::uint64_t seed) {
  std::vector<std::shared_ptr<const NamedCell>> cells = fuzz_cells(seed, count);
  for (const CellWriter &writer : good_codes()) cells.push_back(checked(writer));
  for (int id = 0; id < kCompiledCells; ++id) cells.push_back(compiled_cell(static_cast<CompiledCell>(id)));
  Random random(seed + 1);
  int networks = 0, wrong = 0;
  for (std::size_t i = 0; i < cells.size(); ++i) {
    const NetworkShape shape = random_shape(random, cells[i]);
    if (shape.hidden_size == 0) continue;
    ++networks;
    const bool same = random.integer(0, 3) ? run_network<float>(random, shape) : run_network<double>(random, shape);
    if (!same) {
      ++wrong;
      std::printf("cell %d, %s: the tape changes results\n", static_cast<int>(i), cells[i]->name.c_str());
    }
  }
  std::printf("%s: %d of %d descriptions accepted, %d networks, %d wrong\n", active_kernels().isa,
              static_cast<int>(cells.size()), count, networks, wrong);
  return wrong == 0 && networks > 0 ? 0 : 1;
}

}  // namespace
}  // namespace testing
}  // namespace recurra

int main(int arguments, char **values) {
  const int count = arguments > 1 ? std::atoi(values[1]) : 20000;
  return recurra::testing::run(count, arguments > 2 ? std::strtoull(values[2], nullptr, 10) : 1);
}
