/* tls_stream - what tls.c and tls_connect.c share: a stream of TLS, and the turns of handshakes.
 * Thread: the loop's. */
#ifndef ACTIVATOR_NET_TLS_STREAM_H
#define ACTIVATOR_NET_TLS_STREAM_H

#include <openssl/ssl.h>

#include "activator/net/io_stream.h"
#include "activator/net/tls.h"
#include "activator/net/tls_context.h"
#include "common/list.h"

struct tls {
	struct loop *loop;
	const struct activator_conf *conf;
	const struct tls_use *use;
	struct tls_context ctx;
	SSL_CTX *client_ctx; /* of connections to instances; NULL: there was none */
	BIO_METHOD *bio;

	/* of the call of OpenSSL that runs */
	char *sealed; /* what it has written: SEALED_MOST bytes */
	size_t sealed_n;
	char *plain; /* small pieces that become one record: RECORD_MOST bytes */

	/* Handshakes: those that wait for their client, and those that wait for a turn, the oldest
	 * first. */
	struct list silent, queued;
	uint64_t round;	   /* loop_round() to which spent_ns belongs */
	int64_t spent_ns;  /* by handshakes in that round */
	int64_t step_ns;   /* what a step takes, on average */
	bool is_admitting; /* admit() is deferred */
	struct tls_counters counters;
};

enum tls_place { TLS_NOWHERE, TLS_SILENT, TLS_QUEUED, TLS_ADMITTED };

struct tls_stream {
	struct io_stream stream;
	struct tls *tls;
	struct io *io;
	SSL *ssl;
	char *subject; /* of the client's certificate, or NULL */
	struct tls_hello hello;
	struct list_node node; /* of a handshake: in tls->silent or tls->queued */
	enum tls_place place;
	int64_t queued_ns;   /* QUEUED, ADMITTED: since when */
	int64_t waited_ns;   /* in these, before */
	bool is_plain;	     /* what has come is not TLS */
	bool is_client;	     /* the peer is an instance */
	bool is_h2;	     /* is_client: it has to speak HTTP/2 */
	bool has_answered;   /* bytes of the handshake were written */
	bool is_drained;     /* a read has found nothing */
	bool is_shut;	     /* close_notify was sent */
	bool has_failed;     /* OpenSSL may not be called any more */
	bool is_reading;     /* read_records() runs */
	bool is_abusive;     /* OpenSSL gets no more to read, and so fails */
	uint32_t messages_n; /* of a handshake that came after it, since a read has found data */
	size_t given_n;	     /* ciphertext that OpenSSL got in this read, or step */
	size_t answers_n;    /* ciphertext that answers messages, while the client takes none */
	ssize_t end;	     /* IO_EOF or IO_ERROR: what the next read is; else 0 */
	int end_errno;	     /* of IO_ERROR */
	const char *failure; /* of the handshake with an instance; NULL: none is known */
	/* is_client: what the peer has to prove, and where; and where its sessions go, or NULL.
	 * Borrowed: they outlive the stream. */
	const struct tls_trust *trust;
	const struct addr *addr;
	struct tls_session **kept;
	bool is_end_read; /* and a read has found it */
};

static inline struct tls_stream *
tls_stream_of(const struct io *io)
{
	return container_of(io->stream, struct tls_stream, stream);
}

/* For an io that has none. */
struct tls_stream *tls_stream_new(struct tls *, struct io *, SSL_CTX *);
/* Write what OpenSSL has written in the call that has returned. */
int tls_flush_sealed(struct tls_stream *, bool may_defer, uint32_t token);

/* May the handshake go on in this round?  If not, it has its turn in a later one. */
NODISCARD bool tls_may_step(struct tls_stream *);
/* Let it go on, and write what it has to say.  Returns as SSL_do_handshake(3); *code: the errno if
 * that could not be written, else 0.  If it is not over, it waits for its peer. */
int tls_step(struct tls_stream *, int *code);
void tls_wait_for_peer(struct tls_stream *);
void tls_end_handshake(struct tls_stream *, enum tls_outcome);
/* All further reads fail with this errno. */
void tls_fail(struct tls_stream *, int code);

/* io_stream_ops.finish_connect */
int tls_finish_connect(struct io *);

#endif
