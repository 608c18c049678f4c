// The client for a render loop: a thread reads, and the newest message of each topic waits for you.
#pragma once

#include <atomic>
#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "unvisor/connection.hpp"

namespace unvisor {

enum class State {
  kConnecting,   // nobody answered yet
  kWaiting,      // connected; no frame yet, or none for a while
  kReceiving,
  kPaused,       // the publisher said so
  kKeysRefused,
  kUnreadable,   // messages come, in a format or shape that this client cannot read
};

struct Status {
  State state = State::kConnecting;
  std::string text;            // one sentence for a person
  std::uint64_t received = 0;  // messages read
  std::uint64_t skipped = 0;   // overwritten by newer ones before anyone took them
  std::uint64_t rejected = 0;  // broken
};

template <typename Record>
struct Newest {
  Record record;
  double age_s = 0;  // at arrival, since the capture
  std::chrono::steady_clock::time_point arrived;

  // Age now: what a viewer sees when this is drawn at once.
  double age_now_s() const {
    return age_s +
           std::chrono::duration<double>(std::chrono::steady_clock::now() - arrived).count();
  }
};

// Connects, now or whenever a publisher appears, and again after it restarts. Never throws.
class Client {
 public:
  explicit Client(Options options);
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // The newest image of a topic that was not taken yet, waiting up to `timeout` for one.
  std::optional<Newest<Frame>> take_frame(const std::string& topic,
                                          Milliseconds timeout = Milliseconds(0));
  // The newest face state that was not taken yet.
  std::optional<Newest<FaceState>> take_state(Milliseconds timeout = Milliseconds(0));

  Status status() const;

 private:
  void run();
  void read(Connection& connection);
  void keep(Arrival arrival);
  void tell(State state, const std::string& text);
  template <typename Record>
  void put(std::map<std::string, Newest<Record>>& slots, const std::string& topic, Record record,
           double age_s);
  template <typename Record>
  std::optional<Newest<Record>> take(std::map<std::string, Newest<Record>>& slots,
                                     const std::string& topic, Milliseconds timeout);

  Options options_;
  std::atomic<bool> stopping_{false};
  mutable std::mutex mutex_;
  std::condition_variable arrived_;
  std::map<std::string, Newest<Frame>> frames_;
  std::map<std::string, Newest<FaceState>> states_;
  Status status_;
  std::thread thread_;
};

}  // namespace unvisor
