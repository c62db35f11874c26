#include "scoring.h"

#include <algorithm>
#include <stdexcept>

namespace sunspring {
namespace {

constexpr std::size_t kLong = 1024;  // tokens; of fewer, many are read together

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

Reading::Reading(std::shared_ptr<const Model> model, const Texts& texts, Wanted wanted,
                 std::size_t threads)
    : model_(std::move(model)),
      initial_(model_->network.initial()),
      wanted_(wanted),
      tokens_(model_->checked(texts.tokens)),
      crew_(1) {
  if (texts.labels.size && texts.labels.size != texts.lengths.size) {
    throw std::invalid_argument("the labels are not those of the texts");
  }
  const bool has_costs = wanted_ == Wanted::costs;
  result_.resize(has_costs ? tokens_.size() : texts.lengths.size * model_->outputs());
  std::size_t first = 0;
  for (std::size_t text = 0; text < texts.lengths.size; ++text) {
    const std::int64_t length = texts.lengths[text];
    if (length < 0 || static_cast<std::size_t>(length) > tokens_.size() - first) {
      throw std::invalid_argument("the lengths are not those of the texts");
    }
    const std::int32_t label = model_->checked_label(texts.labels.size ? texts.labels[text] : 0);
    const std::size_t place = has_costs ? first : text * model_->outputs();
    const auto size = static_cast<std::size_t>(length);
    texts_.push_back({tokens_.data() + first, size, label, result_.data() + place});
    first += size;
  }
  const auto short_ones = std::stable_partition(texts_.begin(), texts_.end(), [](const Text& text) {
    return text.size >= kLong;
  });
  long_.next = 0;
  short_.next = long_.end = static_cast<std::size_t>(short_ones - texts_.begin());
  short_.end = texts_.size();
  const bool is_shared = texts_.size() == 1 && long_.end && model_->network.is_worth_sharing();
  if (is_shared) crew_ = Crew(usable(threads));
  groups_.resize(is_shared ? 1 : usable(threads));
}

bool Reading::is_over() const {
  return std::all_of(groups_.begin(), groups_.end(),
                     [](const Group& group) { return group.is_done; });
}

std::size_t Reading::tokens_read() const {
  std::size_t total = 0;
  for (const Group& group : groups_) total += group.read;
  return total;
}

void Reading::run(std::chrono::microseconds duration) {
  const Clock::time_point deadline = Clock::now() + duration;
  crew_.take_turn(groups_.size(), [&](std::size_t index, const Worker& worker) {
    Group& group = groups_[index];
    if (!worker.is_first()) {
      for (worker.wait(); !group.is_paused; worker.wait()) read_on(group, worker);
      return std::size_t{0};
    }
    const std::size_t before = group.read;
    group.is_paused = false;
    do {
      if (!group.is_done) group.is_done = !read_some(group, worker);
    } while (!group.is_done && Clock::now() < deadline);
    group.is_paused = true;
    worker.wait();
    return group.read - before;
  });
}

// A text whose outputs are asked for is read to its end, another up to its last token.
std::size_t Reading::steps(const Text& text) const {
  return text.size + (wanted_ == Wanted::outputs ? 1 : 0);
}

// Whether there is something to read, of the text that was begun or of the next in the queue.
bool Reading::has_text(Lane& lane, Queue& queue) const {
  while (!lane.text || lane.read == steps(*lane.text)) {  // over texts that are empty
    const std::size_t next = queue.next++;
    lane.text = next < queue.end ? &texts_[next] : nullptr;
    if (!lane.text) return false;
    lane.read = 0;
    lane.state = initial_;
  }
  return true;
}

// What is read after so many further tokens.
Input Reading::input(const Lane& lane, std::size_t ahead, State& state) const {
  const std::size_t place = lane.read + ahead;
  return {&state, place ? lane.text->tokens[place - 1] : model_->vocabulary.start,
          lane.text->label};
}

// Keep what is asked for of the token that was read last.
void Reading::take(Group& group, Lane& lane, State& made) const {
  const Text& text = *lane.text;
  if (wanted_ == Wanted::costs) {
    text.result[lane.read] = cost(model_->network.kernels(), made, text.tokens[lane.read]);
  } else if (lane.read == text.size) {
    model_->network.copy_outputs(lane.state, text.result);
  }
  if (lane.read++ < text.size) ++group.read;
}

// The tokens that the first worker has chosen.
void Reading::read_on(Group& group, const Worker& worker) const {
  model_->network.read(group.alone.state, group.inputs.data(), group.inputs.size(), worker);
}

bool Reading::read_some(Group& group, const Worker& worker) {
  const Network& network = model_->network;
  group.inputs.clear();
  if (Lane& lane = group.alone; has_text(lane, long_)) {
    const std::size_t count = std::min(kMostTexts, steps(*lane.text) - lane.read);
    while (group.rooms.size() < kMostTexts) group.rooms.push_back(network.room());
    for (std::size_t i = 0; i < count; ++i) group.inputs.push_back(input(lane, i, group.rooms[i]));
    worker.wait();
    read_on(group, worker);
    for (std::size_t i = 0; i < count; ++i) take(group, lane, group.rooms[i]);
    return true;
  }
  group.reading.clear();
  group.lanes.resize(kMostTexts);
  for (Lane& lane : group.lanes) {
    if (!has_text(lane, short_)) continue;
    group.reading.push_back(&lane);
    group.inputs.push_back(input(lane, 0, lane.state));
  }
  network.step(group.inputs.data(), group.inputs.size());
  for (Lane* lane : group.reading) take(group, *lane, lane->state);
  return !group.reading.empty();
}

}  // namespace sunspring
