/* h2_memory - what the sessions of nghttp2 allocate.  All sessions of a thread share one buffer for
 * frames, and small objects that one has freed are kept for the next.
 * Thread: a struct belongs to one thread. */
#ifndef ACTIVATOR_HTTP_H2_MEMORY_H
#define ACTIVATOR_HTTP_H2_MEMORY_H

#include "activator/http/h2_impl.h"

struct h2_shared;

/* For a session, which nghttp2 makes next: h2_memory_end() follows. */
nghttp2_mem h2_memory_begin(struct h2_shared *);
void h2_memory_end(struct h2_shared *);

#endif
