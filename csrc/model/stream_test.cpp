// A stream's steps and blocks are the network's over the whole sequence, then a Linear's, to the bit.
#include "model/stream.h"

#include "model/linear.h"
#include "system/float_mode.h"
#include "testing/core_test.h"
#include "testing/network_problem.h"
#include "testing/varied_cells.h"

namespace recurra {
namespace {

using namespace testing;

template <class T>
void fill(Random &random, Parameters<T> &parameters) {
  for (std::size_t i = 0; i < parameters.entries.size(); ++i) {
    for (Index k = 0; k < parameters.entries[i].size; ++k) parameters.data(i)[k] = random.number<T>();
  }
}

// Arrays (steps, batch, features) in memory of exactly their size, `gap` elements apart.
template <class T>
struct Array {
  Values<T> values;
  Index batch, features, gap;

  Array(Index steps, Index rows, Index width, Index apart)
      : values(static_cast<std::size_t>(steps * rows * width * apart)), batch(rows), features(width), gap(apart) {}
  T &at(Index t, Index b, Index i) { return values[static_cast<std::size_t>(((t * batch + b) * features + i) * gap)]; }
  Samples from(Index t) {
    const Index size = gap * static_cast<Index>(sizeof(T)), row = features * size;
    return {reinterpret_cast<char *>(values.data()) + t * batch * row, batch * row, row, size};
  }
};

template <class T>
void check_stream(Random &random, const std::shared_ptr<const NamedCell> &cell) {
  const Cell &description = cell->cell;
  if (description.input_count > 0) return;
  NetworkShape shape{};
  shape.cell = cell;
  shape.hidden_size = 12 * random.integer(1, 4);
  shape.projected_size = description.projects ? 12 * random.integer(1, 3) : shape.hidden_size;
  shape.directions = 1;
  shape.input_size = description.raw ? shape.hidden_size : random.integer(1, 20);
  shape.layers = description.raw ? 1 : random.integer(1, 3);
  shape.bias = true;
  shape.learned = random.integer(0, 1) == 1;
  const auto network = std::make_shared<const Network<T>>(shape);
  const auto parameters = std::make_shared<Parameters<T>>(network->table);
  fill(random, *parameters);
  const Index steps = random.integer(1, 80), batch = random.integer(1, 7), in = shape.input_size;
  Linear<T> linear(shape.features(), random.integer(1, 20), true);
  fill(random, *linear.parameters);

  Array<T> x(steps, batch, in, 1), y(steps, batch, linear.out, 1);
  for (T &value : x.values) value = random.number<T>();
  Values<T> h(static_cast<std::size_t>(steps * batch * shape.features()));
  ForwardCall<T> call;
  call.x = {x.values.data(), batch * in, in};
  call.y = {h.data(), batch * shape.features(), shape.features()};
  std::array<Values<T>, kMaxStates> final;
  for (int state = 0; state < description.states; ++state) {
    final[state].resize(static_cast<std::size_t>(shape.layers * batch * shape.state_size(state)));
    call.final[state] = final[state].data();
  }
  network->forward(parameters, Sequences(steps, batch, nullptr), call, nullptr);
  long long version = 0;
  linear.forward(steps * batch, h.data(), y.values.data(), nullptr, version);

  auto parts = std::make_shared<StreamParts<T>>();
  parts->push_back(recurrent_part<T>(network, network->packed_forward(*parameters, nullptr), PartTokens::kNever));
  parts->push_back(linear_part(linear.in, linear.out, kernels_of<T>(), linear.packed_forward(nullptr)));
  Stream<T> first(parts, batch);
  const Index gap = random.integer(1, 2), x_gap = random.integer(1, 2);
  Array<T> streamed(steps, batch, linear.out, gap), given(steps, batch, in, x_gap);
  for (Index t = 0; t < steps; ++t) {
    for (Index b = 0; b < batch; ++b) {
      for (Index i = 0; i < in; ++i) given.at(t, b, i) = x.at(t, b, i);
    }
  }
  const Index middle = random.integer(0, steps);
  for (Index t = 0; t < middle; ++t) REQUIRE(first.run(1, given.from(t), nullptr, streamed.from(t), nullptr));
  Stream<T> second(first);
  REQUIRE(second.run(steps - middle, given.from(middle), nullptr, streamed.from(middle), nullptr));

  bool equal = true;
  for (Index t = 0; t < steps; ++t) {
    for (Index b = 0; b < batch; ++b) {
      for (Index i = 0; i < linear.out; ++i) {
        equal = equal && std::memcmp(&streamed.at(t, b, i), &y.at(t, b, i), sizeof(T)) == 0;
      }
    }
  }
  for (int state = 0; state < description.states; ++state) {
    equal = equal && std::memcmp(second.state(0, state), final[state].data(), final[state].size() * sizeof(T)) == 0;
  }
  CAPTURE(cell->name);
  CHECK(equal);
}

TEST_CASE("stream: steps and blocks are the whole sequence") {
  Random random(3);
  const FloatMode mode;
  for (int round = 0; round < 4; ++round) {
    for (const CellSource &source : varied_sources()) {
      check_stream<float>(random, interpreted(source));
      check_stream<double>(random, interpreted(source));
    }
    for (int id = 0; id < kCompiledCells; ++id) {
      check_stream<float>(random, compiled_cell(static_cast<CompiledCell>(id)));
    }
  }
}

}  // namespace
}  // namespace recurra
