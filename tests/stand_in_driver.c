/* A stand-in for NVIDIA's libcuda.so.1: one GPU whose memory is the host's.
 *
 * Streams queue and run at the next synchronise, a capturing stream records instead, a graph
 * replays what it recorded. Every other function that pycuda links to exists and says "fine"; a
 * test generates those (NO_OPS). `stand_in_enqueue` queues a call back into the test.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef enum { COPY, SET, CALL } Kind;
typedef struct { Kind kind; void *to; const void *from; size_t bytes; int value; void (*call)(void *); void *what; } Operation;
typedef struct { Operation *items; size_t count, room; } List;
typedef struct { List queue, recording; int is_capturing; } Stream;

int stand_in_allocations, stand_in_graphs, stand_in_launches; /* alive, alive, ever */

static void add(List *list, Operation operation) {
  if (list->count == list->room) {
    list->room = list->room ? 2 * list->room : 16;
    list->items = realloc(list->items, list->room * sizeof(Operation));
  }
  list->items[list->count++] = operation;
}

static int queue(Stream *stream, Operation operation) {
  add(stream->is_capturing ? &stream->recording : &stream->queue, operation);
  return 0;
}

static void run(List *list) {
  for (size_t i = 0; i < list->count; i++) {
    Operation *o = &list->items[i];
    if (o->kind == COPY) memcpy(o->to, o->from, o->bytes);
    if (o->kind == SET) memset(o->to, o->value, o->bytes);
    if (o->kind == CALL) o->call(o->what);
  }
  list->count = 0;
}

int cuInit(unsigned flags) { return flags; }
int cuDriverGetVersion(int *version) { *version = 13000; return 0; }
int cuDeviceGetCount(int *count) { *count = 1; return 0; }
int cuDeviceGet(int *device, int index) { *device = index; return index != 0; }
int cuDeviceGetName(char *name, int room, int device) { strncpy(name, "Stand-in", room); return device; }
int cuDeviceGetAttribute(int *value, int which, int device) {
  *value = which == 75 ? 8 : which == 76 ? 6 : 1;
  return device;
}
int cuDevicePrimaryCtxRetain(void **context, int device) { *context = (void *)16; return device; }
static void *current;
int cuCtxPushCurrent_v2(void *context) { current = context; return 0; }
int cuCtxPopCurrent_v2(void **context) { if (context) *context = current; current = NULL; return 0; }
int cuCtxGetDevice(int *device) { *device = 0; return 0; }

int cuMemAlloc_v2(uintptr_t *address, size_t bytes) {
  *address = (uintptr_t)malloc(bytes);
  memset((void *)*address, 0xFF, bytes); /* as floats: not a number */
  stand_in_allocations++;
  return 0;
}
int cuMemFree_v2(uintptr_t address) { free((void *)address); stand_in_allocations--; return 0; }
int cuMemHostAlloc(void **address, size_t bytes, unsigned flags) { *address = malloc(bytes); return flags & 0; }
int cuMemFreeHost(void *address) { free(address); return 0; }

int cuStreamCreate(void **stream, unsigned flags) { *stream = calloc(1, sizeof(Stream)); return flags & 0; }
int cuStreamSynchronize(Stream *stream) { if (stream->is_capturing) return 900; run(&stream->queue); return 0; }
int cuMemcpyHtoDAsync_v2(uintptr_t to, const void *from, size_t bytes, Stream *stream) {
  return queue(stream, (Operation){COPY, (void *)to, from, bytes, 0, NULL, NULL});
}
int cuMemcpyDtoHAsync_v2(void *to, uintptr_t from, size_t bytes, Stream *stream) {
  return queue(stream, (Operation){COPY, to, (void *)from, bytes, 0, NULL, NULL});
}
int cuMemsetD8Async(uintptr_t to, unsigned char value, size_t bytes, Stream *stream) {
  return queue(stream, (Operation){SET, (void *)to, NULL, bytes, value, NULL, NULL});
}
int stand_in_enqueue(Stream *stream, void (*call)(void *), void *what) {
  return queue(stream, (Operation){CALL, NULL, NULL, 0, 0, call, what});
}

int cuStreamBeginCapture_v2(Stream *stream, int mode) {
  if (stream->is_capturing || mode != 1) return 1;
  stream->is_capturing = 1;
  stream->recording = (List){NULL, 0, 0};
  return 0;
}
int cuStreamEndCapture(Stream *stream, void **graph) {
  List *kept = malloc(sizeof(List));
  if (!stream->is_capturing) return 1;
  *kept = stream->recording;
  stream->is_capturing = 0;
  *graph = kept;
  stand_in_graphs++;
  return 0;
}
int cuGraphInstantiateWithFlags(void **executable, List *graph, unsigned long long flags) {
  List *copy = calloc(1, sizeof(List));
  for (size_t i = 0; i < graph->count; i++) add(copy, graph->items[i]);
  *executable = copy;
  stand_in_graphs++;
  return flags != 0;
}
int cuGraphLaunch(List *executable, Stream *stream) {
  for (size_t i = 0; i < executable->count; i++) queue(stream, executable->items[i]);
  stand_in_launches++;
  return 0;
}
int cuGraphExecDestroy(List *executable) { free(executable->items); free(executable); stand_in_graphs--; return 0; }
int cuGraphDestroy(List *graph) { free(graph->items); free(graph); stand_in_graphs--; return 0; }
