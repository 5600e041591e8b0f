// Descriptions of small cells, written by hand, and their codes.
#pragma once

#include <algorithm>
#include <initializer_list>
#include <utility>
#include <vector>

#include "model/cell.h"

namespace recurra {
namespace testing {

// Collects a description, instruction by instruction; counts what it uses.
class CellWriter {
 public:
  std::int32_t states = 1, projects = 0, raw = 0, units = 0, scalars = 0;
  CellArrays arrays;
  CellWords words;

  void instruct(Operation operation, Operand to, std::initializer_list<Operand> from) {
    Instruction instruction{operation, number(to), {0, 0, 0}};
    std::size_t k = 0;
    for (const Operand &operand : from) instruction.from[k++] = number(operand);
    arrays.instructions.push_back(instruction);
    ++in_stage_;
  }
  // Ends a forward stage: the next `count` of the products and of the means belong to it.
  void end_stage(std::int32_t products, std::int32_t means = 0, Size size = kHidden) {
    end(arrays.stages, products, means, size);
  }
  void end_back_stage(std::int32_t sources, std::int32_t means = 0, Size size = kHidden) {
    if (arrays.back_stages.empty()) products_ = 0;
    end(arrays.back_stages, sources, means, size);
    backward_ = true;
  }
  void begin_backward() { backward_ = true; }

  std::vector<std::int32_t> code() const {
    const auto size = [](const auto &array) { return static_cast<std::int32_t>(array.size()); };
    std::int32_t input_columns = 0;
    for (const Column &column : arrays.columns) input_columns += column.input_block >= 0;
    std::vector<std::int32_t> code = {1,
                                      states,
                                      projects,
                                      raw,
                                      size(arrays.parameters),
                                      size(arrays.columns),
                                      input_columns,
                                      size(arrays.products),
                                      size(arrays.blocks),
                                      size(arrays.staged_kept),
                                      size(arrays.inputs),
                                      size(arrays.stages),
                                      used_[0][kKept],
                                      used_[0][kHeld],
                                      used_[0][kTemporary],
                                      size(arrays.deltas),
                                      size(arrays.back_stages),
                                      size(arrays.sources),
                                      used_[1][kStaged],
                                      used_[1][kHeld],
                                      used_[1][kTemporary],
                                      size(arrays.means),
                                      size(arrays.operands),
                                      size(arrays.instructions),
                                      size(arrays.constants),
                                      units,
                                      scalars};
    append(arrays.parameters, code);
    append(arrays.columns, code);
    append(arrays.products, code);
    append(arrays.blocks, code);
    append(arrays.staged_kept, code);
    append(arrays.inputs, code);
    append(arrays.stages, code);
    append(arrays.deltas, code);
    append(arrays.back_stages, code);
    append(arrays.sources, code);
    append(arrays.means, code);
    append(arrays.operands, code);
    append(arrays.instructions, code);
    return code;
  }

 private:
  template <class Element>
  static void append(const std::vector<Element> &array, std::vector<std::int32_t> &code) {
    const auto *numbers = reinterpret_cast<const std::int32_t *>(array.data());
    code.insert(code.end(), numbers, numbers + array.size() * (sizeof(Element) / sizeof(std::int32_t)));
  }
  std::int32_t number(Operand operand) {
    std::int32_t &used = used_[backward_][operand.kind];
    used = std::max(used, operand.index + 1);
    const auto same = [&](const Operand &other) { return other.kind == operand.kind && other.index == operand.index; };
    const auto found = std::find_if(arrays.operands.begin(), arrays.operands.end(), same);
    const auto at = static_cast<std::int32_t>(found - arrays.operands.begin());
    if (found == arrays.operands.end()) arrays.operands.push_back(operand);
    return at;
  }
  void end(std::vector<Stage> &stages, std::int32_t products, std::int32_t means, Size size) {
    const auto instructions = static_cast<std::int32_t>(arrays.instructions.size());
    stages.push_back({size, {products_, products}, {means_, means}, {instructions - in_stage_, in_stage_}});
    products_ += products;
    means_ += means;
    in_stage_ = 0;
  }

