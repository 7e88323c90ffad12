/* certificates - the certificates of the conf file: loads them, reads them again when their
 * files change, replaces the keys of session tickets, and gives the workers each new state.
 *
 * The files are looked at by stat(2), some in each tick of a timer: that works for a mounted
 * Secret, for certbot's symbolic links, and on any file system.  A pair that has changed is read
 * once its files have stood still from one look to the next.  A pair with a mistake is not used:
 * the one before stays, and one line says why.
 * Thread: main. */
#ifndef ACTIVATOR_CERTIFICATES_H
#define ACTIVATOR_CERTIFICATES_H

#include "common/err.h"

struct activator_conf;
struct audit;
struct certificates; /* opaque; certificates.c */
struct loop;
struct settings;
struct settings_errors;
struct tls_state;
struct tls_ticket_keys;

struct certificates_ops {
	/* The certificates or the keys have changed: handshakes are to use this from now on;
	 * borrowed. */
	void (*on_state)(struct tls_state *, void *arg);
	/* May be NULL: where it is written that a pair is read again. */
	struct audit *(*audit)(void *arg);
};

/* Check what `-t` checks: the TLS settings, the files of all certificates, and those of
 * upstream_ca and the like.  Mistakes go to
 * errors, and what may be meant so to warnings, each as "FILE:LINE: …".  -1: there are
 * mistakes. */
NODISCARD int certificates_check(const struct settings *, struct settings_errors *errors,
				 struct settings_errors *warnings);

/* Load all.  before: those of the settings before, whose session tickets stay valid; NULL: there
 * are none.  NULL with err, which begins with file and line: one has a mistake.  The settings, ops
 * and arg are borrowed. */
NODISCARD struct certificates *certificates_new(struct loop *, const struct settings *,
						const struct certificates *before,
						const struct certificates_ops *, void *arg,
						struct err *);
/* Begin to watch the files. */
void certificates_start(struct certificates *);
void certificates_free(struct certificates **);

/* What handshakes use; the caller gets a reference. */
NODISCARD struct tls_state *certificates_state(const struct certificates *);

/* The keys of session tickets, and when the newest was made (clk_now()). */
void certificates_tickets(const struct certificates *, struct tls_ticket_keys *,
			  int64_t *rotated_ns);
/* Go on with those of another process.  Before certificates_start() and certificates_state(). */
void certificates_adopt_tickets(struct certificates *, const struct tls_ticket_keys *,
				int64_t rotated_ns);

/* For metrics: walk over all.  *days: until it expires.  False: there are no more. */
bool certificates_next(const struct certificates *, size_t *at, const char **name, double *days);
/* How often a changed pair could not be used. */
uint64_t certificates_failures(const struct certificates *);

#endif
