#include "model/sequences.h"

#include "testing/core_test.h"

namespace recurra {
namespace {

// Lengths of several kinds: all full, none, ragged.
std::vector<Index> lengths_of(Random &random, int kind, Index steps, Index batch) {
  std::vector<Index> lengths;
  for (Index b = 0; b < batch; ++b) lengths.push_back(kind == 0 ? steps : kind == 1 ? 0 : random.integer(0, steps));
  return lengths;
}

template <class Check>
void for_sequences(Check check) {
  Random random(1);
  for (const Index steps : {0, 1, 2, 7, 31}) {
    for (const Index batch : {0, 1, 2, 13, 64}) {
      for (int kind = 0; kind < 4; ++kind) {
        CAPTURE(steps);
        CAPTURE(batch);
        CAPTURE(kind);
        check(steps, batch, lengths_of(random, kind, steps, batch), kind == 3);
      }
    }
  }
}

TEST_CASE("sequences: sorted by length, those of equal length in the caller's order") {
  for_sequences([](Index steps, Index batch, std::vector<Index> lengths, bool without) {
    if (without) lengths.assign(lengths.size(), steps);
    const Sequences sequences(steps, batch, without ? nullptr : lengths.data());
    const Rows &rows = sequences.rows;
    std::vector<bool> seen(lengths.size());
    for (Index b = 0; b < batch; ++b) {
      seen[rows.order[b]] = true;
      CHECK(sequences.length(b) == lengths[rows.order[b]]);
      if (b == 0) continue;
      const Index before = rows.order[b - 1], here = rows.order[b];
      CHECK((lengths[before] > lengths[here] || (lengths[before] == lengths[here] && before < here)));
    }
    CHECK(std::all_of(seen.begin(), seen.end(), [](bool once) { return once; }));
    CHECK(sequences.ragged() == std::any_of(lengths.begin(), lengths.end(), [=](Index n) { return n != steps; }));
  });
}

TEST_CASE("sequences: alive and offset count the rows that exist") {
  for_sequences([](Index steps, Index batch, std::vector<Index> lengths, bool without) {
    if (without) lengths.assign(lengths.size(), steps);
    const Sequences sequences(steps, batch, without ? nullptr : lengths.data());
    Index total = 0;
    for (Index t = 0; t <= steps; ++t) {
      const Index longer = std::count_if(lengths.begin(), lengths.end(), [=](Index n) { return n > t; });
      CHECK(sequences.rows.alive[t] == (t < steps ? longer : 0));
      CHECK(sequences.rows.offset[t] == total);
      total += longer;
    }
    CHECK(sequences.total() == total);
  });
}

TEST_CASE("sequences: slices are all rows, and none has much more than its share") {
  for_sequences([](Index steps, Index batch, const std::vector<Index> &lengths, bool) {
    const Sequences sequences(steps, batch, lengths.data());
    for (const Index parts : {1, 2, 3, 8}) {
      CAPTURE(parts);
      const std::vector<Index> bounds = sequences.slices(parts);
      CHECK(static_cast<Index>(bounds.size()) == parts + 1);
      CHECK(bounds.front() == 0);
      CHECK(bounds.back() == batch);
      for (Index part = 0; part < parts; ++part) {
        CHECK(bounds[part] <= bounds[part + 1]);
        Index share = 0;
        for (Index b = bounds[part]; b < bounds[part + 1]; ++b) share += sequences.length(b);
        CHECK(share <= sequences.total() / parts + 2 * steps);
      }
    }
  });
}

}  // namespace
}  // namespace recurra
