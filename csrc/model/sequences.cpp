#include "model/sequences.h"

#include <new>
#include <numeric>

namespace recurra {
namespace {

// visit(begin, end) for the segments of a sequence of that length, in order; one of length 0 is one segment.
template <class Visit>
void for_segments(Index length, const unsigned char *resets, const Visit &visit) {
  Index begin = 0;
  while (resets && begin + 1 < length) {
    const Index end = std::find(resets + begin + 1, resets + length, 1) - resets;
    if (end == length) break;
    visit(begin, end);
    begin = end;
  }
  visit(begin, length);
}

}  // namespace

Sequences::Sequences(Index of_steps, Index of_batch, const Index *lengths, const unsigned char *resets)
    : steps(of_steps), batch(of_batch) {
  const auto for_all = [&](const auto &visit) {  // visit(sequence, begin, end)
    for (Index s = 0; s < batch; ++s) {
      for_segments(lengths ? lengths[s] : steps, resets ? resets + s * steps : nullptr,
                   [&](Index begin, Index end) { visit(s, begin, end); });
    }
  };
  // Without resets nothing is counted: a batch may be too large for memory, and then no time is lost either.
  Index segments = batch, longest = batch == 0 ? 0 : steps;
  if (lengths)
    longest = std::accumulate(lengths, lengths + batch, Index(0), [](Index a, Index b) { return std::max(a, b); });
  if (resets) {
    segments = longest = 0;
    for_all([&](Index, Index begin, Index end) {
      ++segments;
      longest = std::max(longest, end - begin);
    });
  }
  padded_ = lengths && std::any_of(lengths, lengths + batch, [=](Index length) { return length < steps; });
  const auto drops = [&](Index s) { return resets && (lengths ? lengths[s] : steps) > 0 && resets[s * steps] == 1; };
  cut_ = segments > batch;
  for (Index s = 0; resets && s < batch; ++s) cut_ = cut_ || drops(s);

  const Index kept = 3 * segments + 2 * (longest + 1) + (cut_ ? 2 * batch + 1 : 0);
  if (static_cast<std::size_t>(kept) > memory_.max_size()) throw std::bad_alloc();
  memory_.resize(static_cast<std::size_t>(kept));
  Index *order = memory_.data(), *sequence = order + segments, *begins = sequence + segments;
  Index *alive = begins + segments, *offset = alive + longest + 1;

  // Sorted by counting: `alive` becomes how many segments are longer than t, and that is where those of length t begin.
  for_all([&](Index, Index begin, Index end) {
    if (end > begin) ++alive[end - begin - 1];
  });
  for (Index t = longest - 1; t > 0; --t) alive[t - 1] += alive[t];
  std::copy(alive, alive + longest + 1, offset);
  Index place = 0;
  for_all([&](Index s, Index begin, Index end) {
    const Index sorted = offset[end - begin]++;
    order[sorted] = place++;
    sequence[sorted] = s;
    begins[sorted] = begin;
  });
  offset[0] = 0;
  for (Index t = 0; t < longest; ++t) offset[t + 1] = offset[t] + alive[t];
  rows = {longest, segments, order, sequence, begins, alive, offset};

  if (!cut_) return;
  Index *first = offset + longest + 1, *dropped = first + batch + 1;
  for_all([&](Index s, Index, Index) { ++first[s + 1]; });
  std::partial_sum(first, first + batch + 1, first);
  for (Index s = 0; s < batch; ++s) dropped[s] = drops(s);
  first_ = first;
  dropped_ = dropped;
}

std::vector<Index> Sequences::slices(Index parts) const {
  const bool even = rows.steps == 0 || rows.alive[rows.steps - 1] == rows.batch;
  std::vector<Index> bounds{0};
  Index b = 0, done = 0;
  for (Index part = 1; part < parts; ++part) {
    if (even) b = rows.batch * part / parts;
    while (!even && b < rows.batch && done < total() * part / parts) done += length(b++);
    bounds.push_back(b);
  }
  bounds.push_back(rows.batch);
  return bounds;
}

}  // namespace recurra
