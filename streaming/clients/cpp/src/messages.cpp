#include "unvisor/messages.hpp"

#include <cmath>
#include <limits>

// Without this, msgpack's headers need Boost's.
#ifndef MSGPACK_NO_BOOST
#define MSGPACK_NO_BOOST
#endif
#include <msgpack.hpp>

namespace unvisor {
namespace {

constexpr std::size_t kMaxMapBytes = 128 * 1024;
constexpr std::size_t kMaxJpegBytes = 64 * 1024 * 1024;
constexpr std::int64_t kMaxSide = 16384;
constexpr std::int64_t kMaxPixels = 1 << 26;  // what decoding takes stays bounded
constexpr std::int64_t kMaxNs = std::numeric_limits<std::int64_t>::max();
constexpr std::size_t kMaxLandmarks = 1024;
constexpr double kMaxNumber = 1e12;  // also refuses NaN and infinity

// Reads checked values out of one map.
class Fields {
 public:
  Fields(std::string topic, Part packed) : topic_(std::move(topic)) {
    if (packed.size() > kMaxMapBytes) throw error("", "is too large a map");
    try {
      // The limits keep a list that claims four thousand million items from being allocated.
      const msgpack::unpack_limit limit(kMaxMapBytes, 1024, kMaxMapBytes, kMaxMapBytes,
                                        kMaxMapBytes, 32);
      handle_ = msgpack::unpack(packed.data(), packed.size(), nullptr, nullptr, limit);
    } catch (const std::exception& broken) {
      throw MessageError("The map of " + topic_ + " is not msgpack: " + broken.what() + ".");
    }
    if (handle_.get().type != msgpack::type::MAP) throw error("", "is no map");
  }

  std::int64_t integer(std::string_view key, std::int64_t low, std::int64_t high) const {
    return checked_integer(key, need(key), low, high);
  }

  double number(std::string_view key) const { return checked_number(key, need(key)); }

  bool has(std::string_view key) const { return find(key) != nullptr; }

  bool flag(std::string_view key) const {
    const msgpack::object& value = need(key);
    if (value.type != msgpack::type::BOOLEAN) throw error(key, "is neither true nor false");
    return value.via.boolean;
  }

  std::string text(std::string_view key) const { return checked_text(key, need(key)); }

  std::vector<std::string> texts(std::string_view key) const {
    std::vector<std::string> all;
    for (const msgpack::object& item : list(key)) all.push_back(checked_text(key, item));
    return all;
  }

  std::vector<float> numbers(std::string_view key) const {
    std::vector<float> all;
    for (const msgpack::object& item : list(key)) {
      all.push_back(static_cast<float>(checked_number(key, item)));
    }
    return all;
  }

  template <std::size_t N>
  void numbers(std::string_view key, float (&out)[N]) const {
    const std::vector<float> all = numbers(key);
    if (all.size() != N) throw error(key, "has not " + std::to_string(N) + " numbers");
    for (std::size_t i = 0; i < N; ++i) out[i] = all[i];
  }

  void ages(std::string_view key, std::optional<std::int64_t> (&out)[2]) const {
    const std::vector<msgpack::object> all = list(key);
    if (all.size() != 2) throw error(key, "has not 2 ages");
    for (std::size_t i = 0; i < 2; ++i) {
      if (!all[i].is_nil()) out[i] = checked_integer(key, all[i], -kMaxNs, kMaxNs);
    }
  }

  std::optional<double> optional_number(std::string_view key) const {
    const msgpack::object* value = find(key);
    if (value == nullptr || value->is_nil()) return std::nullopt;
    return checked_number(key, *value);
  }

  Times times() const {
    return {number("timestamp"), integer("capture_time_ns", 0, kMaxNs),
            integer("publish_time_ns", 0, kMaxNs)};
  }

  MessageError error(std::string_view key, const std::string& why) const {
    const std::string what = key.empty() ? "Message" : "'" + std::string(key) + "' of";
    return MessageError(what + " " + topic_ + " " + why + ".");
  }

 private:
  const msgpack::object* find(std::string_view key) const {
    const msgpack::object_map& map = handle_.get().via.map;
    for (std::uint32_t i = 0; i < map.size; ++i) {
      const msgpack::object& name = map.ptr[i].key;
      if (name.type == msgpack::type::STR &&
          key == std::string_view(name.via.str.ptr, name.via.str.size)) {
        return &map.ptr[i].val;
      }
    }
    return nullptr;
  }

  const msgpack::object& need(std::string_view key) const {
    const msgpack::object* value = find(key);
    if (value == nullptr) throw error(key, "is missing");
    return *value;
  }

  std::vector<msgpack::object> list(std::string_view key) const {
    const msgpack::object& value = need(key);
    if (value.type != msgpack::type::ARRAY) throw error(key, "is no list");
    return {value.via.array.ptr, value.via.array.ptr + value.via.array.size};
  }

  std::int64_t checked_integer(std::string_view key, const msgpack::object& value,
                               std::int64_t low, std::int64_t high) const {
    std::int64_t number = 0;
    if (value.type == msgpack::type::POSITIVE_INTEGER && value.via.u64 <= INT64_MAX) {
      number = static_cast<std::int64_t>(value.via.u64);
    } else if (value.type == msgpack::type::NEGATIVE_INTEGER) {
      number = value.via.i64;
    } else {
      throw error(key, "is no whole number");
    }
    if (number < low || number > high) throw error(key, "is out of range");
    return number;
  }

