// unvisor-decode FILE [COLUMN,ROW ...]: reads one test vector and prints its values as JSON.
// unvisor-decode FILE --mutate COUNT: reads so many damaged copies of it; prints how many were refused.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <iterator>
#include <random>
#include <sstream>

#include "unvisor/messages.hpp"
#include "unvisor/picture.hpp"

namespace {

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (static_cast<unsigned char>(c) >= 0x20) out += c;
  }
  return out + "\"";
}

std::string number(double value) {
  char text[40];
  std::snprintf(text, sizeof text, "%.17g", value);
  return text;
}

template <typename Items, typename Write>
std::string list(const Items& items, Write write) {
  std::string out = "[";
  for (const auto& item : items) out += (out.size() > 1 ? "," : "") + write(item);
  return out + "]";
}

std::string times(const unvisor::Times& times) {
  return "\"timestamp\":" + number(times.timestamp) +
         ",\"capture_time_ns\":" + std::to_string(times.capture_time_ns) +
         ",\"publish_time_ns\":" + std::to_string(times.publish_time_ns);
}

struct Printer {
  int count;
  char** values;

  std::string operator()(const unvisor::Frame& frame) const {
    std::uint64_t sum = 0;
    for (const std::uint8_t byte : frame.pixels) sum += byte;
    std::ostringstream out;
    out << "\"kind\":\"frame\",\"topic\":" << quoted(frame.topic) << ",\"width\":" << frame.width
        << ",\"height\":" << frame.height << ",\"index\":" << frame.index << ","
        << times(frame.times) << ",\"format\":" << quoted(frame.format)
        << ",\"status\":" << list(frame.status, quoted) << ",\"filler\":" << quoted(frame.filler)
        << ",\"landmarks\":" << quoted(frame.landmark_source)
        << ",\"synthesised\":" << (frame.synthesised ? "true" : "false")
        << ",\"pixel_bytes\":" << frame.pixels.size() << ",\"pixel_sum\":" << sum;
    if (count > 0) out << ",\"pixels_bgr\":" << pixels(unvisor::picture_of(frame));
    return out.str();
  }

  std::string operator()(const unvisor::FaceState& state) const {
    std::ostringstream out;
    out << "\"kind\":\"face_state\",\"topic\":\"face.state\",\"index\":" << state.index << ","
        << times(state.times) << ",\"landmarks\":" << list(state.landmarks, number)
        << ",\"gaze\":" << list(state.gaze, number)
        << ",\"openness\":" << list(state.openness, number) << ",\"eye_ages_ns\":"
        << list(state.eye_ages_ns, [](auto age) { return age ? std::to_string(*age) : "null"; })
        << ",\"frame_from_crop\":" << list(state.frame_from_crop, number)
        << ",\"status\":" << list(state.status, quoted) << ",\"filler\":" << quoted(state.filler)
        << ",\"landmark_source\":" << quoted(state.landmark_source)
        << ",\"synthesised\":" << (state.synthesised ? "true" : "false");
    if (state.video_delay_ms) out << ",\"video_delay_ms\":" << number(*state.video_delay_ms);
    return out.str();
  }

  std::string operator()(const unvisor::Notification& word) const {
    return "\"kind\":\"notification\",\"topic\":" + quoted("notify." + word.subject) +
           ",\"subject\":" + quoted(word.subject);
  }

  std::string pixels(const unvisor::Picture& picture) const {
    std::string out = "[";
    for (int i = 0; i < count; ++i) {
      int column = 0, row = 0;
      std::sscanf(values[i], "%d,%d", &column, &row);
      const std::uint8_t* bgr = &picture.pixels.at(3u * (row * picture.width + column));
      std::ostringstream one;
      one << (i ? ",[" : "[") << column << "," << row << "," << +bgr[0] << "," << +bgr[1] << ","
          << +bgr[2] << "]";
      out += one.str();
    }
    return out + "]";
  }
};

// Changes, cuts, repeats or drops something in a copy of the parts. Only MessageError may come of it.
std::string mutate(const std::vector<unvisor::Part>& parts, int count) {
  std::mt19937 random(7);  // the same damage on every machine
  const auto below = [&random](std::size_t n) { return static_cast<std::size_t>(random()) % n; };
  int refused = 0;
  for (int i = 0; i < count; ++i) {
    std::vector<std::string> damaged(parts.begin(), parts.end());
    for (std::size_t changes = 1 + below(4); changes > 0; --changes) {
      std::string& part = damaged[below(damaged.size())];
      if (part.empty()) continue;
      const std::size_t place = below(part.size());
      switch (below(5)) {
        case 0: part[place] = static_cast<char>(random()); break;
        case 1: part[place] = static_cast<char>(0xc0 + below(64)); break;  // another type
        case 2: part.resize(place); break;
        case 3: part.insert(place, part.substr(place, below(16))); break;
        default: part.erase(place, 1 + below(4));
      }
    }
    if (below(50) == 0) damaged.pop_back();
    try {
      unvisor::decode({damaged.begin(), damaged.end()});
    } catch (const unvisor::MessageError&) {
      ++refused;
    }
  }
  return std::to_string(refused);
}

}  // namespace

int main(int count, char** values) {
  std::ifstream file(count > 1 ? values[1] : "", std::ios::binary);
  const std::string content((std::istreambuf_iterator<char>(file)),
                            std::istreambuf_iterator<char>());
  std::vector<unvisor::Part> parts;
  for (std::size_t place = 0; place + 4 <= content.size();) {
    const auto* byte = reinterpret_cast<const unsigned char*>(content.data() + place);
    const std::size_t length = byte[0] | byte[1] << 8 | byte[2] << 16 | std::size_t{byte[3]} << 24;
    if (length > content.size() - place - 4) return 2;
    parts.emplace_back(content.data() + place + 4, length);
    place += 4 + length;
  }
  if (parts.empty()) return 2;
  if (count == 4 && std::string(values[2]) == "--mutate") {
    std::cout << mutate(parts, std::atoi(values[3])) << "\n";
    return 0;
  }
  try {
    const std::string read = std::visit(Printer{count - 2, values + 2}, unvisor::decode(parts));
    std::cout << "{" << read << "}\n";
  } catch (const unvisor::MessageError& error) {
    std::cout << "{\"kind\":\"error\",\"message\":" << quoted(error.what()) << "}\n";
  }
  return 0;
}
