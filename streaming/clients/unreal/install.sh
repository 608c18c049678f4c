#!/usr/bin/env bash
# Copies the plugin, with the C++ client inside, into an Unreal project: ./install.sh PATH/TO/PROJECT
set -euo pipefail
project=${1:?"Usage: install.sh PATH/TO/PROJECT (the folder with the .uproject)"}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

if ! compgen -G "$project/*.uproject" > /dev/null; then
  echo "There is no .uproject in $project. Give the folder that holds it." >&2
  exit 1
fi
plugin=$project/Plugins/Unvisor
cpp=$plugin/Source/ThirdParty/UnvisorCpp
mkdir -p "$project/Plugins" "$cpp/src"
cp -R "$here/Unvisor" "$project/Plugins/"
cp -R "$here/../cpp/include" "$cpp/"
cp "$here"/../cpp/src/{messages,connection,client}.cpp "$here/../cpp/src/control.hpp" "$cpp/src/"
rm "$cpp/include/unvisor/picture.hpp" # the engine decodes JPEG itself
mkdir -p "$plugin/Source/ThirdParty/Libraries/include"
echo "Installed to $plugin. Next: libzmq, cppzmq and msgpack-cxx go to Source/ThirdParty/Libraries (README.md)."
