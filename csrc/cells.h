// What a cell is, as plain data: the kernels' loops, packing and gradients, the models, the bindings and Python know
// cells by this description alone. A formula written in Python arrives as one (model/cell.h checks it); those at the
// end of this file are of the cells whose mathematics is compiled too (kernels/cells).
//
// Words: a *unit* is one of the hidden_size elements of a state. A *column* is one number per row and unit that is a
// chain: a bias, then W x, then products with sources. A *source* is a vector that products read: the state before
// this step, or one that an earlier stage of this step has computed (*staged*). A *stage* is products, means of staged
// vectors over the units of a row, then a program of element-wise instructions; a step is a list of stages, each of
// which begins when the previous one is complete for all units.
#pragma once

#include "program.h"

namespace recurra {

constexpr int kMaxStates = 8;
constexpr int kMaxSources = 32;  // states and staged vectors; an LSTM that normalizes both halves of its gates has 20
constexpr int kMaxColumns = 32;
constexpr int kMaxStages = 32;  // of a step, forward; as many more backward
constexpr int kMaxDeltas = 64;
constexpr int kMaxParameters = 64;
constexpr int kMaxInputs = 16;
constexpr int kMaxSlots = 256;  // of one kind of memory that programs use
constexpr int kMaxOperands = 1024;
constexpr int kMaxInstructions = 8192;

// How many units an array has: hidden_size, or, where the last stage projects, the size of h.
enum Size : std::int32_t { kHidden, kProjected };

// What a parameter is for.
enum Role : std::int32_t {
  kInputWeight,      // weight_ih (blocks * hidden_size, input_size)
  kRecurrentWeight,  // weight_hh and its like (blocks * hidden_size, size of its source)
  kInputBias,        // bias_ih (blocks * hidden_size)
  kRecurrentBias,    // bias_hh (the same)
  kProjection,       // weight_hr (projected size, hidden_size)
  kUnitVector,       // (hidden_size)
  kScalar,           // ()
};

struct ParameterDescription {
  std::int32_t role;
  std::int32_t blocks;  // gates that have a share of its rows, hidden_size each; 1 of the last three roles
  std::int32_t heads;   // of a recurrent weight: the blocks on its diagonal, each of which reads its own units; else 1
};

// A chain per row and unit. It begins as the biases, to which W_ih x is added; products, all of one stage,
// then go on.
struct Column {
  std::int32_t size;
  std::int32_t input_block;  // rows of weight_ih, in blocks of hidden_size; -1: no W_ih x. Columns with it come first
  std::int32_t input_bias;   // block of bias_ih; -1: none
  std::int32_t recurrent_bias;  // block of bias_hh; -1: none
};

// Columns [column, column + count) += rows of a weight times a source. Not more than kMaxProductColumns of them.
struct Product {
  std::int32_t source;     // a state, or states + a staged vector
  std::int32_t parameter;  // of role kRecurrentWeight or kProjection
  std::int32_t column, count;
  std::int32_t first_block;  // column + i reads block blocks[first_block + i]
};
constexpr int kMaxProductColumns = 4;

struct Range {
  std::int32_t first, count;
};

// Forward: products, then means, then instructions. Backward: the same, but `products` are sources whose gradients are
// computed; that of a source is the sum over all columns that read it.
struct Stage {
  std::int32_t size;
  Range products, means, instructions;
};

// What a gradient of one number per row and unit is of, where it isn't a column's.
enum DeltaOf : std::int32_t { kOfColumn, kOfUnit, kOfScalar, kOfInput, kOfRaw };

struct DeltaDescription {
  std::int32_t of, index;  // the columns come first, in their order
};

// What an input array holds.
enum InputShape : std::int32_t {
  kPerUnit,  // (T, B, H)
  kPerStep,  // (T, B)
  kPerRow,   // (B, H), the same at every step
};

struct InputDescription {
  std::int32_t shape;
};

// The cells whose mathematics is compiled; see kernels/cells.
enum CompiledCell : std::int32_t { kRnnTanh, kRnnRelu, kLstm, kGru, kGruResetBefore, kCompiledCells, kInterpreted = -1 };

// Everything about a cell. The arrays belong to whoever made the description.
struct Cell {
  std::int32_t compiled;  // which of the compiled cells this is, or kInterpreted
  std::int32_t states;    // h first
  std::int32_t projects;  // 1: h has a size of its own

  const ParameterDescription *parameters;
  std::int32_t parameter_count;
  const Column *columns;
  std::int32_t column_count;
  std::int32_t input_columns;  // the first of the columns, which have W_ih x
  const Product *products;
  std::int32_t product_count;
  const std::int32_t *blocks;  // of products
  const std::int32_t *staged_kept;  // where the tape has a staged vector that products read; -1 of others
  std::int32_t staged;
  const InputDescription *inputs;
  std::int32_t input_count;
  std::int32_t raw;  // 1: reads x itself

  const Stage *stages;
  std::int32_t stage_count;
  std::int32_t kept, held, temporaries;  // how many of each are used
  const Stage *untaped_stages;  // the same without what only a tape needs
  std::int32_t untaped_held, untaped_temporaries;
  std::int32_t swapped;  // bit j: state j has two buffers, for its old values and its new ones

  const DeltaDescription *deltas;
  std::int32_t delta_count;
  const Stage *back_stages;  // products: [first, count) of `sources`
  std::int32_t back_stage_count;
  const std::int32_t *sources;
  std::int32_t back_staged, back_held, back_temporaries;

  const std::int32_t *means;  // of all stages, forward and backward: staged vectors
  const Operand *operands;
  std::int32_t operand_count;
  const Instruction *instructions;
  const double *constants;
  std::int32_t constant_count;
  std::int32_t unit_count, scalar_count;
};

}  // namespace recurra
