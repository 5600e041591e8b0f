// A table of vectors: looked up forward, summed into backward. No product, so no kernel per ISA.
#pragma once

#include <algorithm>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "model/parameters.h"
#include "model/token_places.h"
#include "system/buffer.h"
#include "system/pieces.h"

namespace recurra {

template <class T>
class Embedding {
 public:
  Embedding(Index count, Index features)
      : rows(count),
        width(features),
        parameters(std::make_shared<Parameters<T>>(std::make_shared<ParameterTable>(std::vector<ParameterTable::Entry>{
            {"weight", {count, features}, "(num_embeddings, embedding_dim)", true}}))) {}

  // y[n] = weight[tokens[n]]; false if interrupted.
  bool forward(Index count, const Index *tokens, T *y, Signalled signalled) const {
    std::unique_lock<std::mutex> lock(parameters->mutex);
    return long_read(lock, parameters->version, signalled, [&](Worker *worker) {
      for (Index n = 0; n < count; ++n) {
        std::copy_n(parameters->data(0) + tokens[n] * width, width, y + n * width);
        if (stops(*worker, width + kTokenWork)) return false;
      }
      return true;
    });
  }

  // A copy of the table, for streams, which share it; null if interrupted.
  PackedPtr<T> copy(Signalled signalled) const {
    std::unique_lock<std::mutex> lock(parameters->mutex);
    const auto pack = [&](T *to, Worker *worker) {
      for (Index row = 0; row < rows; ++row) {
        std::copy_n(parameters->data(0) + row * width, width, to + row * width);
        if (stops(*worker, kCopyWork * width)) return false;
      }
      return true;
    };
    PackedPtr<T> shared = copied_.lock();
    if (shared && shared->version == parameters->version) return shared;
    PackedCache<T> once;
    shared = once.get(lock, parameters->version, signalled, checked_product(rows, width), pack);
    copied_ = shared;
    return shared;
  }

  // sums[u] = Σ dy[n] over the places n of the u-th token that there is. The sum is like that of every weight: blocks
  // of kBlockRows rows are summed from zero, and their sums added up. False if interrupted.
  bool sum(const TokenPlaces &places, const T *dy, T *sums, Signalled signalled) const {
    const auto used = static_cast<Index>(places.runs.size());
    const int threads = threads_for(used, checked_product(places.count, width + kTokenWork));
    const Buffer<T> blocks(checked_product(threads, width));
    Team team(signalled, threads);
    return team.run([&](Worker &worker) {
      T *block = blocks.data() + worker.member * width;
      const Index first = used * worker.member / worker.members;
      for (Index u = first, last = used * (worker.member + 1) / worker.members; u < last; ++u) {
        const auto &run = places.runs[static_cast<std::size_t>(u)];
        if (!sum_run(dy, places.order + run.from, places.order + run.to, block, sums + u * width, worker)) return;
      }
    });
  }

  // gradient[k] += the sum of each token k. Not interrupted.
  void add(const TokenPlaces &places, const T *sums, T *gradient) const {
    in_pieces(static_cast<Index>(places.runs.size()), width, nullptr, [&](Index first, Index last) {
      for (Index u = first; u < last; ++u) {
        T *to = gradient + places.runs[static_cast<std::size_t>(u)].token * width;
        for (Index i = 0; i < width; ++i) to[i] += sums[u * width + i];
      }
    });
  }

  const Index rows, width;
  const std::shared_ptr<Parameters<T>> parameters;

 private:
  mutable std::weak_ptr<const Packed<T>> copied_;  // with the mutex held; streams alone need the copy
  // total = Σ dy[n] over the places [from, to), block by block; false if interrupted.
  bool sum_run(const T *dy, const Index *from, const Index *to, T *block, T *total, Worker &worker) const {
    std::fill_n(total, width, T(0));
    while (from < to) {
      const Index end = (*from / kBlockRows + 1) * kBlockRows;
      std::fill_n(block, width, T(0));
      for (; from < to && *from < end; ++from) {
        const T *row = dy + *from * width;
        for (Index i = 0; i < width; ++i) block[i] += row[i];
        if (stops(worker, width + kTokenWork)) return false;
      }
      for (Index i = 0; i < width; ++i) total[i] += block[i];
    }
    return true;
  }
};

}  // namespace recurra