  bool backward_ = false;
  std::int32_t products_ = 0, means_ = 0, in_stage_ = 0;
  std::int32_t used_[2][kKindCount] = {};
};

constexpr Operand temporary(int i) { return {kTemporary, i}; }
constexpr Operand column(int i) { return {kColumn, i}; }
constexpr Operand gradient(int i) { return {kGradient, i}; }
constexpr Operand before(int i) { return {kOld, i}; }
constexpr Operand after(int i) { return {kNew, i}; }
constexpr Operand kept(int i) { return {kKept, i}; }
constexpr Operand held(int i) { return {kHeld, i}; }
constexpr Operand staged(int i) { return {kStaged, i}; }
constexpr Operand mean(int i) { return {kMean, i}; }
constexpr Operand unit(int i) { return {kUnit, i}; }
constexpr Operand number(int i) { return {kNumber, i}; }
constexpr Operand input(int i) { return {kInput, i}; }
constexpr Operand raw() { return {kRaw, 0}; }
constexpr Operand incoming(int i) { return {kIncoming, i}; }
constexpr Operand outgoing(int i) { return {kOutgoing, i}; }
constexpr Operand delta(int i) { return {kDelta, i}; }

// h' = tanh(W_ih x + b_ih + W_hh h + b_hh).
inline CellWriter elman_code() {
  CellWriter w;
  w.words = {"elman", {"a"}, {"h"}, {"weight_ih", "weight_hh", "bias_ih", "bias_hh"}, {}};
  w.arrays.parameters = {{kInputWeight, 1, 1}, {kRecurrentWeight, 1, 1}, {kInputBias, 1, 1}, {kRecurrentBias, 1, 1}};
  w.arrays.columns = {{kHidden, 0, 0, 0}};
  w.arrays.products = {{0, 1, 0, 1, 0}};
  w.arrays.blocks = {0};
  w.instruct(kTanh, after(0), {column(0)});
  w.end_stage(1);
  w.begin_backward();
  w.arrays.deltas = {{kOfColumn, 0}};
  w.arrays.sources = {0};
  w.arrays.constants = {1};
  w.instruct(kFnma, temporary(0), {after(0), after(0), number(0)});
  w.instruct(kMultiply, delta(0), {incoming(0), temporary(0)});
  w.end_back_stage(1);
  return w;
}

inline CellWriter lstm_code() {
  CellWriter w;
  w.states = 2;
  w.words = {"lstm", {"i", "f", "g", "o"}, {"h", "c"}, {"weight_ih", "weight_hh", "bias_ih", "bias_hh"}, {}};
  w.arrays.parameters = {{kInputWeight, 4, 1}, {kRecurrentWeight, 4, 1}, {kInputBias, 4, 1}, {kRecurrentBias, 4, 1}};
  w.arrays.columns = {{kHidden, 0, 0, 0}, {kHidden, 1, 1, 1}, {kHidden, 2, 2, 2}, {kHidden, 3, 3, 3}};
  w.arrays.products = {{0, 1, 0, 4, 0}};
  w.arrays.blocks = {0, 1, 2, 3};
  for (int gate = 0; gate < 4; ++gate) w.instruct(gate == 2 ? kTanh : kSigmoid, kept(gate), {column(gate)});
  w.instruct(kMultiply, temporary(0), {kept(0), kept(2)});
  w.instruct(kFma, after(1), {kept(1), before(1), temporary(0)});
  w.instruct(kTanh, temporary(0), {after(1)});
  w.instruct(kMultiply, after(0), {kept(3), temporary(0)});
  w.end_stage(1);
  w.begin_backward();
  w.arrays.deltas = {{kOfColumn, 0}, {kOfColumn, 1}, {kOfColumn, 2}, {kOfColumn, 3}};
  w.arrays.sources = {0};
  w.arrays.constants = {1};
  w.instruct(kTanh, temporary(0), {after(1)});
  w.instruct(kMultiply, temporary(1), {incoming(0), kept(3)});
  w.instruct(kFnma, temporary(2), {temporary(0), temporary(0), number(0)});
  w.instruct(kFma, temporary(1), {temporary(1), temporary(2), incoming(1)});
  w.instruct(kMultiply, outgoing(1), {temporary(1), kept(1)});
  constexpr Operand slopes[] = {temporary(1), temporary(1), temporary(1), incoming(0)};
  constexpr Operand factors[] = {kept(2), before(1), kept(0), temporary(0)};
  for (int gate = 0; gate < 4; ++gate) {
    w.instruct(kMultiply, temporary(2), {slopes[gate], factors[gate]});
    w.instruct(kFnma, temporary(3), {kept(gate), kept(gate), gate == 2 ? number(0) : kept(gate)});
    w.instruct(kMultiply, delta(gate), {temporary(2), temporary(3)});
  }
  w.end_back_stage(1);
  return w;
}

// r = sigmoid(a.r); h' = h + sigmoid(p) (tanh(a.n(r h)) - h), p a vector.
inline CellWriter staged_code() {
  CellWriter w;
  w.units = 1;
  w.words = {"staged", {"r", "n"}, {"h"}, {"weight_ih", "weight_hh", "bias_ih", "bias_hh", "p"}, {}};
  w.arrays.parameters = {
      {kInputWeight, 2, 1}, {kRecurrentWeight, 2, 2}, {kInputBias, 2, 1}, {kRecurrentBias, 2, 1}, {kUnitVector, 1, 1}};
  w.arrays.columns = {{kHidden, 0, 0, 0}, {kHidden, 1, 1, 1}};
  w.arrays.products = {{0, 1, 0, 1, 0}, {1, 1, 1, 1, 1}};
  w.arrays.blocks = {0, 1};
  w.arrays.staged_kept = {1};
  w.instruct(kSigmoid, kept(0), {column(0)});
  w.instruct(kMultiply, staged(0), {kept(0), before(0)});
  w.instruct(kMove, kept(1), {staged(0)});
  w.instruct(kSigmoid, held(0), {unit(0)});
  w.end_stage(1);
  w.instruct(kTanh, kept(2), {column(1)});
  w.instruct(kSubtract, temporary(0), {kept(2), before(0)});
  w.instruct(kFma, after(0), {held(0), temporary(0), before(0)});
  w.end_stage(1);
  w.begin_backward();
  w.arrays.deltas = {{kOfColumn, 0}, {kOfColumn, 1}, {kOfUnit, 0}};
  w.arrays.sources = {0, 1};
  w.arrays.constants = {1};
  w.instruct(kSigmoid, temporary(0), {unit(0)});
  w.instruct(kFnma, temporary(1), {incoming(0), temporary(0), incoming(0)});
  w.instruct(kMove, outgoing(0), {temporary(1)});
  w.instruct(kMultiply, temporary(1), {incoming(0), temporary(0)});
  w.instruct(kFnma, temporary(2), {kept(2), kept(2), number(0)});
  w.instruct(kMultiply, delta(1), {temporary(1), temporary(2)});
  w.instruct(kSubtract, temporary(1), {kept(2), before(0)});
  w.instruct(kMultiply, temporary(1), {incoming(0), temporary(1)});
  w.instruct(kFnma, temporary(0), {temporary(0), temporary(0), temporary(0)});
  w.instruct(kMultiply, delta(2), {temporary(1), temporary(0)});
  w.end_back_stage(1);
  w.instruct(kFma, outgoing(0), {gradient(1), kept(0), outgoing(0)});
  w.instruct(kMultiply, temporary(0), {gradient(1), before(0)});
  w.instruct(kFnma, temporary(1), {kept(0), kept(0), kept(0)});
  w.instruct(kMultiply, delta(0), {temporary(0), temporary(1)});
  w.end_back_stage(1);
  return w;
}

// c' = c + tanh(a) noise; h' = W_hr c'.
inline CellWriter projected_code() {
  CellWriter w;
  w.states = 2;
  w.projects = 1;
  w.words = {"projected", {"a"}, {"h", "c"}, {"weight_ih", "weight_hh", "weight_hr"}, {"noise"}};
  w.arrays.parameters = {{kInputWeight, 1, 1}, {kRecurrentWeight, 1, 1}, {kProjection, 1, 1}};
  w.arrays.columns = {{kHidden, 0, -1, -1}, {kProjected, -1, -1, -1}};
  w.arrays.products = {{0, 1, 0, 1, 0}, {2, 2, 1, 1, 1}};
  w.arrays.blocks = {0, 0};
  w.arrays.staged_kept = {1};
  w.arrays.inputs = {{kPerUnit}};
  w.instruct(kTanh, kept(0), {column(0)});
  w.instruct(kFma, staged(0), {kept(0), input(0), before(1)});
  w.instruct(kMove, after(1), {staged(0)});
  w.instruct(kMove, kept(1), {staged(0)});
  w.end_stage(1);
  w.instruct(kMove, after(0), {column(1)});
  w.end_stage(1, 0, kProjected);
  w.begin_backward();
  w.arrays.deltas = {{kOfColumn, 0}, {kOfColumn, 1}, {kOfInput, 0}};
  w.arrays.sources = {0, 2};
  w.arrays.constants = {1};
  w.instruct(kMove, delta(1), {incoming(0)});
  w.end_back_stage(1, 0, kProjected);
  w.instruct(kAdd, temporary(0), {incoming(1), gradient(2)});
  w.instruct(kMove, outgoing(1), {temporary(0)});
  w.instruct(kMultiply, delta(2), {temporary(0), kept(0)});
  w.instruct(kMultiply, temporary(0), {temporary(0), input(0)});
  w.instruct(kFnma, temporary(1), {kept(0), kept(0), number(0)});
  w.instruct(kMultiply, delta(0), {temporary(0), temporary(1)});
  w.end_back_stage(1);
  return w;
}

// v = W_ih x + W_zh z; h' = tanh(v - mean(v)) + b h; z' = x z / row, with a number b, a state z that products read
// beside h, and an input that is the same at all steps.
inline CellWriter centred_code() {
  CellWriter w;
  w.states = 2;
  w.raw = w.scalars = 1;
  w.words = {"centred", {"v"}, {"h", "z"}, {"weight_ih", "weight_hh", "weight_zh", "b"}, {"row"}};
  w.arrays.parameters = {{kInputWeight, 1, 1}, {kRecurrentWeight, 1, 1}, {kRecurrentWeight, 1, 1}, {kScalar, 1, 1}};
  w.arrays.columns = {{kHidden, 0, -1, -1}};
  w.arrays.products = {{0, 1, 0, 1, 0}, {1, 2, 0, 1, 1}};
  w.arrays.blocks = {0, 0};
  w.arrays.staged_kept = {-1};
  w.arrays.inputs = {{kPerRow}};
  w.arrays.means = {0, 0};
  w.instruct(kMove, staged(0), {column(0)});
  w.instruct(kMultiply, temporary(0), {raw(), before(1)});
  w.instruct(kDivide, after(1), {temporary(0), input(0)});
  w.end_stage(2);
  w.instruct(kSubtract, temporary(0), {staged(0), mean(0)});
  w.instruct(kTanh, kept(0), {temporary(0)});
  w.instruct(kFma, after(0), {number(0), before(0), kept(0)});
  w.end_stage(0, 1);
  w.begin_backward();
  w.arrays.deltas = {{kOfColumn, 0}, {kOfScalar, 0}, {kOfInput, 0}, {kOfRaw, 0}};
  w.arrays.sources = {1, 0};
  w.arrays.constants = {1};
  w.instruct(kMultiply, delta(1), {incoming(0), before(0)});
  w.instruct(kMultiply, outgoing(0), {incoming(0), number(0)});
  w.instruct(kFnma, temporary(0), {kept(0), kept(0), number(1)});
  w.instruct(kMultiply, held(0), {incoming(0), temporary(0)});
  w.instruct(kNegate, staged(0), {held(0)});
  w.instruct(kDivide, temporary(0), {incoming(1), input(0)});
  w.instruct(kMultiply, delta(3), {temporary(0), before(1)});
  w.instruct(kMultiply, outgoing(1), {temporary(0), raw()});
  w.instruct(kMultiply, temporary(0), {temporary(0), after(1)});
  w.instruct(kNegate, delta(2), {temporary(0)});
  w.end_back_stage(2);
  w.instruct(kAdd, delta(0), {held(0), mean(0)});
  w.end_back_stage(0, 1);
  return w;
}

// h' = the sum of the means of as many staged vectors as there may be, all of which are W_ih x + b_hh + W_hh h.
inline CellWriter means_code() {
  constexpr int kMeans = kMaxSources - 1;
  CellWriter w;
  w.words = {"means", {"v"}, {"h"}, {"weight_ih", "weight_hh", "bias_hh"}, {}};
  w.arrays.parameters = {{kInputWeight, 1, 1}, {kRecurrentWeight, 1, 1}, {kRecurrentBias, 1, 1}};
  w.arrays.columns = {{kHidden, 0, -1, 0}};
  w.arrays.products = {{0, 1, 0, 1, 0}};
  w.arrays.blocks = {0};
  for (int i = 0; i < kMeans; ++i) {
    w.arrays.staged_kept.push_back(-1);
    w.arrays.means.push_back(i);
    w.instruct(kMove, staged(i), {column(0)});
  }
  w.end_stage(1);
  w.instruct(kMove, temporary(0), {mean(0)});
  for (int i = 1; i < kMeans; ++i) w.instruct(kAdd, temporary(0), {temporary(0), mean(i)});
  w.instruct(kMove, after(0), {temporary(0)});
  w.end_stage(0, kMeans);
  w.begin_backward();
  w.arrays.deltas = {{kOfColumn, 0}};
  w.arrays.sources = {0};
  w.arrays.means.push_back(0);
  w.arrays.constants = {kMeans};
  w.instruct(kMove, staged(0), {incoming(0)});
  w.end_back_stage(1);
  w.instruct(kMultiply, delta(0), {mean(0), number(0)});
  w.end_back_stage(0, 1);
  return w;
}

inline std::vector<CellWriter> good_codes() {
  return {elman_code(), lstm_code(), staged_code(), projected_code(), centred_code(), means_code()};
}

inline std::shared_ptr<const NamedCell> checked(const std::vector<std::int32_t> &code,
                                                const std::vector<double> &constants, const CellWords &words) {
  return checked_cell(code.data(), code.size(), constants.data(), constants.size(), words);
}
inline std::shared_ptr<const NamedCell> checked(const CellWriter &writer) {
  return checked(writer.code(), writer.arrays.constants, writer.words);
}

}  // namespace testing
}  // namespace recurra
