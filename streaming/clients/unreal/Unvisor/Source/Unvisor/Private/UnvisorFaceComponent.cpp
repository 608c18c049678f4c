#include "UnvisorFaceComponent.h"

#include "IImageWrapper.h"
#include "IImageWrapperModule.h"
#include "Modules/ModuleManager.h"
#include "RHI.h"

THIRD_PARTY_INCLUDES_START
#include "unvisor/client.hpp"
THIRD_PARTY_INCLUDES_END

namespace
{
double NowSeconds()
{
	return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::string ToStd(const FString& Text)
{
	return std::string(TCHAR_TO_UTF8(*Text));
}

FString FromStd(const std::string& Text)
{
	return FString(UTF8_TO_TCHAR(Text.c_str()));
}

/** Blue, green, red, alpha, rows from the top; empty when the picture cannot be read. */
TArray64<uint8> DecodePixels(const unvisor::Frame& Frame)
{
	TArray64<uint8> Pixels;
	if (Frame.format == "jpeg")
	{
		IImageWrapperModule& Images = FModuleManager::LoadModuleChecked<IImageWrapperModule>(FName("ImageWrapper"));
		const TSharedPtr<IImageWrapper> Jpeg = Images.CreateImageWrapper(EImageFormat::JPEG);
		const bool bRead = Jpeg.IsValid() && Jpeg->SetCompressed(Frame.pixels.data(), Frame.pixels.size())
			&& Jpeg->GetWidth() == Frame.width && Jpeg->GetHeight() == Frame.height
			&& Jpeg->GetRaw(ERGBFormat::BGRA, 8, Pixels);
		if (!bRead)
		{
			Pixels.Empty();
		}
		return Pixels;
	}
	const size_t Count = size_t(Frame.width) * size_t(Frame.height);
	const size_t Channels = Frame.format == "bgr" ? 3 : 1;
	Pixels.SetNumUninitialized(4 * Count);
	for (size_t i = 0; i < Count; ++i)
	{
		const uint8* From = Frame.pixels.data() + Channels * i;
		uint8* To = Pixels.GetData() + 4 * i;
		To[0] = From[0];
		To[1] = From[Channels / 2];
		To[2] = From[Channels - 1];
		To[3] = 255;
	}
	return Pixels;
}
} // namespace

UUnvisorFaceComponent::UUnvisorFaceComponent()
{
	PrimaryComponentTick.bCanEverTick = true;
}

void UUnvisorFaceComponent::BeginPlay()
{
	Super::BeginPlay();
	unvisor::Options Options;
	Options.control = ToStd(Control);
	Options.topics = {ToStd(Topic), "face.state"};
	Options.key_file = ToStd(KeyFile);
	Client = MakeShared<unvisor::Client>(Options);
}

void UUnvisorFaceComponent::EndPlay(const EEndPlayReason::Type Reason)
{
	Client.Reset();
	Super::EndPlay(Reason);
}

void UUnvisorFaceComponent::TickComponent(
	float DeltaTime, ELevelTick TickType, FActorComponentTickFunction* ThisTickFunction)
{
	Super::TickComponent(DeltaTime, TickType, ThisTickFunction);
	if (!Client.IsValid())
	{
		return;
	}
	if (const auto State = Client->take_state())
	{
		Take(State->record);
	}
	const auto Newest = Client->take_frame(ToStd(Topic));
	if (!Newest || !Upload(Newest->record))
	{
		return;
	}
	FrameIndex = Newest->record.index;
	bSynthesised = Newest->record.synthesised;
	FrameStatus.Reset();
	for (const std::string& Name : Newest->record.status)
	{
		FrameStatus.Add(FromStd(Name));
	}
	CapturedAt = NowSeconds() - Newest->age_now_s();
	OnFrame.Broadcast(this);
}

EUnvisorState UUnvisorFaceComponent::GetState() const
{
	return Client.IsValid() ? static_cast<EUnvisorState>(Client->status().state) : EUnvisorState::Connecting;
}

FString UUnvisorFaceComponent::GetStatusText() const
{
	return Client.IsValid() ? FromStd(Client->status().text) : FString(TEXT("Not playing."));
}

float UUnvisorFaceComponent::GetAgeSeconds() const
{
	return FrameIndex < 0 ? -1.0f : static_cast<float>(NowSeconds() - CapturedAt);
}

bool UUnvisorFaceComponent::IsLive() const
{
	return FrameIndex >= 0 && GetState() == EUnvisorState::Receiving && GetAgeSeconds() < StaleAfter;
}

void UUnvisorFaceComponent::Take(const unvisor::FaceState& State)
{
	Landmarks.Reset();
	for (size_t i = 0; i + 2 < State.landmarks.size(); i += 3)
	{
		Landmarks.Add(FVector(State.landmarks[i], State.landmarks[i + 1], State.landmarks[i + 2]));
	}
	RightGaze = FVector2D(State.gaze[0], State.gaze[1]);
	LeftGaze = FVector2D(State.gaze[2], State.gaze[3]);
	RightOpenness = State.openness[0];
	LeftOpenness = State.openness[1];
}

bool UUnvisorFaceComponent::Upload(const unvisor::Frame& Frame)
{
	// The render thread copies later: the pixels are its own, and it gives them back.
	TArray64<uint8>* Pixels = new TArray64<uint8>(DecodePixels(Frame));
	if (Pixels->Num() == 0)
	{
		delete Pixels; // a broken JPEG; the next one will do
		return false;
	}
	if (Texture == nullptr || Texture->GetSizeX() != Frame.width || Texture->GetSizeY() != Frame.height)
	{
		Texture = UTexture2D::CreateTransient(Frame.width, Frame.height, PF_B8G8R8A8);
		Texture->SRGB = true;
		Texture->AddressX = TA_Clamp;
		Texture->AddressY = TA_Clamp;
		Texture->UpdateResource();
	}
	FUpdateTextureRegion2D* Region = new FUpdateTextureRegion2D(0, 0, 0, 0, Frame.width, Frame.height);
	Texture->UpdateTextureRegions(
		0, 1, Region, 4 * Frame.width, 4, Pixels->GetData(),
		[Pixels](uint8*, const FUpdateTextureRegion2D* Regions)
		{
			delete Pixels;
			delete Regions;
		});
	return true;
}
