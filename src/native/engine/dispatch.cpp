#include "dispatch.h"

namespace sunspring {

extern const Kernels avx512_kernels, avx2_kernels, neon_kernels, wasm_kernels, scalar_kernels;

const std::vector<const Kernels*>& all_kernels() {
  static const std::vector<const Kernels*> all = {
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
  return all;
}

}  // namespace sunspring
