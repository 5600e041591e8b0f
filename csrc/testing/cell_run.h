// Runs a description slowly, number by number, with an error for all that it reads before it was written or outside its
// memory. What the check of descriptions promises to kernels is tested with it.
#pragma once

#include <cmath>
#include <map>
#include <stdexcept>
#include <utility>
#include <vector>

#include "cells.h"

namespace recurra {
namespace testing {

class CellRun {
 public:
  static constexpr int kHiddenSize = 3, kProjectedSize = 2;

  // Of a step forward, with or without a tape. States without two buffers are written where their old values are.
  CellRun(const Cell &cell, bool taped) : cell_(cell), taped_(taped) {
    for (int j = 0; j < cell.states; ++j) fill(place(kOld, j), 10 + j, size_of_source(j));
    for (int i = 0; i < cell.unit_count; ++i) fill({kUnit, i}, 30 + i, kHiddenSize);
    for (int i = 0; i < cell.input_count; ++i) fill({kInput, i}, 50 + i, kHiddenSize);
    fill({kRaw, 0}, 70, kHiddenSize);
    for (int i = 0; i < cell.scalar_count; ++i) fill({kNumber, i}, 80 + i, 1);
    for (int i = 0; i < cell.constant_count; ++i) memory_[{kNumber, cell.scalar_count + i}] = {cell.constants[i]};
    for (int c = 0; c < cell.column_count; ++c) fill({kColumn, c}, 100 + c, size_of(cell.columns[c].size));
  }

  void forward() {
    for (int s = 0; s < cell_.stage_count; ++s) {
      const Stage &stage = (taped_ ? cell_.stages : cell_.untaped_stages)[s];
      for (int i = 0; i < stage.products.count; ++i) multiply(cell_.products[stage.products.first + i]);
      run(stage);
    }
  }
  // After a forward step with a tape.
  void backward() {
    for (auto at = memory_.begin(); at != memory_.end();) {
      const int kind = at->first.first;
      at = kind == kTemporary || kind == kHeld || kind == kStaged || kind == kColumn ? memory_.erase(at) : ++at;
    }
    for (int j = 0; j < cell_.states; ++j) fill({kIncoming, j}, 200 + j, size_of_source(j));
    for (int s = 0; s < cell_.back_stage_count; ++s) {
      const Stage &stage = cell_.back_stages[s];
      for (int i = 0; i < stage.products.count; ++i) {
        const int source = cell_.sources[stage.products.first + i];
        if (source >= cell_.states) complete(source);
      }
      run(stage);
    }
    for (int d = 0; d < cell_.delta_count; ++d) {
      values({kDelta, d}, d < cell_.column_count ? size_of(cell_.columns[d].size) : kHiddenSize);
    }
    for (int j = 0; j < cell_.states; ++j) {
      if (memory_.count({kOutgoing, j})) values({kOutgoing, j}, kHiddenSize);
    }
    for (int v = 0; v < cell_.staged; ++v) {
      if (cell_.staged_kept[v] >= 0) values({kKept, cell_.staged_kept[v]}, kHiddenSize);
    }
  }
  std::vector<double> state(int j) { return values(place(kNew, j), size_of_source(j)); }

 private:
  using Place = std::pair<int, int>;

  int size_of(int size) const { return size == kProjected ? kProjectedSize : kHiddenSize; }
  int size_of_source(int source) const { return source == 0 && cell_.projects ? kProjectedSize : kHiddenSize; }
  Place place(int kind, int index) const {
    const bool in_place = !taped_ && kind == kNew && (cell_.swapped >> index & 1) == 0;
    return {in_place ? kOld : kind, index};
  }
  void fill(Place at, int seed, int size) {
    for (int k = 0; k < size; ++k) memory_[at].push_back(std::sin(seed + 0.7 * k));
  }
  const std::vector<double> &values(Place at, int size) {
    const std::vector<double> &found = memory_.at(at);
    if (static_cast<int>(found.size()) != size) throw std::logic_error("read before all units were written");
    return found;
  }

