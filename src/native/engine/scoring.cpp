#include "scoring.h"

#include <algorithm>
#include <atomic>
#include <stdexcept>

#include "team.h"

namespace sunspring {
namespace {

struct Text {
  const std::int32_t* tokens;
  std::size_t size;
  std::int32_t label;
  float* nats;     // (size), what each token costs; or null
  float* outputs;  // (layers, hidden), of all layers after the last token; or null
};

// A place where one text after another is read.
struct Lane {
  const Text* text = nullptr;
  std::size_t read = 0;  // tokens, the one that stands before every text included
  State state;

  // A text whose outputs are asked for is read to its end, another up to its last token.
  bool is_free() const { return !text || read == text->size + (text->outputs ? 1 : 0); }
};

// Nats of a token by the logits, which are spent.
float cost(const Kernels& kernels, State& state, std::int32_t token) {
  Aligned<float>& logits = state.logits;
  const float largest = kernels.largest(logits.data(), logits.size());
  const float below = largest - logits[token];
  alignas(64) float totals[kRows];
  std::fill_n(totals, kRows, kernels.exponentials(logits.data(), logits.size(), largest, 1));
  kernels.logarithms(totals, kRows);
  return below + totals[0];
}

// `tokens` are those of all texts, checked.
std::vector<Text> divided(const Model& model, const std::vector<std::int32_t>& tokens,
                          const Texts& texts) {
  if (texts.labels.size && texts.labels.size != texts.lengths.size) {
    throw std::invalid_argument("the labels are not those of the texts");
  }
  std::vector<Text> result;
  std::size_t first = 0;
  for (std::size_t text = 0; text < texts.lengths.size; ++text) {
    const std::int64_t length = texts.lengths[text];
    if (length < 0 || static_cast<std::size_t>(length) > tokens.size() - first) {
      throw std::invalid_argument("the lengths are not those of the texts");
    }
    const std::int32_t label = model.checked_label(texts.labels.size ? texts.labels[text] : 0);
    const auto size = static_cast<std::size_t>(length);
    result.push_back({tokens.data() + first, size, label, nullptr, nullptr});
    first += size;
  }
  return result;
}

// Read texts and fill in what they ask for.
void read_texts(const Model& model, const std::vector<Text>& texts, std::size_t threads) {
  const Network& network = model.network;
  const State initial = network.initial();
  std::atomic<std::size_t> begun{0};
  const auto begin_next = [&](Lane& lane) {
    const std::size_t index = begun++;
    lane.text = index < texts.size() ? &texts[index] : nullptr;
    lane.read = 0;
    if (lane.text) lane.state = initial;
    return lane.text != nullptr;
  };
  const auto take = [&network](Lane& lane) {
    const Text& text = *lane.text;
    if (text.outputs && lane.read == text.size) network.copy_outputs(lane.state, text.outputs);
    if (text.nats && lane.read < text.size) {
      text.nats[lane.read] = cost(network.kernels(), lane.state, text.tokens[lane.read]);
    }
    ++lane.read;
  };
  in_threads(threads, [&](std::size_t) {
    std::vector<Lane> lanes(kMostTexts);
    std::vector<Lane*> reading;
    std::vector<Input> inputs;
    do {
      reading.clear(), inputs.clear();
      for (Lane& lane : lanes) {
        while (lane.is_free() && begin_next(lane)) continue;  // over texts that are empty
        if (!lane.text) continue;
        const std::int32_t before =
            lane.read ? lane.text->tokens[lane.read - 1] : model.vocabulary.start;
        reading.push_back(&lane);
        inputs.push_back({&lane.state, before, lane.text->label});
      }
      network.step(inputs.data(), inputs.size());
      for (Lane* lane : reading) take(*lane);
    } while (!reading.empty());
  });
}

}  // namespace

std::vector<float> score(const Model& model, const Texts& texts, std::size_t threads) {
  const std::vector<std::int32_t> tokens = model.checked(texts.tokens);
  std::vector<Text> each = divided(model, tokens, texts);
  std::vector<float> nats(tokens.size());
  float* next = nats.data();
  for (Text& text : each) text.nats = next, next += text.size;
  read_texts(model, each, threads);
  return nats;
}

std::vector<float> encode(const Model& model, const Texts& texts, std::size_t threads) {
  const std::vector<std::int32_t> tokens = model.checked(texts.tokens);
  std::vector<Text> each = divided(model, tokens, texts);
  std::vector<float> outputs(each.size() * model.outputs());
  float* next = outputs.data();
  for (Text& text : each) text.outputs = next, next += model.outputs();
  read_texts(model, each, threads);
  return outputs;
}

}  // namespace sunspring
