/* access_stream - a connection to a collector of spans, with or without TLS, for a thread that
 * waits.
 *
 * Each call returns at until_ns at the latest (-1 with errno ETIMEDOUT).  The certificate of the
 * collector must verify, for its name or address.  Thread: the owner's. */
#ifndef ACTIVATOR_ACCESS_ACCESS_STREAM_H
#define ACTIVATOR_ACCESS_ACCESS_STREAM_H

#include "common/err.h"

/* Which certificates are trusted. */
struct access_trust;
/* ca: a file in PEM format; NULL: those of the system.  NULL with err. */
NODISCARD struct access_trust *access_trust_new(const char *ca, struct err *);
void access_trust_free(struct access_trust **);

struct access_stream {
	int fd;
	struct ssl_st *ssl; /* NULL: without TLS */
};

/* Over a connected socket, which is the caller's; trust: NULL: without TLS.  -1 with errno and
 * err. */
NODISCARD int access_stream_begin(struct access_stream *, int fd, const struct access_trust *,
				  const char *host, int64_t until_ns, struct err *);
void access_stream_end(struct access_stream *);

/* All n bytes. */
NODISCARD int access_stream_send(struct access_stream *, const char *, size_t n, int64_t until_ns);
/* At least one byte; 0: no more come. */
NODISCARD ssize_t access_stream_recv(struct access_stream *, char *, size_t n, int64_t until_ns);

/* Wait until the socket is ready for POLLIN or POLLOUT. */
NODISCARD int access_stream_wait(int fd, short event, int64_t until_ns);

#endif
