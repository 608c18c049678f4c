// What unvisor publishes, as C++ values, and `decode`, which makes them from the parts of a message.
//
// Right and left are the wearer's own; px and rows count from the top left. docs/WIRE.md has the format.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace unvisor {

// A message that does not keep to the format; the text says which key or part, and why.
class MessageError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// A message of a topic that a later version may have added; a `Connection` skips it.
class UnknownTopic : public MessageError {
 public:
  using MessageError::MessageError;
};

// When a message's camera frame was taken. `capture_time_ns` never jumps; `timestamp` is the same
// instant on the publishing clock, which a client may set.
struct Times {
  double timestamp = 0;  // s
  std::int64_t capture_time_ns = 0;
  std::int64_t publish_time_ns = 0;
};

// One image: `jpeg.face`, `jpeg.world`, `jpeg.eye.0` (right) or `jpeg.eye.1` (left); the same with
// `bgr.` or `gray.`; or with `frame.`, in the format that some client asked for last.
struct Frame {
  std::string topic;
  int width = 0;   // px
  int height = 0;  // px
  std::int64_t index = 0;  // frame id; a gap is a drop
  Times times;
  std::string format;  // "jpeg", "bgr" or "gray"
  std::vector<std::string> status;  // such as LIVE; show unknown ones as they are
  std::string filler;
  std::string landmark_source;
  bool synthesised = false;  // whether any pixel was made rather than seen
  std::vector<std::uint8_t> pixels;  // a JPEG file, or height·width·3 (bgr) or height·width bytes
};

// The face of one camera frame, as numbers.
struct FaceState {
  std::int64_t index = 0;
  Times times;
  std::vector<float> landmarks;  // x, y, z of each point, px of frame.world; empty without a face
  float gaze[4] = {};            // rad: right yaw, right pitch, left yaw, left pitch
  float openness[2] = {};        // right, left; 0 shut to 1 open
  std::optional<std::int64_t> eye_ages_ns[2];  // right, left at the capture; none without an eye
  float frame_from_crop[6] = {};  // 2×3, row by row: px of frame.face to px of frame.world
  std::vector<std::string> status;
  std::string filler;
  std::string landmark_source;
  bool synthesised = false;  // whether any pixel of this frame's pictures was made rather than seen
  std::optional<double> video_delay_ms;  // what audio should wait for, without the client's share
};

// A word of the publisher, such as `unvisor.paused`.
struct Notification {
  std::string subject;
};

using Message = std::variant<Frame, FaceState, Notification>;

// The bytes of one part; the caller keeps them alive.
using Part = std::string_view;

// Reads one message; throws MessageError, and nothing else, for whatever is not as agreed.
Message decode(const std::vector<Part>& parts);

}  // namespace unvisor
