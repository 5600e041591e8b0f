// A table of vectors: looked up forward, summed into backward. No product, so no kernel per ISA.
#pragma once

#include <algorithm>
#include <memory>
#include <mutex>

#include "model/parameters.h"
#include "system/buffer.h"
#include "system/pieces.h"

namespace recurra {

template <class T>
class Embedding {
 public:
  Embedding(Index count, Index features)
      : rows(count),
        width(features),
        parameters(std::make_shared<Parameters<T>>(std::make_shared<ParameterTable>(
            std::vector<ParameterTable::Entry>{{"weight", {count, features}, "(num_embeddings, embedding_dim)"}}))) {}

  // y[n] = weight[tokens[n]]; false if interrupted.
  bool forward(Index count, const Index *tokens, T *y, Signalled signalled) const {
    std::unique_lock<std::mutex> lock(parameters->mutex);
    return long_read(lock, parameters->version, parameters->unless_borrowed(signalled), [&](Worker *worker) {
      for (Index n = 0; n < count; ++n) {
        std::copy_n(parameters->data(0) + tokens[n] * width, width, y + n * width);
        if (stops(*worker, width + kRowWork)) return false;
      }
      return true;
    });
  }

  // gradient[k] += Σ dy[n] over the n with token k, but for k = skip. The sum is like that of every weight: blocks of
  // kBlockRows rows are summed from zero, and their sums added up. False if interrupted: then nothing is added.
  bool backward(Index count, const Index *tokens, const T *dy, Index skip, T *gradient, Signalled signalled) const {
    Index *begin = nullptr, *order = nullptr, *used = nullptr;
    T *sums = nullptr, *block = nullptr;
    const Index most = std::min(rows, count);
    const int threads = threads_for(most, checked_product(count, width + kRowWork));
    const auto cut = [&](Cutter cutter) {
      begin = cutter.take<Index>(rows + 1);
      order = cutter.take<Index>(count);
      used = cutter.take<Index>(most);
      sums = cutter.take<T>(checked_product(most, width));
      block = cutter.take<T>(checked_product(threads, width));
      return cutter.used();
    };
    const Workspace memory(cut(Cutter(nullptr)));
    cut(Cutter(memory.data()));

    Index used_count = 0;
    Team team(signalled, threads);
    team.run([&](Worker &worker) {
      if (worker.member == 0) used_count = sort(count, tokens, skip, begin, order, used, worker);
      if (!worker.barrier(&worker)) return;
      const Index first = used_count * worker.member / worker.members;
      for (Index u = first, last = used_count * (worker.member + 1) / worker.members; u < last; ++u) {
        const Index from = used[u] == 0 ? 0 : begin[used[u] - 1];
        if (!sum(dy, order + from, order + begin[used[u]], block + worker.member * width, sums + u * width, worker)) {
          return;
        }
      }
    });
    if (team.stopped()) return false;
    return in_pieces(used_count, width, nullptr, [&](Index first, Index last) {
      for (Index u = first; u < last; ++u) {
        T *to = gradient + used[u] * width;
        for (Index i = 0; i < width; ++i) to[i] += sums[u * width + i];
      }
    });
  }

  const Index rows, width;
  const std::shared_ptr<Parameters<T>> parameters;

 private:
  static constexpr Index kRowWork = 64;  // multiply-adds in whose time a row is found

  // Puts the places of each token together: those of k are order[begin[k - 1] .. begin[k]), rising. Returns how many
  // tokens there are and which, but for `skip`.
  Index sort(Index count, const Index *tokens, Index skip, Index *begin, Index *order, Index *used,
             Worker &worker) const {
    std::fill_n(begin, rows + 1, Index(0));
    for (Index n = 0; n < count; ++n) {
      ++begin[tokens[n] + 1];
      if (stops(worker, kRowWork)) return 0;
    }
    Index used_count = 0;
    for (Index k = 0; k < rows; ++k) {
      if (begin[k + 1] > 0 && k != skip) used[used_count++] = k;
      begin[k + 1] += begin[k];
    }
    for (Index n = 0; n < count; ++n) {
      order[begin[tokens[n]]++] = n;  // which leaves begin[k] at the end of k
      if (stops(worker, kRowWork)) return 0;
    }
    return used_count;
  }

  // total = Σ dy[n] over the places [from, to), block by block; false if interrupted.
  bool sum(const T *dy, const Index *from, const Index *to, T *block, T *total, Worker &worker) const {
    std::fill_n(total, width, T(0));
    while (from < to) {
      const Index end = (*from / kBlockRows + 1) * kBlockRows;
      std::fill_n(block, width, T(0));
      for (; from < to && *from < end; ++from) {
        const T *row = dy + *from * width;
        for (Index i = 0; i < width; ++i) block[i] += row[i];
        if (stops(worker, width + kRowWork)) return false;
      }
      for (Index i = 0; i < width; ++i) total[i] += block[i];
    }
    return true;
  }
};

}  // namespace recurra