  void multiply(const Product &product) {
    const std::vector<double> source = product.source < cell_.states
                                           ? values({kOld, product.source}, size_of_source(product.source))
                                           : values({kStaged, product.source - cell_.states}, kHiddenSize);
    for (int i = 0; i < product.count; ++i) {
      std::vector<double> &sums = memory_.at({kColumn, product.column + i});
      for (std::size_t u = 0; u < sums.size(); ++u) {
        for (std::size_t k = 0; k < source.size(); ++k) {
          sums[u] += std::cos(static_cast<double>(cell_.blocks[product.first_block + i] * 10 + product.parameter * 7) +
                              static_cast<double>(u * 3 + k)) *
                     source[k];
        }
      }
    }
  }
  void complete(int source) {
    std::vector<double> sums(kHiddenSize, 0.0);
    for (int p = 0; p < cell_.product_count; ++p) {
      const Product &product = cell_.products[p];
      for (int c = product.column; product.source == source && c < product.column + product.count; ++c) {
        for (const double value : values({kDelta, c}, size_of(cell_.columns[c].size))) {
          for (double &sum : sums) sum += value;
        }
      }
    }
    memory_[{kGradient, source}] = sums;
  }

  void run(const Stage &stage) {
    for (auto at = memory_.begin(); at != memory_.end();) {
      at = at->first.first == kTemporary || at->first.first == kMean ? memory_.erase(at) : ++at;
    }
    for (int i = 0; i < stage.means.count; ++i) {
      double sum = 0;
      for (const double value : values({kStaged, cell_.means[stage.means.first + i]}, kHiddenSize)) sum += value;
      memory_[{kMean, i}] = {sum / kHiddenSize};
    }
    for (std::size_t unit = 0; unit < static_cast<std::size_t>(size_of(stage.size)); ++unit) {
      for (int i = 0; i < stage.instructions.count; ++i) {
        run(cell_.instructions[stage.instructions.first + i], unit);
      }
    }
  }
  void run(const Instruction &instruction, std::size_t unit) {
    double from[3] = {};
    for (int k = 0; k < operands_of(instruction.operation); ++k) {
      const Operand &operand = cell_.operands[instruction.from[k]];
      const bool shared = operand.kind == kNumber || operand.kind == kMean;
      from[k] = memory_.at(place(operand.kind, operand.index)).at(shared ? 0 : unit);
    }
    const Operand &operand = cell_.operands[instruction.to];
    std::vector<double> &to = memory_[place(operand.kind, operand.index)];
    if (to.size() < unit) throw std::logic_error("written for some units only");
    if (to.size() == unit) to.push_back(0);
    to[unit] = result(instruction.operation, from[0], from[1], from[2]);
  }

  static int operands_of(int operation) {
    if (operation >= kFma && operation <= kFnma) return 3;
    return operation == kSelect ? 3 : operation <= kAbsolute || operation >= kSquareRoot ? 1 : 2;
  }
  static double result(int operation, double a, double b, double c) {
    switch (operation) {
      case kMove:
        return a;
      case kNegate:
        return -a;
      case kAbsolute:
        return std::fabs(a);
      case kAdd:
        return a + b;
      case kSubtract:
        return a - b;
      case kMultiply:
        return a * b;
      case kDivide:
        return a / b;
      case kFma:
        return std::fma(a, b, c);
      case kFms:
        return std::fma(a, b, -c);
      case kFnma:
        return std::fma(-a, b, c);
      case kMinimum:
        return std::fmin(a, b);
      case kMaximum:
        return std::fmax(a, b);
      case kLess:
        return a < b;
      case kLessEqual:
        return a <= b;
      case kEqual:
        return a == b;
      case kNotEqual:
        return a != b;
      case kSelect:
        return a != 0 ? b : c;
      case kSquareRoot:
        return std::sqrt(a);
      case kExp:
        return std::exp(a);
      case kExpm1:
        return std::expm1(a);
      case kLog:
        return std::log(a);
      case kLog1p:
        return std::log1p(a);
      case kSigmoid:
        return 1 / (1 + std::exp(-a));
      case kTanh:
        return std::tanh(a);
      case kSin:
        return std::sin(a);
      case kCos:
        return std::cos(a);
      case kErf:
        return std::erf(a);
      default:
        throw std::logic_error("no such operation");
    }
  }

  const Cell &cell_;
  const bool taped_;
  std::map<Place, std::vector<double>> memory_;  // what has been written, from the first unit on
};

}  // namespace testing
}  // namespace recurra
