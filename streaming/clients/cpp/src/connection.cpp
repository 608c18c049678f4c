#include "unvisor/connection.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <limits>
#include <map>
#include <zmq.hpp>

namespace unvisor {
namespace {

using Clock = std::chrono::steady_clock;
constexpr int kProbes = 10;
constexpr int kKernelBufferBytes = 64 * 1024;  // small: seconds of old frames must not fit
constexpr std::size_t kMaxParts = 8;
constexpr std::int64_t kMaxPartBytes = 64 * 1024 * 1024;
constexpr double kClockMoved_s = 0.001;
constexpr auto kMeasureEvery = std::chrono::seconds(30);

double now_s() {
  return std::chrono::duration<double>(Clock::now().time_since_epoch()).count();
}

void use_keys(zmq::socket_t& socket, const Keys& keys) {
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

}  // namespace

namespace detail {

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

[[noreturn]] void refuse(const std::string& where, const Keys& keys) {
  throw KeysRefused(where + (keys.empty()
                                 ? " wants a key. Make one there with `unvisor keys new NAME`, and "
                                   "give the file here."
                                 : " does not accept these keys. Check the server's public key, "
                                   "and that this client's key is allowed there."));
}

// One REQ socket for a few questions. A question without an answer ends it.
class Questions {
 public:
  Questions(zmq::context_t& context, const Options& options)
      : options_(options), socket_(context, zmq::socket_type::req), handshakes_(context, socket_) {
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
      if (Clock::now() > deadline) {
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
  zmq::socket_t socket_;
  Handshakes handshakes_;
};

}  // namespace detail

Keys Keys::from_file(const std::string& path) {
  std::ifstream file(path);
  std::map<std::string, std::string> fields;
  std::string line;
  for (int lines = 0; lines < 100 && std::getline(file, line); ++lines) {
    // Lines such as `    public-key = "…"`; sections and comments have no quotes.
    const std::size_t name = line.find_first_not_of(" \t");
    const std::size_t equals = line.find(" = \""), last = line.rfind('"');
    if (name == std::string::npos || equals == std::string::npos || last < equals + 4) continue;
    fields[line.substr(name, equals - name)] = line.substr(equals + 4, last - equals - 4);
  }
  Keys keys{fields["server-key"], fields["public-key"], fields["secret-key"]};
  if (keys.server_public.empty() || keys.client_public.empty() || keys.client_secret.empty()) {
    throw ConnectError("'" + path +
                       "' is no client's key file with the server's key in it. Make one with "
                       "`unvisor keys new NAME` on the server, and check the path.");
  }
  return keys;
}

struct Connection::Sockets {
  explicit Sockets(const Options& options)
      : questions(context, options), frames(context, zmq::socket_type::sub),
        handshakes(context, frames) {}

  // Publishing clock minus ours, from the quickest of a few probes, which leaves the least doubt.
  void measure_clock() {
    double quickest_s = std::numeric_limits<double>::infinity();
    for (int i = 0; i < kProbes; ++i) {
      const double asked_s = now_s();
      const std::string answer = questions.ask("t");
      const double answered_s = now_s();
      char* end = nullptr;
      const double theirs_s = std::strtod(answer.c_str(), &end);
      if (end == answer.c_str() || !std::isfinite(theirs_s)) {
        throw ConnectError("The control socket does not tell its time: " + answer.substr(0, 60));
      }
      if (answered_s - asked_s < quickest_s) {
        quickest_s = answered_s - asked_s;
        offset_s = theirs_s - (asked_s + answered_s) / 2;
      }
    }
    measured = Clock::now();
    origin_s.reset();
  }

  // Age of what these times belong to, arriving now. A client may set the publishing clock: then
  // `timestamp` jumps against `capture_time_ns`, and the offset is measured anew.
  double age_s(const Times& times) {
    const double origin = times.timestamp - static_cast<double>(times.capture_time_ns) * 1e-9;
    const double arrived_s = now_s();
    const bool moved = origin_s && std::abs(origin - *origin_s) > kClockMoved_s;
    if (moved || Clock::now() - measured > kMeasureEvery) measure_clock();
    if (!origin_s) origin_s = origin;
    return arrived_s + offset_s - times.timestamp;
  }

