// A table of vectors: looked up forward, summed into backward. No product, so no kernel per ISA.
#pragma once

#include <algorithm>
#include <memory>

#include "model/parameters.h"

namespace recurra {

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

  // gradient[tokens[n]] += dy[n] in the order of n, but for the row `skip`.
  void backward(Index count, const Index *tokens, const T *dy, Index skip, T *gradient) const {
    for (Index n = 0; n < count; ++n) {
      if (tokens[n] == skip) continue;
      T *to = gradient + tokens[n] * width;
      for (Index i = 0; i < width; ++i) to[i] += dy[n * width + i];
    }
  }

  const Index rows, width;
  const std::shared_ptr<Parameters<T>> parameters;
};

}  // namespace recurra
