/* h2_memory - what the connections of a thread share, so that an idle one has little memory and a
 * request allocates little: the buffer in which nghttp2 makes frames, small objects that one of its
 * sessions has freed, and what a header block is read into.
 * Thread: a struct belongs to one thread. */
#ifndef ACTIVATOR_HTTP_H2_MEMORY_H
#define ACTIVATOR_HTTP_H2_MEMORY_H

#include "activator/http/h2_impl.h"

struct h2_block;
struct h2_shared;

/* For a session, which nghttp2 makes next: h2_memory_end() follows, and returns the table by which
 * it finds its streams, or NULL.  has_send_table: it may remember fields that it has sent. */
nghttp2_mem h2_memory_begin(struct h2_shared *, bool has_send_table);
void *h2_memory_end(struct h2_shared *);
/* The session has no streams: its table needs no memory. */
void h2_memory_trim(void *table);

/* For a header block that begins: what was read before may still stand in it. */
NODISCARD struct h2_block *h2_memory_get_block(struct h2_shared *);
void h2_memory_put_block(struct h2_shared *, struct h2_block **); /* or NULL */

#endif
