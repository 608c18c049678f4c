// Questions to the control socket, and the publisher's clock. Private to `connection.cpp`.
#pragma once

#include <atomic>
#include <cmath>
#include <condition_variable>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <mutex>
#include <thread>
#include <zmq.hpp>

#include "unvisor/connection.hpp"

namespace unvisor {
namespace detail {

using Clock = std::chrono::steady_clock;
constexpr int kProbes = 10;
constexpr auto kFollowEvery = std::chrono::seconds(2);
constexpr double kMaxDrift = 200e-6;  // two crystals of +-100 ppm

inline double now_s() {
  return std::chrono::duration<double>(Clock::now().time_since_epoch()).count();
}

inline void use_keys(zmq::socket_t& socket, const Keys& keys) {
  if (keys.empty()) return;
  if (keys.server_public.size() != 40 || keys.client_public.size() != 40 ||
      keys.client_secret.size() != 40) {
    throw ConnectError(
        "A key is missing or not 40 characters long. Give the server's public key and this "
        "client's public and secret key, or a key file.");
  }
  try {
    socket.set(zmq::sockopt::curve_serverkey, keys.server_public);
    socket.set(zmq::sockopt::curve_publickey, keys.client_public);
    socket.set(zmq::sockopt::curve_secretkey, keys.client_secret);
  } catch (const zmq::error_t& error) {
    throw ConnectError(std::string("These keys cannot be used (") + error.what() +
                       "). Check that they are Z85 text and that libzmq was built with CURVE.");
  }
}

// Listens whether a socket's handshake fails: otherwise wrong keys look like a silent publisher.
class Handshakes {
 public:
  Handshakes(zmq::context_t& context, zmq::socket_t& watched)
      : watched_(watched), events_(context, zmq::socket_type::pair) {
    static std::atomic<unsigned> count{0};
    const std::string address = "inproc://unvisor-handshake-" + std::to_string(count++);
    const int failures = ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL |
                         ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH;
    zmq_socket_monitor(watched.handle(), address.c_str(), failures);
    events_.set(zmq::sockopt::linger, 0);
    events_.connect(address);
  }
  ~Handshakes() { zmq_socket_monitor(watched_.handle(), nullptr, 0); }
  Handshakes(const Handshakes&) = delete;
  Handshakes& operator=(const Handshakes&) = delete;

  // A peer that ends while it greets fails once without a reason; one that refuses, every time.
  bool failed() {
    zmq::message_t event;
    while (events_.recv(event, zmq::recv_flags::dontwait)) {
      if (!event.more() || event.size() < sizeof(std::uint16_t)) continue;  // the address
      std::uint16_t kind = 0;
      std::memcpy(&kind, event.data(), sizeof kind);
      failures_ += kind == ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL ? 1 : kEnough;
    }
    return failures_ >= kEnough;
  }

 private:
  zmq::socket_t& watched_;
  zmq::socket_t events_;
  static constexpr int kEnough = 2;
  int failures_ = 0;
};

[[noreturn]] inline void refuse(const std::string& where, const Keys& keys) {
  throw KeysRefused(where + (keys.empty()
                                 ? " wants a key. Make one there with `unvisor keys new NAME`, and "
                                   "give the file here."
                                 : " does not accept these keys. Check the server's public key, "
                                   "and that this client's key is allowed there."));
}

// One REQ socket for a few questions. A question without an answer ends it.
class Questions {
 public:
  // `stopping` ends the wait for an answer.
  Questions(zmq::context_t& context, const Options& options,
            const std::atomic<bool>* stopping = nullptr)
      : options_(options), stopping_(stopping), socket_(context, zmq::socket_type::req),
        handshakes_(context, socket_) {
    socket_.set(zmq::sockopt::linger, 0);
    socket_.set(zmq::sockopt::ipv6, 1);
    use_keys(socket_, options.keys);
    try {
      socket_.connect(options.control);
    } catch (const zmq::error_t&) {
      throw ConnectError("'" + options.control +
                         "' is no address. Write it as tcp://HOST:PORT, such as "
                         "tcp://127.0.0.1:50020.");
    }
  }

