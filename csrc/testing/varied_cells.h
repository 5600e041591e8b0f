// Cells that are programs and work: those that formula_codes.h has, and the compiled ones as programs.
#pragma once

#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "model/known_cells.h"
#include "testing/cell_codes.h"
#include "testing/formula_codes.h"

namespace recurra {
namespace testing {

// What a cell is made of.
struct CellSource {
  std::vector<std::int32_t> code;
  std::vector<double> constants;
  CellWords words;

  CellSource(const KnownCell &known, CellWords of)
      : code(known.code, known.code + known.size),
        constants(known.constants, known.constants + known.constant_count),
        words(std::move(of)) {}
  explicit CellSource(const CellWriter &writer)
      : code(writer.code()), constants(writer.arrays.constants), words(writer.words) {}
};

inline std::vector<std::string> words_in(const char *text) {
  std::istringstream stream(text);
  std::vector<std::string> words;
  for (std::string word; stream >> word;) words.push_back(word);
  return words;
}

inline std::vector<CellSource> varied_sources() {
  std::vector<CellSource> sources;
  for (int id = 0; id < kCompiledCells; ++id) {
    sources.emplace_back(kKnownCells[id], *compiled_cell(static_cast<CompiledCell>(id)));
  }
  for (const FormulaCode &formula : kFormulaCodes) {
    const KnownCell &known = formula.description;
    CellWords words;
    words.name = known.name;
    words.gates = words_in(known.gates);
    words.states = words_in(known.states);
    words.parameters = words_in(formula.parameters);
    words.inputs = words_in(formula.inputs);
    sources.emplace_back(known, std::move(words));
  }
  return sources;
}

// A cell whose program is run even where its mathematics is compiled too.
inline std::shared_ptr<const NamedCell> interpreted(const CellSource &source) {
  const auto cell = checked(source.code, source.constants, source.words);
  const_cast<NamedCell &>(*cell).cell.compiled = kInterpreted;  // nobody else has it yet
  return cell;
}

}  // namespace testing
}  // namespace recurra
