/* h2_instance - an instance's end of a connection of HTTP/2: it sends what frames it is asked for,
 * right or wrong, and judges the frames that it gets.  A wrong byte there ends the program. */
#ifndef TEST_FUZZ_H2_INSTANCE_H
#define TEST_FUZZ_H2_INSTANCE_H

#include <nghttp2/nghttp2.h>

#include "test/fuzz/path_seen.h"
#include "test/fuzz/path_world.h"

#define ASKS 62	       /* requests of a client */
#define H2_STREAMS 256 /* of a connection: more than there are in a run */

/* The second characters of the marks of its requests, in their order; the first is the client. */
extern const char h2_marks[ASKS + 1];

/* A request that a client has sent, as far as it has sent it. */
struct asked_h1 {
	bool is_post, is_whole;
	size_t body_n;
	unsigned given; /* to instances, which may have processed it */
};
extern struct asked_h1 asked[CLIENTS][ASKS];

/* A request that the instance has got. */
struct h2_got {
	int32_t id;
	char mark[MARK];
	bool is_tunnel, is_ended;
	size_t body_n;
};

struct h2_instance {
	struct peer *peer;
	nghttp2_hd_inflater *inflater;
	size_t at; /* bytes of peer->got that were judged */
	struct h2_got streams[H2_STREAMS];
	size_t n;
	uint8_t ping[8]; /* the last one that it got */
};

void h2_instance_init(struct h2_instance *, struct peer *);
/* Count the requests that it may have processed. */
void h2_instance_fini(struct h2_instance *);
/* Judge what has come. */
void h2_instance_read(struct h2_instance *);

void h2_instance_frame(struct h2_instance *, uint8_t type, uint8_t flags, int32_t id,
		       const void *payload, size_t n);
/* A header block with these fields, "name: value" LF …, without compression; mark: one field
 * more, or NULL. */
void h2_instance_head(struct h2_instance *, int32_t id, const char *fields, const char *mark,
		      bool is_end);

#endif
