// Descriptions of the cells whose mathematics is compiled (kernels/cells), without programs: for tests of kernels,
// which know no models. A test of models compares them with the known cells.
#pragma once

#include "cells.h"

namespace recurra {

// Columns and deltas of all of them, whose numbers are the same.
constexpr DeltaDescription kColumnDeltas[] = {{kOfColumn, 0}, {kOfColumn, 1}, {kOfColumn, 2}, {kOfColumn, 3}};
constexpr std::int32_t kBlocks[] = {0, 1, 2, 3};
constexpr std::int32_t kStateSource[] = {0, 1};

template <int kGates>
constexpr ParameterDescription kGateParameters[] = {
    {kInputWeight, kGates, 1}, {kRecurrentWeight, kGates, 1}, {kInputBias, kGates, 1}, {kRecurrentBias, kGates, 1}};

constexpr Column kGateColumns[] = {{kHidden, 0, 0, 0}, {kHidden, 1, 1, 1}, {kHidden, 2, 2, 2}, {kHidden, 3, 3, 3}};
constexpr Stage kOneStage[] = {{kHidden, {0, 1}, {0, 0}, {0, 0}}};

constexpr Product kRnnProducts[] = {{0, 1, 0, 1, 0}};
constexpr Product kLstmProducts[] = {{0, 1, 0, 4, 0}};

// The candidate's halves, W_in x + b_in and W_hn h + b_hn, are columns of their own: n_x, r, z, n_h.
constexpr Column kGruColumns[] = {{kHidden, 2, 2, -1}, {kHidden, 0, 0, 0}, {kHidden, 1, 1, 1}, {kHidden, -1, -1, 2}};
constexpr Product kGruProducts[] = {{0, 1, 1, 3, 0}};

// The candidate's product reads r ∘ h_{t-1}, so it waits for r of every unit: r, z, n.
constexpr Product kResetBeforeProducts[] = {{0, 1, 0, 2, 0}, {1, 1, 2, 1, 2}};
constexpr Stage kResetBeforeStages[] = {{kHidden, {0, 1}, {0, 0}, {0, 0}}, {kHidden, {1, 1}, {0, 0}, {0, 0}}};
constexpr Stage kResetBeforeBackStages[] = {{kHidden, {0, 1}, {0, 0}, {0, 0}}, {kHidden, {1, 1}, {0, 0}, {0, 0}}};
constexpr std::int32_t kResetBeforeKept[] = {2};

constexpr Cell plain_cell(CompiledCell id, int gates, int states, const Product *products, int kept) {
  Cell cell{};
  cell.compiled = id;
  cell.states = states;
  cell.parameters = gates == 1 ? kGateParameters<1> : gates == 3 ? kGateParameters<3> : kGateParameters<4>;
  cell.parameter_count = 4;
  cell.columns = kGateColumns;
  cell.column_count = cell.input_columns = cell.delta_count = gates;
  cell.products = products;
  cell.product_count = cell.stage_count = cell.back_stage_count = 1;
  cell.blocks = kBlocks;
  cell.stages = cell.untaped_stages = cell.back_stages = kOneStage;
  cell.kept = kept;
  cell.swapped = 1;
  cell.deltas = kColumnDeltas;
  cell.sources = kStateSource;
  return cell;
}

constexpr Cell gru_cell() {
  Cell cell = plain_cell(kGru, 3, 1, kGruProducts, 4);
  cell.columns = kGruColumns;
  cell.column_count = cell.delta_count = 4;
  return cell;
}

constexpr Cell reset_before_cell() {
  Cell cell = plain_cell(kGruResetBefore, 3, 1, kResetBeforeProducts, 4);
  cell.product_count = cell.stage_count = cell.back_stage_count = 2;
  cell.stages = cell.untaped_stages = kResetBeforeStages;
  cell.back_stages = kResetBeforeBackStages;
  cell.staged = cell.held = cell.untaped_held = 1;
  cell.staged_kept = kResetBeforeKept;
  return cell;
}

// By CompiledCell.
constexpr Cell kCells[kCompiledCells] = {plain_cell(kRnnTanh, 1, 1, kRnnProducts, 0),
                                         plain_cell(kRnnRelu, 1, 1, kRnnProducts, 0),
                                         plain_cell(kLstm, 4, 2, kLstmProducts, 4), gru_cell(), reset_before_cell()};

}  // namespace recurra
