#include "model/cell.h"

#include <utility>

#include "model/cell_check.h"

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

}  // namespace

std::shared_ptr<const NamedCell> compiled_cell(CompiledCell id) {
  const auto named = std::make_shared<NamedCell>();
  named->cell = kCells[id];
  named->name = kCellNames[id].name;
  named->gates = words_of(kCellNames[id].gates);
  named->states = words_of(kCellNames[id].states);
  named->parameters = {"weight_ih", "weight_hh", "bias_ih", "bias_hh"};
  return named;
}

std::shared_ptr<const NamedCell> checked_cell(const std::int32_t *code, std::size_t size, const double *constants,
                                              std::size_t constant_count, CellWords words) {
  const auto named = std::make_shared<NamedCell>();
  static_cast<CellWords &>(*named) = std::move(words);
  read_code({code, code + size}, {constants, constants + constant_count}, *named);
  point_to_arrays(*named);
  check_columns(*named);
  check_products(*named);
  check_back_stages(*named);
  check_programs(*named);
  check_words(*named);
  add_untaped(*named);
  point_to_arrays(*named);
  return named;
}

}  // namespace recurra
