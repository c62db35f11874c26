// Memory for tables that are looked up all over: in huge pages where the system has them, so that a
// look-up does not wait for the page's address as well.

#pragma once

#include <cstddef>
#include <new>

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace sunspring {

template <typename Value>
struct HugePages {
  using value_type = Value;

  HugePages() = default;
  template <typename Other>
  HugePages(const HugePages<Other>&) {}

  Value* allocate(std::size_t count) {
    // Whole pages, so that none is shared with what does not ask for it.
    const std::size_t bytes = (count * sizeof(Value) + kPage - 1) / kPage * kPage;
    void* place = ::operator new(bytes, std::align_val_t{kPage});
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    madvise(place, bytes, MADV_HUGEPAGE);
#endif
    return static_cast<Value*>(place);
  }
  void deallocate(Value* place, std::size_t) { ::operator delete(place, std::align_val_t{kPage}); }

  template <typename Other>
  bool operator==(const HugePages<Other>&) const {
    return true;
  }

 private:
  static constexpr std::size_t kPage = std::size_t{1} << 21;
};

}  // namespace sunspring
