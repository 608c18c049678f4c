// The C++ client, compiled into this module. No header of the engine here: zmq.h includes the system's.
#include "messages.cpp"

#include "connection.cpp"

#include "client.cpp"
