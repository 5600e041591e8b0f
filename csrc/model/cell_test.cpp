#include "model/cell.h"

#include <cstring>
#include <set>

#include "model/known_cells.h"
#include "testing/cell_codes.h"
#include "testing/cell_mutations.h"
#include "testing/cell_run.h"
#include "testing/core_test.h"

namespace recurra {
namespace {

// What the check promises: with and without a tape all that is read has been written, and the new states are the same.
void check_run(const Cell &cell) {
  CellRun taped(cell, true), untaped(cell, false);
  taped.forward();
  untaped.forward();
  for (int j = 0; j < cell.states; ++j) {
    const std::vector<double> expected = taped.state(j), got = untaped.state(j);
    REQUIRE(expected.size() == got.size());
    for (std::size_t k = 0; k < got.size(); ++k) {
      CHECK((same_bits(got[k], expected[k]) || (std::isnan(got[k]) && std::isnan(expected[k]))));
    }
  }
  taped.backward();
}

TEST_CASE("cell: descriptions written by hand are accepted, and run") {
  for (const CellWriter &writer : good_codes()) {
    CAPTURE(writer.words.name);
    std::shared_ptr<const NamedCell> named;
    REQUIRE_NOTHROW(named = checked(writer));
    CHECK(named->name == writer.words.name);
    CHECK(named->cell.parameters == named->arrays.parameters.data());
    CHECK(named->cell.operand_count == static_cast<std::int32_t>(named->arrays.operands.size()));
    check_run(named->cell);
  }
}

TEST_CASE("cell: without a tape nothing is kept, and no place is wasted") {
  const auto untaped = [](const CellWriter &writer) {
    const auto named = checked(writer);
    std::set<std::int32_t> kinds;
    int count = 0;
    for (int s = 0; s < named->cell.stage_count; ++s) {
      const Range &range = named->cell.untaped_stages[s].instructions;
      count += range.count;
      for (int i = range.first; i < range.first + range.count; ++i) {
        kinds.insert(named->cell.operands[named->cell.instructions[i].to].kind);
      }
    }
    CHECK(kinds.count(kKept) == 0);
    return std::vector<int>{count, named->cell.untaped_temporaries, named->cell.untaped_held, named->cell.swapped};
  };
  CHECK(untaped(elman_code()) == std::vector<int>{1, 0, 0, 1});
  CHECK(untaped(lstm_code()) == std::vector<int>{8, 4, 0, 1});
  CHECK(untaped(staged_code()) == std::vector<int>{6, 1, 1, 1});
  CHECK(untaped(projected_code()) == std::vector<int>{4, 1, 0, 1});
  CHECK(untaped(centred_code()) == std::vector<int>{6, 1, 0, 3});
}

TEST_CASE("cell: what is kept across stages is held without a tape, and what only the tape needs is gone") {
  CellWriter w = staged_code();
  // n = tanh(...) reads r again in the second stage, and something that only a third slot is made of goes with it.
  const auto &operands = w.arrays.operands;
  const auto number = [&](Operand operand) {
    for (std::size_t i = 0; i < operands.size(); ++i) {
      if (operands[i].kind == operand.kind && operands[i].index == operand.index) return static_cast<std::int32_t>(i);
    }
    FAIL("no such operand");
    return -1;
  };
  w.arrays.instructions[5].from[0] = number(kept(0));  // temporary = r - h, so kept(2) is the tape's alone
  const auto named = checked(w);
  check_run(named->cell);
  CHECK(named->cell.untaped_held == 2);
  CHECK(named->cell.untaped_temporaries == 1);
  CHECK(named->cell.untaped_stages[0].instructions.count == 3);
  CHECK(named->cell.untaped_stages[1].instructions.count == 2);
}

TEST_CASE("cell: a state has two buffers if its old values are read after new ones are written") {
  CellWriter w = centred_code();
  CHECK(checked(w)->cell.swapped == 3);
  w.arrays.products.pop_back();  // products read z no longer
  w.arrays.blocks.pop_back();
  w.arrays.parameters.erase(w.arrays.parameters.begin() + 2);
  w.words.parameters.erase(w.words.parameters.begin() + 2);
  w.arrays.sources = {0};
  w.arrays.stages[0].products = {0, 1};
  w.arrays.stages[1].products = {1, 0};
  w.arrays.back_stages[0].products = {0, 1};
  w.arrays.back_stages[1].products = {1, 0};
  CHECK(checked(w)->cell.swapped == 1);
  check_run(checked(w)->cell);
  std::swap(w.arrays.instructions[0], w.arrays.instructions[1]);
  std::swap(w.arrays.instructions[1], w.arrays.instructions[2]);  // z' is made first, then v of the column
  CHECK(checked(w)->cell.swapped == 1);
  w.arrays.instructions[4] = {
      kMultiply, w.arrays.instructions[4].to, {w.arrays.instructions[0].from[1], w.arrays.instructions[3].to, 0}};
  CHECK(checked(w)->cell.swapped == 3);  // the second stage reads z
  check_run(checked(w)->cell);
}

// Each number of a code changed to many others: refused, or what is accepted can run.
TEST_CASE("cell: every number is checked") {
  constexpr std::int32_t huge[] = {INT32_MIN, -1000, -1, 33, 64, 65, 257, 1025, 8193, 1 << 20, INT32_MAX};
  for (const CellWriter &writer : good_codes()) {
    const std::vector<std::int32_t> good = writer.code();
    for (std::size_t i = 0; i < good.size(); ++i) {
      std::vector<std::int32_t> values(std::begin(huge), std::end(huge));
      for (std::int32_t value = 0; value < 28; ++value) values.push_back(value);
      for (const std::int32_t value : values) {
        std::vector<std::int32_t> code = good;
        code[i] = value;
        CAPTURE(writer.words.name);
        CAPTURE(i);
        CAPTURE(value);
        try {
          const auto named = checked(code, writer.arrays.constants, writer.words);
          check_run(named->cell);
          // All numbers have limits but heads, which must divide sizes that aren't known yet.
          bool heads = false;
          for (const ParameterDescription &parameter : named->arrays.parameters) heads |= parameter.heads == value;
          CHECK((heads || (value >= -1 && value <= kMaxSlots)));
        } catch (const std::invalid_argument &) {
        }
      }
    }
  }
}

TEST_CASE("cell: codes of wrong size, and constants that aren't those announced") {
  const CellWriter writer = lstm_code();
  const std::vector<std::int32_t> good = writer.code();
  for (std::size_t size = 0; size < good.size(); ++size) {
    CHECK_THROWS_AS(checked({good.begin(), good.begin() + static_cast<Index>(size)}, {1.0}, writer.words),
                    std::invalid_argument);
  }
  std::vector<std::int32_t> longer = good;
  longer.push_back(0);
  CHECK_THROWS_AS(checked(longer, {1.0}, writer.words), std::invalid_argument);
  CHECK_THROWS_AS(checked(good, {}, writer.words), std::invalid_argument);
  CHECK_THROWS_AS(checked(good, {1.0, 1.0}, writer.words), std::invalid_argument);
  CHECK_NOTHROW(checked(good, {std::numeric_limits<double>::quiet_NaN()}, writer.words));
}

TEST_CASE("cell: whatever is done to a description, it is refused or can run") {
  int accepted = 0;
  DamagedCells cells(1);
  for (int i = 0; i < 100000; ++i) {
    const auto named = cells.next();
    if (!named) continue;
    check_run(named->cell);
    ++accepted;
  }
  CHECK(accepted > 100);  // else nothing is tested
  MESSAGE("accepted: ", accepted);
}

template <class Element>
bool same_arrays(const Element *a, const Element *b, std::int32_t count) {
  return count == 0 || std::memcmp(a, b, static_cast<std::size_t>(count) * sizeof(Element)) == 0;
}

// All that the loops of compiled cells read must be the same of a description that becomes one.
TEST_CASE("cell: the compiled cells are recognized, and their descriptions agree with the compiled ones") {
  for (int id = 0; id < kCompiledCells; ++id) {
    const KnownCell &known = kKnownCells[id];
    const auto compiled = compiled_cell(static_cast<CompiledCell>(id));
    CAPTURE(compiled->name);
    std::shared_ptr<const NamedCell> named;
    REQUIRE_NOTHROW(named = checked_cell(known.code, known.size, known.constants, known.constant_count, *compiled));
    check_run(named->cell);
    for (std::size_t i = 0; i < known.constant_count; ++i) {
      std::vector<double> others(known.constants, known.constants + known.constant_count);
      others[i] = others[i] == 0 ? -0.0 : 2.0;
      CHECK(checked({known.code, known.code + known.size}, others, *compiled)->cell.compiled == kInterpreted);
    }
    const Cell &a = named->cell, &b = compiled->cell;
    CHECK(a.compiled == id);
    CHECK(a.states == b.states);
    CHECK(a.projects == b.projects);
    CHECK(a.raw == b.raw);
    CHECK(a.input_count == b.input_count);
    CHECK(a.kept == b.kept);
    CHECK(a.held >= b.held);
    CHECK(a.untaped_held >= b.untaped_held);
    CHECK(a.staged == b.staged);
    CHECK(a.swapped == b.swapped);
    CHECK(a.input_columns == b.input_columns);
    REQUIRE(a.parameter_count == b.parameter_count);
    REQUIRE(a.column_count == b.column_count);
    REQUIRE(a.product_count == b.product_count);
    REQUIRE(a.delta_count == b.delta_count);
    REQUIRE(a.stage_count == b.stage_count);
    REQUIRE(a.back_stage_count == b.back_stage_count);
    CHECK(same_arrays(a.parameters, b.parameters, a.parameter_count));
    CHECK(same_arrays(a.columns, b.columns, a.column_count));
    CHECK(same_arrays(a.products, b.products, a.product_count));
    CHECK(same_arrays(a.blocks, b.blocks, static_cast<std::int32_t>(named->arrays.blocks.size())));
    CHECK(same_arrays(a.staged_kept, b.staged_kept, a.staged));
    CHECK(same_arrays(a.deltas, b.deltas, a.delta_count));
    CHECK(same_arrays(a.sources, b.sources, static_cast<std::int32_t>(named->arrays.sources.size())));
    for (int s = 0; s < a.stage_count; ++s) CHECK(same_arrays(&a.stages[s].products, &b.stages[s].products, 1));
    for (int s = 0; s < a.back_stage_count; ++s) {
      CHECK(same_arrays(&a.back_stages[s].products, &b.back_stages[s].products, 1));
    }
  }
}

TEST_CASE("cell: compiled cells have names") {
  for (int id = 0; id < kCompiledCells; ++id) {
    const auto named = compiled_cell(static_cast<CompiledCell>(id));
    CHECK(named->cell.compiled == id);
    CHECK(static_cast<int>(named->states.size()) == named->cell.states);
    CHECK(static_cast<int>(named->parameters.size()) == named->cell.parameter_count);
    CHECK(static_cast<int>(named->gates.size()) == named->cell.parameters[0].blocks);
  }
}

}  // namespace
}  // namespace recurra
