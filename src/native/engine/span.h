// Values that stand one after another in memory of somebody else.

#pragma once

#include <cstddef>
#include <vector>

namespace sunspring {

template <typename Value>
struct Span {
  Span() = default;
  Span(const Value* values, std::size_t size) : values(values), size(size) {}
  Span(const std::vector<Value>& of) : Span(of.data(), of.size()) {}

  const Value& operator[](std::size_t index) const { return values[index]; }
  const Value* begin() const { return values; }
  const Value* end() const { return values + size; }

  const Value* values = nullptr;
  std::size_t size = 0;
};

}  // namespace sunspring
