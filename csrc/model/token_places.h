// Where each token stands: the places of a batch's tokens, put together token by token.
#pragma once

#include <algorithm>
#include <utility>
#include <vector>

#include "system/team.h"

namespace recurra {

constexpr Index kTokenWork = 64;  // multiply-adds in whose time a row of a table is found

struct TokenPlaces {
  struct Run {
    Index token, from, to;  // its places are order[from .. to), rising
  };
  Index count = 0;
  std::vector<Run> runs;  // of every token that there is, rising
  const Index *order = nullptr;

  // `skip` is a token that gets no run, or -1. False if interrupted.
  bool find(Index size, const Index *tokens, Index rows, Index skip, Signalled signalled) {
    count = size;
    memory_.resize(static_cast<std::size_t>(size));
    order = memory_.data();
    runs.reserve(static_cast<std::size_t>(std::min(size, rows)));
    // Counting passes all rows of the table, some 1 ns each; comparing takes some 60 ns for a token.
    if (size < rows / 64) {
      compare(tokens, skip);
      return true;
    }
    std::vector<Index> next(static_cast<std::size_t>(rows) + 1);
    Team team(signalled, 1);
    return team.run([&](Worker &worker) { count_all(tokens, rows, skip, next.data(), worker); });
  }

 private:
  void compare(const Index *tokens, Index skip) {
    std::vector<std::pair<Index, Index>> pairs(memory_.size());
    for (std::size_t n = 0; n < pairs.size(); ++n) pairs[n] = {tokens[n], static_cast<Index>(n)};
    std::sort(pairs.begin(), pairs.end());
    for (std::size_t n = 0; n < pairs.size(); ++n) {
      const auto place = static_cast<Index>(n);
      memory_[n] = pairs[n].second;
      if (pairs[n].first == skip) continue;
      if (runs.empty() || runs.back().token != pairs[n].first) runs.push_back({pairs[n].first, place, place});
      runs.back().to = place + 1;
    }
  }

  // `next` holds rows + 1 zeros.
  void count_all(const Index *tokens, Index rows, Index skip, Index *next, Worker &worker) {
    for (Index n = 0; n < count; ++n) {
      ++next[tokens[n] + 1];
      if (stops(worker, kTokenWork)) return;
    }
    for (Index k = 0; k < rows; ++k) {
      const Index from = next[k], to = from + next[k + 1];
      if (to > from && k != skip) runs.push_back({k, from, to});
      next[k + 1] = to;
    }
    for (Index n = 0; n < count; ++n) {
      memory_[static_cast<std::size_t>(next[tokens[n]]++)] = n;
      if (stops(worker, kTokenWork)) return;
    }
  }

  std::vector<Index> memory_;
};

}  // namespace recurra
