// Measures how many products of bytes a CPU can sum per second, in registers only.
//
//   int8_peak THREADS        prints products per second

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

#if defined(__AVX512VNNI__)
#include <immintrin.h>
using Sum = __m512i;
constexpr double kProducts = 64;
static Sum zero() { return _mm512_setzero_si512(); }
static Sum add(Sum sum, Sum a, Sum b) { return _mm512_dpbusd_epi32(sum, a, b); }
#elif defined(__AVX2__)
#include <immintrin.h>
using Sum = __m256i;
constexpr double kProducts = 32;
static Sum zero() { return _mm256_setzero_si256(); }
static Sum add(Sum sum, Sum a, Sum b) {
  const Sum pairs = _mm256_maddubs_epi16(a, b);
  return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}
#elif defined(__ARM_FEATURE_DOTPROD)
#include <arm_neon.h>
using Sum = int32x4_t;
constexpr double kProducts = 16;
static Sum zero() { return vdupq_n_s32(0); }
static Sum add(Sum sum, Sum a, Sum b) {
  return vdotq_s32(sum, vreinterpretq_s8_s32(a), vreinterpretq_s8_s32(b));
}
#else
#error "no products of bytes are implemented for this processor: measure on x86 or ARM dotprod"
#endif

constexpr int kSums = 16, kSteps = 100'000'000;

static void work() {
  Sum sums[kSums];
  for (Sum& sum : sums) sum = zero();
  Sum a = zero(), b = zero();
  for (int step = 0; step < kSteps / kSums; ++step) {
    for (Sum& sum : sums) sum = add(sum, a, b);
    asm volatile("" : "+x"(a), "+x"(b));  // keeps the compiler from removing the products
  }
  for (Sum& sum : sums) asm volatile("" : : "x"(sum));
}

int main(int, char** arguments) {
  const int threads = std::atoi(arguments[1]);
  const auto began = std::chrono::steady_clock::now();
  std::vector<std::thread> workers;
  for (int i = 0; i < threads; ++i) workers.emplace_back(work);
  for (std::thread& worker : workers) worker.join();
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - began;
  std::printf("%.0f\n", kProducts * kSteps * threads / seconds.count());
}
