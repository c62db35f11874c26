#include "dispatch.h"

#include <stdexcept>

namespace sunspring {

extern const Kernels avx512_kernels, avx2_kernels, neon_kernels, wasm_kernels, scalar_kernels;

namespace {

// The fastest first.
constexpr const Kernels* kAll[] = {
#ifdef SUNSPRING_HAS_AVX512
    &avx512_kernels,
#endif
#ifdef SUNSPRING_HAS_AVX2
    &avx2_kernels,
#endif
#ifdef SUNSPRING_HAS_NEON
    &neon_kernels,
#endif
#ifdef SUNSPRING_HAS_WASM
    &wasm_kernels,
#endif
#ifdef SUNSPRING_HAS_SCALAR
    &scalar_kernels,
#endif
};

}  // namespace

std::vector<std::string> instruction_sets() {
  std::vector<std::string> names;
  for (const Kernels* kernels : kAll) {
    if (kernels->is_supported()) names.emplace_back(kernels->name);
  }
  return names;
}

const Kernels& find_kernels(std::string_view instruction_set) {
  for (const Kernels* kernels : kAll) {
    const bool is_wanted = instruction_set.empty() || instruction_set == kernels->name;
    if (is_wanted && kernels->is_supported()) return *kernels;
  }
  throw std::invalid_argument("this build or this processor has no instruction set " +
                              std::string(instruction_set));
}

}  // namespace sunspring
