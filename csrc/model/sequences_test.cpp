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

// Resets of several kinds: few, many, and everywhere.
std::vector<unsigned char> resets_of(Random &random, int kind, Index steps, Index batch) {
  std::vector<unsigned char> resets;
  const Index most = kind == 0 ? 9 : kind == 1 ? 1 : 0;
  for (Index i = 0; i < steps * batch; ++i) resets.push_back(random.integer(0, most) == 0);
  return resets;
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
    CHECK(sequences.padded() == std::any_of(lengths.begin(), lengths.end(), [=](Index n) { return n != steps; }));
    CHECK(!sequences.cut());
    for (Index b = 0; b < batch; ++b) {
      CHECK(rows.sequence[b] == rows.order[b]);
      CHECK(rows.begin[b] == 0);
      CHECK(sequences.last(b));
      CHECK((sequences.entering(b, false) == b && sequences.leaving(b, true) == b));
    }
  });
}

TEST_CASE("sequences: alive and offset count the rows that exist") {
  for_sequences([](Index steps, Index batch, std::vector<Index> lengths, bool without) {
    if (without) lengths.assign(lengths.size(), steps);
    const Sequences sequences(steps, batch, without ? nullptr : lengths.data());
    Index total = 0;
    const Index longest = lengths.empty() ? 0 : *std::max_element(lengths.begin(), lengths.end());
    CHECK(sequences.rows.steps == longest);
    for (Index t = 0; t <= longest; ++t) {
      const Index longer = std::count_if(lengths.begin(), lengths.end(), [=](Index n) { return n > t; });
      CHECK(sequences.rows.alive[t] == longer);
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

TEST_CASE("sequences: between resets there are segments, sorted as sequences of their length would be") {
  Random random(2);
  for_sequences([&](Index steps, Index batch, const std::vector<Index> &lengths, bool without) {
    for (int kind = 0; kind < 3; ++kind) {
      const auto resets = resets_of(random, kind, steps, batch);
      const auto is_reset = [&](Index b, Index t) { return resets[static_cast<std::size_t>(b * steps + t)] == 1; };
      const auto length_of = [&](Index b) { return without ? steps : lengths[static_cast<std::size_t>(b)]; };
      const Sequences sequences(steps, batch, without ? nullptr : lengths.data(), resets.data());
      const Rows &rows = sequences.rows;
      std::vector<Index> parts, owners, begins;
      bool cut = false;
      for (Index b = 0; b < batch; ++b) {
        Index begin = 0;
        const Index first = static_cast<Index>(parts.size());
        for (Index t = 1; t <= length_of(b); ++t) {
          if (t < length_of(b) && !is_reset(b, t)) continue;
          parts.push_back(t - begin);
          owners.push_back(b);
          begins.push_back(begin);
          begin = t;
        }
        const bool dropped = length_of(b) > 0 && is_reset(b, 0);
        if (length_of(b) == 0) {
          parts.push_back(0);
          owners.push_back(b);
          begins.push_back(0);
        }
        const Index last = static_cast<Index>(parts.size()) - 1;
        cut = cut || dropped || last > first;
        CHECK(sequences.entering(b, false) == (dropped ? -1 : first));
        CHECK(sequences.entering(b, true) == last);
        CHECK(sequences.leaving(b, false) == last);
        CHECK(sequences.leaving(b, true) == first);
      }
      CHECK(sequences.cut() == cut);
      const Sequences by_hand(steps, static_cast<Index>(parts.size()), parts.data());
      REQUIRE(rows.batch == by_hand.rows.batch);
      REQUIRE(rows.steps == by_hand.rows.steps);
      for (Index i = 0; i < rows.batch; ++i) {
        const Index place = rows.order[i];
        CHECK(place == by_hand.rows.order[i]);
        CHECK(rows.sequence[i] == owners[static_cast<std::size_t>(place)]);
        CHECK(rows.begin[i] == begins[static_cast<std::size_t>(place)]);
        CHECK(sequences.last(i) == (sequences.leaving(rows.sequence[i], false) == place));
      }
      for (Index t = 0; t <= rows.steps; ++t) CHECK(rows.alive[t] == by_hand.rows.alive[t]);
    }
  });
}

}  // namespace
}  // namespace recurra
