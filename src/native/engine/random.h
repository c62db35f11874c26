// Numbers in [0, 1) from a seed: Philox 4×64 with ten rounds (Salmon et al. 2011, "Parallel random
// numbers: as easy as 1, 2, 3"), in the order of numpy's `Generator(Philox(key=seed)).random()`.
// The n-th number depends on seed and n alone.

#pragma once

#include <array>
#include <cstdint>

namespace sunspring {

class Random {
 public:
  explicit Random(std::uint64_t seed) : seed_(seed) {}

  double next() {
    if (used_ == block_.size()) {
      block_ = philox(++counter_);
      used_ = 0;
    }
    return static_cast<double>(block_[used_++] >> 11) * 0x1p-53;
  }

 private:
  using Block = std::array<std::uint64_t, 4>;

  static std::uint64_t high_of_product(std::uint64_t a, std::uint64_t b) {
    const std::uint64_t a_low = a & 0xFFFFFFFF, a_high = a >> 32;
    const std::uint64_t b_low = b & 0xFFFFFFFF, b_high = b >> 32;
    const std::uint64_t cross = a_high * b_low + (a_low * b_low >> 32);
    const std::uint64_t other = a_low * b_high + (cross & 0xFFFFFFFF);
    return a_high * b_high + (cross >> 32) + (other >> 32);
  }

  Block philox(std::uint64_t counter) const {
    constexpr std::uint64_t kFirst = 0xD2E7470EE14C6C93, kSecond = 0xCA5A826395121157;
    constexpr std::uint64_t kGolden = 0x9E3779B97F4A7C15, kRoot = 0xBB67AE8584CAA73B;
    Block x = {counter, 0, 0, 0};
    std::uint64_t key = seed_, other_key = 0;
    for (int round = 0; round < 10; ++round, key += kGolden, other_key += kRoot) {
      x = {high_of_product(kSecond, x[2]) ^ x[1] ^ key, kSecond * x[2],
           high_of_product(kFirst, x[0]) ^ x[3] ^ other_key, kFirst * x[0]};
    }
    return x;
  }

  std::uint64_t seed_, counter_ = 0;
  Block block_{};
  std::size_t used_ = block_.size();
};

}  // namespace sunspring
