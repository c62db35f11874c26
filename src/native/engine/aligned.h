// Memory for vectors: at the beginning of a cache line, zeros at first.

#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <new>

namespace sunspring {

template <typename Value>
class Aligned {
 public:
  explicit Aligned(std::size_t size = 0) : size_(size), values_(size ? take(size) : nullptr) {
    std::fill_n(values_.get(), size, Value{});
  }
  Aligned(const Aligned& other) : size_(other.size_), values_(size_ ? take(size_) : nullptr) {
    std::copy_n(other.values_.get(), size_, values_.get());
  }
  Aligned(Aligned&&) = default;
  Aligned& operator=(const Aligned& other) {
    if (size_ != other.size_) return *this = Aligned(other);
    std::copy_n(other.values_.get(), size_, values_.get());
    return *this;
  }
  Aligned& operator=(Aligned&&) = default;

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

  std::size_t size_;
  std::unique_ptr<Value, Release> values_;
};

}  // namespace sunspring