  double checked_number(std::string_view key, const msgpack::object& value) const {
    double number = 0;
    if (value.type == msgpack::type::FLOAT64 || value.type == msgpack::type::FLOAT32) {
      number = value.via.f64;
    } else {
      number = static_cast<double>(checked_integer(key, value, -kMaxNs, kMaxNs));
    }
    if (!(std::abs(number) <= kMaxNumber)) throw error(key, "is no finite number in range");
    return number;
  }

  std::string checked_text(std::string_view key, const msgpack::object& value) const {
    if (value.type != msgpack::type::STR || value.via.str.size > 128) {
      throw error(key, "is no short text");
    }
    return {value.via.str.ptr, value.via.str.size};
  }

  std::string topic_;
  msgpack::object_handle handle_;
};

void check_pixels(const Frame& frame, const Fields& fields) {
  const std::size_t bytes = frame.pixels.size();
  if (std::int64_t{frame.width} * frame.height > kMaxPixels) {
    throw fields.error("", "promises too many pixels");
  }
  if (frame.format == "jpeg") {
    const bool is_jpeg = bytes >= 2 && frame.pixels[0] == 0xff && frame.pixels[1] == 0xd8;
    if (!is_jpeg || bytes > kMaxJpegBytes) throw fields.error("", "holds no JPEG of usable size");
  } else if (frame.format == "bgr" || frame.format == "gray") {
    const std::size_t channels = frame.format == "bgr" ? 3 : 1;
    const std::size_t wanted = channels * static_cast<std::size_t>(frame.width) *
                               static_cast<std::size_t>(frame.height);
    if (bytes != wanted) {
      throw fields.error("", "has " + std::to_string(bytes) + " bytes of pixels, not " +
                                 std::to_string(wanted));
    }
  } else {
    throw fields.error("format", "is '" + frame.format +
                                     "', which this client cannot read: subscribe to "
                                     "jpeg." + frame.topic.substr(frame.topic.find('.') + 1));
  }
}

Frame decode_frame(std::string topic, const Fields& fields, Part pixels) {
  Frame frame;
  frame.topic = std::move(topic);
  frame.width = static_cast<int>(fields.integer("width", 1, kMaxSide));
  frame.height = static_cast<int>(fields.integer("height", 1, kMaxSide));
  frame.index = fields.integer("index", 0, kMaxNs);
  frame.times = fields.times();
  frame.format = fields.text("format");
  frame.status = fields.texts("status");
  frame.filler = fields.text("filler");
  frame.landmark_source = fields.text("landmarks");
  frame.synthesised = fields.flag("synthesised");
  frame.pixels.assign(pixels.begin(), pixels.end());
  check_pixels(frame, fields);
  return frame;
}

FaceState decode_face_state(const Fields& fields) {
  FaceState state;
  state.landmarks = fields.numbers("landmarks");
  if (state.landmarks.size() % 3 != 0 || state.landmarks.size() > 3 * kMaxLandmarks) {
    throw fields.error("landmarks", "is no list of points");
  }
  state.index = fields.integer("index", 0, kMaxNs);
  state.times = fields.times();
  fields.numbers("gaze", state.gaze);
  fields.numbers("openness", state.openness);
  fields.ages("eye_ages_ns", state.eye_ages_ns);
  fields.numbers("frame_from_crop", state.frame_from_crop);
  state.status = fields.texts("status");
  state.filler = fields.text("filler");
  state.landmark_source = fields.text("landmark_source");
  // Publishers of before the key: rather too often than too seldom.
  state.synthesised = fields.has("synthesised") ? fields.flag("synthesised") : state.filler != "none";
  state.video_delay_ms = fields.optional_number("video_delay_ms");
  return state;
}

// Whether a topic carries an image: `frame.face`, or `jpeg.face` and so on, whose format is certain.
bool is_frame(const std::string& topic) {
  const std::size_t dot = topic.find('.');
  const std::string kind = topic.substr(0, dot);
  const std::string picture = dot == std::string::npos ? "" : topic.substr(dot + 1);
  const bool is_kind = kind == "frame" || kind == "jpeg" || kind == "bgr" || kind == "gray" ||
                       kind == "h264";
  return is_kind && (picture == "face" || picture == "world" || picture == "eye.0" ||
                     picture == "eye.1");
}

}  // namespace

Message decode(const std::vector<Part>& parts) {
  if (parts.empty() || parts[0].size() > 128) throw MessageError("The message has no topic.");
  const std::string topic(parts[0]);
  const bool has_pixels = is_frame(topic);
  const bool is_word = topic.rfind("notify.", 0) == 0;
  if (!has_pixels && !is_word && topic != "face.state") {
    throw UnknownTopic("The topic " + topic + " is unknown.");
  }
  const std::size_t wanted = has_pixels ? 3 : 2;
  if (parts.size() != wanted) {
    throw MessageError(topic + " has " + std::to_string(parts.size()) + " parts, not " +
                       std::to_string(wanted) + ".");
  }
  const Fields fields(topic, parts[1]);
  if (has_pixels) return decode_frame(topic, fields, parts[2]);
  if (is_word) return Notification{fields.text("subject")};
  return decode_face_state(fields);
}

}  // namespace unvisor
