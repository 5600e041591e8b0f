// A table of vectors: looked up forward, summed into backward. No product, so no kernel per ISA.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <new>
#include <vector>

#include "model/parameters.h"

namespace recurra {

// `size` zeros, of which only those that are looked at cost time: a table has more rows than most batches have tokens.
class ZeroedIndices {
 public:
  explicit ZeroedIndices(Index size)
      : memory_(static_cast<Index *>(std::calloc(static_cast<std::size_t>(size), sizeof(Index)))) {
    if (!memory_) throw std::bad_alloc();
  }
  Index &operator[](Index i) const { return memory_.get()[i]; }

 private:
  struct Free {
    void operator()(Index *memory) const { std::free(memory); }
  };
  std::unique_ptr<Index[], Free> memory_;
};

template <class T>
class Embedding {
 public:
  Embedding(Index count, Index features)
      : rows(count),
        width(features),
        parameters(std::make_shared<Parameters<T>>(std::vector<typename Parameters<T>::Entry>{
            {"weight", {count, features}, "(num_embeddings, embedding_dim)"}})) {}

  // y[n] = weight[tokens[n]]
  void forward(Index count, const Index *tokens, T *y) const {
    const std::lock_guard<std::mutex> lock(parameters->mutex);
    for (Index n = 0; n < count; ++n) std::copy_n(parameters->data(0) + tokens[n] * width, width, y + n * width);
  }

  // gradient[token] += Σ dy[n] over the n with that token, but for the row `skip`. As in the gradients of weights, the
  // sum is one of sums over blocks of kBlockRows n, each of which begins from zero.
  void backward(Index count, const Index *tokens, const T *dy, Index skip, T *gradient) const {
    const ZeroedIndices sum_of(rows);  // 1 + the place of a token's sum
    std::vector<Sum> sums;             // in the order in which tokens come first
    for (Index n = 0; n < count; ++n) {
      if (sum_of[tokens[n]] || tokens[n] == skip) continue;
      sums.push_back({tokens[n]});
      sum_of[tokens[n]] = static_cast<Index>(sums.size());
    }
    const Index size = checked_product(static_cast<Index>(sums.size()), width);
    const Buffer<T> blocks(size, true), totals(size, true);
    for (Index n = 0; n < count; ++n) {
      if (!sum_of[tokens[n]]) continue;
      const Index at = sum_of[tokens[n]] - 1, block = n / kBlockRows;
      add_row(dy + n * width, sums[at], block, blocks.data() + at * width, totals.data() + at * width);
    }
    for (std::size_t at = 0; at < sums.size(); ++at) {
      const T *block = blocks.data() + static_cast<Index>(at) * width;
      const T *total = sums[at].begun ? totals.data() + static_cast<Index>(at) * width : nullptr;
      T *to = gradient + sums[at].token * width;
      for (Index i = 0; i < width; ++i) to[i] += total ? total[i] + block[i] : block[i];
    }
  }

  const Index rows, width;
  const std::shared_ptr<Parameters<T>> parameters;

 private:
  // What a token's gradient sums up to: a block, and, if there were others before it, a total of those.
  struct Sum {
    Index token, block = -1;
    bool begun = false;
  };

  void add_row(const T *__restrict row, Sum &sum, Index block, T *__restrict partial, T *__restrict total) const {
    if (sum.block == block) {
      for (Index i = 0; i < width; ++i) partial[i] += row[i];
      return;
    }
    if (sum.block >= 0 && sum.begun) {
      for (Index i = 0; i < width; ++i) total[i] += partial[i];
    } else if (sum.block >= 0) {
      std::copy_n(partial, width, total);
      sum.begun = true;
    }
    for (Index i = 0; i < width; ++i) partial[i] = T(0) + row[i];
    sum.block = block;
  }
};

}  // namespace recurra
