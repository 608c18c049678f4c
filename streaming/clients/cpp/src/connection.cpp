#include "unvisor/connection.hpp"

#include "control.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <map>
#include <zmq.hpp>

namespace unvisor {
namespace {

constexpr int kKernelBufferBytes = 64 * 1024;  // small: seconds of old frames must not fit
constexpr std::size_t kMaxParts = 8;
constexpr std::int64_t kMaxPartBytes = 64 * 1024 * 1024;
constexpr double kClockMoved_s = 0.001;

}  // namespace

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
        handshakes(context, frames), clock(context, options) {}

  // Age of what these times belong to, arriving now. A client may set the publishing clock: then
  // `timestamp` jumps against `capture_time_ns`, and the offset is measured anew.
  double age_s(const Times& times) {
    const double origin = times.timestamp - static_cast<double>(times.capture_time_ns) * 1e-9;
    const double arrived_s = detail::now_s();
    if (origin_s && std::abs(origin - *origin_s) > kClockMoved_s) {
      clock.measure(questions);
      origin_s.reset();
    }
    if (!origin_s) origin_s = origin;
    return arrived_s + clock.offset_s() - times.timestamp;
  }

  zmq::context_t context;
  detail::Questions questions;
  zmq::socket_t frames;
  detail::Handshakes handshakes;
  std::string version;
  std::string endpoint;
  detail::ClockFollower clock;
  std::optional<double> origin_s;  // of the publishing clock on the monotonic one
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
  own.clock.measure(own.questions);
  own.endpoint = options_.control.substr(0, options_.control.rfind(':') + 1) + port;
  zmq::socket_t& frames = own.frames;
  frames.set(zmq::sockopt::linger, 0);
  frames.set(zmq::sockopt::ipv6, 1);
  frames.set(zmq::sockopt::rcvbuf, kKernelBufferBytes);
  frames.set(zmq::sockopt::rcvhwm, static_cast<int>(2 * options_.topics.size() + 2));
  frames.set(zmq::sockopt::maxmsgsize, kMaxPartBytes);
  frames.set(zmq::sockopt::reconnect_ivl_max, 1000);
  detail::use_keys(frames, options_.keys);
  for (const std::string& topic : options_.topics) frames.set(zmq::sockopt::subscribe, topic);
  frames.set(zmq::sockopt::subscribe, "notify.unvisor.");
  frames.connect(own.endpoint);
  own.clock.follow();
}

Connection::~Connection() = default;

std::optional<Arrival> Connection::receive(Milliseconds timeout) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  while (true) {
    try {
      return receive_any(timeout);
    } catch (const UnknownTopic&) {  // later versions add some, also below a prefix of ours
      if (timeout < Milliseconds(0)) continue;  // without end
      const auto left = std::chrono::ceil<Milliseconds>(
          deadline - std::chrono::steady_clock::now());
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
double Connection::clock_offset_s() const { return sockets_->clock.offset_s(); }
std::size_t Connection::rejected() const { return sockets_->rejected; }
const std::string& Connection::last_error() const { return sockets_->last_error; }

}  // namespace unvisor
