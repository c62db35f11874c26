#include "session.h"

#include <algorithm>
#include <numeric>
#include <stdexcept>

namespace sunspring {

Session::Session(std::shared_ptr<const Model> model, const std::vector<Blended>& blend,
                 std::size_t lanes, std::size_t threads)
    : crew_(1) {
  lanes = std::max<std::size_t>(lanes, 1), threads = usable(threads);
  const std::size_t size = model->tokens();
  std::vector<std::int32_t> own(size);
  std::iota(own.begin(), own.end(), 0);
  voices_.push_back({std::move(model), 1, std::move(own)});
  for (const Blended& each : blend) {
    if (each.tokens.size != size) {
      throw std::invalid_argument("a blended model lacks a token for each of the vocabulary");
    }
    voices_.push_back(
        {each.model, each.share, checked(each.tokens, Vocabulary::kNone, each.model->tokens())});
    voices_[0].share -= each.share;
  }
  const Network& first = voices_[0].model->network;
  const bool shares_rows = lanes == 1 && first.is_worth_sharing();
  if (shares_rows) crew_ = Crew(threads);
  const std::size_t groups = shares_rows ? 1 : std::min(lanes, threads);
  for (std::size_t group = 0; group < groups; ++group) {
    groups_.push_back({std::vector<Lane>(share(lanes, group, groups).size()),
                       Sampler(size, first.kernels()),
                       std::vector<std::vector<Input>>(voices_.size()),
                       {},
                       Aligned<float>(padded(size)),
                       false});
  }
}

std::size_t Session::add(const Request& request) {
  const Model& model = *voices_[0].model;
  const auto job = std::make_shared<Job>();
  if (request.readers.size() != voices_.size()) {
    throw std::invalid_argument("the readers are not those of the models");
  }
  for (std::size_t voice = 0; voice < voices_.size(); ++voice) {
    const Reader& reader = *request.readers[voice];
    if (reader.model() != voices_[voice].model) {
      throw std::invalid_argument("the readers are not those of the models");
    }
    job->states.push_back(reader.state());
    job->labels.push_back(reader.label());
  }
  job->recent = model.checked(request.recent);
  job->draft = request.draft;
  if (const Pattern* pattern = job->draft.pattern.get()) {
    if (pattern->characters.size() != model.tokens()) {
      throw std::invalid_argument("the pattern is of another vocabulary");
    }
    checked(0, 0, pattern->needed.size());  // there is a first state
  }
  if (request.known) {
    job->draft.novel = std::make_shared<const NovelTokens>(model.vocabulary, request.known);
    for (const char32_t each : code_points(request.prompt)) {
      job->draft.prompt.push_back(scatter(each));
    }
  }
  job->sampling = request.sampling;
  job->seed = request.seed, job->texts = request.texts;
  const Lock lock(mutex_);
  job->number = requests_++;
  if (job->texts) jobs_.emplace(job->number, job);
  return job->number;
}

std::vector<Piece> Session::run(std::chrono::microseconds duration) {
  const Clock::time_point deadline = Clock::now() + duration;
  crew_.take_turn(groups_.size(), [&](std::size_t index, Worker worker) {
    worker.cancelled = &is_cancelled_;
    Group& group = groups_[index];
    if (worker.is_first()) return write(group, deadline, worker);
    for (worker.wait(); !group.is_done; worker.wait()) step(group, worker);
    return std::size_t{0};
  });
  std::vector<Piece> result;
  for (Group& group : groups_) {
    for (Written& each : group.written) {
      if (!each.job->is_cancelled) result.push_back(std::move(each.piece));
    }
    group.written.clear();
  }
  return result;
}

bool Session::is_over() const {
  const Lock lock(mutex_);
  return is_cancelled_ || jobs_.empty();
}

void Session::cancel(std::size_t request) {
  std::shared_ptr<Job> job;  // outlives the lock
  const Lock lock(mutex_);
  const auto found = jobs_.find(request);
  if (found == jobs_.end()) return;
  job = std::move(found->second);
  job->is_cancelled = true;
  jobs_.erase(found);
}

// Gives the number of steps.
std::size_t Session::write(Group& group, Clock::time_point deadline, const Worker& worker) {
  std::size_t steps = 0;
  group.is_done = false;
  while (!is_cancelled_) {
    choose_tokens(group);
    if (group.inputs[0].empty()) break;
    worker.wait();
    step(group, worker), ++steps;
    if (Clock::now() >= deadline) break;  // after one at least, so that any duration gets on
  }
  group.is_done = true;
  worker.wait();
  for (Lane& lane : group.lanes) {
    if (lane.draft) keep_piece(group, lane);
  }
  return steps;
}

// Choose the next token of each lane's text, or of the next one where that is over.
void Session::choose_tokens(Group& group) {
  for (std::vector<Input>& inputs : group.inputs) inputs.clear();
  bool is_waiting = true;  // as far as is known
  for (Lane& lane : group.lanes) {
    if (lane.draft && lane.job->is_cancelled) lane.draft.reset();
    do {
      if (!lane.draft && is_waiting) is_waiting = begin(lane);
    } while (lane.draft && !choose(group, lane));
    if (!lane.draft) continue;
    for (std::size_t voice = 0; voice < voices_.size(); ++voice) {
      const std::int32_t token = voices_[voice].tokens[lane.token];
      if (token >= 0) {
        group.inputs[voice].push_back({&lane.states[voice], token, lane.job->labels[voice]});
      }
    }
  }
}

void Session::step(const Group& group, const Worker& worker) const {
  for (std::size_t voice = 0; voice < voices_.size(); ++voice) {
    const std::vector<Input>& inputs = group.inputs[voice];
    for (std::size_t first = 0; first < inputs.size(); first += kMostTexts) {
      const std::size_t texts = std::min(kMostTexts, inputs.size() - first);
      voices_[voice].model->network.step(&inputs[first], texts, worker);
    }
  }
}

// Give a lane the next text that waits; tells whether there was one.
bool Session::begin(Lane& lane) {
  std::shared_ptr<Job> job;
  {
    const Lock lock(mutex_);
    const auto next = jobs_.lower_bound(next_);
    if (next == jobs_.end()) return false;
    job = next->second;
    lane.seed = job->seed + job->begun;
    next_ = job->number + (++job->begun == job->texts);
  }
  lane.job = std::move(job);
  lane.draft.emplace(vocabulary(), lane.job->draft, lane.seed);
  lane.states = lane.job->states;  // into the same memory
  lane.recent = lane.job->recent;
  return true;
}

// Choose a lane's next token; tells whether its text goes on.
bool Session::choose(Group& group, Lane& lane) {
  Draft& draft = *lane.draft;
  if (!draft.is_over()) {
    if (voices_.size() > 1) mix(group, lane);
    float* logits = lane.states[0].logits.data();
    draft.forbid(logits, kForbidden);
    lane.token = group.sampler.draw(lane.job->sampling, logits, lane.recent, draft.uniform());
    draft.push(lane.token);
    if (lane.recent.size() == Sampler::kWindow) lane.recent.erase(lane.recent.begin());
    lane.recent.push_back(lane.token);
  }
  if (!draft.is_over()) return true;
  keep_piece(group, lane);
  end(lane);
  return false;
}

// Keep what was written of a text, if that is anything or its end.
void Session::keep_piece(Group& group, Lane& lane) {
  Draft& draft = *lane.draft;
  std::string text = draft.take();
  if (text.empty() && draft.finish() == Finish::none) return;
  group.written.push_back(
      {lane.job, {lane.job->number, lane.seed, std::move(text), draft.finish(), draft.tokens()}});
}

void Session::end(Lane& lane) {
  lane.draft.reset();
  const Lock lock(mutex_);
  if (++lane.job->over == lane.job->texts) jobs_.erase(lane.job->number);  // the lane keeps it
}

// Put into the first network's logits those of all, by their shares.
void Session::mix(Group& group, Lane& lane) const {
  const std::size_t tokens = voices_[0].model->tokens();
  std::fill_n(group.mixed.data(), group.mixed.size(), kLeast);
  for (std::size_t index = 0; index < voices_.size(); ++index) {
    const Voice& voice = voices_[index];
    const Kernels& kernels = voice.model->network.kernels();
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
  const Kernels& kernels = voices_[0].model->network.kernels();
  kernels.logarithms(group.mixed.data(), group.mixed.size());
  std::copy_n(group.mixed.data(), tokens, lane.states[0].logits.data());
}

}  // namespace sunspring
