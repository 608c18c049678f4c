#include "unvisor/client.hpp"

#include <algorithm>
#include <deque>
#include <utility>

namespace unvisor {
namespace {

constexpr Milliseconds kPoll{50};    // how soon a closing client is noticed
constexpr Milliseconds kRetry{500};  // between attempts to connect
constexpr int kBatch = 64;           // messages drained before the newest are handed over
constexpr Milliseconds kCatchUp{100};  // after standing still, wait so long for what is new
constexpr double kLate_s = 0.1;        // later than usual by so much is a backlog
constexpr std::size_t kUsualOf = 100;  // arrivals whose least age is the usual one

using Batch = std::map<std::string, Arrival>;

// The key under which newer messages replace older ones.
std::string slot_of(const Message& message) {
  if (const Frame* frame = std::get_if<Frame>(&message)) return frame->topic;
  if (const Notification* word = std::get_if<Notification>(&message)) return word->subject;
  return "face.state";
}

// Tells the backlog that a client finds after standing still from what is published now: when a
// client does not read, the oldest messages are kept on the way and the newest are dropped.
class Backlog {
 public:
  bool is_late(const Batch& batch) const {
    bool late = false;
    for (const auto& [slot, arrival] : batch) {
      if (std::holds_alternative<Notification>(arrival.message)) continue;
      if (ages_s_.empty() || arrival.age_s - usual_s() <= kLate_s) return false;
      late = true;
    }
    return late;
  }
  void add(const Batch& batch) {
    if (is_late(batch)) ages_s_.clear();  // from now on this is the usual
    for (const auto& [slot, arrival] : batch) {
      if (!std::holds_alternative<Notification>(arrival.message)) ages_s_.push_back(arrival.age_s);
      if (ages_s_.size() > kUsualOf) ages_s_.pop_front();
    }
  }

 private:
  double usual_s() const { return *std::min_element(ages_s_.begin(), ages_s_.end()); }
  std::deque<double> ages_s_;
};

}  // namespace

Client::Client(Options options) : options_(std::move(options)) {
  status_.text = "Connecting to " + options_.control + ".";
  thread_ = std::thread([this] { run(); });
}

Client::~Client() {
  stopping_ = true;
  thread_.join();
}

std::optional<Newest<Frame>> Client::take_frame(const std::string& topic, Milliseconds timeout) {
  return take(frames_, topic, timeout);
}

std::optional<Newest<FaceState>> Client::take_state(Milliseconds timeout) {
  return take(states_, "face.state", timeout);
}

Status Client::status() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return status_;
}

void Client::run() {
  while (!stopping_) {
    try {
      Connection connection(options_);
      if (status().state != State::kPaused) {  // silence is what a pause sounds like
        tell(State::kWaiting, "Connected to " + connection.endpoint() + ", waiting for frames.");
      }
      read(connection);
      continue;
    } catch (const KeysRefused& error) {
      tell(State::kKeysRefused, error.what());
    } catch (const std::exception& error) {
      tell(State::kConnecting, error.what());
    }
    for (Milliseconds waited{0}; waited < kRetry && !stopping_; waited += kPoll) {
      std::this_thread::sleep_for(kPoll);
    }
  }
}

// Reads until the publisher falls silent; then the caller asks the control socket again, because a
// publisher that was started anew may have another port.
void Client::read(Connection& connection) {
  auto heard = std::chrono::steady_clock::now();
  std::size_t rejected = 0;
  Backlog backlog;
  while (!stopping_) {
    Batch newest;  // a taker never wakes for a frame of a backlog
    Milliseconds wait = kPoll;
    const auto started = std::chrono::steady_clock::now();
    do {
      std::optional<Arrival> arrival = connection.receive(wait);
      for (int i = 0; arrival && i < kBatch; ++i) {
        const std::string slot = slot_of(arrival->message);
        const bool replaced = !newest.insert_or_assign(slot, std::move(*arrival)).second;
        const std::lock_guard<std::mutex> lock(mutex_);
        ++status_.received;
        status_.skipped += replaced;
        arrival = i + 1 < kBatch ? connection.receive(Milliseconds(0)) : std::nullopt;
      }
      wait = Milliseconds(5);
    } while (backlog.is_late(newest) &&
             std::chrono::steady_clock::now() - started < kPoll + kCatchUp);
    backlog.add(newest);
    if (connection.rejected() != rejected) {
      rejected = connection.rejected();
      tell(State::kUnreadable, connection.last_error());
      const std::lock_guard<std::mutex> lock(mutex_);
      ++status_.rejected;
      heard = std::chrono::steady_clock::now();
    }
    if (!newest.empty()) heard = std::chrono::steady_clock::now();
    for (auto& [topic, message] : newest) keep(std::move(message));
    if (std::chrono::steady_clock::now() - heard > options_.silence) return;
  }
}

void Client::keep(Arrival arrival) {
  if (Frame* frame = std::get_if<Frame>(&arrival.message)) {
    const std::string topic = frame->topic;
    put(frames_, topic, std::move(*frame), arrival.age_s);
  } else if (FaceState* state = std::get_if<FaceState>(&arrival.message)) {
    put(states_, "face.state", std::move(*state), arrival.age_s);
  } else {
    const std::string& subject = std::get<Notification>(arrival.message).subject;
    if (subject == "unvisor.paused") tell(State::kPaused, "The wearer paused the stream.");
    if (subject == "unvisor.resumed") tell(State::kWaiting, "Resumed, waiting for frames.");
    return;
  }
  tell(State::kReceiving, "Receiving.");
}

void Client::tell(State state, const std::string& text) {
  const std::lock_guard<std::mutex> lock(mutex_);
  status_.state = state;
  status_.text = text;
}

template <typename Record>
void Client::put(std::map<std::string, Newest<Record>>& slots, const std::string& topic,
                 Record record, double age_s) {
  Newest<Record> item{std::move(record), age_s, std::chrono::steady_clock::now()};
  const std::lock_guard<std::mutex> lock(mutex_);
  status_.skipped += slots.count(topic);
  slots.insert_or_assign(topic, std::move(item));
  arrived_.notify_all();
}

template <typename Record>
std::optional<Newest<Record>> Client::take(std::map<std::string, Newest<Record>>& slots,
                                           const std::string& topic, Milliseconds timeout) {
  std::unique_lock<std::mutex> lock(mutex_);
  const auto has = [&] { return slots.count(topic) > 0; };
  if (!arrived_.wait_for(lock, timeout, has)) return std::nullopt;
  auto node = slots.extract(topic);
  return std::move(node.mapped());
}

}  // namespace unvisor
