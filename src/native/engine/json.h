// A reader of JSON (RFC 8259) for files that nobody need trust: strict, bounded in depth, no
// recursion deeper than `kDeepest`.

#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace sunspring {

struct JsonError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

class Json {
 public:
  using Array = std::vector<Json>;
  using Object = std::vector<std::pair<std::string, Json>>;  // in the order of the file

  static constexpr int kDeepest = 32;

  // Parse a whole text; throws JsonError.
  static Json parse(std::string_view text);

  bool is_null() const { return std::holds_alternative<std::nullptr_t>(value_); }

  // What it holds; these throw JsonError if that is something else. A whole number is one from 0
  // to 2^53 that is written without a fraction and an exponent.
  bool boolean() const { return get<bool>("true or false"); }
  std::size_t whole() const;
  const std::string& text() const { return get<std::string>("a text"); }
  const Array& array() const { return get<Array>("a list"); }
  const Object& object() const { return get<Object>("an object"); }

  // A member of an object; null if there is none.
  const Json* find(std::string_view name) const;
  // The same, and throws JsonError if there is none.
  const Json& at(std::string_view name) const;

 private:
  friend class JsonParser;
  // Of a number that is not whole, negative or too large, nothing is kept but that it is one.
  struct Number {
    std::optional<std::uint64_t> whole;
  };
  using Value = std::variant<std::nullptr_t, bool, Number, std::string, Array, Object>;

  template <typename Kind>
  const Kind& get(const char* what) const {
    if (const Kind* held = std::get_if<Kind>(&value_)) return *held;
    throw JsonError(std::string("a value is not ") + what);
  }

  Value value_ = nullptr;
};

}  // namespace sunspring
