#include "scoring.h"

#include <algorithm>
#include <atomic>

#include "team.h"

namespace sunspring {
namespace {

// A place where one text after another is read.
struct Lane {
  const ReadText* text = nullptr;
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

}  // namespace

void read_texts(const Network& network, std::int32_t start, const std::vector<ReadText>& texts,
                std::size_t threads) {
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
    const ReadText& text = *lane.text;
    if (text.outputs && lane.read == text.size) network.copy_outputs(lane.state, text.outputs);
    if (text.nats && lane.read < text.size) {
      text.nats[lane.read] = cost(network.kernels(), lane.state, text.tokens[lane.read]);
    }
    ++lane.read;
  };
  in_threads(threads, [&](std::size_t) {
    std::vector<Lane> lanes(kMostTexts);
    std::vector<Lane*> reading;
    std::vector<Reading> readings;
    do {
      reading.clear(), readings.clear();
      for (Lane& lane : lanes) {
        while (lane.is_free() && begin_next(lane)) continue;  // over texts that are empty
        if (!lane.text) continue;
        const std::int32_t before = lane.read ? lane.text->tokens[lane.read - 1] : start;
        reading.push_back(&lane);
        readings.push_back({&lane.state, before, lane.text->label});
      }
      network.step(readings.data(), readings.size());
      for (Lane* lane : reading) take(*lane);
    } while (!reading.empty());
  });
}

}  // namespace sunspring
