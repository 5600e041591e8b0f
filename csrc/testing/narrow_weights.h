// Weights in their narrow forms, and the float32 numbers that those stand for.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "model/narrow.h"

namespace recurra {
namespace testing {

inline float float_of_bits(std::uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}
inline float widened_bfloat16(std::uint16_t half) { return float_of_bits(static_cast<std::uint32_t>(half) << 16); }
inline float widened_float16(std::uint16_t half) {
  const int exponent = half >> 10 & 31, mantissa = half & 0x3ff;
  const std::uint32_t sign = static_cast<std::uint32_t>(half & 0x8000) << 16;
  if (exponent == 31) return float_of_bits(sign | 0x7f800000u | static_cast<std::uint32_t>(mantissa) << 13);
  const float value =
      std::ldexp(static_cast<float>(exponent ? mantissa + 1024 : mantissa), (exponent ? exponent : 1) - 25);
  return sign ? -value : value;
}

// The arrays of a table in a narrow form, and those that they stand for. Rounding is towards zero, as nothing here
// depends on it.
class NarrowedWeights {
 public:
  NarrowedWeights(const Parameters<float> &parameters, Weights form) : widened(parameters.table) {
    arrays.weights = form;
    const auto &entries = parameters.entries;
    halves_.resize(entries.size());
    bytes_.resize(entries.size());
    scales_.resize(entries.size());
    for (std::size_t i = 0; i < entries.size(); ++i) {
      const float *from = parameters.data(i);
      float *wide = widened.data(i);
      const Index columns = entries[i].narrows ? entries[i].shape[1] : 0;
      const bool rows = entries[i].narrows && form == Weights::kInt8;
      arrays.values.push_back(from);
      for (Index k = 0; !entries[i].narrows && k < entries[i].size; ++k) wide[k] = from[k];
      for (Index row = 0; rows && row < entries[i].shape[0]; ++row) add_row(i, from, row * columns, columns, wide);
      for (Index k = 0; entries[i].narrows && !rows && k < entries[i].size; ++k) {
        halves_[i].push_back(form == Weights::kBfloat16 ? bfloat16(from[k]) : float16(from[k]));
        wide[k] = form == Weights::kBfloat16 ? widened_bfloat16(halves_[i].back()) : widened_float16(halves_[i].back());
      }
      if (entries[i].narrows) {
        arrays.values.back() = rows ? static_cast<const void *>(bytes_[i].data()) : halves_[i].data();
      }
      arrays.scales.push_back(rows ? scales_[i].data() : nullptr);
    }
  }
  NarrowedWeights(const NarrowedWeights &) = delete;

  NarrowArrays arrays;
  Parameters<float> widened;

 private:
  static std::uint16_t bfloat16(float value) {
    std::uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    return static_cast<std::uint16_t>(bits >> 16);
  }
  static std::uint16_t float16(float value) {
    int exponent = 0;
    const float mantissa = std::frexp(std::fabs(value), &exponent);  // 0.5 … 1
    const int shift = exponent > -14 ? 11 : exponent + 25;           // bits that a number of that size has
    const int digits = shift < 0 ? 0 : static_cast<int>(std::ldexp(mantissa, shift));
    const int bits = exponent > -14 ? ((exponent + 14) << 10) + digits - 1024 : digits;
    return static_cast<std::uint16_t>(bits | (value < 0 ? 0x8000 : 0));
  }
  void add_row(std::size_t i, const float *from, Index first, Index columns, float *wide) {
    float most = 0;
    for (Index k = first; k < first + columns; ++k) most = std::fmax(most, std::fabs(from[k]));
    scales_[i].push_back(most / 127);
    for (Index k = first; k < first + columns; ++k) {
      bytes_[i].push_back(static_cast<std::int8_t>(most > 0 ? from[k] / scales_[i].back() : 0));
      wide[k] = static_cast<float>(bytes_[i].back()) * scales_[i].back();
    }
  }

  std::vector<std::vector<std::uint16_t>> halves_;
  std::vector<std::vector<std::int8_t>> bytes_;
  std::vector<std::vector<float>> scales_;
};

}  // namespace testing
}  // namespace recurra
