// tape_bytes says what a tape takes.
#include "testing/core_test.h"
#include "testing/network_problem.h"
#include "testing/varied_cells.h"

namespace recurra {
namespace {

using namespace testing;

template <class T>
Index elements_of(const TapeMemory<T> &tape) {
  Index elements = tape.x.size();
  for (const InputTape<T> &input : tape.inputs) elements += input.values.size();
  for (const LayerTape<T> &layer : tape.layers) {
    elements += layer.out.size();
    for (int direction = 0; direction < 2; ++direction) {
      elements += layer.kept[direction].size();
      for (const Buffer<T> &state : layer.states[direction]) elements += state.size();
    }
  }
  return elements;
}

template <class T>
void check_tape_bytes(Random &random, const std::shared_ptr<const NamedCell> &cell) {
  const Cell &description = cell->cell;
  NetworkShape shape{};
  shape.cell = cell;
  shape.hidden_size = 12 * random.integer(1, 4);
  shape.projected_size = description.projects ? 12 * random.integer(1, 3) : shape.hidden_size;
  shape.directions = static_cast<int>(random.integer(1, 2));
  shape.input_size = description.raw ? shape.hidden_size : random.integer(1, 20);
  shape.layers = description.raw && shape.directions == 2 ? 1 : random.integer(1, 3);
  shape.bias = true;
  const Network<T> network(shape);
  const auto parameters = std::make_shared<Parameters<T>>(network.table);
  for (std::size_t i = 0; i < parameters->entries.size(); ++i) {
    for (Index k = 0; k < parameters->entries[i].size; ++k) parameters->data(i)[k] = random.number<T>();
  }
  NetworkProblem<T> problem(random, shape, 5, 9);
  problem.lengths.clear();
  problem.resets.clear();
  if (!problem.tokens.empty()) return;
  for (auto &input : problem.inputs) input.view.layered = false;
  TapeMemory<T> tape(problem.sequences());
  run_forward(problem, network, parameters, tape.sequences, &tape);
  CAPTURE(cell->name);
  CHECK(network.tape_bytes(problem.steps, problem.batch) == elements_of(tape) * static_cast<Index>(sizeof(T)));
}

TEST_CASE("network: tape_bytes is what a tape takes") {
  Random random(1);
  for (int round = 0; round < 4; ++round) {
    for (const CellSource &source : varied_sources()) {
      check_tape_bytes<float>(random, interpreted(source));
      check_tape_bytes<double>(random, interpreted(source));
    }
    for (int id = 0; id < kCompiledCells; ++id) {
      check_tape_bytes<float>(random, compiled_cell(static_cast<CompiledCell>(id)));
    }
  }
}

}  // namespace
}  // namespace recurra
