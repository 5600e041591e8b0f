// Descriptions that are refused, and what the error says.
#include <stdexcept>

#include "model/cell.h"
#include "testing/cell_codes.h"
#include "testing/core_test.h"

namespace recurra {
namespace {

std::string refusal(const CellWriter &writer) {
  try {
    checked(writer);
  } catch (const std::invalid_argument &error) {
    return error.what();
  }
  return "accepted";
}

template <class Change>
std::string refusal_after(CellWriter (*make)(), const Change &change) {
  CellWriter writer = make();
  change(writer);
  return refusal(writer);
}

TEST_CASE("cell: what is wrong is named") {
  const auto expect = [](const std::string &message, const std::string &expected) { CHECK(message == expected); };
  expect(refusal_after(elman_code, [](CellWriter &w) { w.states = 9; }), "states: expected 1 to 8, got 9");
  expect(refusal_after(elman_code, [](CellWriter &w) { w.arrays.columns[0].input_block = 1; }),
         "columns[0].input_block: expected 0, got 1");
  expect(refusal_after(lstm_code, [](CellWriter &w) { w.arrays.columns[3].recurrent_bias = 2; }),
         "columns[3].recurrent_bias: expected a block of its own, got 2");
  expect(refusal_after(lstm_code, [](CellWriter &w) { w.arrays.blocks[1] = 0; }),
         "blocks[1]: expected a block that no other product reads, got 0");
  expect(refusal_after(lstm_code, [](CellWriter &w) { w.arrays.products[0].count = 3; }),
         "block_count: expected 3, got 4");
  expect(refusal_after(staged_code,
                       [](CellWriter &w) {
                         w.arrays.stages[0].products = {0, 2};
                         w.arrays.stages[1].products = {2, 0};
                       }),
         "products[1].source: expected what an earlier stage has written, got staged vector 0");
  expect(refusal_after(staged_code, [](CellWriter &w) { w.arrays.products[1].column = 0; }),
         "products[1]: expected all products of column 0 in one stage, got some in stages[0] and in stages[1]");
  expect(refusal_after(staged_code, [](CellWriter &w) { std::swap(w.arrays.sources[0], w.arrays.sources[1]); }),
         "sources[0]: expected 0, got 1");
  expect(refusal_after(centred_code, [](CellWriter &w) { std::swap(w.arrays.sources[0], w.arrays.sources[1]); }),
         "sources[0]: expected state 0 last, got before another");
  expect(refusal_after(projected_code, [](CellWriter &w) { w.arrays.stages[1].size = kHidden; }),
         "stages[1].size: expected 1, got 0");
  expect(refusal_after(staged_code, [](CellWriter &w) { w.arrays.deltas.pop_back(); }),
         "deltas of unit vectors: expected 1, got 0");
  expect(refusal_after(lstm_code, [](CellWriter &w) { std::swap(w.arrays.instructions[4], w.arrays.instructions[5]); }),
         "instructions[4].from[2] (forward): expected what has been written, got kTemporary[0]");
  expect(
      refusal_after(lstm_code, [](CellWriter &w) { w.arrays.instructions[0].to = w.arrays.instructions[0].from[0]; }),
      "instructions[0].to (forward): expected what may be written, got kColumn[0]");
  expect(refusal_after(means_code, [](CellWriter &w) { w.arrays.means[1] = 0; }),
         "means[1]: expected each once in a stage, got 0");
  expect(refusal_after(projected_code,
                       [](CellWriter &w) {
                         w.arrays.means = {0};
                         w.arrays.stages[1].means.count = 1;
                       }),
         "stages[1].means.count: expected 0, got 1");
  expect(refusal_after(lstm_code, [](CellWriter &w) { w.words.gates.pop_back(); }),
         "number of names of gates: expected 4, got 3");
  expect(refusal_after(lstm_code, [](CellWriter &w) { w.words.parameters[1] = "weight_ih"; }),
         "parameters[1]: expected a name of its own, got weight_ih");
  expect(refusal_after(lstm_code, [](CellWriter &w) { w.arrays.instructions[0].operation = kOperationCount; }),
         "instructions[0].operation: expected 0 to 26, got 27");
}

// Each check by itself, as none of the others would refuse the same.
TEST_CASE("cell: whatever can be wrong is refused, and named") {
  struct Case {
    CellWriter (*make)();
    const char *name;  // with which the message begins
    void (*change)(CellWriter &);
  };
  const Case cases[] = {
      {centred_code, "scalar_count + constant_count:", [](CellWriter &w) { w.arrays.constants.resize(kMaxSlots); }},
      {elman_code,
       "parameters[1].role:", [](CellWriter &w) { std::swap(w.arrays.parameters[0], w.arrays.parameters[1]); }},
      {elman_code, "parameters[0].heads:", [](CellWriter &w) { w.arrays.parameters[0].heads = 2; }},
      {elman_code, "parameters[1].heads:", [](CellWriter &w) { w.arrays.parameters[1].heads = 0; }},
      {elman_code, "parameters of role kInputWeight:",
       [](CellWriter &w) { w.arrays.parameters.insert(w.arrays.parameters.begin(), {kInputWeight, 1, 1}); }},
      {elman_code, "parameters of role kInputBias:",
       [](CellWriter &w) { w.arrays.parameters.insert(w.arrays.parameters.begin() + 2, {kInputBias, 1, 1}); }},
      {elman_code, "parameters of role kRecurrentBias:",
       [](CellWriter &w) { w.arrays.parameters.push_back({kRecurrentBias, 1, 1}); }},
      {elman_code,
       "parameters of role kProjection:", [](CellWriter &w) { w.arrays.parameters.push_back({kProjection, 1, 1}); }},
      {elman_code,
       "parameters of role kUnitVector:", [](CellWriter &w) { w.arrays.parameters.push_back({kUnitVector, 1, 1}); }},
      {elman_code,
       "parameters of role kScalar:", [](CellWriter &w) { w.arrays.parameters.push_back({kScalar, 1, 1}); }},
      {projected_code, "column_count:",
       [](CellWriter &w) {
         w.arrays.columns.pop_back();
         w.arrays.deltas.erase(w.arrays.deltas.begin() + 1);
       }},
      {elman_code, "columns[0].size:", [](CellWriter &w) { w.arrays.columns[0].size = kProjected; }},
      {elman_code, "columns that have input_bias:", [](CellWriter &w) { w.arrays.columns[0].input_bias = -1; }},
      {elman_code, "columns that have recurrent_bias:", [](CellWriter &w) { w.arrays.columns[0].recurrent_bias = -1; }},
      {elman_code, "products[0].source:", [](CellWriter &w) { w.arrays.products[0].source = 1; }},
      {elman_code, "products[0].source:", [](CellWriter &w) { w.arrays.products[0].source = -1; }},
      {lstm_code, "products[0].count:", [](CellWriter &w) { w.arrays.blocks.pop_back(); }},
      {lstm_code, "products[0].count:", [](CellWriter &w) { w.arrays.products[0].count = 5; }},
      {elman_code, "products[0].parameter's role:", [](CellWriter &w) { w.arrays.products[0].parameter = 0; }},
      {elman_code, "blocks that products read of parameters[1]:",
       [](CellWriter &w) {
         w.arrays.parameters.insert(w.arrays.parameters.begin() + 1, {kRecurrentWeight, 1, 1});
         w.arrays.products[0].parameter = 2;
       }},
      {centred_code, "columns[1]:",
       [](CellWriter &w) {
         w.arrays.columns.push_back({kHidden, -1, -1, -1});
         w.arrays.deltas.insert(w.arrays.deltas.begin() + 1, {kOfColumn, 1});
       }},
      {projected_code, "size of products[1].source:", [](CellWriter &w) { w.arrays.products[1].source = 0; }},
      {centred_code, "products[1]:", [](CellWriter &w) { w.arrays.products[1].source = 0; }},
      {staged_code, "staged_kept[0]:", [](CellWriter &w) { w.arrays.staged_kept[0] = 3; }},
      {centred_code, "staged_kept[0]:", [](CellWriter &w) { w.arrays.staged_kept[0] = 0; }},
      {projected_code, "stages[1].products.count:",
       [](CellWriter &w) {
         w.arrays.stages[0].products = {0, 2};
         w.arrays.stages[1].products = {2, 0};
         w.arrays.parameters.insert(w.arrays.parameters.begin() + 2, {kRecurrentWeight, 1, 1});
         w.arrays.products[1] = {1, 2, 0, 1, 1};
       }},
      {lstm_code, "deltas[2]:", [](CellWriter &w) { std::swap(w.arrays.deltas[1], w.arrays.deltas[2]); }},
      {centred_code, "deltas of scalars:", [](CellWriter &w) { w.arrays.deltas.erase(w.arrays.deltas.begin() + 1); }},
      {lstm_code, "sources[0]:", [](CellWriter &w) { w.arrays.sources[0] = 1; }},
      {centred_code, "sources[1]:", [](CellWriter &w) { w.arrays.sources[0] = w.arrays.sources[1] = 1; }},
      {centred_code, "source_count:",
       [](CellWriter &w) {
         w.arrays.sources = {0};
         w.arrays.back_stages[0].products.count = 1;
         w.arrays.back_stages[1].products.first = 1;
       }},
      {elman_code, "back_stages[0].size:", [](CellWriter &w) { w.arrays.back_stages[0].size = kProjected; }},
      {projected_code, "back_stages[1].size:", [](CellWriter &w) { w.arrays.back_stages[1].size = kProjected; }},
      {staged_code, "sources[1]:",  // the column that reads it has its delta later
       [](CellWriter &w) { std::swap(w.arrays.instructions[12].to, w.arrays.instructions.back().to); }},
      {lstm_code, "instructions[6].to (forward):",
       [](CellWriter &w) { w.arrays.instructions[6].to = w.arrays.instructions[0].to; }},
      {projected_code, "instructions[5].to (backward):",
       [](CellWriter &w) { w.arrays.instructions[5].to = w.arrays.instructions[7].to; }},
      {projected_code, "instructions[5].from[0] (backward):",
       [](CellWriter &w) { w.arrays.instructions[5].from[0] = w.arrays.instructions[4].to; }},
      {projected_code, "instructions[1].from[2] (forward):",
       [](CellWriter &w) {
         w.arrays.instructions[1].from[2] = static_cast<std::int32_t>(w.arrays.operands.size());
         w.arrays.operands.push_back({kOld, 0});
       }},
      {means_code, "kStaged[30]:",
       [](CellWriter &w) {
         constexpr std::size_t kMeans = kMaxSources - 1;
         w.arrays.means.erase(w.arrays.means.begin() + kMeans - 1);
         --w.arrays.stages[1].means.count;
         --w.arrays.back_stages[1].means.first;
         w.arrays.instructions[2 * kMeans - 1].from[1] = w.arrays.instructions[kMeans].from[0];
       }},
      {lstm_code, "kKept[2]:",
       [](CellWriter &w) {
         for (std::size_t i = 8; i < w.arrays.instructions.size(); ++i) {
           for (std::int32_t &from : w.arrays.instructions[i].from) {
             if (from == w.arrays.instructions[2].to) from = w.arrays.instructions[0].to;
           }
         }
       }},
      {elman_code, "operands[6]:",
       [](CellWriter &w) {
         w.arrays.operands.push_back(w.arrays.operands[0]);
         w.arrays.instructions[0].to = 6;
       }},
      {elman_code, "operands[6]:", [](CellWriter &w) { w.arrays.operands.push_back({kOld, 0}); }},
      {elman_code, "raw:", [](CellWriter &w) { w.raw = 1; }},
      {elman_code, "name:", [](CellWriter &w) { w.words.name.clear(); }},
      {elman_code, "gates[0]:", [](CellWriter &w) { w.words.gates[0].clear(); }},
  };
  for (const Case &one : cases) {
    const std::string message = refusal_after(one.make, one.change);
    CAPTURE(message);
    CHECK(message.rfind(one.name, 0) == 0);
  }
}

}  // namespace
}  // namespace recurra
