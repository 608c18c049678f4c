// One connection to a publisher, for one thread: asks the control socket, then receives messages.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "unvisor/messages.hpp"

namespace unvisor {

using Milliseconds = std::chrono::milliseconds;

// Z85 texts of 40 characters. All three, or all empty for a stream that is not encrypted.
struct Keys {
  std::string server_public;
  std::string client_public;
  std::string client_secret;

  bool empty() const {
    return server_public.empty() && client_public.empty() && client_secret.empty();
  }
  // Reads a file that `unvisor keys new` made; throws ConnectError.
  static Keys from_file(const std::string& path);
};

struct Options {
  std::string control = "tcp://127.0.0.1:50020";
  std::vector<std::string> topics = {"jpeg.face", "face.state"};  // or prefixes of them
  Keys keys;
  std::string key_file;  // read instead of `keys`, if given, whenever a connection is made
  Milliseconds answer_timeout{1000};
  Milliseconds silence{2000};  // without any message; then the control socket is asked again
};

// The publisher cannot be used; the text is one sentence with the next step.
class ConnectError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};
// Nobody answers at the control address.
class NoAnswer : public ConnectError {
 public:
  using ConnectError::ConnectError;
};
// Somebody listens, but does not accept our keys (or wants some, or has none).
class KeysRefused : public ConnectError {
 public:
  using ConnectError::ConnectError;
};

// A message and how old what it shows was when it arrived.
struct Arrival {
  Message message;
  double age_s = 0;  // since the capture, on the publisher's clock as measured; 0 for a word
};

class Connection {
 public:
  // Asks SUB_PORT, v and t, then subscribes. Throws NoAnswer, KeysRefused or ConnectError.
  explicit Connection(Options options);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // The next message in order; none after `timeout`, or when a broken one came (see `rejected`).
  // Topics that are unknown are skipped.
  std::optional<Arrival> receive(Milliseconds timeout);

  const std::string& version() const;     // what `v` answered
  const std::string& endpoint() const;    // where frames come from
  double clock_offset_s() const;          // publishing clock minus this machine's
  std::size_t rejected() const;           // broken messages so far
  const std::string& last_error() const;  // about the newest of them

 private:
  struct Sockets;
  std::optional<Arrival> receive_any(Milliseconds timeout);  // throws UnknownTopic
  Options options_;
  std::unique_ptr<Sockets> sockets_;
};

}  // namespace unvisor
