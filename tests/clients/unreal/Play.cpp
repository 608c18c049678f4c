// play CONTROL SECONDS [TOPIC]: runs the component as the engine would, against a real publisher. Prints, for each
// uploaded picture, `frame INDEX AGE_S WIDTH LANDMARKS STATUS LIVE B,G,R` (of the pixel in the middle), and status changes.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "UnvisorFaceComponent.h"

int main(int count, char** values) {
  UUnvisorFaceComponent face;
  if (!face.PrimaryComponentTick.bCanEverTick) return 1;
  face.Control = FString(UTF8_TO_TCHAR(values[1]));
  if (count > 3) face.Topic = FString(UTF8_TO_TCHAR(values[3]));
  face.OnFrame.listeners.push_back([](UUnvisorFaceComponent* shown) {
    const UTexture2D& texture = *shown->Texture;
    const int32 middle = 4 * (texture.GetSizeY() / 2 * texture.GetSizeX() + texture.GetSizeX() / 2);
    const uint8* pixel = texture.shown.data() + middle;
    if (!texture.SRGB || texture.AddressX != TA_Clamp || pixel[3] != 255) std::exit(3);
    std::printf("frame %lld %f %d %d %s %d %d,%d,%d\n", static_cast<long long>(shown->FrameIndex),
                shown->GetAgeSeconds(), texture.GetSizeX(), shown->Landmarks.Num(),
                TCHAR_TO_UTF8(*shown->FrameStatus[0]), shown->IsLive(), pixel[0], pixel[1], pixel[2]);
    std::fflush(stdout);
  });
  face.BeginPlay();
  std::string told;
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(std::atoi(values[2]));
  while (std::chrono::steady_clock::now() < until) {
    face.TickComponent(0.002f, LEVELTICK_All, nullptr);
    const std::string text = TCHAR_TO_UTF8(*face.GetStatusText());
    if (text != told) {
      std::printf("status %d %s\n", static_cast<int>(face.GetState()), (told = text).c_str());
      std::fflush(stdout);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  face.EndPlay(EEndPlayReason::Quit);
  return face.GetState() == EUnvisorState::Connecting ? 0 : 1;
}
