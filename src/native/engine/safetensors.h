// A safetensors file, checked before anything is believed.

#pragma once

#include <cstdint>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace sunspring {

// What is wrong with a model, for people.
struct ModelError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

class Container {
 public:
  using Shape = std::vector<std::size_t>;

  // The file's name and what says which tensors it has are for messages. The content must outlive
  // this; throws ModelError, as all the rest does.
  Container(std::string name, std::string asking, std::string_view content);

  std::size_t count() const { return tensors_.size(); }
  const std::string& quantization() const { return quantization_; }  // of its metadata, or empty
  const Shape& shape(const std::string& name) const { return tensor(name).shape; }

  // The values of a tensor of this type and shape, whose product must not overflow.
  std::vector<float> floats(const std::string& name, const Shape& shape) const;
  std::vector<std::int8_t> bytes(const std::string& name, const Shape& shape) const;
  std::vector<std::int32_t> integers(const std::string& name, const Shape& shape) const;
  // The bytes of a tensor of unsigned ones, of any shape.
  std::string_view stream(const std::string& name) const;

 private:
  struct Tensor {
    std::string type;
    Shape shape;
    std::string_view data;
  };

  void parse(std::string_view content);
  const Tensor& tensor(const std::string& name) const;
  template <typename Value>
  std::vector<Value> values(const std::string& name, const char* type, const Shape& shape) const;
  [[noreturn]] void refuse(const std::string& what) const;
  [[noreturn]] void miss(const std::string& name) const;

  std::string name_, asking_;
  std::map<std::string, Tensor> tensors_;
  std::string quantization_;
};

}  // namespace sunspring
