#include "session.h"

#include <algorithm>
#include <iterator>

namespace sunspring {

Session::Session(const Vocabulary& vocabulary, std::vector<Voice> voices, std::size_t lanes,
                 std::size_t threads)
    : vocabulary_(vocabulary), voices_(std::move(voices)) {
  const Network& first = *voices_[0].network;
  const bool shares_rows = lanes == 1 && first.is_worth_sharing();
  workers_ = shares_rows ? threads : 1;
  const std::size_t groups = shares_rows ? 1 : std::min(lanes, threads);
  const std::size_t size = vocabulary_.pieces.size();
  for (std::size_t group = 0; group < groups; ++group) {
    groups_.push_back({{},
                       Sampler(size, first.kernels()),
                       std::vector<std::vector<Reading>>(voices_.size()),
                       {},
                       Aligned<float>(padded(size)),
                       false});
    groups_.back().lanes.resize(lanes * (group + 1) / groups - lanes * group / groups);
  }
}

std::size_t Session::add(Request request) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (request.texts) {
    waiting_.push_back({std::make_shared<const Request>(std::move(request)), requests_, 0});
  }
  return requests_++;
}

std::vector<Piece> Session::run(std::chrono::microseconds duration) {
  const Clock::time_point deadline = Clock::now() + duration;
  Barrier barrier(workers_);
  in_threads(groups_.size() * workers_, [&](std::size_t thread) {
    const Worker worker = {thread % workers_, workers_, workers_ > 1 ? &barrier : nullptr,
                           &is_cancelled_};
    Group& group = groups_[thread / workers_];
    if (worker.is_first()) {
      write(group, deadline, worker);
    } else {
      for (worker.wait(); !group.is_done; worker.wait()) step(group, worker);
    }
  });
  std::vector<Piece> result;
  for (Group& group : groups_) {
    std::move(group.pieces.begin(), group.pieces.end(), std::back_inserter(result));
    group.pieces.clear();
  }
  return result;
}

bool Session::is_over() const {
  if (is_cancelled_) return true;
  const std::lock_guard<std::mutex> lock(mutex_);
  return waiting_.empty() &&
         std::none_of(groups_.begin(), groups_.end(), [](const Group& group) {
           return std::any_of(group.lanes.begin(), group.lanes.end(),
                              [](const Lane& lane) { return lane.draft.has_value(); });
         });
}

void Session::write(Group& group, Clock::time_point deadline, const Worker& worker) {
  group.is_done = false;
  while (!is_cancelled_) {
    choose_tokens(group);
    if (group.readings[0].empty()) break;
    worker.wait();
    step(group, worker);
    if (Clock::now() >= deadline) break;  // after one at least, so that any duration gets on
  }
  group.is_done = true;
  worker.wait();
  for (Lane& lane : group.lanes) {
    if (!lane.draft) continue;
    std::string text = lane.draft->take();
    if (!text.empty()) {
      group.pieces.push_back(
          {lane.number, lane.seed, std::move(text), Finish::none, lane.draft->tokens()});
    }
  }
}

// Choose the next token of each lane's text, or of the next one where that is over.
void Session::choose_tokens(Group& group) {
  for (std::vector<Reading>& readings : group.readings) readings.clear();
  bool is_waiting = true;  // as far as is known
  for (Lane& lane : group.lanes) {
    do {
      if (!lane.draft && is_waiting) is_waiting = begin(lane);
    } while (lane.draft && !choose(group, lane));
    if (!lane.draft) continue;
    for (std::size_t voice = 0; voice < voices_.size(); ++voice) {
      const std::int32_t token = voices_[voice].tokens[lane.token];
      if (token >= 0) {
        group.readings[voice].push_back(
            {&lane.states[voice], token, lane.request->labels[voice]});
      }
    }
  }
}

void Session::step(const Group& group, const Worker& worker) const {
  for (std::size_t voice = 0; voice < voices_.size(); ++voice) {
    const std::vector<Reading>& readings = group.readings[voice];
    for (std::size_t first = 0; first < readings.size(); first += kMostTexts) {
      const std::size_t texts = std::min(kMostTexts, readings.size() - first);
      voices_[voice].network->step(&readings[first], texts, worker);
    }
  }
}

// Give a lane the next text that waits; tells whether there was one.
bool Session::begin(Lane& lane) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (waiting_.empty()) return false;
    Waiting& next = waiting_.front();
    lane.request = next.request;
    lane.number = next.number;
    lane.seed = next.request->seed + next.begun;
    if (++next.begun == next.request->texts) waiting_.pop_front();
  }
  lane.draft.emplace(vocabulary_, lane.request->draft, lane.seed);
  lane.states = lane.request->states;  // into the same memory
  lane.recent = lane.request->recent;
  return true;
}

// Choose a lane's next token; tells whether its text goes on.
bool Session::choose(Group& group, Lane& lane) {
  Draft& draft = *lane.draft;
  if (!draft.is_over()) {
    if (voices_.size() > 1) mix(group, lane);
    float* logits = lane.states[0].logits.data();
    draft.forbid(logits, kForbidden);
    lane.token = group.sampler.draw(lane.request->sampling, logits, lane.recent, draft.uniform());
    draft.push(lane.token);
    if (lane.recent.size() == Sampler::kWindow) lane.recent.erase(lane.recent.begin());
    lane.recent.push_back(lane.token);
  }
  if (!draft.is_over()) return true;
  group.pieces.push_back({lane.number, lane.seed, draft.take(), draft.finish(), draft.tokens()});
  lane.draft.reset();
  return false;
}

// Put into the first network's logits those of all, by their shares.
void Session::mix(Group& group, Lane& lane) const {
  const std::size_t tokens = vocabulary_.pieces.size();
  std::fill_n(group.mixed.data(), group.mixed.size(), kLeast);
  for (std::size_t index = 0; index < voices_.size(); ++index) {
    const Voice& voice = voices_[index];
    const Kernels& kernels = voice.network->kernels();
    Aligned<float> weights = lane.states[index].logits;  // kept, should it skip a token
    const float largest = kernels.largest(weights.data(), weights.size());
    kernels.exponentials(weights.data(), weights.size(), largest, 1);
    double total = 0;
    for (std::size_t token = 0; token < tokens; ++token) {
      if (voice.tokens[token] >= 0) total += weights[voice.tokens[token]];
    }
    const auto factor = static_cast<float>(voice.share / total);
    for (std::size_t token = 0; token < tokens; ++token) {
      if (voice.tokens[token] >= 0) {
        group.mixed[token] += factor * weights[voice.tokens[token]];
      }
    }
  }
  const Kernels& kernels = voices_[0].network->kernels();
  kernels.logarithms(group.mixed.data(), group.mixed.size());
  std::copy_n(group.mixed.data(), tokens, lane.states[0].logits.data());
}

}  // namespace sunspring
