// What a cell is, as plain data: every other part of the library, in C++ and in Python, takes gates, states, parameters
// and phases from here. The equations are in kernels/cells.
#pragma once

namespace recurra {

constexpr int kMaxGates = 4;
constexpr int kMaxDeltas = 4;
constexpr int kMaxPhases = 2;
constexpr int kMaxInputRanges = 2;
constexpr int kMaxParameters = 4;

// Delta columns [delta, delta + count) belong to the gates [gate, gate + count) of a weight; all times hidden_size.
struct GateRange {
  int delta, gate, count;
};

// A step is a list of phases: products of one vector with some gates' rows of weight_hh, whose sums start from the
// projected input, then an epilogue on the units of each tile. A phase begins when the previous one is complete.
struct Phase {
  GateRange gates;
  int factor;  // the products read h_{t-1} (-1), or h_{t-1} ∘ the saved activation of this number
};

// What a parameter is for. It is also the parameter's place in a cell's table and in lists of pointers to them.
enum Role { kInputWeight, kRecurrentWeight, kInputBias, kRecurrentBias };

struct ParameterDescription {
  const char *name;  // without the suffix for layer and direction
  Role role;
};

constexpr ParameterDescription kParameters[kMaxParameters] = {
    {"weight_ih", kInputWeight}, {"weight_hh", kRecurrentWeight}, {"bias_ih", kInputBias}, {"bias_hh", kRecurrentBias}};

constexpr bool is_bias(Role role) { return role == kInputBias || role == kRecurrentBias; }

struct CellDescription {
  const char *name;
  const char *gate_names;   // in the order of the weights' rows, hidden_size each, separated by spaces
  const char *state_names;  // h first
  int gates, states;
  int unit_vectors;  // vectors of hidden units in a panel of the forward weights
  int saved;         // activations saved per unit and step for the backward pass
  int deltas;        // gradients of pre-activations per unit and step
  bool split_gate;   // the last gate's halves, W_ih x + b_ih and W_hh h + b_hh, reach the cell apart
  bool direct;       // h_{t-1} also reaches h_t by a direct path around weight_hh
  int phase_count;
  Phase phases[kMaxPhases];
  int input_range_count;
  GateRange input_ranges[kMaxInputRanges];  // the deltas that are multiplied by weight_ih
};

enum CellId { kRnnTanh, kRnnRelu, kLstm, kGru, kGruResetBefore, kCellCount };

constexpr CellDescription kCells[kCellCount] = {
    // One gate only: a panel takes four vectors of units instead.
    {"rnn_tanh", "a", "h", 1, 1, 4, 0, 1, false, false, 1, {{{0, 0, 1}, -1}}, 1, {{0, 0, 1}}},
    {"rnn_relu", "a", "h", 1, 1, 4, 0, 1, false, false, 1, {{{0, 0, 1}, -1}}, 1, {{0, 0, 1}}},
    // Saved are the gates; computing tanh(c_t) again is cheaper than storing and loading it.
    {"lstm", "i f g o", "h c", 4, 2, 1, 4, 4, false, false, 1, {{{0, 0, 4}, -1}}, 1, {{0, 0, 4}}},
    // Saved are r, z, n and W_hn h + b_hn. Of the deltas r, z, n_h, n_x weight_hh takes the first three, weight_ih r,
    // z, n_x.
    {"gru", "r z n", "h", 3, 1, 1, 4, 4, true, true, 1, {{{0, 0, 3}, -1}}, 2, {{0, 0, 2}, {3, 2, 1}}},
    // The candidate's products read r ∘ h_{t-1}, so they wait for r of every unit.
    {"gru_reset_before",
     "r z n",
     "h",
     3,
     1,
     1,
     3,
     3,
     false,
     true,
     2,
     {{{0, 0, 2}, -1}, {{2, 2, 1}, 0}},
     1,
     {{0, 0, 3}}},
};

}  // namespace recurra
