// What this machine can do, on one core: the rates from which compare.py computes a call's floor.
// Prints name=value lines: float32 multiply-adds in GFLOP/s, sizes of L1 and L2, and reads from L1, L2 and L3 in GB/s.
// `rates pace` prints the multiply-adds of some 2 ms, now, for every line that it reads.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include <unistd.h>

#if defined(__AVX512F__)
constexpr int kBytes = 64;
#elif defined(__AVX2__)
constexpr int kBytes = 32;
#else
constexpr int kBytes = 16;
#endif
typedef float Vec __attribute__((vector_size(kBytes)));
constexpr int kLanes = kBytes / 4;

template <class F>
double best_seconds(int rounds, F run) {
  double best = 1e9;
  for (int round = 0; round < rounds; ++round) {
    const auto begin = std::chrono::steady_clock::now();
    run();
    const double s = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    if (s < best) best = s;
  }
  return best;
}

double fma_gflops(int rounds) {
  constexpr long kSteps = 1'000'000;
  constexpr int kChains = 12;
  const double s = best_seconds(rounds, [] {
    Vec sum[kChains] = {}, a = Vec{} + 0.999f, b = Vec{} + 1e-3f;
    for (long k = 0; k < kSteps; ++k) {
      for (int i = 0; i < kChains; ++i) {
        sum[i] = sum[i] * a + b;  // contracted: this file is compiled with -ffp-contract=fast
        __asm__ volatile("" : "+x"(sum[i]));
      }
    }
  });
  return kSteps * kChains * kLanes * 2 / s * 1e-9;
}

double read_gbs(long bytes) {
  const long vectors = bytes / kBytes, passes = 1 + 200'000'000 / bytes;
  Vec *memory = static_cast<Vec *>(std::aligned_alloc(64, bytes));
  for (long i = 0; i < vectors; ++i) memory[i] = Vec{} + 1.0f;
  const double s = best_seconds(7, [&] {
    for (long pass = 0; pass < passes; ++pass) {
      for (long i = 0; i + 8 <= vectors; i += 8) {
        for (int k = 0; k < 8; ++k) {
          Vec v = memory[i + k];
          __asm__ volatile("" : : "x"(v));
        }
      }
    }
  });
  std::free(memory);
  return passes * double(bytes) / s * 1e-9;
}

long cache(int name, long otherwise) {
  const long bytes = sysconf(name);
  return bytes > 0 ? bytes : otherwise;
}

int main(int count, char **) {
  if (count > 1) {
    for (int c; (c = std::getchar()) != EOF;) {
      if (c == '\n') {
        std::printf("%.1f\n", fma_gflops(1));
        std::fflush(stdout);
      }
    }
    return 0;
  }
  const long l1 = cache(_SC_LEVEL1_DCACHE_SIZE, 32 << 10), l2 = cache(_SC_LEVEL2_CACHE_SIZE, 1 << 20);
  std::printf("fma_gflops=%.1f\n", fma_gflops(28));
  std::printf("l1_bytes=%ld\nl2_bytes=%ld\n", l1, l2);
  std::printf("l1_gbs=%.1f\nl2_gbs=%.1f\nl3_gbs=%.1f\n", read_gbs(l1 * 5 / 8), read_gbs(l2 * 5 / 8), read_gbs(l2 * 4));
}
