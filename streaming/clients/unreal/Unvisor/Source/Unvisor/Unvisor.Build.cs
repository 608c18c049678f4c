using System.IO;
using UnrealBuildTool;

public class Unvisor : ModuleRules
{
	public Unvisor(ReadOnlyTargetRules Target) : base(Target)
	{
		CppStandard = CppStandardVersion.Cpp20;
		PCHUsage = PCHUsageMode.NoPCHs;
		bUseUnity = false;        // zmq.h includes the system's headers, whose macros the engine's code must not meet
		bEnableExceptions = true; // inside the C++ client; none leaves it

		PublicDependencyModuleNames.AddRange(new[] { "Core", "CoreUObject", "Engine" });
		PrivateDependencyModuleNames.AddRange(new[] { "ImageWrapper", "RHI" });

		// install.sh puts the C++ client there; libzmq, cppzmq and msgpack-cxx are yours to put (README.md).
		string thirdParty = Path.GetFullPath(Path.Combine(ModuleDirectory, "..", "ThirdParty"));
		PrivateIncludePaths.Add(Path.Combine(thirdParty, "UnvisorCpp", "include"));
		PrivateIncludePaths.Add(Path.Combine(thirdParty, "UnvisorCpp", "src"));
		PublicSystemIncludePaths.Add(Path.Combine(thirdParty, "Libraries", "include"));
		string libraries = Path.Combine(thirdParty, "Libraries", Target.Platform.ToString());
		foreach (string pattern in new[] { "*.lib", "*.a", "*.so" })
		{
			if (!Directory.Exists(libraries)) break;
			foreach (string library in Directory.GetFiles(libraries, pattern)) PublicAdditionalLibraries.Add(library);
		}
		if (Directory.Exists(libraries))
		{
			foreach (string library in Directory.GetFiles(libraries, "*.dll"))
			{
				RuntimeDependencies.Add("$(BinaryOutputDir)/" + Path.GetFileName(library), library);
			}
		}
	}
}
