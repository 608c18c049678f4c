#pragma once

#include "CoreMinimal.h"
#include "Components/ActorComponent.h"
#include "Engine/Texture2D.h"

#include "UnvisorFaceComponent.generated.h"

namespace unvisor
{
class Client;
struct FaceState;
struct Frame;
}

UENUM(BlueprintType)
enum class EUnvisorState : uint8
{
	Connecting,  // nobody answered yet
	Waiting,     // connected; no picture yet, or none for a while
	Receiving,
	Paused,      // the wearer paused the stream
	KeysRefused, // the stream wants keys, or other keys
	Unreadable   // messages come that this client cannot read
};

class UUnvisorFaceComponent;
DECLARE_DYNAMIC_MULTICAST_DELEGATE_OneParam(FUnvisorFrameEvent, UUnvisorFaceComponent*, Face);

/**
 * Receives a restored face while it plays, and keeps the newest picture in a texture. Reading happens on a thread
 * of its own; each tick takes the newest picture, decodes and uploads it.
 */
UCLASS(ClassGroup = (Unvisor), meta = (BlueprintSpawnableComponent))
class UNVISOR_API UUnvisorFaceComponent : public UActorComponent
{
	GENERATED_BODY()

public:
	UUnvisorFaceComponent();

	/** Control socket of unvisor, or of `unvisor relay`. */
	UPROPERTY(EditAnywhere, BlueprintReadWrite, Category = "Unvisor")
	FString Control = TEXT("tcp://127.0.0.1:50020");

	/** Key file of this client for an encrypted stream, a path outside the project; empty on one machine. */
	UPROPERTY(EditAnywhere, BlueprintReadWrite, Category = "Unvisor")
	FString KeyFile;

	/** jpeg.face (the square crop), jpeg.world (the whole camera frame), jpeg.eye.0, jpeg.eye.1; bgr. is raw. */
	UPROPERTY(EditAnywhere, BlueprintReadWrite, Category = "Unvisor")
	FString Topic = TEXT("jpeg.face");

	/** A picture older than this many seconds is not live. */
	UPROPERTY(EditAnywhere, BlueprintReadWrite, Category = "Unvisor")
	float StaleAfter = 1.0f;

	/** The newest picture, sRGB, first row on top; null before the first one. Made anew when the size changes. */
	UPROPERTY(Transient, BlueprintReadOnly, Category = "Unvisor")
	TObjectPtr<UTexture2D> Texture;

	/** Id of the camera frame in Texture; a gap is a drop. */
	UPROPERTY(Transient, BlueprintReadOnly, Category = "Unvisor")
	int64 FrameIndex = -1;

	/** Of the picture in Texture, such as LIVE or STALE_EYES. */
	UPROPERTY(Transient, BlueprintReadOnly, Category = "Unvisor")
	TArray<FString> FrameStatus;

	/** Whether any pixel of Texture was made rather than seen. */
	UPROPERTY(Transient, BlueprintReadOnly, Category = "Unvisor")
	bool bSynthesised = false;

	/** Landmarks in px of frame.world, from the top left; empty without a face. */
	UPROPERTY(Transient, BlueprintReadOnly, Category = "Unvisor")
	TArray<FVector> Landmarks;

	/** Yaw and pitch in radians; the wearer's own right and left. */
	UPROPERTY(Transient, BlueprintReadOnly, Category = "Unvisor")
	FVector2D RightGaze;

	UPROPERTY(Transient, BlueprintReadOnly, Category = "Unvisor")
	FVector2D LeftGaze;

	/** 0 shut to 1 open. */
	UPROPERTY(Transient, BlueprintReadOnly, Category = "Unvisor")
	float RightOpenness = 1.0f;

	UPROPERTY(Transient, BlueprintReadOnly, Category = "Unvisor")
	float LeftOpenness = 1.0f;

	/** After a new picture was given to Texture: set it as your material's texture parameter here. */
	UPROPERTY(BlueprintAssignable, Category = "Unvisor")
	FUnvisorFrameEvent OnFrame;

	UFUNCTION(BlueprintPure, Category = "Unvisor")
	EUnvisorState GetState() const;

	/** One sentence for a person. */
	UFUNCTION(BlueprintPure, Category = "Unvisor")
	FString GetStatusText() const;

	/** Seconds since the picture in Texture was captured; -1 before the first one. */
	UFUNCTION(BlueprintPure, Category = "Unvisor")
	float GetAgeSeconds() const;

	/** Whether pictures come, and the newest is younger than StaleAfter. */
	UFUNCTION(BlueprintPure, Category = "Unvisor")
	bool IsLive() const;

	virtual void BeginPlay() override;
	virtual void EndPlay(const EEndPlayReason::Type Reason) override;
	virtual void TickComponent(
		float DeltaTime, ELevelTick TickType, FActorComponentTickFunction* ThisTickFunction) override;

private:
	void Take(const unvisor::FaceState& State);
	bool Upload(const unvisor::Frame& Frame);

	TSharedPtr<unvisor::Client> Client;
	double CapturedAt = 0.0; // seconds of the steady clock
};