  std::string ask(const std::string& question) {
    socket_.send(zmq::buffer(question), zmq::send_flags::none);
    zmq::pollitem_t item{socket_.handle(), 0, ZMQ_POLLIN, 0};
    const auto deadline = Clock::now() + options_.answer_timeout;
    while (zmq::poll(&item, 1, Milliseconds(20)) == 0) {
      if (handshakes_.failed()) refuse(options_.control, options_.keys);
      if (Clock::now() > deadline || (stopping_ && *stopping_)) {
        throw NoAnswer("Nobody answers at " + options_.control +
                       ". Start `unvisor run` or `unvisor demo`, or check the address.");
      }
    }
    zmq::message_t answer;
    (void)socket_.recv(answer);
    return answer.to_string();
  }

 private:
  const Options& options_;
  const std::atomic<bool>* stopping_;
  zmq::socket_t socket_;
  Handshakes handshakes_;
};

// Publishing clock minus ours, from the answer that leaves the least doubt. After the first few
// questions one more is asked now and then, on a thread and a socket of its own: whoever reads
// pictures must not wait for a round trip.
class ClockFollower {
 public:
  ClockFollower(zmq::context_t& context, const Options& options)
      : context_(context), options_(options) {}
  ~ClockFollower() {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_all();
    if (thread_.joinable()) thread_.join();
  }
  ClockFollower(const ClockFollower&) = delete;
  ClockFollower& operator=(const ClockFollower&) = delete;

  // From nothing: what was known, and an answer that is under way, may be of another clock.
  void measure(Questions& questions) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      ++epoch_;
      doubt_s_ = std::numeric_limits<double>::infinity();
    }
    for (int i = 0; i < kProbes; ++i) probe(questions);
  }

  void follow() {
    thread_ = std::thread([this] { run(); });
  }

  double offset_s() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return offset_s_;
  }

 private:
  void run() {
    std::unique_ptr<Questions> questions;
    std::unique_lock<std::mutex> lock(mutex_);
    while (!wake_.wait_for(lock, kFollowEvery, [this] { return stopping_.load(); })) {
      lock.unlock();
      try {
        if (!questions) questions = std::make_unique<Questions>(context_, options_, &stopping_);
        probe(*questions);
      } catch (const std::exception&) {  // the reader finds out by itself when nobody is there
        questions.reset();
      }
      lock.lock();
    }
  }

  void probe(Questions& questions) {
    const unsigned epoch = this->epoch();
    const double asked_s = now_s();
    const std::string answer = questions.ask("t");
    const double answered_s = now_s();
    char* end = nullptr;
    const double theirs_s = std::strtod(answer.c_str(), &end);
    if (end == answer.c_str() || !std::isfinite(theirs_s)) {
      throw ConnectError("The control socket does not tell its time: " + answer.substr(0, 60));
    }
    const std::lock_guard<std::mutex> lock(mutex_);
    const double doubt_s = (answered_s - asked_s) / 2;
    const double known_to_s = doubt_s_ + kMaxDrift * (answered_s - answered_s_);  // by now
    if (epoch != epoch_ || doubt_s > known_to_s) return;
    offset_s_ = theirs_s - (asked_s + answered_s) / 2;
    doubt_s_ = doubt_s;
    answered_s_ = answered_s;
  }

  unsigned epoch() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return epoch_;
  }

  zmq::context_t& context_;
  const Options& options_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::atomic<bool> stopping_{false};
  std::thread thread_;
  unsigned epoch_ = 0;
  double offset_s_ = 0;
  double doubt_s_ = std::numeric_limits<double>::infinity();
  double answered_s_ = 0;
};

}  // namespace detail
}  // namespace unvisor
