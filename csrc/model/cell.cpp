#include "model/cell.h"

#include <cstring>
#include <numeric>
#include <utility>

#include "model/cell_check.h"
#include "model/known_cells.h"

namespace recurra {
namespace {

std::vector<std::string> words_of(const std::string &text) {
  std::vector<std::string> words(1);
  for (const char letter : text) {
    if (letter == ' ') {
      words.emplace_back();
    } else {
      words.back() += letter;
    }
  }
  return words;
}

template <class Number>
bool same_bits(const std::vector<Number> &a, const Number *b, std::size_t count) {
  return a.size() == count && (count == 0 || std::memcmp(a.data(), b, count * sizeof(Number)) == 0);
}

// The order that the states have anyway.
std::vector<std::size_t> own_order(std::int32_t states) {
  std::vector<std::size_t> order(static_cast<std::size_t>(states));
  std::iota(order.begin(), order.end(), std::size_t{0});
  return order;
}

// Which of the compiled cells a description is of.
std::int32_t recognized(const std::vector<std::int32_t> &code, const std::vector<double> &constants) {
  for (std::int32_t id = 0; id < kCompiledCells; ++id) {
    const KnownCell &known = kKnownCells[id];
    if (same_bits(code, known.code, known.size) && same_bits(constants, known.constants, known.constant_count)) {
      return id;
    }
  }
  return kInterpreted;
}

}  // namespace

std::shared_ptr<const NamedCell> compiled_cell(CompiledCell id) {
  const KnownCell &known = kKnownCells[id];
  CellWords words;
  words.name = known.name;
  words.gates = words_of(known.gates);
  words.states = words_of(known.states);
  words.parameters = {"weight_ih", "weight_hh", "bias_ih", "bias_hh"};
  return checked_cell(known.code, known.size, known.constants, known.constant_count, std::move(words));
}

std::shared_ptr<const NamedCell> checked_cell(const std::int32_t *code, std::size_t size, const double *constants,
                                              std::size_t constant_count, CellWords words) {
  const auto named = std::make_shared<NamedCell>();
  static_cast<CellWords &>(*named) = std::move(words);
  const std::vector<std::int32_t> own_code(code, code + size);
  const std::vector<double> own_constants(constants, constants + constant_count);
  read_code(own_code, own_constants, *named);
  point_to_arrays(*named);
  check_columns(*named);
  check_products(*named);
  check_back_stages(*named);
  check_programs(*named);
  if (named->order.empty()) named->order = own_order(named->cell.states);
  check_words(*named);
  add_untaped(*named);
  named->cell.compiled = recognized(own_code, own_constants);
  point_to_arrays(*named);
  return named;
}

}  // namespace recurra
