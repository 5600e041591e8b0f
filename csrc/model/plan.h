// The schedule of a call, from its shape, the machine's caches and the number of threads; tests may force any of it.
#pragma once

#include "kernels.h"

namespace recurra {

enum Split { kSplitNothing, kSplitBatch, kSplitDirections, kSplitUnits };

// Choices that the caller makes; -1 leaves a choice to choose_plan. The names are those of Plan.
struct PlanWish {
  Index threads = -1, split = -1, fused = -1, chunk = -1, alternate = -1, tile_rows = -1, depth_block = -1,
        delta_blocks = -1;
};

// What decides.
struct Work {
  Index steps, batch, rows;  // rows: (time, sequence) pairs that exist
  int directions;
  Index multiply_adds;    // of the whole call
  Index step_work;        // multiply-adds with the recurrent weights in one step of one direction
  Index panels;           // whole panels of the backward pass, the larger pieces in which hidden units are shared out
  Index projected_bytes;  // of one row of the hoisted projection
  Index hidden_bytes;     // of one direction's recurrent weights
  Index delta_bytes;      // of one row's gradients of pre-activations
  Index panel_row_bytes;  // of one row of a weight panel, and so of the panel per unit of depth
};

Plan choose_plan(const Work &work, const PlanWish &wish);

}  // namespace recurra
