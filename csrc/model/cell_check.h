// The steps by which a description is accepted; see checked_cell. Each relies on those before it.
#pragma once

#include <stdexcept>
#include <string>

#include "model/cell.h"

namespace recurra {

[[noreturn]] inline void refuse_cell(const std::string &name, const std::string &expected, const std::string &got) {
  throw std::invalid_argument(name + ": expected " + expected + ", got " + got);
}

inline void check_range(const std::string &name, std::int64_t value, std::int64_t least, std::int64_t most) {
  if (value >= least && value <= most) return;
  const std::string only = std::to_string(least);
  refuse_cell(name,
              least == most  ? only
              : most < least ? "none"
                             : only + " to " + std::to_string(most),
              std::to_string(value));
}

inline void check_equal(const std::string &name, std::int64_t value, std::int64_t expected) {
  check_range(name, value, expected, expected);
}

inline std::string item(const char *array, std::size_t i) { return std::string(array) + "[" + std::to_string(i) + "]"; }
inline std::string item(const char *array, std::size_t i, const char *field) { return item(array, i) + "." + field; }

// The size of a state, or of another source.
inline std::int32_t source_size(const Cell &cell, std::int32_t source) {
  return cell.projects && source == 0 ? kProjected : kHidden;
}

// Ranges of an array that follow each other from its beginning to its end, each within it.
class Consecutive {
 public:
  Consecutive(const char *array, std::size_t size) : array_(array), size_(static_cast<std::int64_t>(size)) {}

  void take(const std::string &name, const Range &range) {
    check_equal(name + ".first", range.first, next_);
    check_range(name + ".count", range.count, 0, size_ - next_);
    next_ += range.count;
  }
  std::int64_t next() const { return next_; }
  void check_end() const {
    if (next_ != size_)
      refuse_cell(array_, "no more than the " + std::to_string(next_) + " used", std::to_string(size_));
  }

 private:
  const char *array_;
  std::int64_t size_, next_ = 0;
};

// The counts, each within its limit, and the arrays, of exactly these sizes.
void read_code(const std::vector<std::int32_t> &code, std::vector<double> constants, NamedCell &to);
void point_to_arrays(NamedCell &named);

void check_words(const NamedCell &named);
// Parameters and columns, and that each block of an input weight or a bias belongs to one column.
void check_columns(const NamedCell &named);
// Forward stages and their products, of which no two read one block.
void check_products(const NamedCell &named);
// Deltas, and the back stages with the sources whose gradients they complete.
void check_back_stages(const NamedCell &named);
// The instructions: which memory each direction may read and write, that nothing is read before it is written, and that
// everything is written that others will read.
void check_programs(const NamedCell &named);

// Adds the stages that calls without a tape run, and says which states need two buffers.
void add_untaped(NamedCell &named);

}  // namespace recurra
