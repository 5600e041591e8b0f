// Deltas of a description, and whose gradients its back stages complete.
#include <set>
#include <utility>

#include "model/cell_check.h"

namespace recurra {
namespace {

// First those of the columns, then of what else is differentiated, in the order of DeltaOf; each once. Those of unit
// vectors and scalars can't be missing, as their gradients are sums of them.
void check_deltas(const Cell &cell) {
  const std::int32_t counts[] = {cell.column_count, cell.unit_count, cell.scalar_count, cell.input_count, cell.raw};
  std::pair<std::int32_t, std::int32_t> previous(kOfColumn, -1);
  std::int32_t units = 0, scalars = 0;
  for (std::int32_t i = 0; i < cell.delta_count; ++i) {
    const DeltaDescription &delta = cell.deltas[i];
    const auto at = static_cast<std::size_t>(i);
    check_range(item("deltas", at, "of"), delta.of, i < cell.column_count ? kOfColumn : kOfUnit,
                i < cell.column_count ? kOfColumn : kOfRaw);
    check_range(item("deltas", at, "index"), delta.index, 0, counts[delta.of] - 1);
    const std::pair<std::int32_t, std::int32_t> here(delta.of, delta.index);
    if (here <= previous) refuse_cell(item("deltas", at), "the order of what they are of", "another");
    previous = here;
    units += delta.of == kOfUnit;
    scalars += delta.of == kOfScalar;
  }
  check_equal("deltas of unit vectors", units, cell.unit_count);
  check_equal("deltas of scalars", scalars, cell.scalar_count);
}

// The gradients of old states are complete, or go on, where the step before begins, so their sources are those of the
// first back stage, h last; those of staged vectors come in later ones.
void check_sources(const Cell &cell, std::size_t source_count) {
  std::set<std::int32_t> read, completed;
  for (std::int32_t i = 0; i < cell.product_count; ++i) read.insert(cell.products[i].source);
  for (std::int32_t s = 0; s < cell.back_stage_count; ++s) {
    const Range &range = cell.back_stages[s].products;
    for (std::int32_t i = range.first; i < range.first + range.count; ++i) {
      const std::string name = item("sources", static_cast<std::size_t>(i));
      const std::int32_t source = cell.sources[i];
      check_range(name, source, s == 0 ? 0 : cell.states, (s == 0 ? 0 : cell.staged) + cell.states - 1);
      if (read.count(source) == 0) refuse_cell(name, "what a product reads", std::to_string(source));
      if (!completed.insert(source).second) refuse_cell(name, "each source once", std::to_string(source));
      if (source == 0 && i != range.count - 1) refuse_cell(name, "state 0 last", "before another");
    }
  }
  check_equal("source_count", static_cast<std::int64_t>(source_count), static_cast<std::int64_t>(read.size()));
}

}  // namespace

void check_back_stages(const NamedCell &named) {
  const Cell &cell = named.cell;
  check_deltas(cell);
  Consecutive sources("sources", named.arrays.sources.size());
  for (std::int32_t s = 0; s < cell.back_stage_count; ++s) {
    const Stage &stage = cell.back_stages[s];
    const auto at = static_cast<std::size_t>(s);
    check_equal(item("back_stages", at, "size"), stage.size, cell.projects && s == 0 ? kProjected : kHidden);
    sources.take(item("back_stages", at, "products"), stage.products);
  }
  sources.check_end();
  check_sources(cell, named.arrays.sources.size());
}

}  // namespace recurra
