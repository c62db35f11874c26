// Memory for vectors: at the beginning of a cache line, zeros at first.

#pragma once

#include <cstddef>
#include <cstring>
#include <memory>
#include <new>
#include <type_traits>

namespace sunspring {

// It fills and copies by functions of the C library and has no loops of its own: parts of a program
// that are compiled for different processors use it, and the linker keeps one copy for them all.
template <typename Value>
class Aligned {
  static_assert(std::is_trivially_copyable_v<Value>);

 public:
  explicit Aligned(std::size_t size = 0) : size_(size), values_(size ? take(size) : nullptr) {
    clear();
  }
  Aligned(const Aligned& other) : size_(other.size_), values_(size_ ? take(size_) : nullptr) {
    copy(other);
  }
  Aligned(Aligned&&) = default;
  Aligned& operator=(const Aligned& other) {
    if (size_ != other.size_) return *this = Aligned(other);
    copy(other);
    return *this;
  }
  Aligned& operator=(Aligned&&) = default;

  void clear() {
    if (size_) std::memset(data(), 0, size_ * sizeof(Value));
  }

  Value* data() const { return values_.get(); }
  Value* end() const { return data() + size_; }
  std::size_t size() const { return size_; }
  Value& operator[](std::size_t index) const { return values_.get()[index]; }

 private:
  static constexpr std::align_val_t kLine{64};
  static Value* take(std::size_t size) {
    return static_cast<Value*>(::operator new(size * sizeof(Value), kLine));
  }
  struct Release {
    void operator()(Value* values) const { ::operator delete(values, kLine); }
  };

  void copy(const Aligned& other) {  // of the same size
    if (size_) std::memcpy(data(), other.data(), size_ * sizeof(Value));
  }

  std::size_t size_;
  std::unique_ptr<Value, Release> values_;
};

}  // namespace sunspring
