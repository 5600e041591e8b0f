#include "model/narrow.h"

#include <cmath>
#include <limits>
#include <memory>

#include "model/linear.h"
#include "testing/core_test.h"
#include "testing/narrow_weights.h"
#include "testing/network_problem.h"
#include "testing/varied_cells.h"

namespace recurra {
namespace testing {
namespace {

constexpr Weights kForms[] = {Weights::kBfloat16, Weights::kFloat16, Weights::kInt8};

NetworkShape random_shape(Random &random, const std::shared_ptr<const NamedCell> &cell) {
  Index heads = 1;
  for (const ParameterDescription &parameter : cell->arrays.parameters) heads = std::max<Index>(heads, parameter.heads);
  const auto size = [&] { return (random.integer(1, 70) + heads - 1) / heads * heads; };
  NetworkShape shape{};
  shape.cell = cell;
  shape.hidden_size = size();
  shape.projected_size = cell->cell.projects ? size() : shape.hidden_size;
  shape.directions = static_cast<int>(random.integer(1, 2));
  shape.input_size = cell->cell.raw ? shape.hidden_size : random.integer(1, 70);
  shape.layers = cell->cell.raw && shape.features() != shape.hidden_size ? 1 : random.integer(1, 2);
  shape.bias = random.integer(0, 4) > 0;
  shape.reverse = shape.directions == 1 && random.integer(0, 2) == 0;
  shape.learned = random.integer(0, 2) == 0;
  return shape;
}

std::vector<std::shared_ptr<const NamedCell>> all_cells() {
  std::vector<std::shared_ptr<const NamedCell>> cells;
  for (int id = 0; id < kCompiledCells; ++id) cells.push_back(compiled_cell(static_cast<CompiledCell>(id)));
  for (const CellSource &source : varied_sources()) cells.push_back(interpreted(source));
  return cells;
}

TEST_CASE("narrow networks: 16 bits are float32 with the widened weights, 8 bits nearly so, whatever the schedule") {
  int number = 0;
  for (int round = 0; round < 2; ++round) {
    for (const auto &cell : all_cells()) {
      Random random(static_cast<std::uint64_t>(number++));
      const NetworkShape shape = random_shape(random, cell);
      CAPTURE(cell->name);
      CAPTURE(number);
      const Network<float> full(shape);
      Parameters<float> parameters(full.table);
      for (std::size_t i = 0; i < parameters.entries.size(); ++i) {
        for (Index k = 0; k < parameters.entries[i].size; ++k) {
          parameters.data(i)[k] = random.number<float>() / std::sqrt(static_cast<float>(shape.hidden_size));
        }
      }
      NetworkProblem<float> problem(random, shape, 6, 9);
      for (const Weights form : kForms) {
        CAPTURE(static_cast<int>(form));
        const NarrowedWeights narrowed(parameters, form);
        const auto widened = std::shared_ptr<Parameters<float>>(std::shared_ptr<void>(),
                                                                const_cast<Parameters<float> *>(&narrowed.widened));
        const Network<float> network(shape, full.table, form);
        const PackedPtr<float> packed = network.pack(narrowed.arrays, nullptr);
        const auto answer = run_forward(problem, network, packed);
        const auto expected = run_forward<float>(problem, full, widened, problem.sequences(), nullptr);
        float most = 0, largest = 1;
        for (std::size_t i = 0; i < answer.y.size(); ++i) {
          most = std::fmax(most, std::fabs(answer.y[i] - expected.y[i]));
          largest = std::fmax(largest, std::fabs(expected.y[i]));
          most = answer.y[i] == answer.y[i] ? most : std::numeric_limits<float>::infinity();
        }
        CAPTURE(most);
        CHECK((form == Weights::kInt8 ? most < 0.02f * largest : most == 0));
        problem.wish = random_wish(random);
        const auto again = run_forward(problem, network, packed);
        CHECK(same_bits(again.y.data(), answer.y.data(), static_cast<Index>(answer.y.size())));
        for (int state = 0; state < cell->cell.states; ++state) {
          const auto &a = again.final[static_cast<std::size_t>(state)];
          const auto &b = answer.final[static_cast<std::size_t>(state)];
          CHECK(same_bits(a.data(), b.data(), static_cast<Index>(a.size())));
        }
      }
    }
  }
}

}  // namespace
}  // namespace testing
}  // namespace recurra
