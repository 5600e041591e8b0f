#include "model/plan.h"

#include <algorithm>

#include "system/machine.h"
#include "system/parallel.h"

namespace recurra {
namespace {

// Multiply-adds of a step from which a team shares out its hidden units: below, a barrier after every step costs more
// (LSTM of 64 units at batch 1, 16 thousand: 150 us alone, 162 by two; GRU of 128, 49 thousand: 723 and 417).
constexpr Index kStepWork = 32'000;

Index choice(Index wish, Index own) { return wish < 0 ? own : wish; }

}  // namespace

Plan choose_plan(const Work &work, const PlanWish &wish) {
  Plan plan;
  const Index most = std::min<Index>(thread_setting(), 1 + work.multiply_adds / kThreadWork);
  Index threads = std::clamp<Index>(usable_threads(static_cast<int>(choice(wish.threads, most))), 1, kMaxThreads);
  threads = startable_threads(static_cast<int>(threads));
  // Directions share nothing and need half the weights each, so they go first where there are as many threads. Hidden
  // units need half the weights too: that pays where few rows are to be split, or where the weights exceed L2.
  const bool by_direction = work.directions == 2 && (threads == 2 || work.batch < 2 * threads);
  // No more threads then than there are CPUs: at the barrier after every step they would wait for one that has none.
  const Index cpus = std::min<Index>(threads, available_cpus());
  const bool by_unit = work.step_work >= kStepWork && work.panels >= cpus && cpus > 1 &&
                       (work.batch < 2 * cpus || work.hidden_bytes > l2_cache_bytes());
  const int split = by_direction ? kSplitDirections : by_unit ? kSplitUnits : kSplitBatch;
  if (split == kSplitUnits && wish.split < 0 && wish.threads < 0) threads = cpus;
  plan.split = static_cast<int>(std::clamp<Index>(choice(wish.split, split), kSplitNothing, kSplitUnits));
  const Index pieces_of[] = {1, work.batch, work.directions, threads};
  const Index pieces = pieces_of[plan.split];
  threads = std::max<Index>(1, std::min(threads, work.rows > 0 ? pieces : 1));
  plan.threads = static_cast<int>(threads);
  if (threads == 1) plan.split = kSplitNothing;

  const Index slice = plan.split == kSplitBatch ? (work.batch + threads - 1) / threads : work.batch;
  const Index step_bytes = std::max<Index>(1, work.projected_bytes * slice);
  plan.fused = static_cast<int>(choice(wish.fused, 0));
  plan.chunk = std::max<Index>(1, choice(wish.chunk, std::clamp<Index>(l2_cache_bytes() / 4 / step_bytes, 1,
                                                                       std::clamp<Index>(work.steps, 1, 256))));
  plan.alternate = static_cast<int>(choice(wish.alternate, work.hidden_bytes > l2_cache_bytes() / 2));
  plan.tile_rows = static_cast<int>(std::clamp<Index>(choice(wish.tile_rows, 8), 1, 8));
  plan.depth_block = std::max<Index>(1, choice(wish.depth_block, l2_cache_bytes() / 2 / work.panel_row_bytes));
  // With two directions dx needs the deltas of both, and more threads would have to wait for each other.
  const bool one_walk = threads == 1 && work.directions == 1;
  const Index delta_blocks = choice(wish.delta_blocks, work.rows * work.delta_bytes > l2_cache_bytes() ? 1 : 0);
  plan.delta_blocks = one_walk ? std::clamp<Index>(delta_blocks, 0, std::max<Index>(1, work.rows / kBlockRows)) : 0;
  return plan;
}

}  // namespace recurra
