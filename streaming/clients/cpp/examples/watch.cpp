// unvisor-watch: prints how fast and how old the pictures arrive, and can save one.
//
//   unvisor-watch [--control tcp://127.0.0.1:50020] [--key me.key] [--topic jpeg.face]
//                 [--seconds 5] [--frames N] [--save picture.jpg|picture.ppm] [--every] [--lines]
//
// `--every` takes each picture in order instead of the newest ones only; `--lines` prints one line
// for each, `frame INDEX BYTES AGE_MS`. `--key` is for the encrypted stream of another machine.
#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <limits>
#include <string>
#include <vector>

#include "unvisor/client.hpp"
#include "unvisor/picture.hpp"

namespace {

using Clock = std::chrono::steady_clock;

struct Arguments {
  unvisor::Options options;
  std::string topic = "jpeg.face";
  std::string save;
  double seconds = std::numeric_limits<double>::infinity();
  long frames = std::numeric_limits<long>::max();
  bool every = false;
  bool lines = false;
};

class Statistics {
 public:
  void add(const unvisor::Frame& frame, double age_s) {
    if (ages_ms_.empty()) first_ = Clock::now();
    if (!ages_ms_.empty() && frame.index > last_index_) drops_ += frame.index - last_index_ - 1;
    last_index_ = frame.index;
    last_ = Clock::now();
    ages_ms_.push_back(age_s * 1e3);
  }
  long frames() const { return static_cast<long>(ages_ms_.size()); }
  double elapsed_s() const {
    return ages_ms_.empty() ? 0 : std::chrono::duration<double>(Clock::now() - first_).count();
  }
  void print() {
    std::sort(ages_ms_.begin(), ages_ms_.end());
    const double span_s = std::chrono::duration<double>(last_ - first_).count();
    const double fps = span_s > 0 ? static_cast<double>(frames() - 1) / span_s : 0;
    std::printf("frames %ld  fps %.1f  age_ms p50 %.2f p99 %.2f  drops %lld\n", frames(), fps,
                percentile(0.50), percentile(0.99), static_cast<long long>(drops_));
  }

