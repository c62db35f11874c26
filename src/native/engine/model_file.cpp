#include "model_file.h"

#include <algorithm>
#include <cmath>

#include "json.h"

namespace sunspring {
namespace {

// Values of a matrix: fewer where a size has 32 bits, which must count the bytes of a padded one.
constexpr std::size_t kLargest = std::size_t{1} << (sizeof(std::size_t) > 4 ? 32 : 24);
constexpr std::size_t kWidest = std::size_t{1} << 16;   // columns of bytes whose sums fit 32 bits
constexpr std::size_t kFarthest = std::size_t{1} << 20;  // steps that a pointer may look back
constexpr std::string_view kQuantization = "int8-rows-1";

[[noreturn]] void fail(const std::string& what) { throw ModelError(what); }

Configuration read_configuration(const Json& json) {
  const auto size = [&](const char* name) {
    const std::size_t value = json.at(name).whole();
    if (value > kLargest) fail(std::string(name) + " is too large");
    return value;
  };
  Configuration result{};
  result.cell = json.at("cell").text();
  result.vocabulary_size = size("vocabulary_size");
  result.layers = size("layers");
  result.hidden_size = size("hidden_size");
  result.embedding_size = size("embedding_size");
  result.pointer = size("pointer");
  result.pointer_size = size("pointer_size");
  result.labels = json.at("labels").array().size();
  result.skip = json.at("skip").boolean();
  result.attention = json.at("attention").boolean();
  result.tied = json.at("tied").boolean();
  const std::string& activation = json.at("embedding_activation").text();
  result.squashes_embedding = activation == "tanh";
  if (activation != "tanh" && activation != "none") {
    fail("its embedding_activation, " + activation + ", is not one that this version runs");
  }
  if (result.cell != "rnn" && result.cell != "gru" && result.cell != "lstm") {
    fail("its cell, " + result.cell + ", is not one that this version runs");
  }
  for (const std::size_t least : {result.vocabulary_size, result.layers, result.hidden_size,
                                  result.embedding_size, result.pointer_size}) {
    if (least == 0) fail("a size in config.json is 0");
  }
  if (result.pointer > kFarthest || result.pointer > kLargest / result.pointer_size) {
    fail("its pointer looks back further than this version does");
  }
  if (result.tied && result.features() != result.embedding_size) {
    fail("config.json ties a head to an embedding of another width");
  }
  return result;
}

class Reader {
 public:
  Reader(const Configuration& configuration, const Container& container)
      : configuration_(configuration), container_(container) {}

  std::map<std::string, Tensor> read() {
    const Configuration& c = configuration_;
    const std::size_t gates = c.gates() * c.hidden_size;
    matrix("embedding.weight", c.vocabulary_size, c.embedding_size);
    if (c.labels) matrix("label_embedding.weight", c.labels, c.embedding_size);
    for (std::size_t layer = 0; layer < c.layers; ++layer) {
      const std::string name = "layers." + std::to_string(layer) + ".";
      const std::size_t below = layer ? c.hidden_size : 0;
      const std::size_t embedded = layer == 0 || c.skip ? c.embedding_size : 0;
      matrix(name + "weight_ih_l0", gates, below + embedded);
      matrix(name + "weight_hh_l0", gates, c.hidden_size);
      if (is_quantized() && c.cell != "gru") {
        vector(name + "bias", gates);
      } else {
        vector(name + "bias_ih_l0", gates);
        vector(name + "bias_hh_l0", gates);
        if (c.cell != "gru") add_biases(name);
      }
    }
    if (c.attention) matrix("attention.score.weight", 1, c.layer_features());
    if (c.pointer) {
      matrix("pointer.query.weight", c.pointer_size, c.features());
      matrix("pointer.key.weight", c.pointer_size, c.features());
      matrix("pointer.share.weight", 1, c.features());
      for (const char* name : {"pointer.share.bias", "pointer.sharpness", "pointer.sentinel"}) {
        vector(name, 1);
      }
    }
    if (!c.tied) matrix("head.weight", c.vocabulary_size, c.features());
    vector("head.bias", c.vocabulary_size);
    if (found_ != container_.count()) fail("model.safetensors has tensors that nothing asks for");
    return std::move(tensors_);
  }

 private:
  bool is_quantized() const { return !container_.quantization().empty(); }

  void matrix(const std::string& name, std::size_t rows, std::size_t columns) {
    if (columns && rows > kLargest / columns) fail("the " + name + " that config.json asks for is too large");
    Tensor& tensor = tensors_[name];
    tensor.rows = rows, tensor.columns = columns;
    if (is_quantized() && rows > 1) {
      if (columns > kWidest) fail(name + " is too wide for 8 bits");
      tensor.bytes = container_.bytes(name, {rows, columns});
      tensor.scales = container_.floats(name + ".scale", {rows});
      found_ += 2;
      const bool is_sound =
          std::none_of(tensor.bytes.begin(), tensor.bytes.end(), [](int b) { return b == -128; }) &&
          std::all_of(tensor.scales.begin(), tensor.scales.end(),
                      [](float s) { return s >= 0 && std::isfinite(s * 127); });
      if (!is_sound) fail(name + " in model.safetensors has a value or a scale that cannot be");
    } else {
      tensor.floats = container_.floats(name, {rows, columns});
      ++found_;
      check_finite(name, tensor);
    }
  }

  void vector(const std::string& name, std::size_t size) {
    Tensor& tensor = tensors_[name];
    tensor.rows = size, tensor.columns = 1;
    tensor.floats = container_.floats(name, {size});
    ++found_;
    check_finite(name, tensor);
  }

  void add_biases(const std::string& layer) {
    Tensor& sum = tensors_[layer + "bias"];
    sum = tensors_[layer + "bias_ih_l0"];
    const std::vector<float>& other = tensors_[layer + "bias_hh_l0"].floats;
    for (std::size_t row = 0; row < sum.rows; ++row) sum.floats[row] += other[row];
  }

  static void check_finite(const std::string& name, const Tensor& tensor) {
    if (!std::all_of(tensor.floats.begin(), tensor.floats.end(),
                     [](float x) { return std::isfinite(x); })) {
      fail(name + " in model.safetensors is not finite");
    }
  }

  const Configuration& configuration_;
  const Container& container_;
  std::map<std::string, Tensor> tensors_;
  std::size_t found_ = 0;
};

}  // namespace

ModelFile read_model(std::string_view configuration, std::string_view weights) {
  ModelFile result;
  try {
    result.configuration = read_configuration(Json::parse(configuration));
  } catch (const JsonError& error) {
    fail(std::string("config.json is damaged: ") + error.what());
  }
  const Container container("model.safetensors", "config.json", weights);
  const std::string& quantization = container.quantization();
  if (!quantization.empty() && quantization != kQuantization) {
    fail("it is quantized as " + quantization + ", which this version does not run");
  }
  result.is_quantized = !quantization.empty();
  result.tensors = Reader(result.configuration, container).read();
  return result;
}

}  // namespace sunspring