  zmq::context_t context;
  detail::Questions questions;
  zmq::socket_t frames;
  detail::Handshakes handshakes;
  std::string version;
  std::string endpoint;
  double offset_s = 0;
  std::optional<double> origin_s;
  Clock::time_point measured;
  std::vector<zmq::message_t> parts;
  std::size_t rejected = 0;
  std::string last_error;
};

Connection::Connection(Options options) : options_(std::move(options)) {
  if (!options_.key_file.empty()) options_.keys = Keys::from_file(options_.key_file);
  sockets_ = std::make_unique<Sockets>(options_);
  Sockets& own = *sockets_;
  const std::string port = own.questions.ask("SUB_PORT");
  if (port.empty() || port.size() > 5 ||
      !std::all_of(port.begin(), port.end(), [](char c) { return c >= '0' && c <= '9'; })) {
    throw ConnectError(options_.control + " names no port: '" + port.substr(0, 60) +
                       "'. Check that this is unvisor's control port.");
  }
  own.version = own.questions.ask("v");
  own.measure_clock();
  own.endpoint = options_.control.substr(0, options_.control.rfind(':') + 1) + port;
  zmq::socket_t& frames = own.frames;
  frames.set(zmq::sockopt::linger, 0);
  frames.set(zmq::sockopt::ipv6, 1);
  frames.set(zmq::sockopt::rcvbuf, kKernelBufferBytes);
  frames.set(zmq::sockopt::rcvhwm, static_cast<int>(2 * options_.topics.size() + 2));
  frames.set(zmq::sockopt::maxmsgsize, kMaxPartBytes);
  frames.set(zmq::sockopt::reconnect_ivl_max, 1000);
  use_keys(frames, options_.keys);
  for (const std::string& topic : options_.topics) frames.set(zmq::sockopt::subscribe, topic);
  frames.set(zmq::sockopt::subscribe, "notify.unvisor.");
  frames.connect(own.endpoint);
}

Connection::~Connection() = default;

std::optional<Arrival> Connection::receive(Milliseconds timeout) {
  const auto deadline = Clock::now() + timeout;
  while (true) {
    try {
      return receive_any(timeout);
    } catch (const UnknownTopic&) {  // later versions add some, also below a prefix of ours
      if (timeout < Milliseconds(0)) continue;  // without end
      const auto left = std::chrono::ceil<Milliseconds>(deadline - Clock::now());
      if (left <= Milliseconds(0)) return std::nullopt;
      timeout = left;
    }
  }
}

std::optional<Arrival> Connection::receive_any(Milliseconds timeout) {
  Sockets& own = *sockets_;
  zmq::pollitem_t item{own.frames.handle(), 0, ZMQ_POLLIN, 0};
  if (zmq::poll(&item, 1, timeout) == 0) {
    if (own.handshakes.failed()) detail::refuse(own.endpoint, options_.keys);
    return std::nullopt;
  }
  std::vector<Part> views;
  own.parts.clear();
  do {
    zmq::message_t part;
    (void)own.frames.recv(part);
    own.parts.push_back(std::move(part));
    if (own.parts.size() > kMaxParts) own.parts.pop_back();
  } while (own.frames.get(zmq::sockopt::rcvmore));
  for (const zmq::message_t& part : own.parts) views.push_back(part.to_string_view());
  try {
    Arrival arrival{decode(views), 0};
    if (const Frame* frame = std::get_if<Frame>(&arrival.message)) {
      arrival.age_s = own.age_s(frame->times);
    } else if (const FaceState* state = std::get_if<FaceState>(&arrival.message)) {
      arrival.age_s = own.age_s(state->times);
    }
    return arrival;
  } catch (const UnknownTopic&) {
    throw;
  } catch (const MessageError& error) {
    ++own.rejected;
    own.last_error = error.what();
    return std::nullopt;
  }
}

const std::string& Connection::version() const { return sockets_->version; }
const std::string& Connection::endpoint() const { return sockets_->endpoint; }
double Connection::clock_offset_s() const { return sockets_->offset_s; }
std::size_t Connection::rejected() const { return sockets_->rejected; }
const std::string& Connection::last_error() const { return sockets_->last_error; }

}  // namespace unvisor
