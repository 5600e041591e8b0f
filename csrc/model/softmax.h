// The softmax of rows, shared out among a team.
#pragma once

#include "dispatch.h"
#include "system/pieces.h"

namespace recurra {

// False if interrupted. The task's worker is set here.
template <class T>
bool softmax_rows(const SoftmaxTask<T> &task, Signalled signalled) {
  constexpr Index kSoftmaxWork = 64;  // multiply-adds in whose time an element is done
  Team team(signalled, threads_for(task.rows, task.rows * task.columns * kSoftmaxWork));
  return team.run([&](Worker &worker) {
    const Index first = task.rows * worker.member / worker.members;
    SoftmaxTask<T> part = task;
    part.rows = task.rows * (worker.member + 1) / worker.members - first;
    part.x += first * task.columns;
    part.y += first * task.columns;
    if (task.weights) part.weights += first;
    if (task.log_sums) {
      part.maxima += first;
      part.log_sums += first;
    }
    part.worker = &worker;
    kernels_of<T>().softmax(&part);
  });
}

}  // namespace recurra