 private:
  double percentile(double part) const {
    if (ages_ms_.empty()) return 0;
    return ages_ms_[static_cast<std::size_t>(part * static_cast<double>(ages_ms_.size() - 1))];
  }
  std::vector<double> ages_ms_;
  std::int64_t last_index_ = 0;
  std::int64_t drops_ = 0;
  Clock::time_point first_, last_;
};

constexpr char kUsage[] =
    "unvisor-watch [--control tcp://127.0.0.1:50020] [--key me.key] [--topic jpeg.face]\n"
    "              [--seconds 5] [--frames N] [--save picture.jpg|picture.ppm] [--every] [--lines]\n"
    "Tells how fast and how old the pictures arrive; --every: in order, not the newest only;\n"
    "--lines: one line for each. Ends with Ctrl-C, --seconds or --frames.\n";

double number_of(const std::string& name, const std::string& value) {
  std::size_t used = 0;
  double number = 0;
  try {
    number = std::stod(value, &used);
  } catch (const std::exception&) {
    used = 0;
  }
  if (used == 0 || used != value.size()) {
    throw std::invalid_argument(name + " takes a number, not '" + value + "'.");
  }
  return number;
}

Arguments read_arguments(int count, char** values) {
  Arguments arguments;
  for (int i = 1; i < count; ++i) {
    const std::string name = values[i];
    if (name == "--every" || name == "--lines") {
      (name == "--every" ? arguments.every : arguments.lines) = true;
      continue;
    }
    if (i + 1 == count) throw std::invalid_argument(name + " needs a value.");
    const std::string value = values[++i];
    if (name == "--control") arguments.options.control = value;
    else if (name == "--key") arguments.options.key_file = value;
    else if (name == "--topic") arguments.topic = value;
    else if (name == "--save") arguments.save = value;
    else if (name == "--seconds") arguments.seconds = number_of(name, value);
    else if (name == "--frames") arguments.frames = static_cast<long>(number_of(name, value));
    else throw std::invalid_argument("There is no option " + name + ". --help lists them.");
  }
  arguments.options.topics = {arguments.topic};
  return arguments;
}

void save(const unvisor::Frame& frame, const std::string& path) {
  std::ofstream file(path, std::ios::binary);
  const auto write = [&file](const std::vector<std::uint8_t>& bytes) {
    file.write(reinterpret_cast<const char*>(bytes.data()),
               static_cast<std::streamsize>(bytes.size()));
  };
  const bool wants_jpeg = path.size() > 4 && path.substr(path.size() - 4) == ".jpg";
  if (wants_jpeg && frame.format == "jpeg") {
    write(frame.pixels);
  } else {
    unvisor::Picture picture = unvisor::picture_of(frame);
    if (picture.channels == 3) {  // PPM wants red first
      for (std::size_t i = 0; i + 2 < picture.pixels.size(); i += 3) {
        std::swap(picture.pixels[i], picture.pixels[i + 2]);
      }
    }
    file << (picture.channels == 3 ? "P6" : "P5") << '\n'
         << picture.width << ' ' << picture.height << "\n255\n";
    write(picture.pixels);
  }
  if (!file) throw std::runtime_error("Cannot write " + path + ".");
}

void print_line(const unvisor::Frame& frame, double age_s) {
  std::printf("frame %lld %zu %.3f\n", static_cast<long long>(frame.index), frame.pixels.size(),
              age_s * 1e3);
  std::fflush(stdout);
}

// Every picture in order.
void watch_every(const Arguments& arguments, Statistics& seen, unvisor::Frame& newest) {
  unvisor::Connection connection(arguments.options);
  std::printf("connected %s version %s\n", connection.endpoint().c_str(),
              connection.version().c_str());
  std::fflush(stdout);
  while (seen.frames() < arguments.frames && seen.elapsed_s() < arguments.seconds) {
    const std::size_t rejected = connection.rejected();
    auto arrival = connection.receive(arguments.options.silence);
    if (!arrival && connection.rejected() == rejected) throw unvisor::NoAnswer("The stream ended.");
    if (!arrival) throw unvisor::MessageError(connection.last_error());
    if (auto* frame = std::get_if<unvisor::Frame>(&arrival->message)) {
      seen.add(*frame, arrival->age_s);
      if (arguments.lines) print_line(*frame, arrival->age_s);
      newest = std::move(*frame);
    }
  }
}

// The newest picture whenever there is one, as a render loop does it.
void watch_newest(const Arguments& arguments, Statistics& seen, unvisor::Frame& newest) {
  unvisor::Client client(arguments.options);
  std::string shown;
  while (seen.frames() < arguments.frames && seen.elapsed_s() < arguments.seconds) {
    auto taken = client.take_frame(arguments.topic, unvisor::Milliseconds(200));
    const unvisor::Status status = client.status();
    if (status.text != shown) std::cerr << (shown = status.text) << std::endl;
    if (status.state == unvisor::State::kKeysRefused) throw unvisor::KeysRefused(status.text);
    if (!taken) continue;
    seen.add(taken->record, taken->age_now_s());
    if (arguments.lines) print_line(taken->record, taken->age_now_s());
    newest = std::move(taken->record);
  }
}

}  // namespace

int main(int count, char** values) {
  if (count == 2 && (std::string(values[1]) == "--help" || std::string(values[1]) == "-h")) {
    std::cout << kUsage;
    return 0;
  }
  try {
    const Arguments arguments = read_arguments(count, values);
    Statistics seen;
    unvisor::Frame newest;
    (arguments.every ? watch_every : watch_newest)(arguments, seen, newest);
    seen.print();
    if (!arguments.save.empty()) save(newest, arguments.save);
  } catch (const std::invalid_argument& error) {
    std::cerr << error.what() << '\n';
    return 2;
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
  return 0;
}
